"Reading figures: every claim has its row, every row a measurement, every verdict the rule's."
import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import PROJECT, cells
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mnist_course.data import Batches
from mnist_course.figures import Measured, summarise, verdict
from mnist_course.lab import experiments, ledger, published, results, writeups
from mnist_course.lab.ledger import Ledger
from mnist_course.lab.writeups import CLAIMS, Claim, claims_table
from mnist_course.numpy_net import CrossEntropy

MNIST = ledger.load("mnist")
many = settings(max_examples=200, deadline=None, derandomize=True)
NOTEBOOK = PROJECT/"nbs"/"13_reading_figures.ipynb"
measured = st.builds(lambda mean, std, n: Measured(mean, std, mean - std, mean + std, n, 1e-4),
                     st.floats(.5, 1), st.floats(0, .05), st.integers(2, 12))


def test_the_rule_by_hand():
    # five seeds: t(95%, 4) = 2.7764, one more run within 2.7764*0.002*sqrt(1.2) = 0.00608
    five = Measured(.97, .002, .967, .972, 5, 1e-6)
    cases = {.97: "reproduces", .9759: "reproduces", .9641: "reproduces",
             .9765: "lower", .9635: "higher"}
    assert {c: verdict(c, five, 6) for c in cases} == cases
    assert verdict(.9765, five, 6, confidence=.99) == "reproduces"


def test_noise_and_rounding_widen_it():
    one = Measured(.95, 0., .95, .95, 1, 1/2000)          # standard error at .955: 0.0046
    assert verdict(.9545, one, 6) == "reproduces"
    assert verdict(.9545, replace(one, resolution=1e-8), 6) == "lower"
    assert verdict(.9545, replace(one, resolution=1e-8), 2) == "reproduces"
    assert verdict(.956, one, 6) == "lower"
    assert verdict(.9585, one, 2) == "reproduces"         # by the sum of both, by neither alone


@many
@given(measured, st.integers(2, 5))
def test_our_own_mean_always_reproduces(ours, decimals):
    assert verdict(ours.mean, ours, decimals) == "reproduces"


@many
@given(measured, st.floats(0, 1))
def test_the_verdict_says_on_which_side_we_are(ours, claimed):
    said = verdict(claimed, ours)
    assert said in ("reproduces", "higher", "lower")
    if said == "higher": assert claimed < ours.mean
    if said == "lower": assert claimed > ours.mean


@many
@given(measured, st.floats(0, 1))
def test_more_spread_never_refutes(ours, claimed):
    wider = replace(ours, std=ours.std*2 + .001)
    if verdict(claimed, ours) == "reproduces": assert verdict(claimed, wider) == "reproduces"


def test_one_more_run_is_rejected_one_time_in_twenty():
    rng = np.random.default_rng(0)
    said = [verdict(runs[-1], summarise(runs[:-1]), 9)
            for runs in rng.normal(.7, .01, (4000, 6))]
    far = sum(s != "reproduces" for s in said)
    assert 150 <= far <= 250     # 200 expected, standard deviation 14


def test_a_shared_spread_narrows_the_interval():
    few = Measured(.99, .001, .989, .991, 3, 1e-6)
    shared = replace(few, spread=.001, freedom=20)
    (low, high), (lower, higher) = shared.bounds(), few.bounds()
    assert lower < low < .99 < high < higher
    # by hand: t(99.9%, 20) = 3.8495
    assert math.isclose(high - .99, 3.8495*.001*math.sqrt(1 + 1/3), rel_tol=1e-4)


def test_every_claim_is_of_a_published_figure():
    assert {c.published for c in CLAIMS} <= set(published.load())
    assert {c.published[0] for c in CLAIMS} == set("abcde")


def test_every_row_is_measured():
    waiting = [c.figure for c in CLAIMS if c.figure not in MNIST]
    assert not waiting, f"run `make ledger`: {waiting}"
    assert len({(c.published, c.figure) for c in CLAIMS}) == len(CLAIMS)
    rows = claims_table(MNIST)
    assert {row["verdict"] for row in rows} <= {"reproduces", "higher", "lower"}
    assert all(row["why, and where"] for row in rows if row["verdict"] != "reproduces")


def test_the_table_follows_the_ledger():
    claim = Claim("e.test", "x.y.accuracy", "what", "why")
    def table(mean):
        runs = summarise([mean - .0004, mean, mean + .0004], 1e-4)
        known = Ledger("mnist", {"x.y": {"figures": {"accuracy": vars(runs)}}})
        return claims_table(known, [claim])
    assert [table(m)[0]["verdict"] for m in (.972, .99, .95)] == ["reproduces", "higher", "lower"]
    assert table(.99)[0]["measured"] == "99.00% ± 0.04" and table(.99)[0]["claimed"] == "97.2%"
    unmeasured = claims_table(Ledger("mnist", {}), [claim])[0]
    assert unmeasured["verdict"] == "not measured yet" and unmeasured["measured"] == ""
    with pytest.raises(ValueError, match="about MNIST"): claims_table(ledger.load("standin"))


def test_the_committed_table_is_the_ledgers():
    shown = [o for _, _, outputs in cells(NOTEBOOK, "code") for o in outputs
             if "text/markdown" in o.get("data", {})]
    text = ["".join(o["data"]["text/markdown"]) for o in shown]
    assert results.as_markdown(claims_table(MNIST)) in text, "run it again: make run NB=13"


@pytest.mark.parametrize("seed", range(3))
def test_the_naive_loss_is_right_until_it_overflows(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.standard_normal((7, 10))*5, rng.integers(0, 10, 7)
    naive, stable = writeups.NaiveCrossEntropy(), CrossEntropy()
    theirs = torch.tensor(scores, requires_grad=True)
    loss = F.cross_entropy(theirs, torch.tensor(labels))
    loss.backward()
    for ours in naive, stable:
        assert math.isclose(ours.forward(scores, labels), loss.item(), rel_tol=1e-9)
        np.testing.assert_allclose(ours.backward(), theirs.grad.numpy(), atol=1e-12)
    with np.errstate(over="ignore", invalid="ignore"): naive.forward(scores*1e4, labels)
    assert np.isnan(naive.p).any()
    assert math.isfinite(stable.forward(scores*1e4, labels))


@pytest.mark.parametrize("relu", [True, False])
def test_b_holds_out_what_it_did_not_train_on(monkeypatch, relu):
    "The leak is measured on exactly the training images, the other figure on none of them."
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (300, 28, 28), generator=g, dtype=torch.uint8)
    labels, seen = torch.arange(300) % 10, {}
    def fit(train, valid, seed, **settings):
        seen.update(train=train, valid=valid, run=train_small(train, valid, seed, n_epochs=1,
                                                              **settings))
        return seen["run"]
    train_small = experiments.fit_small_batches
    monkeypatch.setattr(experiments, "load_split", lambda path, part: (images, labels))
    monkeypatch.setattr(experiments, "fit_small_batches", fit)
    judged = experiments.b_ten(None, 0, relu=relu)
    train, valid = ({bytes(x.numpy()) for x in seen[part][0]} for part in ("train", "valid"))
    assert not train & valid and (len(train), len(valid), judged["n_valid"]) == (240, 60, 60)
    rows, model = seen["train"][0].flatten(1)/255, seen["run"].model
    right = model(rows).argmax(1) == seen["train"][1]
    assert math.isclose(judged["training"], right.float().mean(), abs_tol=1e-6)
    assert sum(isinstance(layer, torch.nn.ReLU) for layer in model) == relu


def test_d_trains_what_it_says(monkeypatch):
    "The net with a hidden layer has its ReLU: on |x| a linear model fails and it does not."
    g = torch.Generator().manual_seed(0)
    x = torch.zeros(400, 784)
    x[:, :2] = torch.rand(400, 2, generator=g)*2 - 1
    y = (x[:, :1].abs() > .5).float()
    def fit(*args, **how): return writeups.fit_d((x, y), (x, y), *args, n_epochs=200, **how).final
    assert fit(0) < .8
    assert fit(1, 30) > .9 and fit(1, 30) > fit(1)
    assert fit(0, 30, std=.1) > .9


def test_d_judges_by_the_mean_of_the_batches():
    "The last, smaller batch counts as much as a full one, as in the write-up."
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(300, 784, generator=g), torch.ones(300, 1)
    y[256:] = 0                                       # 256 threes, then 44 sevens
    run = writeups.fit_d((x, y), (x, y), n_epochs=1)
    each = [((run.model(xb).sigmoid() > .5) == (yb == 1)).float().mean() for xb, yb in
            Batches(x, y, 256)]
    assert math.isclose(run.final, sum(each)/2, abs_tol=1e-6) and each[0] != each[1]


def test_nan_epoch_counts_epochs():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (640, 28, 28), generator=g, dtype=torch.uint8)
    labels = torch.randint(0, 10, (640,), generator=g)
    assert writeups.nan_epoch((images, labels), 1e-3, n_epochs=2) == 3
    assert writeups.nan_epoch((images, labels), 100., n_epochs=2) == 1
