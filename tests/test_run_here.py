"""Lesson 07 as the book's page runs it: with the files that it is given, and nothing installed.

Here any Python takes the place of the browser's, started without its installed packages;
`tests/browser.py` does the same in a page. What the page needs from npm is not touched.
"""
import base64
import json
import subprocess
import sys
import zlib

import make
import pytest
import run_here

RUN = """
import json, sys, types
given = json.load(open(sys.argv[1], encoding="utf-8"))
driver = types.ModuleType("driver")
exec(compile(given["driver"], "driver.py", "exec"), driver.__dict__)
driver.unpack(given["files"], sys.argv[2])
found, print = [], lambda *words, **_: None
for k, code in enumerate(given["codes"]):
    html, text, error = driver.run(code, f"<cell {k + 1}>")
    found.append({"html": html, "text": text, "error": error})
json.dump({"found": found, "loaded": sorted(sys.modules)}, open(sys.argv[3], "w"))
"""
FEW = {"train": 40, "valid": 20, "test": 20}


def a_few_digits():
    "Pictures of strokes that differ from class to class, in the form of `run_here.digits`."
    found = {"source": "standin"}
    for part, n in FEW.items():
        labels = [k % 10 for k in range(n)]
        images = [[[200 if c in (2*label + 3, 2*label + 4) else 0 for c in range(28)]
                   for _ in range(28)] for label in labels]
        packed = zlib.compress(bytes(p for image in images for row in image for p in row))
        found[part] = base64.b64encode(packed).decode(), labels
    return found


@pytest.fixture(scope="module")
def given():
    "What the page is given, with few images."
    patch = pytest.MonkeyPatch()
    patch.setattr(run_here, "digits", a_few_digits)
    yield run_here.bundle()
    patch.undo()


def ran(given, codes, folder):
    "What each piece of code gave, and the modules that were loaded, without installed packages."
    sent, back = folder/"given.json", folder/"back.json"
    sent.write_text(json.dumps({**given, "codes": codes}), "utf-8")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", RUN, sent, folder/"lesson", back],
                          capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    answer = json.loads(back.read_text("utf-8"))
    return answer["found"], set(answer["loaded"])


def test_every_cell_runs_without_installed_packages(given, tmp_path):
    cells = given["cells"]
    codes = ["" if c["kept"] else c["code"] for c in cells]
    found, loaded = ran(given, codes, tmp_path)
    wrong = {codes[k]: f["error"] for k, f in enumerate(found) if f["error"]}
    assert not wrong
    assert not loaded & {"torch", "numpy", "pandas", "matplotlib", "fastai"}
    assert {"fastcore.basics", "mnist_course.exercises", "mnist_course.checks"} <= loaded
    tables = [f["html"] for f in found if f["html"] and "<table" in f["html"]]
    assert len(tables) >= 5 and "89898" not in str(tables) # that number is printed, not tabled
    assert sum("not attempted" in (f["text"] or "") for f in found) == 6 # its exercises


def test_answers_are_marked(given, tmp_path):
    check = "from mnist_course.exercises import check\n"
    answers = [check + "check('07.2', lambda a: a*(1 - a))",
               check + "import math\ndef s(z): return 1/(1 + math.exp(-z))\n"
                       "check('07.2', lambda a: s(a)*(1 - s(a)))",
               check + "check('07.6', 89_898)", check + "check('07.6', 89_760)",
               check + "check('07.1', ...)", check + "def weighted_sums(x, w, b): return x[99]\n"
                                                     "check('07.1', weighted_sums)", "1/0", "if:"]
    right, twice, number, no_bias, nothing, raises, error, syntax = ran(given, answers, tmp_path)[0]
    assert "07.2" in right["text"] and "right" in right["html"] and "#2a7d2a" in right["html"]
    assert "The sigmoid is applied once more" in twice["html"] and "#b35900" in twice["html"]
    assert "right" in number["text"] and "The biases are missing" in no_bias["text"]
    assert "not attempted" in nothing["text"]
    assert "IndexError in line 2, `def weighted_sums(x, w, b): return x[99]`" in raises["text"]
    assert error["error"].startswith('  File "<cell 7>", line 1') and "driver" not in str(error)
    assert error["error"].endswith("ZeroDivisionError: division by zero\n")
    assert "SyntaxError" in syntax["error"]


def test_the_pages_versions_belong_to_cells(given, monkeypatch):
    other, cells = run_here.versions(), given["cells"]
    assert sum(bool(c["kept"]) for c in cells) == sum(bool(why) for why, _ in other.values()) > 3
    assert sum(c["changed"] for c in cells) >= sum(not why for why, _ in other.values()) > 8
    assert all(code for why, code in other.values() if not why)
    monkeypatch.setattr(run_here, "versions", lambda: {**other, "nowhere": ("", "1")})
    with pytest.raises(ValueError, match="no cell nowhere: see book/here/07.txt"): run_here.cells()


def test_digits_come_back_as_they_were(given, tmp_path):
    code = ("import here\nout = {p: [len(y), sum(sum(r) for i in x for r in i), y[:3]]\n"
            "       for p, (x, y) in here.parts.items()}\nout")
    look = "import here\nhere.show_digits(here.parts['train'][0][:2], ['one', '<two>'])"
    [parts, shown], _ = ran(given, [code, look], tmp_path)
    wanted = {part: [n, n*28*400, [0, 1, 2]] for part, n in FEW.items()}
    assert parts["text"] == repr(wanted)
    assert shown["html"].count("data:image/bmp;base64,Qk") == 2 and "&lt;two&gt;" in shown["html"]


def test_pages_say_what_they_offer(tmp_path):
    head = '<h1>x</h1><p class="lesson-head">a <button>b</button></p><p>text</p>'
    page = tmp_path/"07.html"
    page.write_text(head, "utf-8")
    run_here.insert(page, run_here.block(13_600_000, "standin"))
    text = page.read_text("utf-8")
    assert text.index("lesson-head") < text.index("13.6 MB") < text.index("<p>text")
    assert "the stand-in" in text and "images of MNIST" in run_here.block(1, "mnist")
    assert make.SETTINGS["git_url"].split("github.com/")[1] in run_here.without_numpy()
    page.write_text("<p>no head</p>", "utf-8")
    with pytest.raises(ValueError, match="07.html has no head"): run_here.insert(page, "x")


def test_pyodide_is_held_to_its_digest(tmp_path, monkeypatch):
    npm = tmp_path/"npm"
    npm.write_text("#!/bin/sh\necho other > pyodide-0.tgz\n", "utf-8")
    npm.chmod(0o755)
    monkeypatch.setattr(run_here.make, "PROJECT", tmp_path)
    monkeypatch.setattr(run_here.shutil, "which", lambda name: str(npm))
    with pytest.raises(SystemExit, match="is not what it was"): run_here.fetch_pyodide()
    monkeypatch.setattr(run_here.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="install Node.js"): run_here.fetch_pyodide()
    assert not (tmp_path/"_run").exists() or not list((tmp_path/"_run").rglob("*.wasm"))
