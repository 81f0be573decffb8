"""`make bench`: run the groups one after another, each in a Python of its own."""
import argparse
import importlib
import os
import platform
import subprocess
import sys
import time
import warnings
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import report, timing

PLAN = { # group -> the minutes it takes on two cores; with the setting up before, under 25
    "imports": 1.4, "loading": 1, "linear": .4, "plain": .6, "mlp": .3, "nearest_mean": .2,
    "conv": 6.5, "growth": 3.1, "limits": .3, "lessons": 7.2}
LIMIT = 22.5 # minutes for all groups: a slow machine leaves out the lessons that would take longer


def machine(device: str) -> str:
    "The machine in one line."
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines()
                  if line.startswith("model name")]
        name = models[0] if models else name
    import psutil
    line = (f"{os.cpu_count()} cores ({name}), {psutil.virtual_memory().total/2**30:.0f} GB, "
            f"{platform.system()}, PyTorch with {timing.THREADS} threads")
    if device != "cpu":
        import torch
        line += f", {torch.cuda.get_device_name()}"
    return line


def versions() -> str:
    said = [f"Python {platform.python_version()}"]
    for package in ("torch", "fastai", "numpy", "scikit-learn", "micrograd"):
        try: said.append(f"{package} {version(package)}")
        except PackageNotFoundError: pass
    return ", ".join(said)


class Busy:
    "How much of the machine other programs used meanwhile, as a share of all cores."
    def __enter__(self):
        self.start, self.other = time.perf_counter(), self._all() - self._mine()
        return self

    def __exit__(self, *_):
        spent = self._all() - self._mine() - self.other
        self.share = max(0., spent/((time.perf_counter() - self.start)*os.cpu_count()))

    @staticmethod
    def _all() -> float:
        import psutil
        t = psutil.cpu_times()
        return t.user + t.system + t.nice

    @staticmethod
    def _mine() -> float:
        t = os.times()
        import psutil
        alive = 0.
        for child in psutil.Process().children(recursive=True): # those that have not ended yet
            try: alive += sum(child.cpu_times()[:4])
            except psutil.Error: pass
        return t.user + t.system + t.children_user + t.children_system + alive


def measure_group(name: str, quick: bool, device: str, tell, minutes: float) -> dict:
    "A group's results as plain data."
    from . import growth, limits
    if name == "growth": return {"curves": growth.measure(quick, tell)}
    if name == "limits": return {"limits": limits.measure(quick, tell)}
    if name == "lessons":
        from .imports import measure_lessons
        return {"lessons": measure_lessons(quick, tell, minutes)}
    module = importlib.import_module(f".{name}", __package__)
    found = module.comparisons(quick, device)
    return {"comparisons": [timing.measure_or_refuse(c, tell=tell) for c in found]}


def run_group(name: str, said) -> None:
    "Measure one group here and now, and put it into the results."
    import torch
    from mnist_course.data import StandInWarning, get_data, source_of
    torch.set_num_threads(1 if said.quick else timing.THREADS) # two would wait for each other
    warnings.simplefilter("ignore", StandInWarning) # said in the next line and in the results
    data = "MNIST" if source_of(get_data("full")) == "mnist" else "the STAND-IN, not MNIST"
    print(f"\n{name}, on {data} (planned: {PLAN[name]:g} min)", flush=True)
    start = time.perf_counter()
    def tell(line): print(line, flush=True)
    with Busy() as busy:
        record = measure_group(name, said.quick, said.device, tell, said.minutes)
    record |= {"seconds": time.perf_counter() - start, "busy": round(busy.share, 3),
               "machine": machine(said.device), "versions": versions(), "quick": said.quick,
               "data": data, "date": time.strftime("%Y-%m-%d")}
    key = name if said.device == "cpu" else f"{name} on {said.device}"
    results = report.merge(said.out/"results.json", key, record, tuple(PLAN))
    print(report.screen(results, [key]), flush=True)
    print(f"{name}: {record['seconds']/60:.1f} min"
          + (f"; other programs took {busy.share:.0%} of the machine" if busy.share > .1 else ""),
          flush=True)


def main(args: list[str] = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PLAN, metavar="GROUP", default=None,
                        help=f"some of: {', '.join(PLAN)}; the others keep what they had")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for the convolutional nets")
    parser.add_argument("--minutes", type=float, default=LIMIT,
                        help="how long the lessons may take; all groups if none is named")
    parser.add_argument("--quick", action="store_true",
                        help="does everything run? few rounds, small parts, no figure worth a word")
    parser.add_argument("--out", type=Path, default=report.HERE,
                        help="where results.json, README.md and plots go; benchmarks/ if not given")
    parser.add_argument("--no-page", action="store_true",
                        help="measure, and leave the page and the plots as they are")
    parser.add_argument("--page", action="store_true",
                        help="measure nothing, make the page and the plots from results.json")
    said = parser.parse_args(args)
    if said.page:
        report.write(report.load(said.out/"results.json"), said.out)
        return 0
    if said.quick and said.out == report.HERE:
        parser.error("--quick measures nothing worth keeping: name a folder with --out.")
    if said.device != "cpu":
        import torch
        if not torch.cuda.is_available(): parser.error("PyTorch finds no GPU: leave --device out.")
    names = said.only or (list(PLAN) if said.device == "cpu" else ["conv"])
    if said.quick or len(names) == 1:
        for name in names: run_group(name, said)
    else: # a Python of its own for each, so that no group finds what another has left behind
        words, start = ["--device", said.device, "--out", str(said.out)], time.perf_counter()
        for name in names:
            left = said.minutes - (time.perf_counter() - start)/60
            told = subprocess.run([sys.executable, "-m", __package__, "--only", name, *words,
                                   "--minutes", f"{left:.2f}", "--no-page"])
            if told.returncode: return told.returncode
    if said.no_page: return 0
    results = report.load(said.out/"results.json")
    report.write(results, said.out)
    if len(names) > 1: print(report.verdicts(results))
    return 0


if __name__ == "__main__": sys.exit(main())
