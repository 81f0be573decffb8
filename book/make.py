"""The book: a website made from the notebooks as they are committed. Nothing is run.

    python book/make.py [--live] [FOLDER]

First the pages are prepared: what nbdev hides is taken out, and links are led to the pages they
mean. Then Sphinx writes them as HTML into FOLDER, `_book` if none is named. With --live lesson 07
can be run in its page; see `run_here.py`.
"""
import base64
import html
import json
import os
import re
import shutil
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import readers

HERE = Path(__file__).parent.resolve()
PROJECT = HERE.parent
NBS = PROJECT/"nbs"
parser = ConfigParser()
parser.read(PROJECT/"settings.ini", encoding="utf-8")
SETTINGS = parser["DEFAULT"]
DIRECTIVE = re.compile(r"^#\|\s*(\S+)(.*)\n?", re.M)
FENCED = re.compile(r"^```.*?^```$|`[^`\n]+`", re.M | re.S)
BADGE = re.compile(r"\[!\[Open in Colab\]\([^)]*\)\]")
# what a directive of nbdev asks for, as a tag that MyST-NB knows
TAGS = {"export": "exported", "exporti": "exported", "exports": "exported",
        "echo:false": "remove-input", "output:false": "remove-output"}
FRONT = "nearest_mean_l2", "softmax", "numpy_relu", "small_cnn" # what the front page asks

# figures that move: below which section of which lesson, and what each is called
LIVE = {
    "02_manual_sgd.ipynb": {
        "One weight on a curve": ("descent", "Choose a rate, and walk. Where does it begin to "
                                  "diverge?"),
        "Two weights: a landscape": ("contour", "One rate for a steep and a flat direction.")},
    "05_relu_net.ipynb": {
        "A nonlinearity": ("boundary", "The same points and nets: add hidden units, and the "
                           "boundary gets more places to bend.")},
    "06_ten_digits.ipynb": {
        "From ten scores to ten probabilities": ("softmax", "Pull at a score, and see all shares "
                                                 "move. What does adding 1 to all of them do?")},
    "07_backprop_python.ipynb": {
        "Backward": ("pencil", "The pencil's network, number by number: forward, then back. "
                     "Change the inputs and do it again.")},
    "09_convolution.ipynb": {
        "A window that slides": ("kernel", "Slide the window over the lesson's seven, or over a "
                                 "digit of your own.")},
}


def pages() -> dict[str, list[tuple[Path, str]]]:
    "The parts of the book: each page's source and its place in the book, in order."
    lessons = [(nb, nb.name) for nb in [NBS/"before_you_start.ipynb",
                                        *sorted(NBS.glob("[0-9][0-9]_*.ipynb"))]]
    def below(folder): # the notebooks of a folder
        return [(nb, f"{folder}/{nb.name}") for nb in sorted((NBS/folder).glob("*.ipynb"))]
    rest = [("TEACHING.md", "teaching.md"), ("tests/FAULTS.md", "faults.md"),
            ("CHANGELOG.md", "changelog.md"), ("CONTRIBUTING.md", "contributing.md")]
    return {"": [(NBS/"index.ipynb", "index.ipynb")], "Try it": [(HERE/"draw.md", "draw.md")],
            "Lessons": lessons,
            "Glossary and cards": below("cards"), "Exercises, with solutions": below("exercises"),
            "Tools": [(HERE/"reference.md", "reference.md"), *below("api"),
                      (HERE/"clinic.md", "clinic.md"),
                      (HERE/"many_machines.md", "many_machines.md")],
            "Laboratory": below("lab"),
            "The project": [(PROJECT/source, place) for source, place in rest]}


PAGES = {source: place for part in pages().values() for source, place in part}


def outside_code(text: str, change) -> str:
    "Change Markdown, but not the code in it."
    kept = []

    def keep(found):
        kept.append(found[0])
        return f"\0{len(kept) - 1}\0"

    changed = change(FENCED.sub(keep, text))
    return re.sub("\0(\\d+)\0", lambda found: kept[int(found[1])], changed)


def lead(text: str, source: Path) -> str:
    "Links and pictures of a source, as its page in the book needs them."
    here = Path(PAGES[source]).parent

    def target(found):
        path, anchor = found[2], found[3] or ""
        if re.match(r"\w+:", path): return found[0]
        for folder in (source.parent, PROJECT): # the front page is also the repository's README
            file = (folder/path).resolve()
            if path and file.exists(): break
        slug = re.sub(r"[^\w#-]", "", anchor.lower()) # as GitHub: Jupyter keeps capitals, commas
        if not path: return f"{found[1]}{slug})"
        if file in PAGES: path, anchor = os.path.relpath(PAGES[file], here), slug
        elif file.exists() and not found[1].startswith("!"):
            path = f"{SETTINGS['git_url']}/blob/main/{file.relative_to(PROJECT)}"
        return f"{found[1]}{path}{anchor})".replace(os.sep, "/")

    return re.sub(r"(!?\[(?:[^\[\]]|\[[^\]]*\])*\]\()([^)#\s]*)(#[^)\s]*)?\)", target, text)


def unfold(text: str) -> str:
    "Folded answers, with blank lines around what is in them, so that it is read as Markdown."
    def details(found):
        inside = re.sub(r"<code>(.*?)</code>", lambda m: f"`{html.unescape(m[1])}`", found[2],
                        flags=re.S)
        return f"\n{found[1]}\n\n{inside.strip()}\n\n</details>\n"
    return re.sub(r"(<details><summary>.*?</summary>)(.*?)</details>", details, text, flags=re.S)


def prepare_prose(text: str, source: Path) -> str:
    "A text cell without comments, its links led on."
    def change(text): return lead(unfold(re.sub(r"<!--.*?-->", "", text, flags=re.S)), source)
    return outside_code(text, change)


class Levels:
    """Headings as a tree with one title.

    A lesson's parts start with a heading of the first level and end with a rule; they become
    sections, and the sections in them go down with them.
    """
    def __init__(self): self.titled = self.in_part = False

    def __call__(self, text: str) -> str:
        lines, in_code = [], False
        for line in text.split("\n"):
            if line.startswith("```"): in_code = not in_code
            hashes = "" if in_code else (re.match(r"(#+) ", line) or [0, ""])[1]
            if line == "---" and not in_code: self.in_part = False
            if hashes == "#" and self.titled: self.in_part = True
            if hashes and self.in_part: line = "#" + line
            self.titled = self.titled or hashes == "#"
            lines.append(line)
        return "\n".join(lines)


def prepare_code(cell: dict, source: Path) -> bool:
    "Take directives out of a code cell; say whether anything is left to be shown."
    code = "".join(cell["source"])
    found = ["".join((name + rest).split()) for name, rest in DIRECTIVE.findall(code)]
    cell["source"] = DIRECTIVE.sub("", code).strip("\n")
    tags = cell["metadata"].get("tags", [])
    tags = ["remove-input" if t == "hide-input" else t for t in tags]
    folded = cell["metadata"].get("jupyter", {}).get("source_hidden")
    if folded and "remove-input" not in tags: tags.append("hide-input") # a toggle opens it
    tags = tags + [TAGS[name] for name in found if name in TAGS]
    pictures = [o["metadata"][kind]["alt"] for o in cell["outputs"] for kind in o.get("data", ())
                if "alt" in o.get("metadata", {}).get(kind, ())]
    if "hide" in found: # there, behind the switch of the lesson's head
        cell["outputs"], tags = [], ["check"]
    cell["metadata"] = {"tags": list(dict.fromkeys(tags))}
    if pictures: cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(pictures)}}
    for output in cell["outputs"]:
        if "text/markdown" in output.get("data", ()):
            text = BADGE.sub("[Colab]", "".join(output["data"]["text/markdown"]))
            output["data"]["text/markdown"] = prepare_prose(text, source)
    return bool(cell["source"])


def prepare_notebook(source: Path) -> str:
    "A notebook as the book shows it."
    book, levels = json.loads(source.read_text(encoding="utf-8")), Levels()
    lesson = source.parent == NBS and source.name[:2].isdigit()
    module, seen, cells = readers.module_of(book), set(), []
    line = readers.lesson_head(book, source.name, SETTINGS) if lesson else ""
    for cell in book["cells"]:
        links = readers.links_to_reference(cell, module, PAGES[source], seen)
        if cell["cell_type"] == "markdown":
            cell["source"] = prepare_prose(levels("".join(cell["source"])), source)
            cells.append(cell)
        elif cell["cell_type"] == "code" and prepare_code(cell, source):
            cells.append(cell)
            if links: cells.append(links)
    if lesson: # the title says which lesson it is
        title, subtitle, rest = cells[0]["source"].split("\n\n", 2)
        title = title.replace("# ", f"# {source.name[:2]} ", 1)
        cells[0]["source"] = "\n\n".join([title, subtitle, line, rest])
    if source.parent == NBS and source.name in LIVE:
        cells = live_figures(cells, LIVE[source.name])
    if source.name == "index.ipynb":
        title, subtitle, rest = cells[0]["source"].split("\n\n", 2)
        cells[0]["source"] = "\n\n".join([title, subtitle, front_sheet(), rest])
        cells.append({"cell_type": "markdown", "id": "contents", "metadata": {},
                      "source": contents()})
    return json.dumps({**book, "cells": cells}, ensure_ascii=False)


def live_figures(cells: list, figures: dict) -> list:
    "The cells with each figure at the end of its section; a section that is not there stops it."
    def text_cell(source, name): # a Markdown cell of our own
        return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}

    placed, waiting, left = [], None, dict(figures)
    for cell in cells:
        if cell["cell_type"] != "markdown":
            placed.append(cell)
            continue
        lines, in_code = [], False
        for line in cell["source"].split("\n"):
            if line.startswith("```"): in_code = not in_code
            heading = None if in_code else re.match(r"#+ (.+)|---$", line)
            if heading and waiting: # a rule ends a section, too
                if any(lines):
                    above = {**cell, "source": "\n".join(lines), "id": f"{cell['id']}-above"}
                    placed.append(above)
                placed.append(text_cell(waiting, f"live-{len(left)}"))
                lines, waiting = [], None
            if heading and heading[1] in left:
                name, words = left.pop(heading[1])
                waiting = (f'<div class="live" id="live-{name}" role="group" '
                           f'aria-label="A figure to move: {html.escape(words)}">\n'
                           f"<p><strong>To move.</strong> {html.escape(words)}</p>\n"
                           "<noscript><p>(This figure needs JavaScript.)</p></noscript>\n</div>")
            lines.append(line)
        placed.append({**cell, "source": "\n".join(lines)})
    if left: raise ValueError(f"No section is called {', '.join(left)}: name another in make.LIVE.")
    scripts = "".join(f'<script defer src="_static/{name}.js"></script>\n'
                      for name in ("draw-net", "draw-sheet", "live-data", "live"))
    styles = "".join(f'<link rel="stylesheet" href="_static/{name}.css">\n'
                     for name in ("draw", "live"))
    return [*placed, text_cell(styles + scripts, "live-scripts")]


def weights() -> dict:
    "What the page *Draw a digit* reads its methods from; see `weights.py`."
    text = (HERE/"static"/"draw-weights.js").read_text(encoding="utf-8")
    return json.loads(text[text.index("{"):text.rindex("}") + 1])


def preview(file: Path) -> None:
    "The picture beside a link to the book where it is shared: title, and the ten mean images."
    from matplotlib.figure import Figure
    found = weights()
    method = next(m for m in found["methods"] if m["name"] == "nearest_mean_l2")
    means = method["layers"][0]["means"]
    numbers = np.frombuffer(base64.b64decode(found["data"]), np.int8, 7840, means["at"])
    fig = Figure((12, 6.3), dpi=100)
    fig.text(.06, .72, SETTINGS["title"], fontsize=52, weight="bold", color="#1f5fa8")
    fig.text(.06, .54, "How a neural network works,\nbuilt step by step on MNIST", fontsize=30)
    for k, image in enumerate(numbers.reshape(10, 28, 28)):
        ax = fig.add_axes((.06 + .088*k, .14, .085, .25))
        ax.imshow(image, cmap="Greys", vmin=0)
        ax.axis("off")
    fig.savefig(file)


def front_sheet() -> str:
    "The sheet of the front page, with what is to be said of its methods before any is fetched."
    known = {m["name"]: m for m in weights()["methods"]}
    keys = "name", "title", "lesson", "what", "accuracy"
    methods = [{key: known[name][key] for key in keys} for name in FRONT]
    page = (HERE/"front.html").read_text(encoding="utf-8")
    return page.replace("METHODS", html.escape(json.dumps(methods)))


def contents() -> str:
    "The table of contents, as Sphinx wants it."
    trees = []
    for part, found in pages().items():
        names = "\n".join(place.rsplit(".", 1)[0] for _, place in found)
        if part: trees.append(f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n{names}\n```")
    return "\n\n".join(trees)


def notebooks() -> dict: # place in the book -> notebook
    "All notebooks, as they are committed."
    return {place: json.loads(source.read_text(encoding="utf-8"))
            for source, place in PAGES.items() if source.suffix == ".ipynb"}


def prepare(folder: Path) -> None:
    "Write every page's source into a folder."
    for source, place in PAGES.items():
        if place == "reference.md": text = readers.reference(notebooks())
        elif source.suffix == ".ipynb": text = prepare_notebook(source)
        else: text = prepare_prose(source.read_text(encoding="utf-8"), source)
        (folder/place).parent.mkdir(parents=True, exist_ok=True)
        (folder/place).write_text(text, encoding="utf-8")


def finish(site: Path) -> None:
    "Set the theme's slips right, and take out what nobody sees: room in drawings, unused colours."
    for file in site.rglob("*.svg"):
        text = file.read_text(encoding="utf-8")
        if "<text" in text: continue # in words, room counts
        text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.S)
        text = re.sub(r"\s*\n\s*", " ", re.sub(r">\s+<", "><", text))
        file.write_text(text, encoding="utf-8")
    for page in site.rglob("*.html"): # headings of no level, names that hide what is written
        text = page.read_text(encoding="utf-8")
        text = text.replace('role="heading">', 'role="heading" aria-level="2">')
        text = text.replace('<summary aria-label="Toggle hidden content">', "<summary>")
        page.write_text(text, encoding="utf-8")
    for file in site.rglob("*.css"): # remarks, and what indents
        text = re.sub(r"/\*(?!!).*?\*/\s*|(?<=\n) +", "", file.read_text("utf-8"), flags=re.S)
        if file.name == "pygments.css": # its green is too pale on grey
            text = re.sub("#4e9a06", "#3b7505", text, flags=re.I)
            text = re.sub(r"\s*([{};,])\s*|(?<=:)\s+", r"\1", text)
        file.write_text(text, "utf-8")
    if any('class="-Color' in page.read_text(encoding="utf-8") for page in site.rglob("*.html")):
        return
    for file in site.rglob("*.css"):
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(r"[^{};/]*\.-Color[^{}]*\{[^{}]*\}", "", text), encoding="utf-8")


def build(pages: Path, site: Path) -> int:
    "Let Sphinx write a folder of pages as HTML, a warning being an error. Its exit code."
    from sphinx.cmd.build import main
    work = pages.with_name("html")
    done = main(["-c", str(HERE), "-d", str(pages.with_name("doctrees")), "-W", "--keep-going",
                 "-q", str(pages), str(work)])
    if done: return done
    shutil.rmtree(site, ignore_errors=True)
    unused = shutil.ignore_patterns(".*", "*.map", "_sources", "objects.inv")
    shutil.copytree(work, site, ignore=unused)
    finish(site)
    preview(site/"_static"/"social.png")
    return 0


def make(site: Path) -> int:
    "Make the book from scratch: it takes seconds, and nothing old can stay behind."
    if site.exists() and any(site.iterdir()) and not (site/"searchindex.js").exists():
        sys.exit(f"{site} holds something that is no book: name another folder, or an empty one.")
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder)/"pages"
        prepare(prepared)
        done = build(prepared, site)
        if done: return done
        parts = {part: [place for _, place in found] for part, found in pages().items()}
        lessons = {nb.name: nb for nb in NBS.glob("[0-9][0-9]_*.ipynb")}
        readers.add(prepared, site, parts, lessons, SETTINGS)
        return 0


if __name__ == "__main__":
    args = [a for a in sys.argv[1:] if a != "--live"]
    site = Path(args[0] if args else PROJECT/"_book")
    done = make(site)
    if not done and "--live" in sys.argv:
        import run_here
        run_here.add(site)
    if not done: print(f"The book: {(site/'index.html').resolve()}")
    sys.exit(done)
