"A sample of `make faults`, the page with its counts, and what is told of each fault."
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from mnist_course import cli, clone, fetch
from mnist_course.fetch import DataError
from mnist_course.lab import ledger

posix = pytest.mark.skipif(os.name == "nt", reason="the driver forks")
if os.name != "nt": import faults
KINDS = list(faults.KINDS) if os.name != "nt" else []
SAMPLE = {"killed while the stand-in is made": 1, "a stopped process holds the lock": 1,
          "Ctrl-C while the data is fetched": 2, "Ctrl-C while a lesson runs": 1,
          "stopped or killed while a model trains, then the same command again": 2,
          "one of three is killed while they train": 2, "one of three fails, or has no room": 2}


@posix
@pytest.mark.parametrize("name", KINDS)
def test_a_sample_is_well_met(name):
    found, examples = faults.count(name, SAMPLE.get(name, 6), seed=1)
    unsealed = {faults.NO_DIGEST} if "no digest" in name else set()
    assert set(found) <= {faults.GOOD} | unsealed, examples


@posix
def test_the_count_would_show_each_fault(monkeypatch):
    def ends(name, n=8): return set(faults.count(name, n)[0])
    with monkeypatch.context() as m: # no digest: other images come back
        m.setattr(fetch, "_digest", lambda *_: "0"*32)
        assert "silent wrong" in ends("a byte of the kept, decoded images flips", 20)
    with monkeypatch.context() as m: # no care: a half stays
        m.setattr(fetch, "_clear_halves", lambda file: None)
        m.setattr(fetch.os, "fsync", lambda _: faults.time.sleep(.5)) # on a busy machine, too
        assert "left behind" in ends("killed while decoded images are kept", 20)
    with monkeypatch.context() as m: # links and names are followed
        m.setattr(fetch, "_check_member", lambda *_: None)
        m.setattr(fetch, "BELONGS", fetch.re.compile(".*", fetch.re.DOTALL))
        assert ends("archives that try to escape: names, links, devices", 40) - {faults.GOOD}
    with monkeypatch.context() as m: # no lock: records are lost
        write = ledger._write # all read before one writes, also on a busy machine
        m.setattr(ledger, "locked", faults.suppress)
        m.setattr(ledger, "_write", lambda *args: (faults.time.sleep(1), write(*args)))
        assert {"lost", "traceback"} & ends("four processes save to the ledger at once", 3)
    with monkeypatch.context() as m: # no word while it waits
        m.setattr(fetch, "print", lambda *_, **__: None, raising=False)
        assert ends("a stopped process holds the lock", 1) == {"silent wait"}


@posix
def test_the_page_has_the_counts():
    with open(faults.COUNTS, encoding="utf-8") as f: rows = list(csv.DictReader(f))
    assert [row["kind"] for row in rows] == KINDS, "run it again: make faults"
    assert [int(row["cases"]) for row in rows] == [n for _, n, _ in faults.KINDS.values()]
    for row in rows:
        unsealed = int(row[faults.NO_DIGEST]) if "no digest" in row["kind"] else 0
        assert int(row["cases"]) == int(row[faults.GOOD]) + unsealed
    assert faults.page(rows) == faults.PAGE.read_text("utf-8")


# ---- the place for data ----

def test_an_empty_config_is_written_anew(home):
    home.mkdir()
    (home/"config.ini").write_text("")
    assert fetch.data_folder() == home/"data"
    from fastai.data.external import fastai_path
    assert fastai_path("data") == home/"data" and fastai_path("archive") == home/"archive"


@pytest.mark.parametrize("text, words", [
    ("[DEFAULT]\ndata = /nowhere/at/all\n", "names /nowhere/at/all for the data"),
    ("[DEFAULT]\narchive = a\n", "does not say where the data is"),
    ("rubbish", "is damaged"), ("[DEFAULT]\ndata = %a\n", "is damaged"),
    ("[DEFAULT]\ndata = d\0\n", "does not say where")])
def test_a_config_that_makes_no_sense(home, text, words):
    home.mkdir()
    (home/"config.ini").write_text(text)
    with pytest.raises(DataError, match=words): fetch.data_folder()
    assert (home/"config.ini").read_text() == text


def test_data_elsewhere_is_found_where_fastai_keeps_it(home, tmp_path):
    home.mkdir()
    (tmp_path/"large").mkdir()
    (home/"config.ini").write_text(f"[DEFAULT]\ndata = {tmp_path/'large'}\narchive = archive\n")
    assert fetch.data_folder() == tmp_path/"large"


def test_a_relative_home_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTAI_HOME", "here")
    with pytest.raises(DataError, match=f"give the whole path, such as .*{tmp_path.name}.here"):
        fetch.get_data("tiny", "standin")
    assert not list(tmp_path.iterdir())


# ---- writing whole ----

def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path/"real"/"a.txt", tmp_path/"a.txt"
    real.parent.mkdir()
    real.write_text("before")
    real.chmod(0o640)
    try: link.symlink_to(real)
    except OSError: pytest.skip("this system makes no links")
    with fetch.whole(link) as half: half.write_text("after")
    assert link.is_symlink() and real.read_text() == "after"
    assert os.name == "nt" or real.stat().st_mode & 0o777 == 0o640


@posix
def test_the_half_of_a_process_at_work_is_left_alone(tmp_path):
    mine, other = tmp_path/f".a.{os.getppid()}.part", tmp_path/".b.999999999.part"
    mine.write_text("at work"), other.write_text("another file's")
    with fetch.whole(tmp_path/"a") as half: half.write_text("a")
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted([mine.name, other.name, "a"])


# ---- the ledger ----

def test_every_record_of_the_ledger_is_sealed():
    every = json.loads(ledger.ledger_file().read_text("utf-8"))
    records = [r for part in ledger.DATASETS for r in every[part].values()] + [every["lessons"]]
    assert len(records) > 100 and all(len(r["digest"]) == 16 for r in records), (
        "somebody changed it by hand: `ledger.seal()`")


def test_a_sealed_record_does_not_pass_for_another(tmp_path):
    every = json.loads(ledger.ledger_file().read_text("utf-8"))
    a, b = list(every["mnist"])[:2]
    every["mnist"][a], every["mnist"][b] = every["mnist"][b], every["mnist"][a]
    (tmp_path/"ledger.json").write_text(json.dumps(every))
    with pytest.raises(ValueError, match=f"mnist {a} is not what was written"):
        ledger.load("mnist", tmp_path/"ledger.json")


# ---- the command line ----

def test_no_room_is_told(tmp_path, monkeypatch, capsys):
    def full(*_): raise OSError(28, "No space left on device", str(tmp_path/"a"))
    monkeypatch.setattr(cli, "fetch_data", full)
    assert cli.main(["data"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said and str(tmp_path/"a") in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_an_output_that_is_full():
    code = "import sys; from mnist_course.cli import main; sys.exit(main())"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code, "methods"], stdout=full, cwd=PROJECT,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "No space left" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_damaged_notebook_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_name = mnist_course\n")
    (tmp_path/"nbs").mkdir()
    (tmp_path/"nbs"/"00_data.ipynb").write_text('{"cells": [')
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "00"]) == 2
    assert "00_data.ipynb is no notebook" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["rubbish", "[DEFAULT]\nlib_name = %(x)s\n", "\xff"])
def test_settings_of_another_kind_are_passed_over(tmp_path, monkeypatch, text):
    (tmp_path/"settings.ini").write_text(text, encoding="latin-1")
    assert clone.project_settings(tmp_path) == {}


def test_a_ledger_is_sealed_wholly_or_not_at_all(tmp_path):
    every = json.loads(ledger.ledger_file().read_text("utf-8"))
    del next(iter(every["mnist"].values()))["digest"]
    (tmp_path/"ledger.json").write_text(json.dumps(every))
    with pytest.raises(ValueError, match="a record has no digest"):
        ledger.load("mnist", tmp_path/"ledger.json")
    ledger.seal(tmp_path/"ledger.json")
    assert ledger.load("mnist", tmp_path/"ledger.json").records == ledger.load("mnist").records


CODE = "import sys; from mnist_course.cli import main; sys.exit(main())"


@posix
def test_an_output_that_is_closed():
    done = subprocess.run(f'"{sys.executable}" -c "{CODE}" methods >&-', shell=True, cwd=PROJECT,
                          stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@posix
def test_a_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path/"gone").mkdir()
    monkeypatch.chdir(tmp_path/"gone")
    (tmp_path/"gone").rmdir()
    assert cli.main(["run", "02"]) == 2
    assert capsys.readouterr().err == ("mnist_course: The folder you are in is gone: change into "
                                       "another.\n")


def test_an_empty_name_is_told(capsys):
    for words in ["data", "describe", ""], ["predict", "", "--model", ""]:
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert said.startswith("mnist_course: ") and said.count("\n") == 1


USERS = {"syntax": "def f(:", "raises": "def f(): return 1/0",
         "unknown": "def f(): return {'a': 1}",
         "number": "f = 3", "leaves": "import sys; sys.exit(3)", "empty": "def f(): return {}",
         "nothing": "def f(): return dict(model=None, loss_func=None, dl=None)",
         "endless": "def f(): return f()"}


@pytest.mark.parametrize("name", [*USERS, ".."])
def test_a_module_that_gives_nothing_to_examine(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for user, code in USERS.items(): (tmp_path/f"user_{user}.py").write_text(code)
    module = name if name == ".." else f"user_{name}"
    assert cli.main(["examine", f"{module}:f"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("mnist_course: ") and said.count("\n") == 1 and len(said) < 300


def test_a_name_of_two_lines_makes_one_line(tmp_path, capsys):
    import torch
    from mnist_course import handwriting, models
    x, y = torch.arange(20*784).reshape(20, 28, 28).byte(), torch.arange(20) % 10
    models.make("nearest_mean_l2").fit(x, y).save(tmp_path/"model")
    handwriting.sample_digit().save(tmp_path/"two\nlines\t.png")
    assert cli.main(["predict", str(tmp_path/"two\nlines\t.png"), "--model",
                     str(tmp_path/"model")]) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert line.split("\t")[0].endswith(r"two\nlines\t.png")


@posix
@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a-images-idx3-ubyte", "model"])
def test_files_without_end_are_not_read(name, tmp_path, capsys):
    with open(tmp_path/name, "wb") as f: f.truncate(20 << 30) # nothing on the disk: a hole
    words = ["evaluate", tmp_path/name] if name == "model" else ["data", "describe", tmp_path/name]
    assert cli.main(list(map(str, words))) == 2
    assert "bytes: " in capsys.readouterr().err


def test_too_few_images_to_hold_some_out(tmp_path, capsys):
    import numpy as np
    np.savez(tmp_path/"few.npz", images=np.zeros((3, 28, 28), np.uint8), labels=np.arange(3))
    assert cli.main(["train", "nearest_mean_l2", str(tmp_path/"few.npz")]) == 2
    assert "holds 3 images" in capsys.readouterr().err


def test_a_line_of_the_progress_that_is_damaged_is_told(tmp_path, monkeypatch, capsys):
    from mnist_course import exercises
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(tmp_path/"progress.jsonl"))
    for event in "wrong", "passed": exercises._note("02.1", event)
    file = tmp_path/"progress.jsonl"
    file.write_text(file.read_text().replace("wrong", "hints"))
    with file.open("a") as f: # lines of before there were checksums count
        f.write('{"exercise": "02.4", "event": "wrong", "at": "2025-01-01"}\n')
    exercises.progress()
    said = capsys.readouterr().out
    assert f"1 line is damaged in {file}" in said and "passed, 1 try" in said and "02.4" in said
