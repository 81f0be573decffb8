"""How everything here is timed: in turn, after a check that the outputs agree.

A `Comparison` names a piece of work and the ways to do it, ours first. Each way's output is
checked before a time counts; then all ways run in turn for several rounds, so that a machine that
slows down slows all of them down, with garbage collection off. What is reported are medians, and
ratios of medians with the smallest and largest ratio that any one round gave.
"""
import gc
import multiprocessing
import os
import pathlib
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

THREADS = 2  # PyTorch's, everywhere: the bars are set for two cores


class Disagreement(Exception):
    "Two ways do not compute the same thing: their times are not comparable."


@dataclass(frozen=True)
class Way:
    "One way to do the work."
    name: str
    run: Callable                   # does the work once; what it returns is its output
    prepare: Callable = lambda: ()  # untimed, before each run; gives the arguments of `run`
    proof: Callable = None          # gives the output to be checked; that of a run if not given
    rounds: int = None              # how many rounds it takes part in; all if not given
    seconds: Callable = None        # output -> seconds, where the work itself knows; else the clock
    describe: Callable = None       # output -> a few words for the row, such as an accuracy
    note: str = ""                  # what a reader should know about it


@dataclass(frozen=True)
class Target:
    "How many times as long as ours a rival must take, decided before anything was timed."
    rival: str       # its name
    at_least: float  # the rival's seconds over ours
    text: str        # the target in words


@dataclass(frozen=True)
class Comparison:
    "The same work done in several ways; the first is ours."
    key: str
    work: str
    ways: tuple[Way, ...]
    check: Callable  # {name: output}; raises `Disagreement`
    checked: str     # in words, what `check` has shown
    rounds: int = 5
    targets: tuple[Target, ...] = ()
    per: float = 1   # the seconds are divided by this, such as the number of examples
    note: str = ""   # why ours is slower than a rival, or what the times hold
    warm: bool = True  # an untimed run of each way first, for its proof


def do_nothing() -> None:
    "There is nothing to be done."


def run_once(way: Way, clock=time.perf_counter):
    "Run a way once; its output and its seconds, with the garbage collector waiting."
    args = way.prepare()
    gc.collect()
    gc.disable()
    try:
        start = clock()
        output = way.run(*args)
        seconds = clock() - start
    finally: gc.enable()
    return output, way.seconds(output) if way.seconds else seconds


def measure(comparison: Comparison, clock=time.perf_counter, report=lambda line: None) -> dict:
    "Check, then time in turn; plain data for the results. A `Disagreement` means no times at all."
    ways = comparison.ways
    if len({way.name for way in ways}) < len(ways): raise ValueError("Two ways share a name.")
    proofs = {}
    seconds, words = {way.name: [] for way in ways}, {way.name: [] for way in ways}
    for way in ways:
        if way.proof: proofs[way.name] = way.proof()
        elif comparison.warm: proofs[way.name] = run_once(way, clock)[0]
    if len(proofs) == len(ways): comparison.check(proofs)
    for k in range(comparison.rounds):
        for way in ways[k % len(ways):] + ways[:k % len(ways)]:
            if k >= (way.rounds or comparison.rounds): continue
            output, took = run_once(way, clock)
            seconds[way.name].append(took)
            proofs.setdefault(way.name, output)
            if way.describe: words[way.name].append(way.describe(output))
            report(f"  {comparison.key}: round {k + 1}, {way.name}: {took/comparison.per:.4g} s")
        if k == 0: comparison.check(proofs)
    per = {name: [s/comparison.per for s in found] for name, found in seconds.items()}
    return summary(comparison, per, words)


def summary(comparison: Comparison, seconds: dict[str, list[float]], words: dict) -> dict:
    "Medians, ratios and verdicts from the seconds of each round."
    ours = comparison.ways[0].name
    rows = []
    for way in comparison.ways:
        row = {"name": way.name, "median": statistics.median(seconds[way.name]),
               "seconds": seconds[way.name], "outputs": words[way.name], "note": way.note}
        if way.name != ours: row |= ratio(seconds[ours], seconds[way.name])
        rows.append(row)
    return {"key": comparison.key, "work": comparison.work, "checked": comparison.checked,
            "note": comparison.note, "ways": rows,
            "targets": [asdict(t) | verdict(t, rows) for t in comparison.targets]}


def measure_or_refuse(comparison: Comparison, **how) -> dict:
    "As `measure`; where the ways disagree no times but the reason, and every target is missed."
    try: return measure(comparison, **how)
    except Disagreement as e:
        targets = [asdict(t) | {"found": 0., "met": False} for t in comparison.targets]
        return {"key": comparison.key, "work": comparison.work, "checked": comparison.checked,
                "note": comparison.note, "ways": [], "targets": targets, "refused": str(e)}


def ratio(ours: list[float], rival: list[float]) -> dict:
    "The rival's median over ours, and the extremes of the rounds that both took part in."
    by_round = [r/o for o, r in zip(ours, rival, strict=False)]
    return {"ratio": statistics.median(rival)/statistics.median(ours),
            "low": min(by_round), "high": max(by_round)}


def verdict(target: Target, rows: list[dict]) -> dict:
    "Is the target met? A rival of another name is a `KeyError`."
    found = {row["name"]: row for row in rows}[target.rival]["ratio"]
    return {"found": found, "met": found >= target.at_least}


@dataclass(frozen=True)
class Job:
    "Work to be done in a process of its own, where its peak memory is its own too."
    run: Callable               # a module's function, so that it can be sent; may give its seconds
    settings: dict = field(default_factory=dict)
    prepare: Callable = do_nothing # what is there before memory is counted, such as the images


def _use_libraries() -> None:
    "Use the libraries once, so that their own memory is there before the job's is counted."
    import torch
    from mnist_course.data import get_data
    get_data("full")
    x = torch.rand(512, 512, requires_grad=True)
    (x @ x).sum().backward()


def _reset_peak() -> None:
    "Count the peak from here on; where the system cannot, it stays that of the whole process."
    try: open("/proc/self/clear_refs", "w").write("5")
    except OSError: pass


def _peak_mb() -> float:
    "Largest resident memory of this process, in MB."
    status = pathlib.Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1])/2**10
    import resource
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak/2**20 if sys.platform == "darwin" else peak/2**10


def _memory_mb() -> float:
    "Resident memory of this process now, in MB."
    import psutil
    return psutil.Process().memory_info().rss/2**20


def _work(job: Job, threads: int, pipe) -> None:
    "What the new process does: the job, its seconds and its peak memory into the pipe."
    import torch
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    _use_libraries()
    job.prepare()
    gc.collect()
    gc.disable()
    _reset_peak()
    before, start = _memory_mb(), time.perf_counter()
    output = job.run(**job.settings)
    seconds = time.perf_counter() - start
    if isinstance(output, float): seconds = output # the job timed its own core
    pipe.send({"seconds": seconds, "peak_mb": max(_peak_mb() - before, 0.), "output": output})


def run_alone(job: Job, threads: int = THREADS) -> dict:
    "Seconds, peak memory above what was there before, and output of a job in its own process."
    # forked from a process that has only imported the libraries: no leftovers, no wait
    context = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
    if os.name == "posix": context.set_forkserver_preload(["benchmarks.preload"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, threads, there))
    process.start()
    there.close()
    try: result = here.recv()
    except EOFError: raise RuntimeError(f"{job.run.__name__} died in its process.") from None
    finally: process.join()
    return result
