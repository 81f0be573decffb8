"""The book as an ePub, for reading without a browser: `make epub`.

    python book/epub.py [FILE]

The same pages as the website, from the committed notebooks, without what needs a script: the
sheet to draw on, figures that move, switches, and the checks behind them. Sphinx writes the pages;
here they are made XHTML and packed.
"""
import json
import re
import sys
import tempfile
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import make
from bs4 import BeautifulSoup

LEFT_OUT = "draw.md", # it is nothing without its scripts
SETTINGS = {"html_js_files": [], "html_css_files": [], "html_static_path": [],
            "epub_css_files": [], "epub_show_urls": "no", "epub_tocscope": "includehidden",
            "epub_title": make.SETTINGS["title"], "epub_author": make.SETTINGS["author"],
            "epub_publisher": make.SETTINGS["author"], "epub_copyright": make.SETTINGS["copyright"],
            "epub_description": make.SETTINGS["description"], "epub_scheme": "URL",
            "epub_identifier": make.SETTINGS["git_url"], "epub_uid": "book",
            "version": make.SETTINGS["version"], "html_title": make.SETTINGS["title"],
            "suppress_warnings": ["epub.unknown_project_files"]}
STYLE = """
pre { white-space: pre-wrap; font-size: .8em; background: #f4f4f4; padding: .4em; }
.cell_output pre { background: none; border-left: .2em solid #ccc; }
img { max-width: 100%; height: auto; background: #fff; }
table { border-collapse: collapse; font-size: .8em; } th, td { padding: .1em .5em; }
.headerlink { display: none; }
"""
SCRIPTED = re.compile(r'<div class="(?:live|here)".*?</div>|<(?:script|noscript)\b.*?</(?:script|'
                      r"noscript)>|<link\b[^>]*>|<button\b.*?</button>", re.S)


def prepare(folder: Path) -> None:
    "The website's prepared pages, without what needs a script."
    make.prepare(folder)
    for name in LEFT_OUT: (folder/name).unlink()
    for page in folder.rglob("*.ipynb"):
        book = json.loads(page.read_text("utf-8"))
        book["cells"] = [c for c in book["cells"] if "check" not in c["metadata"].get("tags", ())]
        for cell in book["cells"]:
            if cell["cell_type"] != "markdown": continue
            source = cell["source"].replace(make.front_sheet(), "") if page.stem == "index" \
                else SCRIPTED.sub("", cell["source"])
            cell["source"] = re.sub(r"\n(draw)\n", "\n", source) if cell["id"] == "contents" \
                else source
        book["cells"] = [c for c in book["cells"] if c["source"]]
        page.write_text(json.dumps(book, ensure_ascii=False), "utf-8")


def build(pages: Path, out: Path) -> int:
    "Let Sphinx write the pages, a warning being an error. Its exit code."
    from sphinx.application import Sphinx
    app = Sphinx(pages, make.HERE, out, pages.with_name("doctrees"), "epub", SETTINGS, status=None,
                 warningiserror=True)
    app.build()
    return app.statuscode


def as_xhtml(text: str) -> str:
    "A page as XML: as it is if it is that already, else by way of a reader of HTML."
    try: ElementTree.fromstring(text)
    except ElementTree.ParseError:
        soup = BeautifulSoup(text[text.index("<html"):], "html.parser")
        text = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n' + str(soup)
        ElementTree.fromstring(text)
    return text


def finish(out: Path) -> None:
    "Make all pages XHTML, with links to one another and to the website for what is not here."
    home = f"{make.SETTINGS['doc_host']}{make.SETTINGS['doc_baseurl']}/"
    for page in out.rglob("*.xhtml"):
        text = page.read_text("utf-8")
        def lead(found, page=page):
            path, place = found[2], found[3] or ""
            there = path.removesuffix(".html") + ".xhtml" if path.endswith(".html") else path
            if (page.parent/there).exists(): return f'{found[1]}{there}{place}"'
            path = (page.parent/path).resolve().relative_to(out.resolve()).as_posix()
            return f'{found[1]}{home}{path}{place}"'
        text = re.sub(r'(<a [^>]*?href=")([^":#]+)(#[^"]*)?"', lead, text)
        text = re.sub(r'<link [^>]*mystnb[^>]*>|<script.*?</script>', "",
                      text, flags=re.S) # the looks are STYLE's; nothing else is listed
        page.write_text(as_xhtml(text), "utf-8")
    style = out/"_static"/"epub.css"
    style.write_text(style.read_text("utf-8") + STYLE, "utf-8")
    listed = (out/"content.opf").read_text("utf-8") # says which pages have formulas
    for name in re.findall(r'href="([^"]+\.xhtml)"', listed):
        if "<math" in (out/name).read_text("utf-8"):
            listed = listed.replace(f' href="{name}"', f' href="{name}" properties="mathml"')
    (out/"content.opf").write_text(listed, "utf-8")


def pack(out: Path, file: Path) -> None:
    "The files of a folder as an ePub: `mimetype` first and unpacked, as readers expect it."
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        book.write(out/"mimetype", "mimetype", zipfile.ZIP_STORED)
        listed = (out/"content.opf").read_text("utf-8")
        for name in ["META-INF/container.xml", "content.opf",
                     *re.findall(r'<item [^>]*?href="([^"]+)"', listed)]:
            book.write(out/name, name)


def make_epub(file: Path) -> int:
    "The whole book as one file."
    with tempfile.TemporaryDirectory() as folder:
        pages, out = Path(folder)/"pages", Path(folder)/"epub"
        prepare(pages)
        done = build(pages, out)
        if done: return done
        finish(out)
        file.parent.mkdir(parents=True, exist_ok=True)
        pack(out, file)
    return 0


if __name__ == "__main__":
    file = Path(sys.argv[1] if sys.argv[1:] else make.PROJECT/"_book.epub")
    done = make_epub(file)
    if not done: print(f"The book: {file.resolve()}")
    sys.exit(done)
