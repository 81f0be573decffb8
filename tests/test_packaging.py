"What is given away: the same files from the same sources, nothing missing, nothing too much."
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest
from conftest import PROJECT

SHIPPED = ("mnist_course", "settings.ini", "setup.py", "pyproject.toml", "MANIFEST.in", "README.md",
           "LICENSE", "CHANGELOG.md", "constraints.txt", "tests")
NAME = "mnist_course-" + re.search(r"^version = (.*)$", (PROJECT/"settings.ini").read_text("utf-8"),
                                   re.M)[1]


def build(folder, when):
    "Wheel and archive of sources, from a copy whose files are all of that time."
    source = folder/"source"
    source.mkdir(parents=True)
    for name in SHIPPED:
        if (PROJECT/name).is_file(): shutil.copy(PROJECT/name, source)
        else: shutil.copytree(PROJECT/name, source/name,
                              ignore=shutil.ignore_patterns("__pycache__"))
    for file in source.rglob("*"): os.utime(file, (when, when))
    env = {k: v for k, v in os.environ.items() if k not in ("SOURCE_DATE_EPOCH", "PYTHONPATH")}
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir",
                           folder/"dist", source], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return {f.name: f for f in (folder/"dist").iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built")
    return [build(folder/"one", 1_600_000_000), build(folder/"another"/"place", 1_700_000_000)]


def test_built_twice_is_the_same_byte_for_byte(built):
    one, other = ({name: hashlib.sha256(f.read_bytes()).hexdigest() for name, f in files.items()}
                  for files in built)
    assert set(one) == {f"{NAME}.tar.gz", f"{NAME}-py3-none-any.whl"} and one == other


def test_the_archive_of_sources_is_enough_and_no_more(built):
    "`build` makes the wheel from it, so what setup.py reads is there."
    with tarfile.open(built[0][f"{NAME}.tar.gz"]) as tar:
        names = {m.name.removeprefix(f"{NAME}/") for m in tar}
        whose = {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in tar}
    assert whose == {(0, 0, "", "", 315532800)}
    assert {"settings.ini", "setup.py", "README.md", "LICENSE", "mnist_course/py.typed"} <= names
    assert not any(name.startswith("tests/") for name in names)


def test_the_wheel_has_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0][f"{NAME}-py3-none-any.whl"]) as wheel:
        names = set(wheel.namelist())
        said = wheel.read(f"{NAME}.dist-info/METADATA").decode()
        assert b"mnist_course = mnist_course.cli:main" in wheel.read(
            f"{NAME}.dist-info/entry_points.txt")
    ours = {f.relative_to(PROJECT).as_posix() for f in (PROJECT/"mnist_course").rglob("*")
            if f.suffix in (".py", ".json", ".csv") or f.name == "py.typed"}
    packaged = {name for name in names if name.startswith("mnist_course/")}
    assert packaged <= ours and {n for n in ours if n.count("/") == 1} <= packaged
    assert all(name.startswith(("mnist_course/", f"{NAME}.dist-info/")) for name in names)
    assert "Requires-Python: >=3.11" in said and "Requires-Dist: torch>=" in said


def test_words_are_completed():
    def complete(typed):
        code = "from mnist_course.cli import main; main()"
        env = {**os.environ, "_MNIST_COURSE_COMPLETE": "complete_bash", "COMP_WORDS": typed,
               "COMP_CWORD": str(len(typed.split()) - 1)}
        done = subprocess.run([sys.executable, "-c", code], env=env, cwd=PROJECT,
                              capture_output=True, text=True)
        return set(done.stdout.split())
    assert complete("mnist_course tr") == {"train"}
    assert {"evaluate", "exam", "examine", "export"} == complete("mnist_course e")
    assert "--checkpoint" in complete("mnist_course train --c")


def test_the_container_file_is_written_as_such_files_are():
    text = (PROJECT/"Containerfile").read_text("utf-8")
    lines = [line for line in re.sub(r"\\\n", " ", text).splitlines()
             if line.strip() and not line.startswith("#")]
    words = [line.split(maxsplit=1) for line in lines]
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "CMD"}
    assert words[0][0] == "FROM" and {word for word, _ in words} <= known
    python = re.fullmatch(r"python:3\.(\d+)-slim", words[0][1])
    assert python and 11 <= int(python[1]) <= 13
    command, = (json.loads(rest) for word, rest in words if word == "CMD")
    assert command[:2] == ["jupyter", "lab"] and (PROJECT/"nbs"/"index.ipynb").exists()
    assert [word for word, _ in words].index("USER") > [word for word, _ in words].index("RUN")
    assert "-c constraints.txt" in text and "'.[course]'" in text


def test_the_development_container_leads_to_files_that_are_there():
    folder = PROJECT/".devcontainer"
    told = json.loads((folder/"devcontainer.json").read_text("utf-8"))
    assert (folder/told["build"]["dockerfile"]).resolve() == PROJECT/"Containerfile"
    assert (folder/told["build"]["context"]).resolve() == PROJECT
    assert set(told) == {"name", "build", "remoteUser", "postCreateCommand", "forwardPorts",
                         "customizations"}
    for name in told["customizations"]["codespaces"]["openFiles"]: assert (PROJECT/name).exists()


def test_only_the_step_that_publishes_may_and_only_after_the_tests():
    import yaml
    release = yaml.safe_load((PROJECT/".github"/"workflows"/"release.yaml").read_text("utf-8"))
    assert release[True] == {"push": {"tags": ["v*"]}}             # YAML takes `on` for a truth
    assert release["permissions"] == {"contents": "read"}
    jobs = release["jobs"]
    assert jobs["build"]["needs"] == "test" and jobs["publish"]["needs"] == "build"
    assert [n for n, job in jobs.items() if "permissions" in job] == ["publish"]
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "password" not in str(release) and "secrets" not in str(release)
    tests = yaml.safe_load((PROJECT/".github"/"workflows"/"test.yaml").read_text("utf-8"))
    assert "workflow_call" in tests[True]
