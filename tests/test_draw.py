"""The page "Draw a digit": its weights are those of the course's models, and its parts fit.

What needs a browser, the page's arithmetic above all, is in tests/browser.py (`make test-book`).
"""
import base64
import hashlib
import json
import re

import make
import numpy as np
import pytest
import torch
import weights
from bs4 import BeautifulSoup
from conftest import PROJECT
from mnist_course import models
from mnist_course.data import get_data, load_split, source_of
from mnist_course.resnet import normalised

STATIC = PROJECT/"book"/"static"
SCRIPTS = {name: (STATIC/name).read_text("utf-8") for name in
           ("draw-net.js", "draw-sheet.js", "draw.js", "front.js")}
PAGE = (PROJECT/"book"/"draw.md").read_text("utf-8")
FRONT = (PROJECT/"book"/"front.html").read_text("utf-8")


@pytest.fixture(scope="module")
def packed(): return weights.read()


@pytest.fixture(scope="module")
def few():
    "Made-up images of ten digits, enough to train on for a moment."
    g = torch.Generator().manual_seed(3)
    labels = torch.arange(10).repeat(30)
    patterns = torch.randint(0, 256, (10, 28, 28), generator=g)
    noise = torch.randint(0, 256, (300, 28, 28), generator=g)
    return ((3*patterns[labels] + noise)//4).to(torch.uint8), labels


def test_the_file_is_small_and_whole(packed):
    raw = base64.b64decode(packed["data"])
    assert len(raw) == packed["n_bytes"] and hashlib.sha256(raw).hexdigest() == packed["sha256"]
    assert weights.FILE.stat().st_size < 600_000
    assert [m["name"] for m in packed["methods"]] == list(weights.METHODS)
    assert set(weights.METHODS) <= set(models.METHODS)
    taken = np.zeros(len(raw), int)
    for method in packed["methods"]:
        for tensor in (v for layer in method["layers"] for v in layer.values()
                       if isinstance(v, dict)):
            n = int(np.prod(tensor["shape"]))
            one = "scale" in tensor # a byte a number, and its scales, or four bytes
            taken[tensor["at"]:tensor["at"] + (n if one else 4*n)] = 1
            if one: taken[tensor["scale"]:tensor["scale"] + 4*tensor["shape"][0]] = 1
    assert (taken == 0).sum() < 4*40 # nothing but what moves float32 to a multiple of four


def test_it_says_what_it_holds(packed):
    blank = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    layers = weights.unpacked(packed)
    for method in packed["methods"]:
        title, lesson, what = weights.METHODS[method["name"]]
        assert (method["title"], method["lesson"], method["what"]) == (title, lesson, what)
        assert (PROJECT/"nbs"/f"{lesson}.ipynb").exists()
        assert method["n_test"] == 10_000
        assert abs(method["accuracy"]["float32"] - method["accuracy"]["packed"]) < .002
        shares = weights.probabilities(layers[method["name"]], blank)
        assert shares.shape == (3, 10)
        torch.testing.assert_close(shares.sum(1), torch.ones(3).double())


def test_packed_accuracy_is_as_stated(packed):
    path = get_data("full")
    if source_of(path) == "standin": pytest.skip("MNIST cannot be had")
    images, labels = load_split(path, "testing")
    layers = weights.unpacked(packed)
    for method in packed["methods"]:
        found = weights.scores(layers[method["name"]], images)
        if layers[method["name"]][-1]["kind"] == "nearest": found = -found
        right = (found.argmax(1) == labels).double().mean().item()
        assert right == pytest.approx(method["accuracy"]["packed"], abs=3e-4), method["name"]


@pytest.mark.parametrize("name", weights.METHODS)
def test_layers_are_the_models(name, few):
    quick = dict(n_epochs=1) if name in ("softmax", "mlp", "numpy_relu", "numpy_cnn") else {}
    model = models.make(name, seed=1, **quick).fit(*few)
    layers = weights.LAYERS[name](model.trained.model)
    ours, theirs = weights.probabilities(layers, few[0]), model.predict_proba(few[0]).double()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)
    assert theirs.std(0).max() > .01 # a model that says the same of all images would prove little


def test_small_nets_scores_are_the_models(few):
    model = models.make("small_cnn", seed=1, device="cpu").fit(*few).trained.model
    with torch.no_grad(): theirs = model(normalised(few[0]).float())
    torch.testing.assert_close(weights.scores(weights.of_small_net(model), few[0]), theirs,
                               rtol=1e-4, atol=1e-3)


def test_packing_loses_half_a_step_at_most():
    rng = np.random.default_rng(0)
    w, b = rng.standard_normal((10, 784)).astype(np.float32), np.arange(10, dtype=np.float32)
    once = weights.packed({"a": [weights.dense(w, b)]})
    twice = weights.packed({"a": [weights.dense(w, b)], "b": [weights.dense(w, b)]})
    assert once["data"] == twice["data"] # the same numbers are kept once
    [layer] = weights.unpacked(once)["a"]
    step = abs(w).max(1, keepdims=True)/127
    assert (abs(layer["w"] - w) <= step*.5001).all() and abs(layer["w"] - w).max() > 0
    assert (layer["b"] == b).all()


def test_an_unknown_layer_is_named():
    with pytest.raises(ValueError, match="kind 'fold'"):
        weights.scores([{"kind": "fold"}], np.zeros((1, 28, 28), np.uint8))


def test_the_scripts_know_every_layer(packed):
    kinds = {layer["kind"] for method in packed["methods"] for layer in method["layers"]}
    known = SCRIPTS["draw-net.js"].split("const KINDS = {")[1].split("\n  };")[0]
    assert kinds == set(re.findall(r"^    (\w+)[:(]", known, re.M))
    back = SCRIPTS["draw-net.js"].split("const BACK = {")[1].split("\n  };")[0]
    assert kinds == set(re.findall(r"^    (\w+)[:(]", back, re.M))


def test_the_scripts_find_their_places():
    for name, page, n in ("draw", PAGE, 8), ("front", FRONT, 3):
        ids = {tag["id"] for tag in BeautifulSoup(page, "html.parser").find_all(id=True)}
        asked = re.findall(r'byId\("(\w+)"\)', SCRIPTS[f"{name}.js"])
        wanted = {f"{name}-{part}" for part in asked}
        assert len(wanted) > n and wanted <= ids
        order = re.findall(r'<script (?:defer )?src="_static/([\w.-]+)"', page)
        assert order[-3:] == ["draw-net.js", "draw-sheet.js", f"{name}.js"]
        assert all((STATIC/name).exists() for name in [*order, "draw.css"])
    assert "draw-weights.js" in PAGE and "draw-weights.js" not in FRONT # fetched when drawn on
    assert "touch-action: none" in (STATIC/"draw.css").read_text("utf-8")
    assert 'aria-live="polite"' in PAGE


def test_nothing_is_asked_of_the_network():
    asks = r"https?:|//\w+\.\w|\bfetch\(|XMLHttp|WebSocket|EventSource|sendBeacon|\bimport\b"
    for name, script in SCRIPTS.items(): assert not re.search(asks, script), name
    assert not re.search(asks, re.sub(r"\]\([^)]*\)", "", PAGE))


def test_the_page_is_built(tmp_path):
    pages = tmp_path/"pages"
    pages.mkdir()
    text = make.prepare_prose(PAGE, PROJECT/"book"/"draw.md")
    (pages/"draw.md").write_text(text, "utf-8")
    lesson = {"cells": [{"cell_type": "markdown", "id": "title", "metadata": {},
                         "source": "# Lesson"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (pages/"01_pixel_similarity.ipynb").write_text(json.dumps(lesson), "utf-8")
    (pages/"index.md").write_text("# Book\n\n```{toctree}\ndraw\n01_pixel_similarity\n```\n",
                                  "utf-8")
    assert make.build(pages, tmp_path/"site") == 0
    page = BeautifulSoup((tmp_path/"site"/"draw.html").read_bytes(), "html.parser")
    assert page.find("canvas", id="draw-canvas").parent.parent["class"] == ["draw-top"]
    for tag in page.select("article script, article link"):
        assert (tmp_path/"site"/(tag.get("src") or tag.get("href"))).is_file()
    assert page.select_one("article a[href='01_pixel_similarity.html']")
