"Sphinx's settings for the book; `book/make.py` prepares the pages and starts it."
import configparser
import json
import re
from html import escape as escaped
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

HERE = Path(__file__).parent
parser = configparser.ConfigParser()
parser.read(HERE.parent/"settings.ini", encoding="utf-8")
settings = parser["DEFAULT"]

project, author = settings["title"], settings["author"]
copyright, release = settings["copyright"], settings["version"]
extensions = ["myst_nb"]
source_suffix = {".ipynb": "myst-nb", ".md": "myst-nb"}
smartquotes = False

nb_execution_mode = "off"            # the outputs are the committed ones
nb_render_markdown_format = "myst"
nb_ipywidgets_js = {}                # nothing is loaded from the network
nb_merge_streams = True
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4

html_theme = "furo"
html_title = settings["title"]
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_favicon = "static/favicon.svg"
html_copy_source = html_show_sourcelink = False
html_use_index = False
html_math_renderer = "mathml"
pygments_style, pygments_dark_style = "tango", "github-dark"
highlight_language = "none"          # a block that names no language is no program


def math(display):
    "A visitor that writes a formula as MathML, which a browser draws without a script."
    def visit(self, node):
        self.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode
    return visit


def escape(text, quote): return escaped(re.sub("<[^>]*>", "", text), quote)


def preview(app, pagename, templatename, context, doctree):
    "What a link to a page shows where it is shared."
    if app.builder.name != "html": return
    home = f"{settings['doc_host']}{settings['doc_baseurl']}/"
    found = {"title": context.get("title") or html_title, "type": "website",
             "description": settings["description"], "url": f"{home}{pagename}.html",
             "image": f"{home}_static/social.png"}
    tags = [f'<meta property="og:{k}" content="{escape(v, quote=True)}">' for k, v in found.items()]
    tags += [f'<meta name="description" content="{escape(settings["description"], quote=True)}">',
             '<meta name="twitter:card" content="summary_large_image">']
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def first_words(section, most=200):
    "The first paragraph below a heading that is all words, not too long."
    for node in section.children:
        if isinstance(node, nodes.section): return ""
        for part in node.findall(nodes.paragraph):
            if part.next_node(nodes.math) or part.next_node(nodes.raw): continue
            text = " ".join(part.astext().split())
            if len(text) < 25: continue # core, proof or machinery
            return text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …"
    return ""


def what_links_show(doctree):
    "For each place of a page that a link may lead to: a title and a few words."
    found = {}
    for section in doctree.findall(nodes.section):
        shown = [section.next_node(nodes.title).astext(), first_words(section)]
        if not found: found[""] = shown # also for every place that is not listed
        else: found |= {name: shown for name in section["ids"]}
    for node in doctree.findall(nodes.raw): # names in the reference
        name = re.match(r'<p id="([\w.]+)" class="to-reference"', node.astext())
        if not name: continue
        code = next(node.findall(nodes.literal_block, descend=False, siblings=True), None)
        said = re.search(r'"([^"\n]+)"\s*$', code.astext().split("\n\n")[0]) if code else None
        found[name[1]] = [name[1].split(".")[-1], said[1] if said else ""]
    return found


previews = {} # page -> place in it -> title and words


def keep_previews(app, pagename, templatename, context, doctree):
    if doctree and app.builder.name == "html":
        previews[f"{pagename}.html"] = what_links_show(doctree)


def write_previews(app, error):
    "A script, since a page that was opened from the disk may read nothing else."
    if error or not previews: return
    text = json.dumps(previews, ensure_ascii=False, separators=(",", ":"))
    (Path(app.outdir)/"_static"/"previews.js").write_text(f"const PREVIEWS = {text};\n", "utf-8")


def setup(app):
    app.connect("html-page-context", preview)
    app.connect("html-page-context", keep_previews)
    app.connect("build-finished", write_previews)
    app.add_html_math_renderer("mathml", inline_renderers=(math("inline"), None),
                               block_renderers=(math("block"), None))
