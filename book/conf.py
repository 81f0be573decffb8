"Sphinx's settings for the book; `book/make.py` prepares the pages and starts it."
import configparser
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
    home = f"{settings['doc_host']}{settings['doc_baseurl']}/"
    found = {"title": context.get("title") or html_title, "type": "website",
             "description": settings["description"], "url": f"{home}{pagename}.html",
             "image": f"{home}_static/social.png"}
    tags = [f'<meta property="og:{k}" content="{escape(v, quote=True)}">' for k, v in found.items()]
    tags += [f'<meta name="description" content="{escape(settings["description"], quote=True)}">',
             '<meta name="twitter:card" content="summary_large_image">']
    context["metatags"] = context.get("metatags", "") + "\n".join(tags)


def setup(app):
    app.connect("html-page-context", preview)
    app.add_html_math_renderer("mathml", inline_renderers=(math("inline"), None),
                               block_renderers=(math("block"), None))
