"Every lesson has what a reader expects of it, and its committed outputs are fit to be read."
import ast
import json
import re

import pytest
from conftest import LESSONS, NOTEBOOKS, cells, prose
from mnist_course.clone import LESSONS as MODULES

lesson = pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
notebook = pytest.mark.parametrize("nb", NOTEBOOKS, ids=lambda nb: nb.stem)


def directives(source):
    return re.findall(r"^#\|\s*(\S+)", source, re.M)


@lesson
def test_opening(nb):
    kind, first, _ = cells(nb)[0]
    lines = first.splitlines()
    assert kind == "markdown" and lines[0].startswith("# ") and lines[2].startswith("> ")
    for words in ("**At the end you will have**", "**You need**", "**It takes**"):
        assert words in first, f"{nb.name} does not say: {words}"


@lesson
def test_ending(nb):
    heads = re.findall(r"^## (.+)$", prose(nb), re.M)
    assert heads[-4:] == ["Recap", "Questions", "Exercises", "The way on"]
    questions = prose(nb).split("## Questions")[1].split("## Exercises")[0]
    folded = re.findall(r"<details><summary>(.+?)</summary>\n(.+?)</details>", questions, re.S)
    assert len(folded) >= 3 and all(answer.strip() for _, answer in folded)
    exercises = prose(nb).split("## Exercises")[1]
    assert re.search(r"^1\. ", exercises, re.M) and "<summary>Hints</summary>" in exercises


@lesson
def test_asks_before_it_tells(nb):
    text = prose(nb).lower()
    assert any(word in text for word in ("predict", "before you", "do you think", "which of"))


@notebook
def test_cells_are_short_and_explained(nb):
    bare = 0
    for kind, source, _ in cells(nb):
        if kind == "markdown": bare = 0
        elif not set(directives(source)) & {"hide", "default_exp"}:
            assert len(source.splitlines()) <= 25, f"{nb.name}: a long cell\n{source}"
            bare += 1
            assert bare <= 5, f"{nb.name}: {bare} code cells without a word between\n{source}"


@pytest.mark.parametrize("nb", [nb for nb in NOTEBOOKS if nb.parent.name != "exercises"],
                         ids=lambda nb: nb.stem) # those are proven, see test_exercises.py
def test_exported_definitions_meet_their_test(nb):
    code = [source for _, source, _ in cells(nb, "code")]
    for i, source in enumerate(code):
        if "export" not in directives(source): continue
        tree = ast.parse(source)
        defined = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
        public = [n for n in defined if not n.name.startswith("_")]
        soon = "\n".join(code[i + 1:i + 6])
        tested = [n.name for n in public if re.search(rf"\b{n.name}\b", soon)]
        assert not public or tested, f"{nb.name}: {public[0].name} is not used in the next cells"
        methods = [m for n in public for m in n.body if isinstance(m, ast.FunctionDef)]
        for n in [*public, *methods]:
            if n.name.startswith(("_", "before_", "after_")): continue # a callback's events
            if n.name in ("forward", "backward") and n in methods: continue # the class says it
            if n.body[0].lineno == n.lineno: continue # a one-liner that reads aloud
            inside_function = any(n in f.body for f in public if isinstance(f, ast.FunctionDef))
            assert inside_function or ast.get_docstring(n), f"{nb.name}: {n.name} has no docstring"


@notebook
def test_no_star_imports(nb):
    for _, source, _ in cells(nb, "code"):
        assert not re.search(r"^\s*from \S+ import \*", source, re.M), f"{nb.name}\n{source}"


@notebook
def test_outputs(nb):
    assert nb.stat().st_size < 500_000, f"{nb.name} is too large to keep"
    text = nb.read_text(encoding="utf-8")
    outputs = [o for _, _, found in cells(nb, "code") for o in found]
    assert not [o for o in outputs if o["output_type"] == "error"], f"{nb.name} holds an error"
    said = json.dumps(outputs)
    for word in ("site-packages", "/home/", "/root/", "/tmp/", "C:\\\\", "Warning"):
        assert word not in said, f"{nb.name}: an output holds {word}"
    for o in outputs:
        if "image/png" in o.get("data", {}):
            alt = o["metadata"].get("image/png", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"{nb.name}: a picture without a description"
    if nb in LESSONS:
        assert sum(bool(found) for _, _, found in cells(nb, "code")) >= 5, f"{nb.name} reads empty"
        assert "stand-in for" not in said, f"{nb.name} was run on the stand-in"
    assert '"execution_count": 1' not in text


@lesson
def test_links_lead_somewhere(nb):
    text = re.sub(r"```.*?```|`[^`]*`", "", prose(nb), flags=re.S)
    for target in re.findall(r"\]\((?!http)([^)#\s]+)", text):
        if (nb.parent/target).exists(): continue
        missing = int(target[:2]) if target[:2].isdigit() else None
        assert missing and missing > max(int(n.name[:2]) for n in LESSONS), f"{nb.name}: {target}"


def test_lessons_are_numbered():
    exported = [re.search(r"#\| default_exp (\w+)", n.read_text("utf-8")).group(1) for n in LESSONS]
    assert list(MODULES) == exported
