"The figures that move: their numbers are the lessons', and each has its place."
import base64
import json
import re

import live
import make
import numpy as np
import pytest
import torch
from conftest import PROJECT, cells
from mnist_course.data import get_data, load_split, source_of

STATIC = PROJECT/"book"/"static"
SCRIPT = (STATIC/"live.js").read_text("utf-8")


@pytest.fixture(scope="module")
def known(): return live.read()


def test_points_are_the_lessons(known):
    points, inside = live.points_of_lesson_05()
    np.testing.assert_allclose(np.reshape(known["points"], (400, 2)), points, rtol=1e-6)
    assert known["inside"] == inside[:, 0].int().tolist() and 0 < sum(known["inside"]) < 200
    code = "".join(source for _, source, _ in cells(PROJECT/"nbs"/"05_relu_net.ipynb", "code"))
    assert "torch.rand(400, 2, generator=g)*4 - 2" in code and "< 1.3" in code


def test_accuracies_are_those_that_the_lesson_prints(known):
    printed = "".join("".join(o.get("text", "")) for *_, outputs in
                      cells(PROJECT/"nbs"/"05_relu_net.ipynb", "code") for o in outputs)
    row = "  ".join(f"{net['n_hidden']}: {net['accuracy']:.0%}" for net in known["nets"])
    assert row in printed
    points, inside = live.points_of_lesson_05()
    for net in known["nets"]: # the kept weights have that accuracy
        w1, b1 = torch.tensor(net["w1"]).view(-1, 2), torch.tensor(net["b1"])
        score = (points @ w1.T + b1).relu() @ torch.tensor(net["w2"]) + net["b2"][0]
        right = ((score > 0) == (inside[:, 0] > .5)).float().mean().item()
        assert len(b1) == net["n_hidden"] and right == pytest.approx(net["accuracy"], abs=1e-4)


def test_one_unit_is_trained_again(known):
    accuracy, net = live.best_of(1, n_starts=1)
    assert accuracy == pytest.approx(known["nets"][0]["accuracy"], abs=.02)
    assert net[0].weight.shape == (1, 2)


def test_the_seven_is_the_lessons(known):
    path = get_data("full")
    if source_of(path) == "standin": pytest.skip("MNIST cannot be had")
    images, labels = load_split(path, "training")
    assert base64.b64decode(known["seven"]) == bytes(images[labels == 7][0].flatten().tolist())
    assert live.FILE.stat().st_size < 30_000


def test_each_figure_is_below_its_section():
    for nb, sections in make.LIVE.items():
        book = json.loads(make.prepare_notebook(PROJECT/"nbs"/nb))
        lines = "\n".join(c["source"] for c in book["cells"] if c["cell_type"] == "markdown")
        for heading, (name, _) in sections.items():
            above, below = lines.split(f'id="live-{name}"')
            assert re.findall(r"^#+ (.+)$", above, re.M)[-1] == heading
            assert re.match(r"(---\n)?#+ ", below.split("</div>\n", 1)[1]) # the next section
            assert f"FIGURES.{name} = " in SCRIPT
        assert lines.count("live.js") == 1
    names = re.findall(r"FIGURES\.(\w+) = ", SCRIPT)
    assert sorted(names) == sorted(n for s in make.LIVE.values() for n, _ in s.values())


def test_a_section_that_is_gone_stops_the_build():
    page = [{"cell_type": "markdown", "id": "a", "metadata": {},
             "source": "# One\n\n```sh\n# Two\n```\n\n## Three\n\nEnd."}]
    with pytest.raises(ValueError, match="No section is called Two"):
        make.live_figures(page, {"Two": ("x", "a comment in code is no heading")})
    placed = make.live_figures(page, {"One": ("x", "Move it.")})
    assert [c["source"].split("\n")[0] for c in placed[:3]] == \
        ["# One", '<div class="live" id="live-x" role="group" '
                  'aria-label="A figure to move: Move it.">', "## Three"]
    assert len({c["id"] for c in placed}) == 4


def test_nothing_is_asked_of_the_network():
    asks = r"https?:(?!//www\.w3\.org/2000/svg)|\bfetch\(|XMLHttp|WebSocket|EventSource|\bimport\b"
    assert not re.search(asks, SCRIPT)
