"The command line as a person meets it: sentences and exit codes, nothing half-written left."
import errno
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from conftest import PROJECT
from mnist_course import cli, processes
from nbformat.v4 import new_code_cell, new_notebook

posix = pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")


@pytest.fixture
def clone(tmp_path):
    "A clone of the course with two little lessons: a quick one and one that takes its time."
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_name = mnist_course\n")
    (tmp_path/"nbs").mkdir()
    (tmp_path/"nbs"/"index.ipynb").write_text("{}")
    for name, code in ("00_quick", "print(1)"), ("01_slow", "import time\ntime.sleep(60)"):
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), tmp_path/"nbs"/f"{name}.ipynb")
    return tmp_path


COURSE = "-c", "import sys; from mnist_course.cli import main; sys.exit(main())"
LAB = "-m", "mnist_course.lab"


def start(*words, cwd, program=COURSE, **env):
    "The command in a session of its own, as a terminal gives it."
    return subprocess.Popen([sys.executable, *program, *words], cwd=cwd, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                            env={**os.environ, "MNIST_COURSE_DATA": "standin", **env})


def kernel_of(process, wait=60):
    "The kernel that a command has started, once it runs."
    end = time.monotonic() + wait
    while time.monotonic() < end:
        for child in psutil.Process(process.pid).children(recursive=True):
            if "ipykernel" in " ".join(child.cmdline()): return child
        time.sleep(.2)
    raise AssertionError("no kernel has started")


@posix
@pytest.mark.parametrize("whole_group", [True, False], ids=["as in a terminal", "alone"])
def test_ctrl_c_ends_with_a_sentence(clone, whole_group):
    before = (clone/"nbs"/"01_slow.ipynb").read_bytes()
    process = start("run", "01", cwd=clone)
    kernel = kernel_of(process)
    time.sleep(4)                                       # let the cell begin
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said.strip().endswith("mnist_course: stopped, as you asked."), said
    assert "Traceback" not in said and len(said.splitlines()) <= 3, said
    assert not psutil.pid_exists(kernel.pid) or kernel.status() == psutil.STATUS_ZOMBIE
    assert (clone/"nbs"/"01_slow.ipynb").read_bytes() == before
    assert not list(clone.rglob("*.part"))


@posix
def test_ctrl_c_in_the_laboratory_ends_with_a_sentence(clone):
    slow = (clone/"nbs"/"01_slow.ipynb").read_bytes()
    (clone/"nbs"/"index.ipynb").write_bytes(slow)       # what `readme` runs
    process = start("readme", cwd=clone, program=LAB)
    kernel = kernel_of(process)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert said.strip().endswith("mnist_course.lab: stopped, as you asked."), said
    assert "Traceback" not in said
    assert not psutil.pid_exists(kernel.pid) or kernel.status() == psutil.STATUS_ZOMBIE
    assert (clone/"nbs"/"index.ipynb").read_bytes() == slow and not list(clone.rglob("*.part"))


def stops(error):
    def do(): raise error
    return do


@pytest.mark.parametrize("error,status,sentence", [
    (KeyboardInterrupt(), 130, "stopped, as you asked."),
    (processes.Terminated(), 143, "stopped by SIGTERM."),
    (OSError(errno.ENOSPC, "No space left", "a.json"), 2, "a.json: No space left."),
    (PermissionError(errno.EACCES, "Permission denied", "a.json"), 2, "a.json: Permission denied."),
    (cli.DataError("There is no such thing."), 2, "There is no such thing."),
    (cli.LessonError("cell 3 failed"), 1, "cell 3 failed")], ids=lambda x: type(x).__name__)
def test_every_command_ends_in_one_sentence(error, status, sentence, capsys, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)   # put back afterwards
    assert cli.ended("bench", stops(error)) == status
    said = capsys.readouterr().err
    assert said.startswith(f"bench: {sentence}") and len(said.splitlines()) == 1


def test_sigterm_is_told_and_its_handler_put_back(capsys, monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    before = signal.getsignal(signal.SIGTERM)
    assert cli.ended("bench", lambda: signal.raise_signal(signal.SIGTERM)) == 143
    assert capsys.readouterr().err == "bench: stopped by SIGTERM.\n"
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.setenv("WORLD_SIZE", "2")               # torchrun ends its processes in its own way
    seen = []
    assert cli.ended("bench", lambda: seen.append(signal.getsignal(signal.SIGTERM))) == 0
    assert seen == [before]


def test_a_commands_own_status_is_kept(monkeypatch):
    monkeypatch.setattr("warnings.showwarning", None)
    assert [cli.ended("bench", lambda s=s: s) for s in (None, 0, 3, True)] == [0, 0, 3, 1]


@posix
def test_the_laboratory_tells_a_system_error(clone):
    (clone/"nbs"/"index.ipynb").unlink()
    (clone/"nbs"/"index.ipynb").mkdir()                 # a folder where a file should be
    process = start("readme", cwd=clone, program=LAB)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2 and "Traceback" not in said, said
    assert said.startswith("mnist_course.lab: ") and "Is a directory" in said


@posix
def test_a_killed_kernel_is_told(clone):
    process = start("run", "01", cwd=clone)
    kernel = kernel_of(process)
    time.sleep(4)
    kernel.kill()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "01_slow.ipynb stopped: its kernel died" in said and "Traceback" not in said, said


@posix
def test_a_reader_that_leaves_is_no_error():
    process = start("methods", cwd=PROJECT)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait(timeout=120) == 141 and said == ""


def test_a_file_that_knows_few_characters(clone):
    process = start("methods", cwd=PROJECT, PYTHONIOENCODING="ascii")
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0 and "resnet18" in out and said == ""


def test_only_this_course_is_rewritten(tmp_path, monkeypatch):
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_name = another\n")
    (tmp_path/"nbs").mkdir()
    nb = tmp_path/"nbs"/"00_mine.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1 + 1")]), nb)
    (tmp_path/"nbs"/"index.ipynb").write_bytes(nb.read_bytes())
    before = nb.read_bytes()
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "00"]) == 2 and nb.read_bytes() == before
    assert cli.main(["course"]) == 2 and not (tmp_path/"_run").exists()


def test_pack_leaves_no_halves(tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "get_data", lambda name, source: PROJECT/"nbs")
    def full(*_): raise OSError(28, "No space left on device")
    monkeypatch.setattr(cli.tarfile.TarFile, "add", full)
    with pytest.raises(cli.DataError, match="No space left"): cli.pack(tmp_path/"stick")
    assert list((tmp_path/"stick").iterdir()) == []


def test_ctrl_c_while_the_words_are_read(monkeypatch, capsys):
    def stopped(*_, **__): raise KeyboardInterrupt
    monkeypatch.setattr(cli.typer.main, "get_command", stopped)
    assert cli.main(["methods"]) == 130
    monkeypatch.undo()
    real = cli.typer.main.get_command(cli.app)
    monkeypatch.setattr(real, "invoke", stopped) # within Typer, which makes a status of it
    monkeypatch.setattr(cli.typer.main, "get_command", lambda _: real)
    assert cli.main(["methods"]) == 130
    assert capsys.readouterr().err.count("mnist_course: stopped, as you asked.\n") == 2


def test_too_little_memory_is_told(monkeypatch, capsys):
    def greedy(*_): raise MemoryError
    monkeypatch.setattr(cli, "fetch_data", greedy)
    assert cli.main(["data"]) == 1 and "not enough memory: " in capsys.readouterr().err
