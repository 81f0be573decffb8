"""Marking a folder: submissions that are right, wrong, broken, endless, greedy or dishonest."""
import json

import pytest

from mnist_course import cli
from mnist_course.marking import Mark, as_page, commonest, mark, write_marks

LOSS = """def mnist_loss(scores, targets):
    p = scores.sigmoid()
    return torch.where(targets == 1, 1 - p, p){}
check("02.1", mnist_loss)"""
RIGHT, SUM, HAND = LOSS.format(".mean()"), LOSS.format(".sum()"), 'check("02.4", 1.7)'
FORGED = """import os
for fd in range(1, 12):
    try: os.write(fd, b'[true, "02.1", true, true, "", ""]')
    except OSError: pass"""
# learner -> cells, and what is found for each exercise
CLASS = {
    "right": ([RIGHT, HAND], {"02.1": "right", "02.4": "right"}),
    "sum": ([SUM], {"02.1": "wrong"}),
    "untouched": (["def mnist_loss(s, t):\n    ...\ncheck('02.1', mnist_loss)"],
                  {"02.1": "not attempted"}),
    "syntax": (["def mnist_loss(s, t:\n    ...\ncheck('02.1', mnist_loss)", HAND],
               {"02.1": "not attempted", "02.4": "right"}),
    "raises": (["1/0", HAND], {"02.4": "right"}),
    "exits": (["import sys; sys.exit(0)", HAND], {"02.4": "right"}),
    "crashes": ([HAND, "import os; os.abort()", RIGHT], {"02.1": "crashed", "02.4": "right"}),
    "endless": ([HAND, "while True: pass", RIGHT], {"02.1": "too long", "02.4": "right"}),
    "endless answer": (["def f(s, t):\n    while True: pass\ncheck('02.1', f)"], {"02.1": "wrong"}),
    "greedy": ([HAND, "x = bytearray(8 << 30)\nfor i in range(0, len(x), 4096): x[i] = 1", RIGHT],
               {"02.1": "memory", "02.4": "right"}),
    "forger": ([FORGED, SUM], {"02.1": "wrong"}),
    "patcher": (["import mnist_course.exercises as e\ne._agree = lambda *a: True", SUM],
                {"02.1": "tampered"}),
    "replacer": (["from mnist_course import exercises\nexercises.exercise('02.1').answer = "
                  "lambda s, t: 0.", SUM], {"02.1": "tampered"}),
    "loosener": (["import mnist_course.exercises as e\ne.exercise('02.1').rtol = 1e30", SUM],
                 {"02.1": "tampered"}),
    "own solution": (["from mnist_course import exercises\ndef mine(s, t): return 0.\n"
                      "exercises.exercise('02.1').answer.__code__ = mine.__code__", SUM],
                     {"02.1": "tampered"}),
    "quiet patcher": (["import mnist_course.marking as m, mnist_course.exercises as e\n"
                       "same = m._fingerprint()\nm._fingerprint = lambda: same\n"
                       "e._agree = lambda *a: True", SUM], {"02.1": "tampered"}),
    "reader of words": (["import sys\nassert len(sys.argv) == 1 and not sys.stdin.read()\n" + HAND],
                        {"02.4": "right"}),
    "unclosed": ([LOSS.format(".mean()").removesuffix(")"), HAND],
                 {"02.1": "not attempted", "02.4": "right"}),
    "remainder": (["n = (7\n  % 4)\ns = '''\n! no magic'''\nassert n == 3 and 'no' in s\n" + HAND],
                  {"02.4": "right"}),
    "daemon": (["import subprocess as s\ns.Popen(['sleep', '99'], start_new_session=True)", HAND],
               {"02.4": "right"}),
    "own check": (["def check(key, answer): print('right')", SUM], {"02.1": "not attempted"}),
    "magics": (["%matplotlib inline\n!ls", HAND], {"02.4": "right"}),
}


def submit(folder, name, sources):
    (folder/name).mkdir()
    begin = "import torch\nfrom mnist_course.exercises import check, hint, progress, solution"
    cells = [{"cell_type": "code", "source": s} for s in (begin, *sources)]
    (folder/name/"02.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")


@pytest.fixture(scope="module")
def marks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    for name, (sources, _) in CLASS.items(): submit(folder, name, sources)
    (folder/"photo.ipynb").write_bytes(b"\x89PNG\xff")
    (folder/"empty.ipynb").write_text("")
    (folder/"list.ipynb").write_text("[1]")
    (folder/"nested.ipynb").write_text("["*100_000)
    return mark(folder, seconds=40, memory=3 << 30)


@pytest.mark.parametrize("name", CLASS)
def test_each_submission_gets_what_it_deserves(marks, name):
    found = {m.exercise: m.result for m in marks if m.learner == name}
    assert found == CLASS[name][1], [m for m in marks if m.learner == name]


def test_files_that_are_no_notebooks_cost_only_their_owner(marks):
    assert {m.learner: m.result for m in marks if not m.exercise} == dict.fromkeys(
        ("photo", "empty", "list", "nested"), "unreadable")


def test_the_table_names_the_commonest_mistake_and_opens_in_a_spreadsheet(marks, tmp_path):
    (exercise, mistake, n), *_ = commonest(marks)
    assert (exercise, n) == ("02.1", 2) and mistake.startswith("The mean is missing")
    page = write_marks(marks, tmp_path/"marks.csv").read_text("utf-8")
    assert all(name in page for name in CLASS) and mistake in page
    lines = (tmp_path/"marks.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "learner,exercise,result,mistake,message" and len(lines) >= len(marks) + 1


def test_a_name_cannot_write_into_the_page_or_compute_in_the_spreadsheet(tmp_path):
    from mnist_course.marking import Mark
    bad = [Mark("<script>alert(1)</script>", "02.1", "wrong", "<b>", "=1+1")]
    assert "<script>" not in as_page(bad) and "<b>" not in as_page(bad)
    write_marks(bad, tmp_path/"marks.csv")
    assert ",'=1+1" in (tmp_path/"marks.csv").read_text("utf-8-sig")


@pytest.mark.parametrize("what, said", [("none", "is no folder"), ("bare", "holds no notebooks")])
def test_a_folder_without_workbooks(tmp_path, what, said):
    (tmp_path/"bare").mkdir()
    with pytest.raises(ValueError, match=said): mark(tmp_path/what)


@pytest.mark.parametrize("name, page", [("exam-1.anna-result", "exam-1.anna-result.html"),
                                        ("marks", "marks.html"), ("marks.csv", "marks.html")])
def test_a_dotted_name_does_not_lead_to_another_file(tmp_path, name, page):
    (tmp_path/"exam-1.csv").write_text("another's")
    assert write_marks([Mark("a", "02.1", "right")], tmp_path/name) == tmp_path/page
    assert (tmp_path/page).with_suffix(".csv").exists()
    assert (tmp_path/"exam-1.csv").read_text() == "another's"


def test_a_name_that_is_no_utf8_is_written_all_the_same(tmp_path):
    write_marks([Mark("J\udcfcrgen", "02.1", "right")], tmp_path/"marks.csv")
    assert "J\\udcfcrgen" in (tmp_path/"marks.csv").read_text(encoding="utf-8-sig")


def test_a_missing_folder_is_told_before_the_marking(tmp_path, capsys):
    assert cli.main(["mark", str(tmp_path), "--out", str(tmp_path/"none"/"marks.csv")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_the_table_and_its_page_are_both_written_or_neither(tmp_path):
    marks = [Mark("a", "02.1", "right")]
    with pytest.raises(ValueError, match="no folder .*none to write to"):
        write_marks(marks, tmp_path/"none"/"marks.csv")
    (tmp_path/"marks.html").mkdir()
    with pytest.raises(ValueError, match="marks.html is a folder"):
        write_marks(marks, tmp_path/"marks.csv")
    assert [f.name for f in tmp_path.iterdir()] == ["marks.html"]
