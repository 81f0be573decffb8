"""Plant small faults in the exported package, one at a time, and see whether a check notices.

    python tests/mutants.py [MODULE ...] [--sample N] [--seed S] [--jobs N] [--thorough]

A mutant is a module's source with one thing changed (`mutations.py`). Its notebook's check cells
run on the package (exported cells do not run, so that a sound cell cannot hide its faulty twin),
then the tests that reach the changed line; whatever fails or hangs kills the mutant. One process
imports PyTorch once and is forked for every run, each in a copy of the project and with stand-in
data, so a mutant can harm neither. What is known stays in `_run/mutants.json`: a second call goes
on where the first was stopped. `mutants_accepted.csv` names survivors that change nothing.
"""
import argparse
import csv
import hashlib
import importlib
import io
import json
import math
import os
import random
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from functools import cache, partial
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

from mutations import Project, apply, find_mutants, left_out_cells, run_cells

SLOW = 3        # seconds; a cell that takes longer, and that no later one needs, is left out
BUDGET = 20     # seconds of tests for one mutant, the quickest first
FATES = ("killed", "survived", "accepted", "unreached")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MNIST_COURSE_DATA": "standin",
               "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} # a second for each run, and none is needed
AT_RUN_TIME = ("__pycache__", ".hypothesis", "tmp", ".git", ".venv", "_run", "_book", "*.egg-info")


# --- one run, in a fork ---

def in_child(task, folder, seconds=3600):
    """What `task` returns in a fork of this process that lives in `folder`, or an error in words.

    The processor's time is limited, as other programs may be running, and for a fork that only
    waits six times that by the clock.
    """
    read, write = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) # the child is killed, not interrupted
    pid = os.fork()
    if not pid:
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_DATA, (12 << 30,)*2) # a fault may fill the memory
            resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds),)*2)
            for fd in (1, 2): os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
            (folder/"tmp").mkdir(exist_ok=True)
            os.environ.update(FASTAI_HOME=str(folder/"home"), TMPDIR=str(folder/"tmp"))
            os.chdir(folder/"project")
            sys.path.insert(0, str(folder/"project"))
            answer = task()
        except BaseException as e: answer = {"error": f"{type(e).__name__}: {e}"[:300]}
        with os.fdopen(write, "w") as pipe: pipe.write(json.dumps(answer) + "\n")
        os._exit(0)
    os.close(write)
    said, end = b"", time.monotonic() + 6*seconds
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        while not said.endswith(b"\n"):
            if not select.select([read], [], [], max(0, end - time.monotonic()))[0]:
                return {"error": f"waits for more than {6*seconds:.0f} s"}
            if not (more := os.read(read, 1 << 20)):
                return {"error": f"more than {seconds:.0f} s of computing, or the process died"}
            said += more
        return json.loads(said)
    finally:
        os.close(read)
        try: os.killpg(pid, signal.SIGKILL)     # and whatever it started
        except ProcessLookupError: os.kill(pid, signal.SIGKILL) # not yet a group of its own
        os.waitpid(pid, 0)


class Serve(SourceFileLoader):
    "Imports one module from the given text; `inspect` still reads the file, which is unchanged."
    text = ""
    def get_code(self, fullname): return compile(self.text, self.path, "exec")
    def find_spec(self, name, path=None, target=None):
        if name == self.name: return spec_from_file_location(name, self.path, loader=self)


@cache
def lines_of(code):
    "How many lines of its own a function has, without that of its `def`."
    return len({line for *_, line in code.co_lines() if line} - {code.co_firstlineno}) or 1


class Watch:
    "Times cells or tests, and notes which lines of the package each executes. A pytest plugin."
    def __init__(self, folder=None):
        self.folder, self.key, self.lines = folder and str(folder), "import", defaultdict(set)
        self.times, self.failed, self.passed = Counter(), {}, set()
        self.seen = defaultdict(set)
        if folder: sys.settrace(self.enter)

    def enter(self, frame, event, arg):
        code = frame.f_code
        if not code.co_filename.startswith(self.folder): return None
        seen = self.seen[self.key, code]
        if len(seen) == lines_of(code): return None # all of it: no need to slow it down
        name = os.path.relpath(code.co_filename, self.folder)
        sign = 1 if code.co_flags & 1 else -1   # a function's code, or run by the import
        def note(frame, event, arg):
            if event == "line":
                seen.add(frame.f_lineno)
                self.lines[f"{name}:{sign*frame.f_lineno}"].add(self.key)
            return note
        return note

    def start(self, key): # the processor's time, as other programs may be running
        self.key, self.began = key, sum(os.times()[:4])

    def stop(self): self.times[self.key], self.key = sum(os.times()[:4]) - self.began, "import"

    def report(self):
        sys.settrace(None)
        return {"times": self.times, "failed": self.failed, "passed": sorted(self.passed),
                "lines": {line: sorted(keys) for line, keys in self.lines.items()}}

    def pytest_fixture_setup(self, fixturedef, request): # shared: all tests of the file need it
        if fixturedef.scope != "function": self.key = "import"

    def pytest_runtest_logstart(self, nodeid, location): self.start(nodeid)
    def pytest_runtest_call(self, item): self.key = item.nodeid
    def pytest_runtest_logfinish(self, nodeid, location): self.stop()
    def pytest_collectreport(self, report):
        if report.failed: self.failed[report.nodeid or "collection"] = str(report.longrepr)[-300:]

    def pytest_runtest_logreport(self, report):
        if report.failed: self.failed[report.nodeid] = str(report.longrepr)[-300:]
        elif report.when == "call" and report.passed: self.passed.add(report.nodeid)


def run_tests(ids, watch, *options):
    "Run pytest in this process."
    import pytest
    if "hypothesis" in sys.modules:             # no need for the smallest failing example
        from hypothesis import Phase, settings
        settings.register_profile("mutants", database=None, phases=(Phase.explicit, Phase.generate))
        settings.load_profile("mutants")
    code = pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir=.", *options, *ids],
                       plugins=[watch])
    if code not in (0, 5) and not watch.failed: watch.failed["pytest"] = str(code)


def run_check(unit, package, keys=None, trace=False, mutated=None):
    "Run one notebook's cells or one or more files' tests, the given ones or all."
    if mutated:
        name, path, text = mutated
        serve = Serve(name, str(Path(path).absolute()))
        serve.text = text
        sys.meta_path.insert(0, serve)
    watch = Watch(Path(package).absolute() if trace else None)
    if unit["kind"] == "tests":
        run_tests(unit["files"] if keys is None else keys, watch, *(["-x"] if mutated else []))
    else: run_cells(unit, keys, watch, stop=bool(mutated))
    return watch.report()


# --- what each check reaches, without a fault ---

def baseline(unit, package, folder, thorough):
    "Times of a unit's cells or tests, the lines that they reach, and what is left out and why."
    seen = in_child(partial(run_check, unit, package, None, True), folder)
    if "error" in seen: return {"times": {}, "lines": {}, "out": {"all of it": seen["error"]}}
    out = {key: f"fails by itself: {why}" for key, why in seen["failed"].items()}
    times = {k: seen["times"][k] for k in seen["passed"] if k not in out}
    if unit["kind"] == "cells" and not thorough:
        slow = left_out_cells(unit, [k for k in times if times[k] > SLOW])
        keys = [k for k in times if k not in slow]
        again = in_child(partial(run_check, unit, package, keys), folder) if slow else {}
        if again.get("failed") == {}:           # and later cells get by without the slow ones
            out |= {k: f"{times.pop(k):.0f} s" for k in slow}
    return {"times": times, "lines": seen["lines"], "out": out}


def reached(unit, path, lines):
    "The unit's cells or tests that execute one of the lines; all of them if the import does."
    keys = {k for line in lines for k in unit["lines"].get(f"{path}:{line}", ())}
    return [k for k in unit["times"] if k in keys or "import" in keys]


def judge(mutant, module, units, project, folder, args):
    "Is it killed, and by what?"
    path = os.path.relpath(module.path, project.package)
    cells, tests, chosen, seconds = [], {}, [], Counter()
    for unit in units:
        keys = reached(unit, path, mutant.lines)
        if unit["kind"] == "tests": tests |= {k: unit["times"][k] for k in keys}
        elif keys:
            cells = [k for k in unit["times"] if int(k) <= max(map(int, keys))]
            seconds["cells"] = sum(unit["times"][k] for k in cells)
    for key in sorted(tests, key=tests.get):
        if args.thorough or not chosen or seconds["tests"] + tests[key] <= BUDGET:
            chosen.append(key)
            seconds["tests"] += tests[key]
    notebook = next((u for u in units if u["kind"] == "cells"), None)
    mutated = (module.name, os.path.relpath(module.path, project.root),
               apply(module.source, mutant))
    for unit, keys in ((notebook, cells), ({"kind": "tests"}, chosen)):
        if not keys: continue
        task = partial(run_check, unit, project.package.name, keys, False, mutated)
        answer = in_child(task, folder, 5*seconds[unit["kind"]] + args.slack)
        if "error" in answer: return {"fate": "killed", "by": f"{unit['kind']}: {answer['error']}"}
        for key, why in answer["failed"].items():
            return {"fate": "killed", "by": f"{unit['kind']} {key}: {why.splitlines()[-1][:200]}"}
    return {"fate": "survived" if cells or chosen else "unreached", "by": ""}


# --- all of them ---

def digest(*parts): return hashlib.sha1("\0".join(map(str, parts)).encode()).hexdigest()[:20]


def load(path): return json.loads(path.read_text()) if path.exists() else {}


def save(path, content):
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=0))
    new.replace(path)


class Folders:
    "Copies of the project with stand-in data; one that a mutant has changed is made anew."
    def __init__(self, project, folder):
        self.clean = folder/"clean"
        shutil.copytree(project.root, self.clean/"project",
                        ignore=shutil.ignore_patterns(*AT_RUN_TIME))
        (self.clean/"home").mkdir()
        if "data" in project.modules:           # made once, so that no time is measured with it
            in_child(partial(make_data, project.package.name), self.clean)
        self.stamp = self.look(self.clean)

    @staticmethod
    def look(folder):
        return {os.path.join(top, name): os.stat(os.path.join(folder, top, name)).st_mtime_ns
                for top, name in Folders.walk(folder)}

    @staticmethod
    def walk(folder):
        for top, folders, names in os.walk(folder):
            folders[:] = [f for f in folders if f not in AT_RUN_TIME]
            yield from ((os.path.relpath(top, folder), name) for name in names)

    def ready(self, folder):
        "The folder as it should be."
        if not folder.exists() or self.look(folder) != self.stamp:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(self.clean, folder, ignore=shutil.ignore_patterns(*AT_RUN_TIME))
        return folder


def make_data(package):
    get_data = importlib.import_module(f"{package}.data").get_data
    return [str(get_data(name)) for name in ("tiny", "sample", "full")]


def work_off(todo, judged, folders, top, jobs):
    "Judge each mutant, by as many processes as there are jobs; yields (number, result)."
    read, write = os.pipe()
    workers = []
    for job in range(jobs):
        workers.append(os.fork())
        if workers[-1]: continue
        try:
            for i in range(job, len(todo), jobs):
                result = judged(*todo[i], folders.ready(top/str(job)))
                os.write(write, (json.dumps([i, result]) + "\n").encode())
        except KeyboardInterrupt: pass
        except Exception: traceback.print_exc()
        finally: os._exit(0)
    os.close(write)
    try:
        with os.fdopen(read) as lines: yield from map(json.loads, lines)
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGINT)
            os.waitpid(pid, 0)


def reaches(project, modules, folders, thorough, path):
    "The units of each module with what they reach, measured where that is not known yet."
    known = load(path)
    shared = [p.read_text(encoding="utf-8") for p in project.root.glob("tests/conftest.py")]
    units = {}
    for name, module in modules.items():
        units[name] = list(project.units(module))
        for unit in units[name]:
            file = Path(unit["key"])
            needed = [m.source for m in project.modules.values() if m.name in unit["needs"]]
            key = digest(file.read_text(encoding="utf-8"), *shared, *needed, thorough)
            if key not in known:
                print(f"{name}: what does {file.name} reach?", flush=True)
                known[key] = baseline(unit, project.package.name, folders(), thorough)
                save(path, known)
            unit |= known[key] | {"digest": key}
    for unit in {u["key"]: u for us in units.values() for u in us}.values():
        if unit["out"]: print(f"left out of {Path(unit['key']).name}: " + "; ".join(
            f"{k.split('::')[-1]} ({why.splitlines()[-1]})" for k, why in unit["out"].items()))
    return units


def judge_all(project, modules, args, top, known):
    "Put every mutant's fate into `known`, and return (module, mutant, its key in `known`)."
    folders = Folders(project, top)
    units = reaches(project, modules, lambda: folders.ready(top/"0"), args.thorough,
                    project.root/"_run"/"mutants_reach.json")
    chosen, todo = [], []
    for name, module in modules.items():
        found = [m for m in find_mutants(module.source) if compiles(apply(module.source, m))]
        if args.sample and args.sample < len(found):
            drawn = random.Random(f"{args.seed} {name}").sample(range(len(found)), args.sample)
            found = [found[i] for i in sorted(drawn)]
        checks = digest(*(u["digest"] for u in units[name]))
        for m in found:
            key = digest(module.source, m.start, m.end, m.text, checks, args.thorough)
            chosen.append((name, m, key))
            if key not in known: todo.append((m, module, units[name], project, key))
    yield chosen
    if todo: print(f"{len(chosen)} mutants, {len(todo)} of them to be tested", flush=True)
    def judged(m, module, units, project, key, folder):
        return judge(m, module, units, project, folder, args)
    for i, fate in work_off(todo, judged, folders, top, args.jobs):
        known[todo[i][-1]] = fate
        yield fate


def compiles(source):
    try: return bool(compile(source, "mutant", "exec"))
    except SyntaxError: return False


def report(project, modules, rows):
    "Print the table; the survivors go into a list, with the change of each."
    print(f"\n{'module':24}{'mutants':>8}" + "".join(f"{f:>11}" for f in FATES) + f"{'share':>8}")
    for name in [*modules, "all"]:
        n = Counter(fate for module, _, fate in rows if name in (module, "all"))
        counted = n.total() - n["accepted"]
        share = f"{n['killed']/counted:8.0%}" if counted else ""
        print(f"{name:24}{n.total():8}" + "".join(f"{n[f]:11}" for f in FATES) + share)
    alive = [(module, m, fate) for module, m, fate in rows if fate in ("survived", "unreached")]
    path = project.root/"_run"/"mutants.txt"
    path.write_text("\n".join(
        f"{modules[module].path.relative_to(project.root)}:{m.line}: {fate}: {m.what}\n"
        + "".join(f"  - {line.strip()}\n" for line in m.old.splitlines())
        + "".join(f"  + {line.strip()}\n" for line in m.new.splitlines())
        for module, m, fate in alive), encoding="utf-8")
    if alive: print(f"\n{path.read_text(encoding='utf-8')}\nThis list is in {path}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", nargs="*", help="such as sgd; all if none is named")
    parser.add_argument("--sample", type=int, help="so many of each module, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    parser.add_argument("--thorough", action="store_true", help="slow cells and all tests, too")
    parser.add_argument("--slack", type=float, default=10,
                        help="a mutant hangs after 5 times the usual time and so many seconds")
    parser.add_argument("--root", type=Path, default=Path(__file__).absolute().parent.parent)
    args = parser.parse_args()
    project = Project(args.root)
    if unknown := set(args.module) - set(project.modules):
        sys.exit(f"No notebook exports {', '.join(sorted(unknown))}: "
                 f"choose among {', '.join(sorted(project.modules))}.")
    modules = {name: project.modules[name] for name in args.module or sorted(project.modules)}
    os.environ.update(ENVIRONMENT)
    warnings.simplefilter("ignore")
    project.preload()

    path, accepted = project.root/"_run"/"mutants.json", project.root/"tests"/"mutants_accepted.csv"
    known, chosen, stopped = load(path), [], False
    with tempfile.TemporaryDirectory(prefix="mutants-") as top:
        steps = judge_all(project, modules, args, Path(top), known)
        try:
            chosen, start = next(steps), time.monotonic()
            for n, _ in enumerate(steps, 1):
                if n % 10 == 0:
                    print(f"{n} tested, {(time.monotonic() - start)/n:.1f} s each", flush=True)
                    save(path, known)
        except KeyboardInterrupt: stopped = True
        finally: steps.close()
    save(path, known)
    with accepted.open(newline="", encoding="utf-8") if accepted.exists() else io.StringIO() as f:
        allowed = {(r["module"], r["function"], r["old"], r["new"]) for r in csv.DictReader(f)}
    rows = [(name, m, known[key]["fate"]) for name, m, key in chosen if key in known]
    rows = [(name, m, "accepted" if fate == "survived" and (name, *m.fingerprint) in allowed
             else fate) for name, m, fate in rows]
    report(project, modules, rows)
    if stopped: sys.exit(f"Stopped with {len(rows)} of {len(chosen)} mutants tested: what was "
                         f"found is in {path}, and the same command goes on from there.")
    gone = allowed - {(name, *m.fingerprint) for name, m, _ in chosen}
    for row in sorted(row for row in gone if row[0] in modules and not args.sample):
        print(f"{accepted}: no mutant is like this one any more: {row}")


if __name__ == "__main__": main()
