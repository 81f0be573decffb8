"""Plant small faults in the exported package, one at a time, and see whether a check notices.

    python tests/mutants.py [MODULE ...] [--sample N] [--seed S] [--jobs N] [--thorough]

A mutant is a module's source with one thing changed (`mutations.py`). Its notebook's check cells
run on the package (exported cells do not run, so that a sound cell cannot hide its faulty twin),
then, file by file, the tests that reach the changed line, those first that killed most; whatever
fails or hangs kills the mutant, and a file that no mutant is alive for is not even traced. Nothing
is run that the line does not reach: the sound notebook runs once, and before the first cell that
reaches it a fork puts the changed code into the live functions and goes on; pytest collects a file
once, and a fork runs the chosen tests. Only what acts on import (a constant of the module, a
class's own lines) is imported anew. All of it works in a copy of the project with stand-in data,
and what a mutant did to the copy is undone.

What is known stays in `_run/mutants.json`, so a second call goes on where the first was stopped:
a kill holds while its killer is unchanged, any other fate while all checks are. The table is in
`_run/mutants.csv`, what is alive in `_run/mutants.txt`; `tests/mutants_accepted.csv` names
survivors that change nothing.
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

from mutations import (
    Patch,
    Project,
    apply,
    code_cells,
    find_mutants,
    left_out_cells,
    live_functions,
    run_cells,
)

SLOW = 3        # seconds; a cell that takes longer, and that no later one needs, is left out
BUDGET = 20     # seconds of tests for one mutant, the quickest first
OFTEN = 300     # calls by one cell or test whose lines are noted
LONG = 20_000   # lines of one function, run by one cell or test, that are noted
TRACED = 60     # seconds of one file's tests that are traced; what comes later is left out
STRENGTH = {"unreached": 0, "survived": 1, "killed": 2}
FATES = ("killed", "survived", "accepted", "unreached")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "MNIST_COURSE_DATA": "standin",
               "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} # a second for each run, and none is needed
AT_RUN_TIME = ("__pycache__", ".hypothesis", "tmp", ".git", ".venv", "_run", "_book", "*.egg-info")


# --- one run, in a fork ---

def in_child(task, folder=None, seconds=3600):
    """What `task` returns in a fork of this process, or an error in words.

    It lives in `folder` or, without one, where this process does. The processor's time is limited,
    as other programs may be running, and for a fork that only waits six times that by the clock.
    """
    for answer in says(lambda say: say(task()), folder, seconds): return answer
    return {"error": f"more than {seconds:.0f} s of computing, or the process died"}


def says(task, folder=None, seconds=None):
    "What `task` hands over, piece by piece, in a fork of this process."
    read, write = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) # the child is killed, not interrupted
    pid = os.fork()
    if not pid:
        def say(answer): pipe.write(json.dumps(answer) + "\n"), pipe.flush()
        try:
            pipe = os.fdopen(write, "w")
            signal.signal(signal.SIGTERM, leave)
            os.setsid()
            resource.setrlimit(resource.RLIMIT_DATA, (12 << 30,)*2) # a fault may fill the memory
            if seconds: resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds),)*2)
            if folder: move_in(folder)
            task(say)
        except BaseException as e: say({"error": f"{type(e).__name__}: {e}"[:300]})
        finally: os._exit(0)
    os.close(write)
    said, end = b"", time.monotonic() + 6*(seconds or 1e9)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        while True:
            if not select.select([read], [], [], min(3600, max(0, end - time.monotonic())))[0]:
                if time.monotonic() < end: continue
                yield {"error": f"waits for more than {6*seconds:.0f} s"}
                return
            if not (more := os.read(read, 1 << 20)): return
            *lines, said = (said + more).split(b"\n")
            yield from map(json.loads, lines)
    finally:
        os.close(read)
        if seconds: end_of(pid, signal.SIGKILL)
        else: end_of(pid, signal.SIGTERM)       # it has a fork of its own to end


def end_of(pid, by):
    "End a fork and whatever it started."
    try: os.killpg(pid, by)
    except ProcessLookupError: os.kill(pid, by) # not yet a group of its own
    os.waitpid(pid, 0)


def leave(*args): raise SystemExit


def move_in(folder):
    for fd in (1, 2): os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    (folder/"tmp").mkdir(exist_ok=True)
    os.environ.update(FASTAI_HOME=str(folder/"home"), TMPDIR=str(folder/"tmp"))
    tempfile.tempdir = str(folder/"tmp")
    os.chdir(folder/"project")
    sys.path.insert(0, str(folder/"project"))
    sys.dont_write_bytecode = False             # a test file is compiled once


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
        self.seen, self.calls, self.steps = defaultdict(set), Counter(), Counter()
        self.session, self.spent = None, 0
        if folder: sys.settrace(self.enter)

    def enter(self, frame, event, arg):
        code = frame.f_code
        if not code.co_filename.startswith(self.folder): return None
        seen = self.seen[seen_key := (self.key, code)]
        self.calls[seen_key] += 1               # all of it, or often: no need to slow it down
        if len(seen) == lines_of(code) or self.calls[seen_key] > OFTEN: return None
        name = os.path.relpath(code.co_filename, self.folder)
        sign = 1 if code.co_flags & 1 else -1   # a function's code, or run by the import
        def note(frame, event, arg):
            if event == "line":
                seen.add(frame.f_lineno)
                self.lines[f"{name}:{sign*frame.f_lineno}"].add(self.key)
                self.steps[seen_key] += 1
                if len(seen) == lines_of(code) or self.steps[seen_key] > LONG:
                    frame.f_trace_lines = False # a loop has gone round often enough
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
    def pytest_sessionstart(self, session): self.session = session
    def pytest_runtest_logfinish(self, nodeid, location):
        self.stop()
        self.spent += self.times[nodeid]
        if self.folder and self.spent > TRACED:
            self.failed["later tests"] = f"{TRACED} s are enough"
            self.session.shouldstop = "enough"
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
    elif unit["kind"] == "import":
        for name in unit["modules"]:
            if not name.endswith("__main__"): importlib.import_module(name)
    else: run_cells(unit, keys, watch, stop=bool(mutated))
    return watch.report()


# --- what each check reaches, without a fault ---

def baseline(unit, package, folder, thorough):
    "Times of a unit's cells or tests, the lines that they reach, and what is left out and why."
    seen = in_child(partial(run_check, unit, package, None, True), folder)
    if "error" in seen: return {"times": {}, "lines": {}, "out": {"all of it": seen["error"]}}
    out = {key: why if key == "later tests" else f"fails by itself: {why}"
           for key, why in seen["failed"].items()}
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


def plan(mutant, module, units, project, args):
    "The cells and the tests that a mutant is to meet, and how long sound code takes for each."
    path = os.path.relpath(module.path, project.package)
    first, last, tests, chosen, total = None, None, {}, [], 0
    for unit in units:
        keys = reached(unit, path, mutant.lines)
        if unit["kind"] == "tests": tests |= {k: unit["times"][k] for k in keys}
        elif keys: first, last = min(map(int, keys)), max(map(int, keys))
    for key in sorted(tests, key=tests.get):
        if args.thorough or not chosen or total + tests[key] <= BUDGET:
            chosen.append(key)
            total += tests[key]
    return {"first": first, "last": last, "tests": chosen, "seconds": total}


def verdict(kind, answer):
    "The fate if it is sealed."
    if "error" in answer: return {"fate": "killed", "by": f"{kind}: {answer['error']}"}
    for key, why in answer["failed"].items():
        last = (why.splitlines() or [""])[-1]
        return {"fate": "killed", "by": f"{kind} {key}: {last[:200]}"}


def judge(mutant, module, units, project, folder, args):
    "Is it killed, and by what? Everything is imported anew, as a fault that acts on import needs."
    steps = plan(mutant, module, units, project, args)
    notebook = next((u for u in units if u["kind"] == "cells"), None)
    cells = []
    if steps["last"] is not None:
        cells = [k for k in notebook["times"] if int(k) <= steps["last"]]
    mutated = (module.name, os.path.relpath(module.path, project.root),
               apply(module.source, mutant))
    for unit, keys, seconds in ((notebook, cells, sum(notebook["times"][k] for k in cells)),
                                ({"kind": "tests"}, steps["tests"], steps["seconds"])):
        if not keys: continue
        task = partial(run_check, unit, project.package.name, keys, False, mutated)
        answer = in_child(task, folder, 5*seconds + args.slack)
        if fate := verdict(unit["kind"], answer): return fate
    return {"fate": "survived" if cells or steps["tests"] else "unreached", "by": ""}


# --- many mutants of a module, each in a fork of a process that has imported everything ---

class State:
    "What stands in a folder at a moment, so that what a fork does to it can be undone."
    def __init__(self, folder, clean):
        self.folder, self.clean, self.seen = folder, clean.folder, look(folder)
        self.kept = {path: (folder/path).read_bytes() for path, stamp in self.seen.items()
                     if stamp and clean.stamp.get(path) != stamp and (folder/path).is_file()}

    def restore(self):
        now = look(self.folder)
        if now == self.seen: return
        for path in sorted(now.keys() - self.seen.keys(), reverse=True): remove(self.folder/path)
        for path, stamp in sorted(self.seen.items()):
            if now.get(path) == stamp: continue
            file = self.folder/path
            remove(file)
            if not stamp: file.mkdir()
            elif path in self.kept:
                file.write_bytes(self.kept[path])
                os.utime(file, ns=(stamp[0], stamp[0]))
            elif (self.clean/path).exists(): shutil.copy2(self.clean/path, file)


def remove(path):
    if path.is_dir() and not path.is_symlink(): shutil.rmtree(path, ignore_errors=True)
    else: path.unlink(missing_ok=True)


def look(folder):
    "When each file was changed and how long it is; 0 for a folder."
    found, waiting = {}, [""]
    while waiting:
        inside = waiting.pop()
        for entry in os.scandir(os.path.join(folder, inside)):
            path = os.path.join(inside, entry.name)
            if entry.name in AT_RUN_TIME and path != "tmp": continue
            if entry.is_dir(follow_symlinks=False):
                found[path] = 0
                waiting.append(path)
            else:
                seen = entry.stat(follow_symlinks=False)
                found[path] = seen.st_mtime_ns, seen.st_size
    return found


def in_cells(waiting, say, unit, module, folder, clean):
    "Run the notebook once; before the first cell that a mutant reaches, a fork goes on with it."
    keys = list(unit["times"])
    by_cell = defaultdict(list)
    for n, patch, steps, seconds in waiting: by_cell[steps["first"]].append(
        (n, patch, steps["last"], seconds))

    def before(key, go_on):
        if not (group := by_cell.pop(int(key), None)): return
        functions = live_functions(sys.modules[module.name].__file__)
        state = State(folder, clean)
        for n, patch, last, seconds in group:
            def task(patch=patch, last=last):
                patch.put(functions)
                watch = Watch()
                go_on(keys=[k for k in keys if int(k) <= last], watch=watch, stop=True)
                return watch.report()
            say([n, in_child(task, None, seconds)])
            state.restore()
    run_cells(unit, keys, Watch(), True, before)


class Server:
    "A pytest plugin: collects once, and runs some of the tests in a fork for each mutant."
    def __init__(self, waiting, module, folder, clean, say):
        self.waiting, self.module, self.folder = waiting, module, folder
        self.clean, self.say, self.kills, self.failed = clean, say, Counter(), {}

    def pytest_runtestloop(self, session):
        items = {item.nodeid: item for item in session.items}
        module = sys.modules.get(self.module.name) # or imported by no test before it runs
        functions = live_functions(module.__file__) if module else {}
        state = State(self.folder, self.clean)
        for n, patch, steps, seconds in self.waiting:
            order = sorted(steps["tests"], key=lambda k: -self.kills[k])
            def task(patch=patch, order=order):
                patch.put(functions)
                return self.run([items[k] for k in order])
            answer = in_child(task, None, seconds)
            for key in answer.get("failed", ()): self.kills[key] += 1
            self.say([n, answer])
            state.restore()
        return True

    def run(self, items):
        watch = Watch()
        manager = items[0].config.pluginmanager
        manager.register(watch)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if watch.failed: break
        return watch.report()


def in_tests(waiting, say, module, folder, clean):
    files = sorted({k.split("::")[0] for _, _, steps, _ in waiting for k in steps["tests"]})
    run_tests(files, Server(waiting, module, folder, clean, say),
              f"--basetemp={folder/'tmp'/'pytest'}")


def judge_many(found, module, units, project, folder, clean, args, on_import):
    "Yields (number, fate) of each mutant; quick where it can be."
    path = os.path.relpath(module.path, project.package)
    notebook = next((u for u in units if u["kind"] == "cells"), None)
    quick, slow = [], []
    for n, mutant in found:
        steps, patch = plan(mutant, module, units, project, args), Patch(module, mutant)
        if steps["first"] is None and not steps["tests"]: yield n, {"fate": "unreached", "by": ""}
        elif not patch.possible or any(f"{path}:{line}" in on_import for line in mutant.lines):
            slow.append((n, mutant))
        else: quick.append((n, mutant, steps, patch))
    alive = {n: (n, mutant, steps, patch) for n, mutant, steps, patch in quick}

    def settle(kind, waiting, task):
        unanswered = {n for n, *_ in waiting}
        for said in says(partial(task, waiting, folder=folder), folder):
            if isinstance(said, dict):          # an error that is not a mutant's
                print(f"{module.name}: the sound {kind} stopped: {said['error']}", flush=True)
                break
            n, answer = said
            if "LookupError: no live function" in answer.get("error", ""): continue
            unanswered.remove(n)
            if fate := verdict(kind, answer):
                del alive[n]
                yield n, fate
        clean.ready(folder)
        slow.extend(alive.pop(n)[:2] for n in unanswered)
    waiting = [(n, patch, steps, 5*sum(t for k, t in notebook["times"].items()
                                       if steps["first"] <= int(k) <= steps["last"]) + args.slack)
               for n, _, steps, patch in quick if steps["first"] is not None]
    if waiting:
        yield from settle("cells", waiting, partial(in_cells, unit=notebook, module=module,
                                                    clean=clean))
    waiting = [(n, patch, steps, 5*steps["seconds"] + args.slack)
               for n, _, steps, patch in alive.values() if steps["tests"]]
    if waiting: yield from settle("tests", waiting, partial(in_tests, module=module, clean=clean))
    for n in alive: yield n, {"fate": "survived", "by": ""}
    for n, mutant in slow:
        yield n, judge(mutant, module, units, project, clean.ready(folder), args)


# --- all of them ---

def digest(*parts): return hashlib.sha1("\0".join(map(str, parts)).encode()).hexdigest()[:20]


def load(path): return json.loads(path.read_text()) if path.exists() else {}


def save(path, content):
    path.parent.mkdir(exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content, indent=0))
    new.replace(path)


class Folders:
    "Copies of the project with stand-in data; what a mutant has changed in one is put back."
    def __init__(self, project, folder):
        self.folder = folder/"clean"
        shutil.copytree(project.root, self.folder/"project",
                        ignore=shutil.ignore_patterns(*AT_RUN_TIME))
        for name in "home", "tmp": (self.folder/name).mkdir()
        if "data" in project.modules:           # made once, so that no time is measured with it
            in_child(partial(make_data, project.package.name), self.folder)
        for left in (self.folder/"tmp").iterdir(): remove(left)
        self.stamp, self.states = look(self.folder), {}

    def ready(self, folder):
        "The folder as it should be."
        if folder not in self.states:
            shutil.copytree(self.folder, folder)
            self.states[folder] = State(folder, self)
        self.states[folder].restore()
        return folder


def make_data(package):
    get_data = importlib.import_module(f"{package}.data").get_data
    return [str(get_data(name)) for name in ("tiny", "sample", "full")]


def work_off(jobs, judged, top):
    "Judge each job's mutants, by a process each; yields (a mutant's key, fate)."
    read, write = os.pipe()
    workers = []
    for job, found in enumerate(jobs):
        workers.append(os.fork())
        if workers[-1]: continue
        try:
            for result in judged(found, top/str(job)):
                os.write(write, (json.dumps(result) + "\n").encode())
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


def digest_of(unit, project, thorough):
    "Changes with whatever a unit's cells or tests depend on."
    file = Path(unit["key"])
    own = file.read_text(encoding="utf-8")
    if unit["kind"] == "cells": own = json.dumps([s for _, _, s in code_cells(file)])
    shared = [p.read_text(encoding="utf-8") for p in project.root.glob("tests/conftest.py")]
    needed = [m.source for m in project.modules.values() if m.name in unit["needs"]]
    return digest(own, *shared, *needed, thorough)


def reaches(units, project, folder, thorough):
    "Add to each unit what it reaches, measured where that is not known yet."
    path = project.root/"_run"/"mutants_reach.json"
    known = load(path)
    for unit in units:
        file = Path(unit["key"])
        if unit["digest"] not in known:
            print(f"What does {file.name} reach?", flush=True)
            known[unit["digest"]] = baseline(unit, project.package.name, folder, thorough)
            save(path, known)
        unit |= known[unit["digest"]]
        if unit["out"]: print(f"left out of {file.name}: " + "; ".join(
            f"{k.split('::')[-1]} ({why.splitlines()[-1]})" for k, why in unit["out"].items()))


class Known:
    "What was found: a kill holds while its killer is as it was, else a fate while all checks are."
    def __init__(self, path): self.path, self.fates = path, load(path)

    def get(self, key, units):
        fate = self.fates.get(key)
        if fate and fate["for"] in {digests(units), *(u["digest"] for u in units)}: return fate

    def add(self, key, fate, units):
        kind, _, key_of = fate["by"].partition(" ")
        killers = [u["digest"] for u in units if kind == u["kind"] and (
            kind == "cells" or key_of.startswith(f"{u['files'][0]}::"))]
        self.fates[key] = fate | {"for": killers[0] if killers else digests(units)}

    def save(self): save(self.path, self.fates)


def digests(units): return digest(*(u["digest"] for u in units))


def chosen_of(project, modules, args):
    "Each module's mutants, all or the drawn ones, with a key for each, and its units."
    for name, module in modules.items():
        found = find_mutants(module.source)
        if args.sample and args.sample < len(found):
            drawn = random.Random(f"{args.seed} {name}").sample(range(len(found)), args.sample)
            found = [found[i] for i in sorted(drawn)]
        found = [m for m in found if compiles(apply(module.source, m))] # a second for a hundred
        units = [u | {"digest": digest_of(u, project, args.thorough)}
                 for u in project.units(module)]
        yield name, units, [(digest(name, module.source, m.start, m.end, m.text), m) for m in found]


def judge_all(project, modules, chosen, args, top, known):
    "Put every mutant's fate into `known`, module by module; yields when one is judged."
    todo = [(name, units, [(key, m) for key, m in found if not known.get(key, units)])
            for name, units, found in chosen]
    if not (n := sum(len(found) for *_, found in todo)): return
    every, fates = sum(len(found) for *_, found in chosen), {}
    print(f"{every} mutants, {n} of them to be tested", flush=True)
    folders = Folders(project, top)
    imports = {"kind": "import", "modules": [m.name for m in project.modules.values()]}
    on_import = in_child(partial(run_check, imports, project.package.name, None, True),
                         folders.ready(top/"0"))["lines"]
    for job in range(args.jobs): folders.ready(top/str(job))
    for name, units, found in todo:
        alive, checks = dict(found), units
        while units and alive:                  # the next check only for what is still alive
            units = in_order(units, project)
            unit, *units = units
            reaches([unit], project, folders.ready(top/"0"), args.thorough)
            def judged(found, folder, name=name, unit=unit):
                yield from judge_many(found, modules[name], [unit], project, folders.ready(folder),
                                      folders, args, on_import)
            print(f"{name}: {len(alive)} with {Path(unit['key']).name}", flush=True)
            jobs = [list(alive.items())[job::args.jobs] for job in range(args.jobs)]
            for key, fate in work_off(jobs, judged, top):
                fates[key] = max(fate, fates.get(key, fate), key=lambda f: STRENGTH[f["fate"]])
                if fate["fate"] == "killed": del alive[key]
                if fate["fate"] != "killed" and units: continue
                known.add(key, fates[key], checks)
                yield


def in_order(units, project):
    "The notebook, then the tests whose reach is known, the quickest first, then the others."
    known = load(project.root/"_run"/"mutants_reach.json")
    def place(unit):
        if unit["kind"] == "cells": return 0, 0
        if unit["digest"] in known: return 1, sum(known[unit["digest"]]["times"].values())
        return 2, len(project.tests[Path(unit["key"])])
    return sorted(units, key=place)


def compiles(source):
    try: return bool(compile(source, "mutant", "exec"))
    except SyntaxError: return False


def report(project, modules, rows):
    "Print the table; the survivors go into a list, with the change of each."
    lines = [("module", "mutants", *FATES, "share")]
    for name in [*modules, "all"]:
        n = Counter(fate for module, _, fate in rows if name in (module, "all"))
        counted = n.total() - n["accepted"]
        lines.append((name, n.total(), *(n[f] for f in FATES),
                      f"{n['killed']/counted:.0%}" if counted else ""))
    print("\n" + "\n".join(f"{a:24}{b:>8}" + "".join(f"{c:>11}" for c in more)
                            for a, b, *more in lines))
    with (project.root/"_run"/"mutants.csv").open("w", newline="", encoding="utf-8") as f:
        csv.writer(f).writerows(lines)
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
    signal.signal(signal.SIGINT, signal.default_int_handler) # a shell's background job ignores it
    warnings.simplefilter("ignore")
    project.preload()

    accepted = project.root/"tests"/"mutants_accepted.csv"
    known, stopped = Known(project.root/"_run"/"mutants.json"), False
    chosen, start = list(chosen_of(project, modules, args)), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as top:
        steps = judge_all(project, modules, chosen, args, Path(top), known)
        try:
            for n, _ in enumerate(steps, 1):
                if n % 10 == 0:
                    print(f"{n} tested, {(time.monotonic() - start)/n:.1f} s each", flush=True)
                    known.save()
        except KeyboardInterrupt: stopped = True
        finally: steps.close()
    known.save()
    with accepted.open(newline="", encoding="utf-8") if accepted.exists() else io.StringIO() as f:
        allowed = {(r["module"], r["function"], r["old"], r["new"]) for r in csv.DictReader(f)}
    every = [(name, m, known.get(key, units)) for name, units, found in chosen for key, m in found]
    rows = [(name, m, "accepted" if fate["fate"] != "killed" and (name, *m.fingerprint) in allowed
             else fate["fate"]) for name, m, fate in every if fate]
    report(project, modules, rows)
    if stopped:
        print(f"Stopped with {len(rows)} of {len(every)} mutants tested: what was found is in "
              f"{known.path}, and the same command goes on from there.", file=sys.stderr)
        return 130
    gone = allowed - {(name, *m.fingerprint) for name, m, _ in every}
    for row in sorted(row for row in gone if row[0] in modules and not args.sample):
        print(f"{accepted}: no mutant is like this one any more: {row}")


if __name__ == "__main__": sys.exit(main())
