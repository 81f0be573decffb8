"""What the book adds for its readers: heads of lessons, the reference, Markdown pages, a 404 page.

`book/make.py` asks for it. Nothing here runs a notebook or imports the package.
"""
import ast
import html
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace


def module_of(book: dict) -> str | None:
    "The module that a notebook exports to, without the package's name."
    code = "\n".join("".join(c["source"]) for c in book["cells"] if c["cell_type"] == "code")
    found = re.search(r"^#\|\s*default_exp\s+(\S+)", code, re.M)
    return found and found[1]


def defined(cell: dict) -> list[ast.stmt]:
    "The public functions and classes that an exported cell defines."
    code = "".join(cell["source"])
    if cell["cell_type"] != "code" or not re.search(r"^#\|\s*exports?\s*$", code, re.M): return []
    kinds = ast.FunctionDef, ast.ClassDef
    return [n for n in ast.parse(code).body if isinstance(n, kinds) and n.name[0] != "_"]


def head(node, code: str, indent="") -> str:
    "A definition without its body: names, docments, docstring, and of a class its public methods."
    lines, first = code.split("\n"), node.body[0]
    if first.lineno == node.lineno: own = lines[node.lineno - 1][:first.col_offset].rstrip()
    else: own = "\n".join(lines[node.lineno - 1:first.lineno - 1])
    said = ast.get_docstring(node, clean=True)
    parts = [own] + ([f'{indent}    "{said}"'] if said else [])
    if isinstance(node, ast.ClassDef):
        parts += [head(n, code, "    ") for n in node.body if isinstance(n, ast.FunctionDef)
                  and (n.name[0] != "_" or n.name in ("__init__", "__call__"))]
    return "\n".join(parts)


def names(book: dict) -> list[SimpleNamespace]: # name, text
    "What a notebook exports, each name once, as the reference shows it."
    found = {}
    for cell in book["cells"]:
        for node in defined(cell):
            found.setdefault(node.name, head(node, "".join(cell["source"])))
    return [SimpleNamespace(name=name, text=text) for name, text in found.items()]


def title_of(book: dict) -> str: return "".join(book["cells"][0]["source"]).split("\n")[0][2:]


def page_of(place: str) -> str: return place.rsplit(".", 1)[0] + ".html"


def reference(books: dict) -> str: # place in the book -> notebook
    "The page of all public names, with a link to the place where each is built."
    parts = ["# Reference", "> Every public name of the package, and the lesson that builds it",
             "Shapes, types and units stand beside the parameters, as in the source. "
             "The laboratory's own pages say what is behind the measurements."]
    for place, book in books.items():
        module, known = module_of(book), names(book)
        if not module or module.startswith("lab.") or not known: continue
        lesson = re.match(r"\d\d", place)
        title = f"{lesson[0]} {title_of(book)}" if lesson else title_of(book)
        parts += [f"## mnist_course.{module}", f'<p id="module-{module}">From '
                  f'<a href="{page_of(place)}">{html.escape(title)}</a></p>']
        for n in known:
            parts += [f"### {n.name}", f'<p id="{module}.{n.name}" class="to-reference">'
                      f'<a href="{page_of(place)}#def-{n.name}">where it is built</a></p>',
                      f"```python\n{n.text}\n```"]
    return "\n\n".join(parts) + "\n"


def links_to_reference(cell: dict, module: str, place: str, seen: set) -> dict | None:
    "A line below an exported cell, with a link to the reference for each name that is new."
    new = [n.name for n in defined(cell) if n.name not in seen]
    if not new or not module or module.startswith("lab."): return None
    seen.update(new)
    up = "../"*place.count("/")
    links = ", ".join(f'<a id="def-{name}" href="{up}reference.html#{module}.{name}">'
                      f"<code>{name}</code></a>" for name in new)
    return {"cell_type": "markdown", "id": f"def-{new[0]}", "metadata": {},
            "source": f'<p class="to-reference">Reference: {links}</p>'}


def lesson_head(book: dict, name: str, settings) -> str:
    "The line below a lesson's title: time, module, download, where to run it, the switch."
    first, stem = "".join(book["cells"][0]["source"]), name.rsplit(".", 1)[0]
    takes = re.search(r"\*\*It takes\*\* (.+?)\.(?:\s|$)", first)
    repo = settings["git_url"].removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repo}/blob/main/nbs/{name}"
    binder = f"https://mybinder.org/v2/gh/{repo}/main?urlpath=lab/tree/nbs/{name}"
    module, parts = module_of(book), []
    if takes: parts.append(f"Takes {html.escape(takes[1])}")
    if module: parts.append(f'builds <a href="reference.html#module-{module}">'
                            f"<code>mnist_course.{module}</code></a>")
    parts += [f'<a href="notebooks/{name}" download>notebook</a>',
              f'<a href="{stem}.md" download>Markdown</a>', f'<a href="{colab}">Colab</a>',
              f'<a href="{binder}">Binder</a>']
    switch = ('<button type="button" id="show-checks" aria-pressed="false" hidden>'
              "Show checks</button>")
    return f'<p class="lesson-head">{" · ".join(parts)} {switch}</p>'


def plain(text: str) -> str:
    "Markdown without the blocks that only a browser can use."
    kept = [block for block in text.split("\n\n")
            if not re.match(r"<(?:div|p|link|script)\b|```\{", block.lstrip("\n"))]
    return "\n\n".join(kept)


def as_markdown(book: dict) -> str: # a notebook as `make.prepare_notebook` gives it
    "A prepared notebook as one Markdown text: prose, code, and what the code printed."
    parts = []
    for cell in book["cells"]:
        source, tags = cell["source"], cell["metadata"].get("tags", [])
        if cell["cell_type"] == "markdown":
            parts.append(plain(source))
            continue
        if "check" in tags: continue
        if "remove-input" not in tags: parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"] if "remove-output" not in tags else ():
            data = output.get("data", {})
            pictures = [m["alt"] for k, m in output.get("metadata", {}).items() if "alt" in m]
            text = "".join(data.get("text/plain", output.get("text", ""))).strip("\n")
            if "text/markdown" in data: parts.append("".join(data["text/markdown"]))
            elif pictures: parts.append(f"*Picture: {pictures[0]}*")
            elif text: parts.append(f"```\n{text}\n```")
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def llms(parts: dict, titles: dict, settings) -> str: # part -> places; place -> (title, subtitle)
    "What a language model finds first: the book's pages as Markdown, with a line on each."
    lines = [f"# {settings['title']}", f"> {settings['description']}"]
    for part, places in parts.items():
        rows = [f"- [{titles[p][0]}]({p.rsplit('.', 1)[0]}.md): {titles[p][1]}".rstrip(": ")
                for p in places]
        lines += [f"## {part or 'Start'}", "\n".join(rows)]
    return "\n\n".join(lines) + "\n"


def not_found(settings) -> str:
    "The page for addresses that lead nowhere; it may be shown at any depth, so it needs nothing."
    home = f"{settings['doc_host']}{settings['doc_baseurl']}/"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Not found - {settings['title']}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<style>body {{ font: 1.1rem/1.5 sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem;
  background: #fff; color: #222; }} a {{ color: #0b4fa8; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #131416; color: #ddd; }}
  a {{ color: #8ab8f0; }} }}
</style></head>
<body><main role="main"><h1>There is no such page</h1>
<p>Perhaps it was moved or never was; a network would have given you an answer all the same.</p>
<p><a href="{home}index.html">The front page</a>, <a href="{home}search.html">the search</a>,
<a href="{home}draw.html">a sheet to draw a digit on</a></p></main></body></html>
"""


def add(pages: Path, site: Path, parts: dict, notebooks: dict, settings) -> None:
    """Put Markdown pages, `llms.txt`, the notebooks and the 404 page into the site.

    `pages` holds the prepared pages; `notebooks` leads from a page's place to its notebook.
    """
    titles = {}
    for place in (p for places in parts.values() for p in places):
        text = (pages/place).read_text(encoding="utf-8")
        text = as_markdown(json.loads(text)) if place.endswith(".ipynb") else plain(text)
        target = (site/place).with_suffix(".md")
        target.write_text(text, encoding="utf-8")
        subtitle = re.search(r"^> (.+)$", text, re.M)
        titles[place] = text.split("\n")[0].removeprefix("# "), subtitle[1] if subtitle else ""
    (site/"llms.txt").write_text(llms(parts, titles, settings), encoding="utf-8")
    (site/"404.html").write_text(not_found(settings), encoding="utf-8")
    (site/"notebooks").mkdir()
    for place, source in notebooks.items():
        if "/" not in place: shutil.copyfile(source, site/"notebooks"/place)
