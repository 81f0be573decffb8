"The book as an ePub: the file is what readers expect, and every page in it is XML."
import os
import posixpath
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import epub
import pytest
from conftest import LESSONS, PROJECT, cells

XHTML = "{http://www.w3.org/1999/xhtml}"
OPF = "{http://www.idpf.org/2007/opf}"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    "The ePub, made from this checkout; or the one that EPUB names, as it is."
    file = Path(os.environ.get("EPUB") or tmp_path_factory.mktemp("epub")/"book.epub")
    if not file.exists():
        done = subprocess.run([sys.executable, PROJECT/"book"/"epub.py", file],
                              capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0 and "WARNING" not in done.stderr, done.stdout + done.stderr
    with zipfile.ZipFile(file) as opened: yield opened


@pytest.fixture(scope="module")
def pages(book):
    return {name: ElementTree.fromstring(book.read(name)) for name in book.namelist()
            if name.endswith(".xhtml")}


def test_its_type_comes_first_and_unpacked(book):
    first = book.infolist()[0]
    assert first.filename == "mimetype" and first.compress_type == zipfile.ZIP_STORED
    assert book.read("mimetype") == b"application/epub+zip" and not first.extra
    assert book.testzip() is None
    [root] = ElementTree.fromstring(book.read("META-INF/container.xml")).iter(
        "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile")
    assert root.get("full-path") == "content.opf"


def test_what_is_listed_is_there(book, pages):
    package = ElementTree.fromstring(book.read("content.opf"))
    items = {item.get("href"): item for item in package.iter(f"{OPF}item")}
    assert set(items) | {"mimetype", "META-INF/container.xml", "content.opf"} == \
        set(book.namelist()) and len(items) > 100
    for name, page in pages.items():
        formulas = page.find(".//{http://www.w3.org/1998/Math/MathML}math") is not None
        assert ("mathml" in (items[name].get("properties") or "")) == formulas, name
    spine = [item.get("idref") for item in package.iter(f"{OPF}itemref")]
    order = [items[f"{nb.stem}.xhtml"].get("id") for nb in LESSONS]
    assert [name for name in spine if name in order] == order


@pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
def test_every_lesson_is_in_it(nb, pages):
    page = pages[f"{nb.stem}.xhtml"]
    title = re.match(r"# (.+)", cells(nb)[0][1])[1]
    assert "".join(page.find(f".//{XHTML}h1").itertext()).startswith(f"{nb.name[:2]} {title}")
    shown = {"".join(pre.itertext()).strip() for pre in page.iter(f"{XHTML}pre")}
    for _, source, _ in cells(nb, "code"):
        if not re.search(r"^#\|\s*export\s*$", source, re.M): continue
        assert re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip() in shown
    assert len(list(page.iter(f"{XHTML}img"))) > 0


def test_pages_need_no_script_and_lead_somewhere(book, pages):
    ids = {name: {tag.get("id") for tag in page.iter()} for name, page in pages.items()}
    n, names = 0, set(book.namelist())
    for name, page in pages.items():
        for tag in page.iter():
            kind = tag.tag.removeprefix(XHTML)
            assert kind not in ("script", "button", "canvas", "noscript"), f"{name}: {kind}"
            link = tag.get("src") or tag.get("href")
            if not link: continue
            if re.match(r"\w+:", link):
                assert kind == "a", f"{name}: {link} would be loaded from elsewhere"
                continue
            path, _, place = unquote(link).partition("#")
            there = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path \
                else name
            assert there in names, f"{name}: {link}"
            if place and there in ids: assert place in ids[there], f"{name}: {link}"
            n += 1
    assert n > 500
    for page in pages.values(): assert "To move." not in "".join(page.itertext())


def test_what_is_no_xml_becomes_xml():
    broken = '<?xml version="1.0"?><!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml">' \
             '<body><p hidden>a<br>b &amp; &nbsp;c</p></body></html>'
    body = ElementTree.fromstring(epub.as_xhtml(broken))[0]
    assert [tag.tag.removeprefix(XHTML) for tag in body.iter()] == ["body", "p", "br"]
    fine = '<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>'
    assert epub.as_xhtml(fine) == fine
