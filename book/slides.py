"""Slides of the lessons, made from the notebooks as they are committed. Nothing is run.

    python book/slides.py [LESSON ...]      such as 02; every lesson if none is named

What a lesson shows is cut into slides: one idea, one picture or one short cell on each. Checks,
hidden and folded cells, long cells and folded answers are left out; formulas become MathML, so that
no script has to be loaded for them. nbconvert's reveal writes them into `_slides`.

reveal.js itself moves the slides. REVEAL names a folder that holds it (unpacked from npm, with
`dist` in it); otherwise npm is asked for it once. If neither is to be had, the slides load it from
the network when they are shown, and say so.
"""
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import SlidesExporter
from traitlets.config import Config

PROJECT = Path(__file__).parent.parent.resolve()
VERSION = "5.2.1"                                         # of reveal.js
REMOTE = f"https://unpkg.com/reveal.js@{VERSION}"
ROOM = 17                                                 # lines of a slide
STYLE = """<style>
.reveal .slides section {text-align: left; font-size: 30px}
.reveal .slides section h1, .reveal .slides section h2, .reveal .slides section h3 {
  text-transform: none; letter-spacing: 0; font-weight: 600; margin: 0 0 .4em}
.reveal .slides section h1 {font-size: 1.9em} .reveal .slides section h2 {font-size: 1.5em}
.reveal .slides section h3 {font-size: 1.2em}
.jp-InputPrompt, .jp-OutputPrompt, .jp-Collapser, .anchor-link {display: none !important}
.reveal pre {width: 100%; font-size: 20px; box-shadow: none; line-height: 1.3; margin: 0}
.jp-OutputArea-output pre {font-size: 19px} .jp-RenderedHTMLCommon {font-size: 28px !important}
.reveal .highlight pre {white-space: pre-wrap}
.reveal img, .reveal svg {max-height: 420px; max-width: 100%}
</style>"""


def formulas(text: str) -> str:
    "Formulas as MathML, but not those in code."
    def math(found):
        if found[1]: return found[0]
        display = "block" if found[2] else "inline"
        return convert((found[2] or found[3]).strip(), display=display)
    return re.sub(r"(```.*?```|`[^`\n]+`)|\$\$(.+?)\$\$|\$([^$\n]+?)\$", math, text, flags=re.S)


def prose(text: str) -> list[str]:
    "The paragraphs of a text cell that a slide can hold."
    text = re.sub(r"<!--.*?-->|<details>.*?</details>|<small>.*?</small>|^---$", "", text,
                  flags=re.S | re.M)
    parts = re.split(r"\n{2,}(?![^\n]*```)", text.strip())
    unlinked = [re.sub(r"\[([^\]]+)\]\((?!http)[^)]*\)", r"\1", p) for p in parts if p.strip()]
    return [formulas(p) for p in unlinked]


def weight(cell) -> float:
    "About how many lines it takes."
    if cell.cell_type == "markdown":
        lines = cell.source.split("\n")
        words = len(re.sub(r"<math.*?</math>", "x", cell.source, flags=re.S).split())
        return max(len(lines), words/11) + .8
    shown = 0
    for o in cell.outputs:
        data = o.get("data", {})
        rich = {"image/png", "image/svg+xml", "text/html", "text/markdown"} & set(data)
        text = "".join(o.get("text") or data.get("text/plain", ""))
        shown += 9 if rich else len(text.split("\n"))
    return .7*len(cell.source.split("\n")) + .7*shown + .8


def code(cell):
    "A code cell as a slide shows it, or None: checks, machinery and what is folded stay out."
    source = cell.source
    asked = re.findall(r"^#\|\s*([\w:]+)", source, re.M)
    folded = cell.metadata.get("jupyter", {}).get("source_hidden") or \
        "hide-input" in cell.metadata.get("tags", [])
    source = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip("\n")
    if {"hide", "default_exp"} & set(asked) or folded or not source: return None
    lines = [line for line in source.split("\n") if not re.match(r"(assert|test_\w+\()", line)]
    plumbing = all(re.match(r"\s*(from |import |#|$|course_style|\))", line) for line in lines)
    if plumbing or len(lines) > ROOM - 1: return None
    made = nbformat.v4.new_code_cell("\n".join(lines))
    made.outputs = [short(o) for o in cell.outputs if o.output_type != "error"]
    return made if weight(made) <= 2*ROOM else None


def short(output):
    "An output with at most nine lines of text; HTML stays as it is."
    output = nbformat.from_dict(json.loads(json.dumps(output)))
    def cut(text):
        lines = "".join(text).split("\n")
        return "\n".join([line[:92] for line in lines[:9]] + (["…"] if len(lines) > 9 else []))
    if "text" in output: output.text = cut(output.text)
    elif "text/plain" in output.get("data", {}):
        output.data["text/plain"] = cut(output.data["text/plain"])
    return output


def deck(nb: Path) -> nbformat.NotebookNode:
    "A lesson's notebook, cut into slides."
    items, book = [], nbformat.read(nb, as_version=4)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            parts = prose(cell.source)
            if any(re.match(r"## (Exercises|Questions)", p) for p in parts): break
            items += [nbformat.v4.new_markdown_cell(p) for p in parts if "**Exercise" not in p]
        elif made := code(cell): items.append(made)
    used = 99.
    for i, item in enumerate(items):
        head = item.cell_type == "markdown" and item.source.startswith("#")
        need = weight(item) + (weight(items[i + 1]) if head and i + 1 < len(items) else 0)
        begins = head or used + need > ROOM
        item.metadata["slideshow"] = {"slide_type": "slide" if begins else "-"}
        used = weight(item) if begins else used + weight(item)
    made = nbformat.v4.new_notebook(cells=items, metadata=book.metadata)
    made.metadata["title"] = re.sub("^# ", "", items[0].source)
    return made


def plain(page: str, reveal: str) -> str:
    "The page with plain script tags: no jQuery, RequireJS, MathJax or mermaid to be fetched."
    page = re.sub(r"<script[^>]*\bsrc=[^>]*>\s*</script>", "", page)
    page = re.sub(r"<script[^>]*>(?:(?!</script>).)*(mermaid|MathJax|require\()"
                  r"(?:(?!</script>).)*</script>", "", page, flags=re.S)
    start = (f'<script src="{reveal}/dist/reveal.js"></script><script>Reveal.initialize({{hash: '
             'true, slideNumber: "c/t", width: 1100, height: 760, margin: .03, center: false, '
             'transition: "none"});</script>')
    return page.replace("</head>", STYLE + "</head>", 1).replace("</body>", start + "</body>", 1)


def slides(nb: Path, reveal: str) -> str:
    "A lesson as a page of slides."
    config = Config({"SlidesExporter": {"reveal_url_prefix": reveal, "reveal_theme": "white"}})
    page, _ = SlidesExporter(config=config).from_notebook_node(deck(nb))
    return plain(page, reveal)


def get_reveal(folder: Path) -> str:
    "Put reveal.js into the folder; how the slides get at it."
    target = folder/"reveal.js"
    named = os.environ.get("REVEAL")
    if named and not (Path(named)/"dist"/"reveal.js").is_file():
        sys.exit(f"{named} holds no dist/reveal.js: unpack reveal.js from npm there.")
    if named: shutil.copytree(Path(named)/"dist", target/"dist", dirs_exist_ok=True)
    if (target/"dist"/"reveal.js").is_file(): return "reveal.js"
    with tempfile.TemporaryDirectory() as tmp:
        try:
            subprocess.run(["npm", "pack", f"reveal.js@{VERSION}"], cwd=tmp, check=True,
                           capture_output=True, timeout=120)
            with tarfile.open(next(Path(tmp).glob("*.tgz"))) as tar:
                tar.extractall(tmp, filter="data")
            shutil.copytree(Path(tmp)/"package"/"dist", target/"dist")
        except (OSError, subprocess.SubprocessError, StopIteration):
            print("reveal.js is not to be had here (npm, or its folder in REVEAL): the slides will "
                  "load it from the network when they are shown.")
            return REMOTE
    return "reveal.js"


def main(which: list[str], folder: Path) -> None:
    "Write the slides of the lessons that are named, and a page that lists them."
    known = sorted((PROJECT/"nbs").glob("[0-9][0-9]_*.ipynb"))
    chosen = [nb for nb in known if not which or any(nb.name.startswith(w) for w in which)]
    if not chosen:
        sys.exit(f"There is no lesson {' '.join(which)}: choose from "
                 f"{', '.join(nb.stem for nb in known)}.")
    folder.mkdir(parents=True, exist_ok=True)
    reveal = get_reveal(folder)
    for nb in chosen:
        out = folder/f"{nb.stem}.html"
        out.write_text(slides(nb, reveal), encoding="utf-8")
        print(out)
    links = "".join(f"<li><a href='{f.name}'>{html.escape(f.stem)}</a></li>"
                    for f in sorted(folder.glob("[0-9][0-9]_*.html")))
    (folder/"index.html").write_text("<!doctype html><html lang='en'><meta charset='utf-8'><title>"
                                     f"Slides</title><h1>Slides</h1><ul>{links}</ul></html>",
                                     encoding="utf-8")


if __name__ == "__main__": main(sys.argv[1:], PROJECT/"_slides")
