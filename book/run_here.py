"""*Run it here*: lesson 07 with Python in the page, put into a built book by `make book LIVE=1`.

Pyodide, which is Python for browsers, comes from npm's package, held to its digest, so npm is
needed once; it is kept in `_run/pyodide`. The lesson's digits are the first of what this machine
has, MNIST or the stand-in, and the page says which. Nothing is fetched by a reader who does not
ask for it, and nothing from anywhere but the book.
"""
import ast
import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from importlib.util import find_spec
from pathlib import Path

import make

HERE = Path(__file__).parent.resolve()/"here"
PYODIDE = "pyodide@314.0.7"
DIGEST = ("0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7"
          "y2q+SNvi/6V5JEsOlD2R1A==") # sha512 of the packed file, as npm lists it
CORE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip",
        "pyodide-lock.json")
LESSON, WITHOUT = "07_backprop_python.ipynb", "08_backprop_numpy.ipynb"
MODULES = "python_net", "gradcheck", "exercises", "answers.python_net" # with all they import
FASTCORE = "__init__", "imports", "basics", "test"
SIZES = {"train": 500, "valid": 200, "test": 200}                      # images for the page


def fetch_pyodide() -> Path: # folder
    "Pyodide's core, fetched once by npm."
    folder = make.PROJECT/"_run"/"pyodide"/PYODIDE
    if folder.exists(): return folder
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("LIVE=1 fetches Pyodide with npm: install Node.js, or make the book without LIVE.")
    with tempfile.TemporaryDirectory() as place:
        done = subprocess.run([npm, "pack", PYODIDE], cwd=place, capture_output=True, text=True)
        if done.returncode: sys.exit(f"npm could not fetch {PYODIDE}: {done.stderr.strip()}")
        [packed] = Path(place).glob("*.tgz")
        found = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if found != DIGEST:
            sys.exit(f"{PYODIDE} is not what it was: its sha512 is {found}, not {DIGEST}.")
        unpacked = Path(place)/"core"
        unpacked.mkdir()
        with tarfile.open(packed) as tar:
            for name in CORE:
                (unpacked/name).write_bytes(tar.extractfile(f"package/{name}").read())
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(unpacked, folder)
    return folder


def package() -> dict[str, str]: # path -> source
    "The course's modules that lesson 07 needs, with all they import, and the part of fastcore."
    root, found, left = make.PROJECT/"mnist_course", {}, [*MODULES, "__init__", "answers.__init__"]
    while left:
        name = left.pop()
        file = root/Path(*name.split(".")).with_suffix(".py")
        place = f"mnist_course/{file.relative_to(root).as_posix()}"
        if place in found or not file.exists(): continue
        found[place] = file.read_text("utf-8")
        for node in ast.parse(found[place]).body:
            if not isinstance(node, ast.ImportFrom) or not node.level: continue
            where = name.split(".")[:-node.level] + (node.module or "").split(".")
            where = [part for part in where if part]
            left += [".".join(where)] if node.module else [
                ".".join([*where, a.name]) for a in node.names]
    fastcore = Path(find_spec("fastcore").origin).parent
    return found | {f"fastcore/{n}.py": (fastcore/f"{n}.py").read_text("utf-8") for n in FASTCORE}


def versions() -> dict[str, tuple[str, str]]: # id of a cell -> why it is not run; its code here
    "Cells that are different in the page, or not run there: `here/07.txt`."
    text = (HERE/"07.txt").read_text("utf-8")
    parts = re.split(r"^%% (\S+) ?(.*)\n", text, flags=re.M)[1:]
    return {parts[i]: (parts[i + 1], parts[i + 2].strip("\n")) for i in range(0, len(parts), 3)}


def cells() -> list[dict]: # code, kept, changed
    "The code cells of lesson 07, in the book's order, as the page runs them."
    book, other, found = json.loads(make.prepare_notebook(make.NBS/LESSON)), versions(), []
    for cell in book["cells"]:
        if cell["cell_type"] != "code": continue
        kept, code = other.pop(cell["id"], ("", cell["source"]))
        found.append({"code": code, "kept": kept, "changed": code != cell["source"]})
    if other: raise ValueError(f"Lesson 07 has no cell {', '.join(other)}: see book/here/07.txt.")
    return found


def digits() -> dict: # source: "mnist" or "standin"; for each part zlib in base64, and labels
    "Images for the page."
    from mnist_course.data import get_data, pooled_split, source_of
    path = get_data("full")
    found = {"source": source_of(path)}
    for part, (images, labels) in pooled_split(path).items():
        n = SIZES[part]
        packed = zlib.compress(bytes(images[:n].flatten().tolist()), 9)
        found[part] = base64.b64encode(packed).decode(), labels[:n].tolist()
    return found


def bundle() -> dict:
    "All that the page hands to Python: files, cells, and who gives the digits."
    found = digits()
    files = {**package(), "here.py": (HERE/"page.py").read_text("utf-8"),
             "digits.json": json.dumps(found)}
    return {"files": files, "driver": (HERE/"driver.py").read_text("utf-8"), "cells": cells(),
            "source": found["source"]}


def block(size: int, source: str) -> str:
    "What stands below the lesson's head: what it is, its size, and the button."
    of = "MNIST" if source == "mnist" else "the stand-in, scikit-learn's smaller digits"
    n_images = SIZES["train"]
    return f"""
<div class="here" id="here" role="group" aria-label="Run this lesson here" data-size="{size}">
<p><strong>Run it here.</strong> Python itself can run in this page: the cells become yours to
change and run, and the exercises are marked. Python and the lesson's code are
{size/1e6:.1f} MB, fetched from this site once you ask for them, and nothing leaves your computer.
It learns from {n_images} images of {of}, where the printed lesson has more, so your figures will
differ from those in the text; cells that draw with Matplotlib keep their pictures.</p>
<noscript><p>(This needs JavaScript.)</p></noscript>
<p class="here-buttons"></p>
<p class="here-said" role="status"></p>
<p class="here-from"><small>By <a href="https://pyodide.org">Pyodide</a> {PYODIDE.split("@")[1]}
(MPL 2.0, <a href="https://github.com/pyodide/pyodide">source</a>). What you change and pass is
forgotten when you close the page: for keeps, use the notebook.</small></p>
</div>
<link rel="stylesheet" href="_static/here/here.css">
<script defer src="_static/here/here.js"></script>
"""


def without_numpy() -> str:
    "What lesson 08 says in place of a button."
    repo = make.SETTINGS["git_url"].removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repo}/blob/main/nbs/{WITHOUT}"
    return (f'\n<p class="here-not">Lesson 07 can be run in its page; this one needs NumPy, of '
            "which the package index has no build for browsers. "
            f'<a href="{html.escape(colab)}">Run it in Colab</a> instead.</p>\n')


def insert(page: Path, text: str) -> None:
    "Put HTML below the head of a lesson's page."
    before = page.read_text("utf-8")
    after, n = re.subn(r'<p class="lesson-head">.*?</p>', lambda m: m[0] + text, before,
                       count=1, flags=re.S)
    if n != 1: raise ValueError(f"{page.name} has no head to put this below.")
    page.write_text(after, "utf-8")


def add(site: Path) -> None:
    "Make lesson 07 of a built book run in its page; say on lesson 08's why it does not."
    core, folder = fetch_pyodide(), site/"_static"/"here"
    folder.mkdir()
    for name in CORE: shutil.copyfile(core/name, folder/name)
    found = bundle()
    (folder/"lesson.json").write_text(json.dumps(found), "utf-8")
    for name in "here.js", "worker.js", "here.css": shutil.copyfile(HERE/name, folder/name)
    size = sum(f.stat().st_size for f in folder.iterdir())
    insert((site/LESSON).with_suffix(".html"), block(size, found["source"]))
    insert((site/WITHOUT).with_suffix(".html"), without_numpy())
