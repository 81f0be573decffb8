"The glossary leads to where a term is built, cards are right, and what a reader writes is safe."
import json
import re
import shutil
import subprocess

import pytest
from conftest import LESSONS, PROJECT, prose

CARDS = PROJECT/"nbs"/"cards"
TERM = re.compile(r"- \*\*(?P<term>.+?)\*\*: (?P<text>.+) "
                  r"\[(?P<label>[\w ]+)\]\((?P<path>[\w./]+\.ipynb)#(?P<anchor>[^)\s]+)\)$")
# what the plan of the course, and every other book, calls things
NEEDED = """accuracy, activation, activation function, Adam, array, augmentation, autograd, axis,
backpropagation, baseline, batch, batch normalisation, bias, broadcasting, callback, chain rule,
channel, CNN, confusion matrix, convolution, cross-entropy, DataLoader, derivative, dropout, dtype,
early stopping, epoch, feature map, finite difference, generalisation, GPU, gradient,
gradient descent, hidden layer, hyperparameter, initialisation, kernel, label, layer, learner,
learning rate, linear layer, logit, loss, MAE, matrix, matrix product, max pooling, metric,
mini-batch, MLP, model, momentum, neuron, nonlinearity, one-hot, optimiser, overfitting, padding,
parameter, pooling, probability, random seed, rank, receptive field, regularisation, ReLU,
residual block, RMSE, SGD, shape, sigmoid, skip connection, softmax, standard deviation, stride,
target, tensor, test set, training set, transpose, underfitting, universal approximation theorem,
validation set, vanishing gradient, vector, view, weight, weight decay"""


def headings(nb):
    "The headings of a notebook, as Jupyter makes anchors of them."
    found = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", prose(nb), flags=re.M | re.S), re.M)
    return {re.sub(r"<!--.*?-->", "", heading).strip().replace(" ", "-") for heading in found}


def entries():
    "The lines of the glossary, taken apart."
    lines = [line for line in prose(CARDS/"glossary.ipynb").split("\n") if line.startswith("- ")]
    found = [TERM.match(line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return found


def test_every_term_has_a_sentence():
    terms = [e["term"] for e in entries()]
    assert sorted(terms, key=str.casefold) == terms and len(set(terms)) == len(terms) > 100
    missing = set(re.split(r",\s+", NEEDED)) - set(terms)
    assert not missing, f"the glossary lacks {sorted(missing)}"
    for e in entries():
        assert e["text"].endswith(".") and 25 < len(e["text"]) < 240, e["term"]
        assert e["text"][0].isupper() or e["text"].startswith(("1/", "max(")), e["term"]


def test_every_term_leads_to_where_it_is_built():
    for e in entries():
        nb = (CARDS/e["path"]).resolve()
        assert nb.is_file(), f"{e['term']}: {e['path']}"
        assert e["anchor"] in headings(nb), f"{e['term']}: {nb.name} has no heading {e['anchor']}"
        number = nb.name[:2]
        assert e["label"] == f"lesson {number}" if number.isdigit() else e["label"], e["term"]


def test_letters_hold_their_own_terms():
    for cell in json.loads((CARDS/"glossary.ipynb").read_text("utf-8"))["cells"][1:]:
        source = "".join(cell["source"])
        letter = re.match(r"## (\w)\n", source)[1]
        assert all(e[0].upper() == letter for e in re.findall(r"^- \*\*(.+?)\*\*", source, re.M))


@pytest.mark.parametrize("card", ["quick_reference", "training_loop", "batching", "shapes"])
def test_links_of_a_card_lead_to_headings(card):
    links = re.findall(r"\]\(([^)#\s]+\.ipynb)(?:#([^)\s]+))?\)", prose(CARDS/f"{card}.ipynb"))
    assert links or card == "shapes"
    for path, anchor in links:
        nb = (CARDS/path).resolve()
        assert nb.is_file() and (not anchor or anchor in headings(nb)), f"{path}#{anchor}"


def test_lessons_end_with_the_readers_own_digit():
    with_models = [nb for nb in LESSONS if nb.name[:2] in "00 01 03 04 05 06 07 08 10".split()]
    for nb in with_models:
        text = prose(nb)
        assert text.count("\n## Your own digit\n") + text.startswith("## Your own digit") == 1, nb
        assert text.index("## Your own digit") < text.index("## Recap"), nb.name
        code = nb.read_text("utf-8")
        assert "my_digit()" in code and (nb.name[:2] == "00" or "show_reading(" in code), nb.name


def work(folder):
    "Run the recipe of `make work` in a folder, without setting anything up."
    return subprocess.run(["make", "-s", "copies"], cwd=folder, capture_output=True, text=True)


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make here")
def test_copies_to_write_in_are_never_overwritten(tmp_path):
    shutil.copy(PROJECT/"Makefile", tmp_path)
    for name in ("nbs/00_data.ipynb", "nbs/cards/glossary.ipynb", "nbs/lab/x.ipynb"):
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/name).write_text("as it came")
    assert work(tmp_path).returncode == 0
    mine = tmp_path/"work"/"00_data.ipynb"
    assert mine.read_text() == "as it came" and (tmp_path/"work"/"cards"/"glossary.ipynb").exists()
    mine.write_text("my own words")
    (tmp_path/"nbs"/"00_data.ipynb").write_text("updated")
    (tmp_path/"nbs"/"01_new.ipynb").write_text("new")
    assert work(tmp_path).returncode == 0
    assert mine.read_text() == "my own words"
    assert (tmp_path/"work"/"01_new.ipynb").read_text() == "new"
