"""The book: a website made from the notebooks as they are committed. Nothing is run.

    python book/make.py [FOLDER]

First the pages are prepared: what nbdev hides is taken out, and links are led to the pages they
mean. Then Sphinx writes them as HTML into FOLDER, `_book` if none is named.
"""
import html
import json
import os
import re
import shutil
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

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
            "Tools": below("api"),
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
    cell["metadata"] = {"tags": list(dict.fromkeys(tags))}
    if pictures: cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(pictures)}}
    for output in cell["outputs"]:
        if "text/markdown" in output.get("data", ()):
            text = BADGE.sub("[Colab]", "".join(output["data"]["text/markdown"]))
            output["data"]["text/markdown"] = prepare_prose(text, source)
    return "hide" not in found and bool(cell["source"])


def prepare_notebook(source: Path) -> str:
    "A notebook as the book shows it."
    book, levels = json.loads(source.read_text(encoding="utf-8")), Levels()
    cells = []
    for cell in book["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = prepare_prose(levels("".join(cell["source"])), source)
            cells.append(cell)
        elif cell["cell_type"] == "code" and prepare_code(cell, source): cells.append(cell)
    if source.parent == NBS and source.name[:2].isdigit(): # the title says which lesson it is
        cells[0]["source"] = cells[0]["source"].replace("# ", f"# {source.name[:2]} ", 1)
    if source.name == "index.ipynb":
        cells.append({"cell_type": "markdown", "id": "contents", "metadata": {},
                      "source": contents()})
    return json.dumps({**book, "cells": cells}, ensure_ascii=False)


def contents() -> str:
    "The table of contents, as Sphinx wants it."
    trees = []
    for part, found in pages().items():
        names = "\n".join(place.rsplit(".", 1)[0] for _, place in found)
        if part: trees.append(f"```{{toctree}}\n:hidden:\n:caption: {part}\n\n{names}\n```")
    return "\n\n".join(trees)


def prepare(folder: Path) -> None:
    "Write every page's source into a folder."
    for source, place in PAGES.items():
        text = (prepare_notebook(source) if source.suffix == ".ipynb" else
                prepare_prose(source.read_text(encoding="utf-8"), source))
        (folder/place).parent.mkdir(parents=True, exist_ok=True)
        (folder/place).write_text(text, encoding="utf-8")


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
    return 0


def make(site: Path) -> int:
    "Make the book from scratch: it takes seconds, and nothing old can stay behind."
    if site.exists() and any(site.iterdir()) and not (site/"searchindex.js").exists():
        sys.exit(f"{site} holds something that is no book: name another folder, or an empty one.")
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder)/"pages")
        return build(Path(folder)/"pages", site)


if __name__ == "__main__":
    site = Path(sys.argv[1] if sys.argv[1:] else PROJECT/"_book")
    done = make(site)
    if not done: print(f"The book: {(site/'index.html').resolve()}")
    sys.exit(done)
