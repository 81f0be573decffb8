"The exam: the same paper for the same seed, marked apart from whoever wrote it."
import json

import pytest
from conftest import PROJECT
from mnist_course import cli, exam

BOOKS = PROJECT/"exercises"


def answer(cell, key, what):
    cell["source"] = [f"from mnist_course.exercises import exercise\ncheck({key!r}, {what})"]


def test_every_exercise_can_come_and_its_cells_are_found():
    keys = exam.draw(0, len(exam.exercises.EXERCISES))
    assert keys == exam.exercises.EXERCISES
    for key in keys: assert len(exam._task(BOOKS, key)) == 2, key
    papers = {tuple(exam.draw(seed)) for seed in range(20)}
    assert len(papers) == 20 and all(len({k[:2] for k in keys}) == 10 for keys in papers)


def test_a_paper_is_marked_and_the_result_is_kept(tmp_path, capsys, monkeypatch):
    nb = exam.write_paper(4, BOOKS, tmp_path, n=4)
    first, second, third, fourth = exam.draw(4, 4)
    book = json.loads(nb.read_text("utf-8"))
    cells = {c["id"]: c for c in book["cells"]}
    def place(key): return cells[f"answer-{key.replace('.', '-')}"]
    answer(place(first), first, f"exercise({first!r}).answer")
    answer(place(second), second, f"exercise({second!r}).twins[0][1]")
    book["cells"].remove(place(third))                     # taken out
    other = next(k for k in exam.exercises.EXERCISES if k not in (first, second, third, fourth))
    extra = {**place(first), "id": "extra", "source": []}
    answer(extra, other, f"exercise({other!r}).answer")    # put in
    book["cells"].append(extra)
    nb.write_text(json.dumps(book), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exam", nb.name]) == 0
    said = capsys.readouterr().out
    assert "1 of 4 points" in said and exam.exercises.exercise(second).twins[0][0] in said
    table = (tmp_path/"exam-4-result.csv").read_text("utf-8-sig").splitlines()
    assert len(table) >= 5 and (tmp_path/"exam-4-result.html").exists()
    assert [line.split(",")[1:3] for line in table if line.startswith("exam-4")] == [
        [first, "right"], [second, "wrong"], [third, "not attempted"], [fourth, "not attempted"]]


def test_no_mark_is_given_before_the_end(monkeypatch, capsys):
    monkeypatch.delenv("MNIST_COURSE_MARKING", raising=False)
    assert "taken" in str(exam.check("02.4", 99)) and "nothing yet" in str(exam.check("02.4", ...))


def test_a_person_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exam", "none.ipynb"]) == 2
    assert "There is no none.ipynb" in capsys.readouterr().err
    assert cli.main(["mark", "nowhere"]) == 2 and "is no folder" in capsys.readouterr().err
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(tmp_path/"progress.jsonl"))
    assert cli.main(["progress"]) == 0 and "Lesson 02: 0 of" in capsys.readouterr().out
    with pytest.raises(ValueError, match="is there already"):
        for _ in range(2): exam.write_paper(1, BOOKS, tmp_path)
