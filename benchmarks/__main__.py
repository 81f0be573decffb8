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

import pandas as pd
from mnist_course.lab.benchmarks import load, target_table

from . import records, timing

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
    "Python's version and those of the libraries, in one line."
    found = [f"Python {platform.python_version()}"]
    for package in ("torch", "fastai", "numpy", "scikit-learn", "micrograd"):
        try: found.append(f"{package} {version(package)}")
        except PackageNotFoundError: pass
    return ", ".join(found)


def commit() -> str:
    "The commit that is measured; empty where there is none to be found."
    try: run = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=records.HERE,
                              capture_output=True, text=True)
    except OSError: return ""
    return run.stdout.strip()


class OtherLoad:
    "What other programs used of the machine meanwhile, as a share of all cores."
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


def measure_group(name: str, quick: bool, device: str, report, minutes: float) -> dict:
    "A group's results as plain data."
    from . import growth, limits
    if name == "growth": return {"curves": growth.measure(quick, report)}
    if name == "limits": return {"limits": limits.measure(quick, report)}
    if name == "lessons":
        from .imports import measure_lessons
        return {"lessons": measure_lessons(quick, report, minutes)}
    module = importlib.import_module(f".{name}", __package__)
    return {"comparisons": [timing.measure_or_refuse(c, report=report)
                            for c in module.comparisons(quick, device)]}


def run_group(name: str, args: argparse.Namespace) -> None:
    "Measure one group here and now, and put it into the results."
    import torch
    from mnist_course.fetch import StandInWarning, get_data, source_of
    torch.set_num_threads(1 if args.quick else timing.THREADS) # two would wait for each other
    warnings.simplefilter("ignore", StandInWarning) # said in the next line and in the results
    data = "MNIST" if source_of(get_data("full")) == "mnist" else "the STAND-IN, not MNIST"
    print(f"\n{name}, on {data} (planned: {PLAN[name]:g} min)", flush=True)
    start = time.perf_counter()
    def report(line): print(line, flush=True)
    with OtherLoad() as other:
        record = measure_group(name, args.quick, args.device, report, args.minutes)
    record |= {"seconds": time.perf_counter() - start, "busy": round(other.share, 3),
               "machine": machine(args.device), "versions": versions(), "quick": args.quick,
               "data": data, "date": time.strftime("%Y-%m-%d"), "commit": commit()}
    key = name if args.device == "cpu" else f"{name} on {args.device}"
    records.merge(args.out/"results.json", key, record, tuple(PLAN))
    print(records.as_text(record), flush=True)
    busy = f"; other programs took {other.share:.0%} of the machine" if other.share > .1 else ""
    print(f"{name}: {record['seconds']/60:.1f} min{busy}", flush=True)


def parse(args: list[str] | None) -> argparse.Namespace:
    "The words after `python -m benchmarks`; what does not go together is refused."
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PLAN, metavar="GROUP", default=None,
                        help=f"some of: {', '.join(PLAN)}; the others keep what they had")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for the convolutional nets")
    parser.add_argument("--minutes", type=float, default=LIMIT,
                        help="how long the lessons may take; all groups if none is named")
    parser.add_argument("--quick", action="store_true",
                        help="does everything run? few rounds, small parts, no figure worth a word")
    parser.add_argument("--out", type=Path, default=records.HERE,
                        help="the folder for results.json; benchmarks/ if not given")
    args = parser.parse_args(args)
    if args.quick and args.out == records.HERE:
        parser.error("--quick measures nothing worth keeping: name a folder with --out.")
    if args.device != "cpu":
        import torch
        if not torch.cuda.is_available(): parser.error("PyTorch finds no GPU: leave --device out.")
    return args


def run_groups(names: list[str], args: argparse.Namespace) -> int:
    "Each group in a Python of its own, so that none finds what another has left behind."
    options = ["--device", args.device, "--out", str(args.out)]
    start = time.perf_counter()
    for name in names:
        left = args.minutes - (time.perf_counter() - start)/60
        done = subprocess.run([sys.executable, "-m", __package__, "--only", name, *options,
                               "--minutes", f"{left:.2f}"])
        if done.returncode: return done.returncode
    print("\n" + pd.DataFrame(target_table(load(args.out/"results.json"))).to_string(index=False))
    print("\nThe page is made from these results by running nbs/lab/benchmarks.ipynb.")
    return 0


def main(args: list[str] | None = None) -> int:
    args = parse(args)
    names = args.only or (list(PLAN) if args.device == "cpu" else ["conv"])
    if len(names) > 1 and not args.quick: return run_groups(names, args)
    for name in names: run_group(name, args)
    return 0


if __name__ == "__main__":
    from mnist_course.cli import ended
    sys.exit(ended("benchmarks", main))
