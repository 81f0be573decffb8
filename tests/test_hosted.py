"""Where somebody else's machine runs the lessons: Colab's cell that installs, and Binder's files.

Neither service is asked. What they are given is read, and Colab's cell is run as Colab would.
"""
import ast
import json
import os
import re
import subprocess
import sys
from types import ModuleType

import make
import pytest
from conftest import LESSONS, PROJECT

lesson = pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)


def installing(nb):
    "The places of the cells that know Colab, and all cells of a notebook."
    cells = json.loads(nb.read_text("utf-8"))["cells"]
    return [k for k, c in enumerate(cells) if "google.colab" in "".join(c["source"])], cells


@lesson
def test_one_folded_cell_comes_before_every_import(nb):
    [k], cells = installing(nb)
    assert cells[k]["metadata"] == {"jupyter": {"source_hidden": True}} and not cells[k]["outputs"]
    assert "".join(cells[k]["source"]).startswith("#| hide\n")
    before = "\n".join("".join(c["source"]) for c in cells[:k] if c["cell_type"] == "code")
    assert not ast.parse(before).body # directives alone


@lesson
def test_it_installs_in_colab_and_does_nothing_elsewhere(nb, monkeypatch):
    [k], cells = installing(nb)
    code, asked = compile("".join(cells[k]["source"]), nb.name, "exec"), []

    class Shell:
        def run_line_magic(self, name, line): asked.append((name, line))

    exec(code, {}) # neither IPython nor Colab: not even the name is looked up
    exec(code, {"get_ipython": Shell})
    assert not asked
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    exec(code, {"get_ipython": Shell})
    address = make.SETTINGS["git_url"]
    assert asked == [("pip", f"install -q 'mnist_course[course] @ git+{address}'")]


def test_binders_files_are_as_binder_wants_them():
    folder = PROJECT/".binder"
    assert {f.name for f in folder.iterdir()} == {"postBuild", "runtime.txt"}
    version = re.fullmatch(r"python-3\.(\d+)\n", (folder/"runtime.txt").read_text("utf-8"))
    lowest, highest = (int(make.SETTINGS[f"{end}_python"].split(".")[1]) for end in ("min", "max"))
    assert lowest <= int(version[1]) <= highest
    script = folder/"postBuild"
    assert os.access(script, os.X_OK) and script.read_text("utf-8").startswith("#!/bin/bash\n")
    done = subprocess.run(["bash", "-n", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = script.read_text("utf-8").replace("\\\n", "")
    assert "-c constraints.txt" in code and (PROJECT/"constraints.txt").is_file()
    assert re.search(r'-e "\.\[course\]"', code) and make.SETTINGS["course_requirements"]
    assert "\nmnist_course data\n" in code
    assert make.SETTINGS["console_scripts"].startswith("mnist_course=")
