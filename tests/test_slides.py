"Slides show what a lesson says, and nothing of how it is kept; they need no network."
import re

import pytest
import slides
from bs4 import BeautifulSoup
from conftest import LESSONS

ONE = next(nb for nb in LESSONS if nb.name.startswith("02"))


@pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
def test_a_deck_fits_and_shows_no_plumbing(nb):
    cells, used = slides.deck(nb).cells, 0
    assert cells[0].metadata.slideshow.slide_type == "slide" and len(cells) >= 20
    for cell in cells:
        begins = cell.metadata.slideshow.slide_type == "slide"
        used = slides.weight(cell) if begins else used + slides.weight(cell)
        assert begins or used <= 2*slides.ROOM, cell.source
        assert "<details" not in cell.source, cell.source
        if cell.cell_type == "markdown": continue
        assert "#|" not in cell.source and not re.match(r"(assert|test_eq)", cell.source)
        assert len(cell.source.split("\n")) < slides.ROOM
    text = "\n".join(cell.source for cell in cells)
    assert "## Questions" not in text and "<!--" not in text


def test_a_folded_cell_and_a_check_stay_out():
    cell = slides.nbformat.v4.new_code_cell("print(1)\nassert True")
    assert slides.code(cell).source == "print(1)"
    cell.metadata["jupyter"] = {"source_hidden": True}
    assert slides.code(cell) is None
    hidden = slides.nbformat.v4.new_code_cell("#| hide\nprint(1)")
    assert slides.code(hidden) is None
    assert slides.code(slides.nbformat.v4.new_code_cell("import os")) is None


def test_the_page_needs_no_network(tmp_path, monkeypatch):
    (tmp_path/"npm"/"dist").mkdir(parents=True)
    (tmp_path/"npm"/"dist"/"reveal.js").write_text("//")
    monkeypatch.setenv("REVEAL", str(tmp_path/"npm"))
    slides.main(["02"], tmp_path/"out")
    page = BeautifulSoup((tmp_path/"out"/f"{ONE.stem}.html").read_text("utf-8"), "html.parser")
    loaded = [t.get("src") or t.get("href") for t in page.find_all(["script", "link", "img"])]
    assert "reveal.js/dist/reveal.js" in loaded
    assert not [where for where in loaded if where and where.startswith(("http", "//"))]
    assert (tmp_path/"out"/"reveal.js"/"dist"/"reveal.js").exists()
    assert len(page.select("section section")) > 40 and page.find("math")
    assert "$" not in page.select("section")[1].get_text()
    assert "02_manual_sgd" in (tmp_path/"out"/"index.html").read_text("utf-8")


@pytest.mark.parametrize("which, env, said", [(["99"], "", "There is no lesson 99"),
                                              (["02"], "nowhere", "holds no dist/reveal.js")])
def test_a_person_is_told(tmp_path, monkeypatch, which, env, said):
    if env: monkeypatch.setenv("REVEAL", str(tmp_path/env))
    with pytest.raises(SystemExit, match=said): slides.main(which, tmp_path/"out")
