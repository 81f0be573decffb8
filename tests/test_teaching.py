"The teacher's page: its times are those of the lessons and the ledger, its mistakes exist."
import json
import re

import pytest
from conftest import LESSONS, PROJECT
from mnist_course import cli, exercises

TEXT = (PROJECT/"TEACHING.md").read_text("utf-8")
ROWS = {m[1]: m for m in re.finditer(
    r"^\| \[.*?\]\(nbs/(\w+)\.ipynb\) \| .*? \| (\d+) \| (.*?) \|$", TEXT, re.M)}


def reading_minutes(nb):
    "Words at 150 a minute, and five seconds for each line of code that is shown."
    words = lines = 0
    for cell in json.loads(nb.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            words += len(re.sub(r"<!--.*?-->|<[^>]+>|\]\([^)]*\)", "", text, flags=re.S).split())
        elif not cell["metadata"].get("jupyter", {}).get("source_hidden") and "#| hide" not in text:
            lines += sum(bool(line.strip()) for line in text.splitlines())
    return words/150 + lines*5/60


@pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
def test_each_lesson_has_its_times(nb):
    said, true = int(ROWS[nb.stem][2]), reading_minutes(nb)
    assert abs(said - true) <= max(7.5, .15*true), f"reading takes {true:.0f} minutes"
    file = PROJECT/"mnist_course"/"lab"/"ledger.json"
    measured = json.loads(file.read_text("utf-8"))["lessons"]["seconds"]
    running = re.match(r"[\d.]+", ROWS[nb.stem][3])
    assert bool(running) == (nb.stem in measured)
    assert not running or float(running[0]) == measured[nb.stem]


def test_the_mistakes_it_quotes_are_named_by_the_exercises():
    quoted = re.findall(r"^\| (\d\d\.\d+) \| \"(.+?)\" \|", TEXT, re.M)
    assert len(quoted) >= 10
    for key, said in quoted:
        names = [name for name, _ in exercises.exercise(key).twins]
        assert any(name.startswith(said) for name in names), (key, said)


def test_its_commands_exist(capsys):
    words = set(re.findall(r"mnist_course (pack|mark|exam|progress)\b", TEXT))
    assert words == {"pack", "mark", "exam", "progress"}
    for word in sorted(words):
        try: status = cli.main([word, "--help"])
        except SystemExit as e: status = e.code
        assert not status and word in capsys.readouterr().out
    made = set(re.findall(r"^([a-z-]+):", (PROJECT/"Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"(?:`|^    )make ([a-z]+)", TEXT, re.M)) == {"slides", "work"} <= made
    assert "teaching.md" in (PROJECT/"book"/"make.py").read_text("utf-8")
