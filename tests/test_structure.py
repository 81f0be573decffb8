"""The three parts, and arrows that only point downwards: read from the modules' own imports.

Lessons lean on lower lessons and on tools; tools on tools; `models` and `cli`, the roof, also on
lessons; the laboratory on all. Nothing outside the laboratory imports it, but for the two commands
of `cli` that print its results, and they do so only when they are called.
"""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOTEBOOKS, PROJECT

PACKAGE = PROJECT/"mnist_course"
ROOF = {"models", "cli", "tasks", "exercises", "swap", "marking", "patients", "exam",
        "capstone", "checkup", "__main__"}


def exported(folder):
    "The modules that the notebooks of a folder export, in order."
    found = (re.search(r"#\| default_exp ([\w.]+)", nb.read_text("utf-8")) for nb in NOTEBOOKS
             if nb.parent == PROJECT/"nbs"/folder)
    return [match.group(1) for match in found if match]


LESSONS, TOOLS, LAB = exported(""), set(exported("api")) - ROOF, set(exported("lab"))
ANSWERS = set(exported("exercises")) # what marks answers; `exercises` loads it when asked
KNOWN = {*LESSONS, *TOOLS, *ROOF, *LAB, *ANSWERS}


def imports(module, everywhere=False):
    "The modules of this package that one imports: at its top, or anywhere in it."
    file = PACKAGE/Path(*module.split(".")).with_suffix(".py")
    tree, found = ast.parse(file.read_text("utf-8")), set()
    for node in (ast.walk(tree) if everywhere else tree.body):
        if isinstance(node, ast.Import):
            assert not any(a.name.startswith("mnist_course") for a in node.names), file
        if not isinstance(node, ast.ImportFrom): continue
        where = (node.module or "").split(".") if node.module else []
        if node.level: where = module.split(".")[:-node.level] + where # from within the package
        elif where[0] == "mnist_course": where = where[1:]             # inside a function
        else: continue
        names = {".".join([*where, a.name]) for a in node.names} # modules, or what is in one
        found |= {name if name in KNOWN else ".".join(where) for name in names}
    return found - {""} # the package itself, for its version


def test_every_module_belongs_to_a_part():
    files = {".".join(f.relative_to(PACKAGE).with_suffix("").parts) for f in PACKAGE.rglob("*.py")}
    files = {f for f in files if not f.endswith(("__init__", "_modidx"))}
    assert files == KNOWN
    assert ROOF <= set(exported("api")) and all(name.startswith("lab.") for name in LAB)


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_leans_on_lower_lessons_and_tools(lesson):
    lower = set(LESSONS[:LESSONS.index(lesson)])
    assert imports(lesson, everywhere=True) <= lower | TOOLS


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_a_tool_leans_on_tools(tool):
    assert imports(tool, everywhere=True) <= TOOLS


def test_the_roof_leans_on_lessons_and_tools():
    assert imports("models", everywhere=True) <= {*LESSONS, *TOOLS}
    assert imports("cli") <= {*LESSONS, *TOOLS, *ROOF}
    assert imports("cli", everywhere=True) <= KNOWN
    assert imports("__main__", everywhere=True) == {"cli"}
    assert imports("tasks", everywhere=True) <= {*LESSONS, *TOOLS, "models"}
    assert imports("exercises", everywhere=True) <= {*LESSONS, *TOOLS}
    assert imports("swap", everywhere=True) <= {*LESSONS, *TOOLS, "exercises"}
    assert imports("marking", everywhere=True) <= {*TOOLS, "exercises"}
    assert imports("patients", everywhere=True) <= {*LESSONS, *TOOLS, "exercises"}
    assert imports("checkup", everywhere=True) <= {*LESSONS, *TOOLS}
    assert imports("capstone", everywhere=True) <= {*LESSONS, *TOOLS, "marking"}
    assert imports("exam", everywhere=True) <= {*TOOLS, "exercises", "marking"}


def by_name(module):
    "The modules that one loads by a name in quotes, as with `importlib.import_module`."
    text = (PACKAGE/Path(*module.split(".")).with_suffix(".py")).read_text("utf-8")
    return set(re.findall(r'"mnist_course\.([\w.]+)"', text)) & KNOWN


# `clinic.patient(4)` is found in the module above, and `clinic` works without it.
FORWARDS = {"clinic": {"patients"}}


def test_no_module_comes_back_to_itself():
    "No circle of imports, not even of imports that stand in functions or load by a name."
    leads = {m: imports(m, everywhere=True) | by_name(m) - FORWARDS.get(m, set()) for m in KNOWN}
    assert all(by_name(m) >= forward for m, forward in FORWARDS.items())
    done = set()
    def follow(module, way):
        assert module not in way, f"a circle: {' -> '.join([*way[way.index(module):], module])}"
        if module in done: return
        for other in sorted(leads.get(module, ())): follow(other, [*way, module])
        done.add(module)
    for module in sorted(KNOWN): follow(module, [])


@pytest.mark.parametrize("answers", sorted(ANSWERS))
def test_answers_lean_on_lessons_tools_and_what_marks_them(answers):
    earlier = {f"answers.{name}" for name in LESSONS[:LESSONS.index(answers.split(".")[1])]}
    marks = {"exercises", "patients"}
    assert imports(answers, everywhere=True) <= {*LESSONS, *TOOLS, *earlier, *marks}
    assert answers.removeprefix("answers.") in LESSONS


def test_the_clinic_checks_without_the_lessons_it_examines():
    assert not imports("clinic", everywhere=True) & {"relu_net", "ten_digits", "learner"}


def loaded_by(module):
    "What a fresh process has loaded after importing one module."
    code = f"import sys, {module}; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True,
                         check=True)
    return set(out.stdout.split())


def test_plain_python_is_plain():
    assert not loaded_by("mnist_course.python_net") & {"torch", "numpy"}
    assert not loaded_by("mnist_course.gradcheck") & {"torch", "numpy"}
    assert not loaded_by("mnist_course.exercises") & {"torch", "numpy"}


def test_numpy_without_torch():
    loaded = loaded_by("mnist_course.numpy_net")
    assert "numpy" in loaded and "torch" not in loaded


def test_a_lesson_alone_loads_no_laboratory():
    assert not {m for m in loaded_by("mnist_course.speed") if m.startswith("mnist_course.lab")}
    assert not {m for m in loaded_by("mnist_course.cli") if m.startswith("mnist_course.lab")}


def test_everything_imported_is_declared():
    "Each library that a module imports at its top or inside is named in `requirements`."
    names = {"sklearn": "scikit-learn", "PIL": "pillow"}
    settings = (PROJECT/"settings.ini").read_text("utf-8")
    said = {key: re.search(rf"^{key} = (.*)$", settings, re.M).group(1).lower()
            for key in ("requirements", "course_requirements", "dev_requirements",
                        "lab_requirements", "onnx_requirements")}
    for module in sorted(KNOWN):
        tree = ast.parse((PACKAGE/Path(*module.split(".")).with_suffix(".py")).read_text("utf-8"))
        for node in ast.walk(tree):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else \
                [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            ours = {*sys.stdlib_module_names, "mnist_course"}
            for name in {f.split(".")[0] for f in found} - ours:
                library = names.get(name, name)
                where = said["requirements"]
                if module in LAB: where += " " + said["lab_requirements"]
                if module == "tasks": where += " " + said["onnx_requirements"]
                if module == "cli": where += " " + said["course_requirements"] # runs notebooks
                assert re.search(rf"(?:^| ){library}\b", where), f"{module} imports {library}"
