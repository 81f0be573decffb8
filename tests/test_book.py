"The book shows what the notebooks hold, leads nowhere that is not there, and needs no network."
import html
import json
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import make
import pytest
from bs4 import BeautifulSoup
from conftest import LESSONS, NOTEBOOKS, PROJECT, built_book, cells, prose
from mnist_course.lab import benchmarks

notebook = pytest.mark.parametrize("nb", NOTEBOOKS, ids=lambda nb: nb.stem)
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
REMOTE = re.compile(r"^(?:\w+:)?//")


class Site:
    "The built book: its folder, and its pages by name, read once."
    def __init__(self, folder):
        self.folder = folder
        self.pages = {f.relative_to(folder).as_posix(): BeautifulSoup(f.read_bytes(), "html.parser")
                      for f in sorted(folder.rglob("*.html"))}

    def page(self, nb):
        return self.pages[nb.relative_to(PROJECT/"nbs").with_suffix(".html").as_posix()]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(built_book(tmp_path_factory))


def shown_code(nb):
    "The code cells that the book shows, as (code, exported, shows its code, outputs)."
    for cell in json.loads(nb.read_text("utf-8"))["cells"]:
        if cell["cell_type"] != "code": continue
        source = "".join(cell["source"])
        asked = re.findall(r"^#\|\s*(\w+)", source, re.M)
        code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip("\n")
        if code and "hide" not in asked:
            open_to_see = "hide-input" not in cell["metadata"].get("tags", [])
            yield code, bool({"export", "exporti"} & set(asked)), open_to_see, cell["outputs"]


def hidden_code(nb):
    "The code cells that the book shows only to who asks for the checks."
    for _kind, source, _outputs in cells(nb, "code"):
        code = re.sub(r"^#\|.*\n?", "", source, flags=re.M).strip("\n")
        if code and re.search(r"^#\|\s*hide\b", source, re.M): yield code


def words(page):
    "The text of a page that is neither code nor a formula."
    copy = BeautifulSoup(str(page.find(role="main")), "html.parser")
    for part in copy.find_all(["pre", "code", "math", "script", "style"]): part.decompose()
    return copy.get_text()


@notebook
def test_every_notebook_has_a_page(nb, site):
    title = re.match(r"# (.+)", prose(nb))[1]
    number = f"{nb.name[:2]} " if nb in LESSONS else ""
    [h1] = site.page(nb).find_all("h1")
    assert h1.find(string=True) == number + title
    name = nb.relative_to(PROJECT/"nbs").with_suffix(".html").as_posix()
    if nb.stem != "index":
        menu = site.pages["index.html"].select(".sidebar-tree a")
        assert [a["href"] for a in menu].count(name) == 1


def test_lessons_follow_one_another(site):
    order = [nb.with_suffix(".html").name for nb in LESSONS]
    for here, following in zip(order, order[1:], strict=False):
        assert site.pages[here].select_one("a.next-page")["href"] == following
        assert site.pages[following].select_one("a.prev-page")["href"] == here


def test_headings_go_down_by_single_steps(site):
    for name, page in site.pages.items():
        if name == "search.html": continue # the theme's own
        levels = [int(h.name[1]) for h in page.find(role="main").find_all(re.compile("^h[1-6]$"))]
        assert levels[0] == 1 and levels.count(1) == 1, name
        assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), name


def test_links_lead_somewhere(site):
    n = 0
    for name, page in site.pages.items():
        here = site.folder/name
        for tag in page.find_all(["a", "img", "link", "script", "object", "source", "iframe"]):
            link = tag.get("href") or tag.get("src") or tag.get("data")
            if not link or re.match(r"\w+:|//", link): continue
            path, _, anchor = unquote(link).partition("#")
            target = (here.parent/path.split("?")[0]).resolve() if path else here
            assert target.is_file(), f"{name}: {link}"
            n += 1
            if anchor and target.suffix == ".html":
                there = site.pages[target.relative_to(site.folder.resolve()).as_posix()]
                assert there.find(id=anchor), f"{name}: {link}"
    assert n > 1000


def test_nothing_is_loaded_from_the_network(site):
    for name, page in site.pages.items():
        for tag in page.find_all(True):
            for key in ("src", "srcset", "data", "poster", "href", "xlink:href"):
                if key == "href" and tag.name == "a": continue
                assert not REMOTE.match(tag.get(key) or ""), f"{name}: {tag}"
        for style in page.find_all("style"): assert "http" not in style.get_text(), name
        for script in page.find_all("script"): assert "http" not in script.get_text(), name
    for css in site.folder.rglob("*.css"):
        loaded = re.findall(r"(?:url\(|@import)\s*['\"]?([^)'\"]*)", css.read_text("utf-8"))
        assert not any(REMOTE.match(link) for link in loaded), css.name


@notebook
def test_code_is_the_notebooks_without_directives(nb, site):
    cells = list(shown_code(nb))
    page = site.page(nb)
    wanted = [code for code, _, open_to_see, _ in cells if open_to_see]
    shown = page.select("div.cell:not(.tag_check) > .cell_input pre, "
                        "div.cell:not(.tag_check) > details .cell_input pre")
    assert [pre.get_text().strip("\n") for pre in shown] == wanted
    checks = page.select("div.cell.tag_check .cell_input pre")
    assert [pre.get_text().strip("\n") for pre in checks] == list(hidden_code(nb))
    assert len(page.select(".tag_exported")) == sum(exported for _, exported, _, _ in cells)
    assert not re.search(r"^\s*#\|", page.get_text(), re.M)


@notebook
def test_outputs_are_the_committed_ones(nb, site):
    page, alts, tables, said = site.page(nb), [], 0, []
    for *_, outputs in shown_code(nb):
        for o in outputs:
            data = o.get("data", {})
            kind = next((k for k in ("text/html", "image/svg+xml", "image/png", "text/markdown",
                                     "text/plain") if k in data), "stream")
            text = "".join(data.get(kind, o.get("text", "")))
            if kind.startswith("image"): alts.append(o["metadata"][kind]["alt"])
            elif kind in ("text/plain", "stream"): said.append(text.strip())
            else: tables += text.count("<table") or "| ---" in text
    assert [img["alt"] for img in page.select(".cell_output img")] == alts
    assert len(page.select(".cell_output table")) == tables
    shown = re.sub(r"\s+", "", "".join(pre.get_text() for pre in page.select(".cell_output pre")))
    assert shown == re.sub(r"\s+", "", "".join(said))


@notebook
def test_formulas_are_drawn(nb, site):
    text = re.sub(r"```.*?```|`[^`\n]*`|<code>.*?</code>", "", prose(nb), flags=re.S)
    formulas = re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", text, re.S)
    drawn = site.page(nb).find_all("math")
    assert len(drawn) == len(formulas)
    for math in drawn: assert "\\" not in math.get_text() and "merror" not in str(math), math
    assert not re.search(r"\$|\\[a-zA-Z]+", words(site.page(nb)))


@notebook
def test_comments_are_taken_out(nb, site):
    page = site.page(nb)
    assert "<!--" not in html.unescape(words(page))
    assert not re.search(r"<!--\s*[\w.]+\s*-->", str(page.find(role="main")))
    quoted = re.findall(r"(\S+?)<!-- [\w.]+ -->", prose(nb))
    for figure in set(quoted): assert figure.strip("(*`") in page.get_text(), figure


@notebook
def test_folded_answers(nb, site):
    asked = re.findall(r"<details><summary>(.+?)</summary>\n(.+?)</details>", prose(nb), re.S)
    found = site.page(nb).select("article details:not(.hide)") # those are folded code
    assert len(found) == len(asked)
    for details, (summary, answer) in zip(found, asked, strict=True):
        question = BeautifulSoup(summary, "html.parser").get_text()
        assert details.find("summary").get_text() == question
        answer = BeautifulSoup(answer, "html.parser").get_text()
        answer = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", answer) # a link shows its words
        shown = "".join(p.get_text() for p in details.find_all(["p", "pre"]))
        if "$" not in answer:
            assert re.sub(r"[\s*`]", "", shown) == re.sub(r"[\s*`]", "", answer)
        assert "`" not in details.get_text()


def test_front_page_links_colab_in_words(site):
    page = site.pages["index.html"]
    links = [a for a in page.select("article a") if "colab" in a["href"]]
    assert len(links) == len(LESSONS)
    assert all(a.get_text() == "Colab" and not a.find("img") for a in links)


@pytest.mark.parametrize("nb", LESSONS, ids=lambda nb: nb.stem)
def test_a_lessons_head_leads_on(nb, site):
    page = site.page(nb)
    [line] = page.select(".lesson-head")
    links = {a.get_text(): a["href"] for a in line.find_all("a")}
    assert json.loads((site.folder/links["notebook"]).read_text("utf-8")) == \
        json.loads(nb.read_text("utf-8"))
    for place in "Colab", "Binder": assert links[place].endswith(f"nbs/{nb.name}")
    assert line.find("button", id="show-checks")
    takes = re.search(r"\*\*It takes\*\* (.+?)\.(?:\s|$)", prose(nb))
    assert (takes[1] if takes else "mnist_course") in line.get_text()
    text = (site.folder/links["Markdown"]).read_text("utf-8")
    assert text.startswith(f"# {nb.name[:2]} ") and text.count("```python") > 5
    for code, exported, open_to_see, _ in shown_code(nb):
        if exported and open_to_see: assert code in text


def test_reference_and_lessons_lead_to_each_other(site):
    page, n = site.pages["reference.html"], 0
    for line in page.select("p.to-reference"):
        module, _, name = line["id"].rpartition(".")
        place, anchor = line.a["href"].split("#")
        there = site.pages[place].find(id=anchor)
        up = "../"*place.count("/")
        assert there.get_text() == name and there["href"] == f"{up}reference.html#{line['id']}"
        shown = line.find_next("pre").get_text()
        assert re.search(rf"(def|class) {name}\b", shown), line["id"]
        n += 1
    assert n > 60
    [softmax] = [p for p in page.select("p.to-reference") if p["id"] == "ten_digits.softmax"]
    text = softmax.find_next("pre").get_text()
    assert "(bs, c)" in text and "share of the sum of exponentials" in text


def test_reference_has_every_public_name(site):
    page = site.pages["reference.html"]
    listed = {p["id"] for p in page.select("p.to-reference")}
    for nb in LESSONS:
        module = re.search(r"#\| default_exp (\S+)", "\n".join(s for _, s, _ in cells(nb)))[1]
        code = (PROJECT/"mnist_course"/f"{module}.py").read_text("utf-8")
        names = re.findall(r"^(?:def|class) ([a-zA-Z]\w*)", code, re.M)
        assert names and {f"{module}.{name}" for name in names} <= listed


def test_llms_txt_leads_to_markdown(site):
    text = (site.folder/"llms.txt").read_text("utf-8")
    links = re.findall(r"\]\(([^)]+\.md)\)", text)
    assert len(links) == len(set(links)) == len(make.PAGES)
    for link in links:
        page = (site.folder/link).read_text("utf-8")
        assert page.startswith("# ") and "<script" not in page, link


def test_not_found_and_previews(site):
    page, home = site.pages["404.html"], make.SETTINGS["doc_host"] + make.SETTINGS["doc_baseurl"]
    for a in page.find_all("a"):
        assert a["href"].startswith(f"{home}/") # it is shown at any depth
        assert (site.folder/a["href"].removeprefix(f"{home}/")).is_file()
    lesson = site.pages["02_manual_sgd.html"]
    preview = {m["property"]: m["content"] for m in lesson.select("meta[property]")}
    assert preview["og:title"] == "02 SGD by hand"
    assert preview["og:url"] == f"{home}/02_manual_sgd.html"
    assert (site.folder/preview["og:image"].removeprefix(f"{home}/")).stat().st_size < 100_000
    assert (site.folder/lesson.select_one("link[rel~=icon]")["href"].split("?")[0]).is_file()


def test_previews_know_every_page(site):
    text = (site.folder/"_static"/"previews.js").read_text("utf-8")
    known = json.loads(text.removeprefix("const PREVIEWS = ").removesuffix(";\n"))
    assert len(text) < 250_000 and set(known) == set(site.pages) - {"404.html", "search.html"}
    for name, places in known.items():
        assert places[""][0] == site.pages[name].find("h1").find(string=True), name
        for place, (title, words) in places.items():
            assert title and len(words) <= 202 and (not place or site.pages[name].find(id=place))


def test_no_button_offers_what_is_not_there(site):
    live = (site.folder/"_static"/"here"/"pyodide.asm.wasm").exists() # made with LIVE=1
    offers = [name for name, page in site.pages.items() if page.select(".here, .here-not")]
    assert offers == (["07_backprop_python.html", "08_backprop_numpy.html"] if live else [])


def test_front_page_draws_first(site):
    page = site.pages["index.html"]
    sheet = page.find(id="front")
    assert sheet.find_previous("blockquote") and not sheet.find_previous("img")
    described = json.loads(sheet["data-methods"])
    assert [m["name"] for m in described] == list(make.FRONT)
    for method in described: assert site.pages[f"{method['lesson']}.html"]
    climb = page.select_one("article img")
    assert "Results in two panels" in climb["alt"] # the next thing that is to be seen
    assert "draw.html" in [a["href"] for a in sheet.find_all("a")]


def test_side_by_side_is_the_results(site):
    page = site.pages["lab/benchmarks.html"]
    rows = [[td.get_text() for td in tr.find_all("td")] for tr in page.find_all("tr")]
    groups = benchmarks.load().values()
    ways = [w for g in groups for c in g.get("comparisons", []) for w in c["ways"]]
    assert len(ways) > 10
    for way in ways:
        shown = [row for row in rows if way["name"] in row]
        took = benchmarks.duration(way["median"])
        assert any(took in row for row in shown), (way["name"], took)
    assert all(len(img["alt"].split()) >= 4 for img in page.select("article img"))


@pytest.mark.skipif(not BROWSER, reason="no browser to print with")
@pytest.mark.parametrize("card", ["quick_reference", "training_loop", "batching", "shapes"])
def test_a_card_is_printed_on_one_page(card, site, tmp_path):
    pdf, page = tmp_path/"card.pdf", site.folder/"cards"/f"{card}.html"
    subprocess.run([BROWSER, "--headless", "--no-sandbox", "--disable-gpu",
                    "--no-pdf-header-footer", f"--print-to-pdf={pdf}", page.as_uri()],
                   check=True, capture_output=True, timeout=300)
    assert max(int(n) for n in re.findall(rb"/Count (\d+)", pdf.read_bytes())) == 1


def test_search_knows_the_lessons(site):
    index = (site.folder/"searchindex.js").read_text("utf-8")
    for nb in LESSONS: assert f'"{nb.stem}"' in index


def test_parts_of_a_lesson_go_down_a_level():
    levels = make.Levels()
    assert levels("# Title\n\n## One") == "# Title\n\n## One"
    assert levels("---\n# Part\n\n```sh\n# a comment\n```\n## Two") == \
        "---\n## Part\n\n```sh\n# a comment\n```\n### Two"
    assert levels("### Three") == "#### Three"
    assert levels("---\n## Recap") == "---\n## Recap"


def test_links_are_led_to_pages():
    index, lesson = PROJECT/"nbs"/"index.ipynb", PROJECT/"nbs"/"02_manual_sgd.ipynb"
    for link, page in {
        "00_data.ipynb": "00_data.ipynb", "nbs/00_data.ipynb": "00_data.ipynb",
        "../CHANGELOG.md": "changelog.md", "lab/benchmarks.ipynb": "lab/benchmarks.ipynb",
        "api/cli.ipynb": "api/cli.ipynb", "https://example.org/x#Y": "https://example.org/x#Y",
        "00_data.ipynb#When-MNIST": "00_data.ipynb#when-mnist",
        "00_data.ipynb#One,-2.-Three?": "00_data.ipynb#one-2-three", "#The-Results": "#the-results",
    }.items(): assert make.lead(f"[words]({link})", index) == f"[words]({page})"
    assert make.lead("[a](../LICENSE)", lesson).endswith("/blob/main/LICENSE)")
    assert make.lead("[a](../00_data.ipynb)", PROJECT/"nbs"/"api"/"cli.ipynb") == \
        "[a](../00_data.ipynb)"


def test_prose_keeps_its_code():
    text = "1%<!-- a.b --> and `2%<!-- a.b -->`\n\n```\n3%<!-- a.b --> [x](../LICENSE)\n```\n"
    prepared = make.prepare_prose(text, PROJECT/"nbs"/"index.ipynb")
    assert prepared == text.replace("<!-- a.b -->", "", 1)
    link = "[`make`](../CHANGELOG.md)" # code within a link
    assert make.prepare_prose(link, PROJECT/"nbs"/"index.ipynb") == "[`make`](changelog.md)"
    folded = make.unfold("<details><summary>Why?</summary>\nSee <code>a&lt;b</code> now.</details>")
    assert "</summary>\n\nSee `a<b` now.\n\n</details>" in folded


def test_a_broken_link_stops_the_build(tmp_path):
    (tmp_path/"pages").mkdir()
    (tmp_path/"pages"/"index.md").write_text("# Title\n\n[nowhere](missing.ipynb)\n", "utf-8")
    build = "import sys, pathlib, make; sys.exit(make.build(*map(pathlib.Path, sys.argv[1:])))"
    done = subprocess.run([sys.executable, "-c", build, tmp_path/"pages", tmp_path/"site"],
                          cwd=PROJECT/"book", capture_output=True, text=True, encoding="utf-8")
    assert done.returncode and "missing.ipynb" in done.stderr and not (tmp_path/"site").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path/"thesis.txt").write_text("years of work")
    with pytest.raises(SystemExit, match="is no book"): make.make(tmp_path)
    assert (tmp_path/"thesis.txt").exists()
