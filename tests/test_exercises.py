"""The exercises: each proven in its notebook, the workbooks in step, the marker on odd paths."""
import json
import subprocess
import sys
import threading

import pytest
from conftest import PROJECT, cells

from mnist_course import exercises
from mnist_course.exercises import check, exercise, hint, judge, progress, solution
from mnist_course.lab.workbooks import statements, workbook

BOOKS = sorted((PROJECT/"nbs"/"exercises").glob("[0-9]*.ipynb"))


@pytest.fixture(autouse=True)
def progress_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(tmp_path/"progress.jsonl"))
    return tmp_path/"progress.jsonl"


@pytest.mark.parametrize("nb", BOOKS, ids=lambda nb: nb.stem)
def test_every_exercise_has_a_statement_and_is_proven(nb):
    keys = [key for key in exercises.EXERCISES if key.startswith(nb.name[:2] + ".")]
    assert list(statements(nb)[1]) == keys and len(keys) >= 4
    code = "\n".join(source for _, source, _ in cells(nb, "code"))
    assert code.count("= Exercise(") == code.count("prove(") == len(keys)
    assert (PROJECT/"nbs"/nb.name).exists()


@pytest.mark.parametrize("nb", BOOKS, ids=lambda nb: nb.stem)
def test_workbooks_are_in_step(nb):
    made = json.loads((PROJECT/"exercises"/nb.name).read_text("utf-8"))
    assert made == workbook(nb), "run: python -m mnist_course.lab workbooks"


@pytest.mark.parametrize("nb", BOOKS, ids=lambda nb: nb.stem)
def test_a_lesson_asks_enough_and_each_exercise_stands_in_it(nb):
    lesson = PROJECT/"nbs"/nb.name
    text = "\n".join(source for _, source, _ in cells(lesson, "markdown"))
    asked = text.split("## Questions")[1].split("## Exercises")[0].count("<details>")
    assert 8 <= asked <= 12, f"{asked} questions"
    keys = exercises._load(nb.name[:2])
    code = [(source, str(outputs)) for _, source, outputs in cells(lesson, "code")]
    for key in keys:
        begun = [o for source, o in code if f'check("{key}", ' in source]
        assert len(begun) == 1 and "not attempted yet" in begun[0], key
        assert f"**Exercise {key}: " in text
    assert text.index("## Recap") > max(text.index(f"**Exercise {key}: ") for key in keys)


def test_no_workbook_without_its_exercises():
    there = sorted((PROJECT/"exercises").glob("*.ipynb"))
    assert [f.name for f in there] == [b.name for b in BOOKS]


@pytest.mark.parametrize("nb", BOOKS, ids=lambda nb: nb.stem)
def test_a_workbook_runs_from_top_to_bottom_and_marks_nothing(nb):
    code = [c["source"] for c in workbook(nb)["cells"] if c["cell_type"] == "code"]
    out = subprocess.run([sys.executable, "-c", "\n".join("".join(c) for c in code)], text=True,
                         capture_output=True, cwd=PROJECT, check=True)
    keys = list(statements(nb)[1])
    for key in keys: assert f"{key} {exercise(key).title}: not attempted yet" in out.stdout
    assert f"Lesson {nb.name[:2]}: 0 of {len(keys)}" in out.stdout


@pytest.mark.parametrize("key", exercises.EXERCISES)
def test_hints_go_further_and_the_statement_does_not_give_it_away(key):
    ex = exercise(key)
    assert len(ex.hints) >= 2 and len(set(ex.hints)) == len(ex.hints)
    texts = [hint(key).text for _ in range(len(ex.hints) + 1)]
    assert all(h in text for h, text in zip(ex.hints, texts, strict=False))
    assert texts[-1] == texts[-2]
    assert len({name for name, _ in ex.twins}) == len(ex.twins) >= 3


def test_the_file_of_progress_survives_what_may_happen_to_it(progress_of_its_own):
    file = progress_of_its_own
    assert check("02.4", 1.7).passed and "02.4 A step by hand: passed, 1 try" in progress().text
    kept = file.read_bytes()
    for cut in range(len(kept)):                       # a power cut anywhere in the line
        file.write_bytes(kept[:cut])
        assert "Lesson 02" in progress().text
        check("02.4", 2.3)
        assert "02.4 A step by hand: not yet, 1 try" in progress().text or cut >= len(kept) - 1
    file.write_bytes(b'[1, 2]\n{"exercise": 3}\n\xff\xfe\n' + kept)
    assert "02.4 A step by hand: passed" in progress().text


def test_two_notebooks_at_once_lose_no_line(progress_of_its_own):
    def many():
        for _ in range(50): exercises._note("02.4", "wrong")
    threads = [threading.Thread(target=many) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert exercises._events("02.4") == ["wrong"]*200


def test_where_nothing_can_be_kept_an_answer_is_marked_all_the_same(tmp_path, monkeypatch, capsys):
    (tmp_path/"file").write_text("")
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(tmp_path/"file"/"progress.jsonl"))
    assert check("02.4", 1.7).passed
    assert "could not be kept" in capsys.readouterr().out


def test_a_solution_opens_after_passing_or_on_an_explicit_wish():
    assert "has not passed yet" in solution("02.4").text
    assert solution("02.4", show=True).text == "1.7" and "solution seen" in progress().text
    check("02.3", exercise("02.3").answer)
    assert solution("02.3").text.startswith("def sigmoid_grad(z):")


@pytest.mark.parametrize("key, text", [
    ("02.99", "lesson 02 has 02.1"), ("7", "such as \"02.1\""), (2.1, "lesson"),
    ("", "lessons 00")])
def test_a_key_that_does_not_exist(key, text):
    with pytest.raises(ValueError, match=text): check(key, 1)


def test_an_answer_prints_nothing_into_the_marking(capsys):
    def loud(z):
        print("here")
        return exercise("02.3").answer(z)
    assert judge(exercise("02.3"), loud).passed and capsys.readouterr().out == ""


def test_an_answer_that_catches_everything_is_stopped_all_the_same():
    def stubborn(z):
        while True:
            try:
                while True: pass
            except BaseException: raise
    found = judge(exercise("02.3"), stubborn, seconds=.2)
    assert "stopped after 0.2 seconds" in found.text and not found.passed
