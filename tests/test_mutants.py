"The mutation tests, on a package of one module with a notebook and a test: quick, no PyTorch."
import ast
import json
import os
import signal
import subprocess
import sys

import pytest
from conftest import PROJECT
from mutations import apply, find_mutants

MODULE = '''\
"Sums."
__all__ = ["add", "sign", "limit", "never"]

def add(a, b): return a + b

def sign(x):
    "Of a number."
    if x < 0:
        return -1
    return 1

def limit(x:int, most=10)->int:
    if x > most: raise ValueError("too large")
    return x

def never(x): return x*2
'''
CELLS = ["#| default_exp sums",
         "#| export\ndef add(a, b): return a + b",     # sound whatever the package's is
         "assert add(2, 3) == 5",
         "#| export\ndef sign(x): return -1 if x < 0 else 1",
         "assert [sign(x) for x in (-3, 3)] == [-1, 1]\ntotal = 0",
         "total"]
TEST = '''\
import pytest
from tiny.sums import limit

def test_limit():
    assert limit(9) == 9
    with pytest.raises(ValueError): limit(11)
'''


@pytest.fixture
def tiny(tmp_path):
    "A project that `mutants.py` can work on."
    for folder in "tiny", "nbs", "tests": (tmp_path/folder).mkdir()
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_path = tiny\nnbs_path = nbs\n")
    (tmp_path/"tiny"/"__init__.py").touch()
    (tmp_path/"tiny"/"sums.py").write_text(MODULE)
    (tmp_path/"tests"/"test_limit.py").write_text(TEST)
    write_notebook(tmp_path, CELLS)
    return tmp_path


def write_notebook(root, sources):
    book = {"cells": [{"cell_type": "code", "source": source} for source in sources]}
    (root/"nbs"/"sums.ipynb").write_text(json.dumps(book))


def command(root, *words):
    return [sys.executable, str(PROJECT/"tests"/"mutants.py"), "--root", str(root), *words]


def mutate(root, *words):
    "Its output, and the list of what is alive."
    done = subprocess.run(command(root, *words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, (root/"_run"/"mutants.txt").read_text()


def test_killed_survived_and_unreached(tiny):
    said, alive = mutate(tiny)
    assert "sums.py:4:" not in alive                         # the cell sees the package's `add`
    assert "sums.py:8: survived: 0 becomes 1\n  - if x < 0:\n  + if x < 1:\n" in alive
    assert "not (x < 0)" not in alive and "sums.py:9: " not in alive
    assert "sums.py:13: survived: > becomes >=\n" in alive   # by the test file, which never asks
    assert "survived: 10 becomes 9" in alive and "becomes pass" not in alive
    assert "sums.py:16: unreached: * becomes /" in alive and "unreached: x*2" not in alive
    words = [line.split() for line in said.splitlines() if line.startswith("sums  ")][0]
    mutants, killed, survived, accepted, unreached = map(int, words[1:6])
    assert mutants == len(find_mutants(MODULE)) == killed + survived + unreached
    assert (survived + unreached, accepted) == (alive.count("sums.py:"), 0)


def test_accepted_ones_are_counted_apart_and_nothing_is_done_twice(tiny):
    first, alive = mutate(tiny)
    with (tiny/"tests"/"mutants_accepted.csv").open("w") as f:
        f.write("module,function,old,new,reason\n"
                "sums,limit,if x > most: raise ValueError(\"\"too large\"\"),nothing,no such one\n"
                "sums,sign,if x < 0:,if x < 1:,whole numbers only\n")
    second, fewer = mutate(tiny)
    assert "to be tested" in first and "to be tested" not in second
    assert "if x < 1:" in alive and "if x < 1:" not in fewer
    assert "no mutant is like this one any more" in second
    (tiny/"tests"/"test_limit.py").write_text(TEST + "    assert limit(10) == 10\n")
    third, fewer = mutate(tiny)
    assert "to be tested" in third and "> becomes >=" not in fewer # a better test is noticed


def test_a_hang_is_a_kill_and_a_fault_harms_no_file(tiny):
    (tiny/"tiny"/"sums.py").write_text(
        "from pathlib import Path\n\n"
        "def add(a, b):\n    n = 0\n    while n < 1: n += 1\n    return a + b\n\n"
        "def sign(x):\n    Path('keep.txt' if x else 'settings.ini').write_text('x')\n"
        "    return -1 if x < 0 else 1\n")
    before = (tiny/"settings.ini").read_text()
    _, alive = mutate(tiny, "sums", "--slack", "1", "--jobs", "2")
    assert "n += 1 becomes pass" not in alive
    assert (tiny/"settings.ini").read_text() == before


def test_stopping_keeps_what_is_done(tiny):
    write_notebook(tiny, [*CELLS, "import time\ntime.sleep(.3)\nadd(1, 1)"])
    running = subprocess.Popen(command(tiny), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    for line in running.stdout:
        if "10 tested" in line: break
    running.send_signal(signal.SIGINT)
    _, said = running.communicate()
    assert running.returncode == 130 and said.startswith("Stopped with ") and "goes on" in said
    kept = json.loads((tiny/"_run"/"mutants.json").read_text())
    fates = {r["fate"] for r in kept.values()}
    assert len(kept) >= 10 and fates <= {"killed", "survived", "unreached"}


def test_an_unknown_module_is_a_sentence(tiny):
    done = subprocess.run(command(tiny, "summs"), capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == "No notebook exports summs: choose among sums.\n"


def test_every_mutant_of_the_package_is_another_program():
    for path in (PROJECT/"mnist_course").rglob("[a-z]*.py"):
        source = path.read_text(encoding="utf-8")
        tree, found = ast.dump(ast.parse(source)), find_mutants(source)
        assert found and len({(m.start, m.end, m.text) for m in found}) == len(found)
        for m in found[::100]: assert ast.dump(ast.parse(apply(source, m))) != tree, (path.name, m)


def test_a_cell_s_files_are_as_they_were_for_the_next_mutant(tiny):
    write_notebook(tiny, ["#| default_exp sums",
                          "from pathlib import Path\nPath('seen').write_text('3')",
                          "#| export\ndef add(a, b): return a + b",
                          "assert add(int(Path('seen').read_text()), 1) == 4\n"
                          "Path('seen').write_text('5')",
                          "assert add(1, 1) == 2 and Path('seen').read_text() == '5'"])
    (tiny/"tiny"/"sums.py").write_text("def add(a, b): return (a + b, 7, 7)[0]\n")
    _, alive = mutate(tiny, "sums")
    assert alive.count("7 becomes") == 4        # each meets a 3: none dies of another's 5
    assert alive.count("survived") == 4


def test_a_default_value_and_a_property_are_mutated_in_place_or_on_import(tiny):
    (tiny/"tiny"/"sums.py").write_text(
        "def limit(x, most=10, *, least=0):\n    return min(max(x, least), most)\n\n"
        "class Pair:\n    size = 2\n    @property\n    def half(self): return self.size/2\n")
    (tiny/"tests"/"test_limit.py").write_text(
        "from tiny.sums import Pair, limit\n\n"
        "def test_limit(): assert limit(12) == 10 and limit(-3) == 0 and Pair().half == 1\n")
    _, alive = mutate(tiny, "sums")
    assert alive == ""
    (tiny/"tests"/"test_limit.py").write_text(
        "from tiny.sums import Pair, limit\n\n"
        "def test_limit(): assert limit(3) == 3 and Pair().half\n")
    said, alive = mutate(tiny, "sums")
    assert "10 becomes 11" in alive and "0 becomes 1" in alive and "2 becomes 3" in alive


def test_a_kill_holds_while_its_killer_is_as_it_was(tiny):
    mutate(tiny)
    (tiny/"tests"/"test_more.py").write_text(
        "from tiny.sums import never\n\ndef test_never(): assert never(2) == 4\n")
    said, alive = mutate(tiny)
    n = len(find_mutants(MODULE))
    tested = int(said.split(" of them to be tested")[0].split()[-1])
    assert 0 < tested < n/2 and "x*2" not in alive and "becomes /" not in alive
