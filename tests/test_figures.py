"Reading figures: every claim has its row, every row a measurement, every verdict the rule's."
import json
import math
import statistics
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import PROJECT, cells
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import chi2
from torch.nn import functional as F

from mnist_course.data import Batches
from mnist_course.figures import (Measured, allowed, counts_behind, disagreements, draws,
                                  fine_tune_rates, mcnemar, paired_difference, possible_sizes,
                                  printed_by, summarise, verdict, wilson)
from mnist_course.lab import experiments, ledger, published, results, writeups
from mnist_course.lab.ledger import Ledger
from mnist_course.lab.writeups import CLAIMS, LEFT_OUT, Claim, claims_table
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


def test_rounding_and_other_images_widen_it():
    one = Measured(.95, 0., .95, .95, 1, 1/2000)          # three images: 0.0015
    assert verdict(.9545, one, 6) == "lower"
    assert verdict(.9545, one, 2) == "reproduces"
    # by hand: two draws of 2,000 images, 1.96*sqrt(2*.95*.05/2000) = 0.01351; with 0.0015: 0.01359
    assert math.isclose(allowed(one, other_images=True)[1] - .95, .01359, abs_tol=1e-5)
    assert verdict(.9635, one, 6, other_images=True) == "reproduces"
    assert verdict(.9637, one, 6, other_images=True) == "lower"
    fewer = replace(one, resolution=1e-8)                 # as many images as one likes
    assert verdict(.9545, fewer, 6, other_images=True) == "lower"


def test_what_could_not_fail_is_not_reproduced():
    wide = Measured(.90, .02, .88, .92, 5, 1e-6)          # 2.7764*.02*sqrt(1.2): 6 points
    assert verdict(.90, wide) == "cannot tell" and verdict(.97, wide) == "lower"
    assert verdict(.90, wide, widest=.07) == "reproduces"


@many
@given(measured, st.integers(2, 5))
def test_our_own_mean_reproduces_or_cannot_tell(ours, decimals):
    low, high = allowed(ours)
    told = "reproduces" if high - low <= .1 else "cannot tell"
    assert verdict(ours.mean, ours, decimals) == told


@many
@given(measured, st.floats(0, 1))
def test_the_verdict_says_on_which_side_we_are(ours, claimed):
    said = verdict(claimed, ours)
    assert said in ("reproduces", "cannot tell", "higher", "lower")
    if said == "higher": assert claimed < ours.mean
    if said == "lower": assert claimed > ours.mean


@many
@given(measured, st.floats(0, 1))
def test_more_spread_never_refutes(ours, claimed):
    wider = replace(ours, std=ours.std*2 + .001)
    refuted = "higher", "lower"
    if verdict(claimed, ours) not in refuted: assert verdict(claimed, wider) not in refuted


def test_one_more_run_is_rejected_one_time_in_twenty():
    rng = np.random.default_rng(0)
    said = [verdict(runs[-1], summarise(runs[:-1]), 9)
            for runs in rng.normal(.7, .01, (4000, 6))]
    far = sum(s in ("higher", "lower") for s in said)
    assert 150 <= far <= 250     # 200 expected, standard deviation 14


def test_a_shared_spread_narrows_the_interval():
    few = Measured(.99, .001, .989, .991, 3, 1e-6)
    shared = replace(few, spread=.001, freedom=20)
    (low, high), (lower, higher) = shared.bounds(), few.bounds()
    assert lower < low < .99 < high < higher
    # by hand: t(99.9%, 20) = 3.8495
    assert math.isclose(high - .99, 3.8495*.001*math.sqrt(1 + 1/3), rel_tol=1e-4)


def bartlett(spreads):
    "How often as many spreads (deviation, seeds) from one normal distribution differ as much."
    freedom = [n - 1 for _, n in spreads]
    total = sum(freedom)
    pooled = sum(k*s*s for (s, _), k in zip(spreads, freedom, strict=True))/total
    unlike = total*math.log(pooled) - sum(k*math.log(s*s) for (s, _), k in
                                          zip(spreads, freedom, strict=True))
    correction = 1 + (sum(1/k for k in freedom) - 1/total)/(3*(len(spreads) - 1))
    return float(chi2.sf(unlike/correction, len(spreads) - 1))


@pytest.mark.parametrize("dataset", ledger.DATASETS)
def test_what_shares_a_spread_does_not_scatter_provably_unlike(dataset):
    records = json.loads(ledger.ledger_file().read_text("utf-8"))[dataset].values()
    found = defaultdict(list)
    for record in records:
        for name, one in record["figures"].items():
            if record["pool"] and one["n_seeds"] > 1:
                found[record["pool"], name].append((one["std"], one["n_seeds"]))
    assert found
    for key, spreads in found.items():
        if len(spreads) > 1: assert bartlett(spreads) > .01, key
    rows = [1., 2, 4, 3], [9., 9.5, 8], [2., 2.1, 2.2, 2.6, 1]
    ours = bartlett([(statistics.stdev(row), len(row)) for row in rows])
    assert abs(ours - stats.bartlett(*rows).pvalue) < 1e-9


def test_every_claim_is_of_a_published_figure():
    assert {c.published for c in CLAIMS} <= set(published.load())
    assert {c.published[0] for c in CLAIMS} == set("abcde")


def test_every_figure_of_the_five_is_a_claim_or_left_out():
    theirs = {key for key in published.load() if key.partition(".")[0] in list("abcde")}
    judged = {c.published for c in CLAIMS}
    assert judged | LEFT_OUT.keys() == theirs and not judged & LEFT_OUT.keys()
    assert all(why.strip() for why in LEFT_OUT.values())
    assert {c.images for c in CLAIMS} == {"", "other"}


@pytest.mark.parametrize("missing", ["printed", "where"])
def test_a_published_figure_needs_its_printed_form_and_place(tmp_path, missing):
    lines = published.published_file().read_text(encoding="utf-8").splitlines()
    row = dict(zip(lines[0].split(","), ["x.y", "97.2%", ".972", "accuracy", "line 1", "3 or 7",
                                         "MNIST", "test"], strict=True))
    file = tmp_path/"published.csv"
    def write(row): file.write_text(f"{lines[0]}\n{','.join(row.values())}\n", encoding="utf-8")
    write(row)
    assert published.read(file)["x.y"].value == .972
    write(row | {missing: " "})
    with pytest.raises(ValueError, match=missing): published.read(file)


@many
@given(st.integers(1, 60_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_count_is_found_again_from_its_decimals(pair):
    right, n = pair
    assert right in counts_behind(f"{right/n:.6f}", n)
    assert all(f"{k/n:.4f}" == "0.9876" for k in counts_behind("0.9876", 1000))


def test_the_sizes_that_the_write_ups_betray():
    assert possible_sizes(["0.994603"], [2038, 10_000]) == [2038]
    assert possible_sizes(["0.946488", "0.997470"], [8400, 33_600]) == [33_600]
    assert counts_behind("0.997470", 33_600) == [33_515]
    assert counts_behind("0.495584", 2038) == [1010]


def test_draws_are_what_a_seed_gives():
    torch.manual_seed(100)
    weights, bias = torch.randn(784, 1), torch.randn(1)
    ours = draws(100, (784, 1), 1)
    assert torch.equal(ours[0], weights) and torch.equal(ours[1], bias)
    assert f"{weights.max():.4f}" == published.load()["d.max_w"].printed
    assert printed_by("2.8108", weights[:, 0]) == [weights.argmax().item()]


@pytest.mark.parametrize("n_epochs, n_batches", [(1, 3), (10, 20), (3, 7)])
def test_fine_tunes_rates_are_fastais(n_epochs, n_batches):
    from fastai.callback import progress, schedule  # noqa: F401  (bring no_bar, fine_tune)
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader
    from fastai.learner import Learner
    from fastai.optimizer import SGD
    seen = []
    class Note(Callback):
        def after_batch(self):
            if self.training: seen.append(self.opt.hypers[-1]["lr"])
    pairs = list(zip(torch.rand(n_batches*2, 1), torch.rand(n_batches*2, 1), strict=True))
    dl = DataLoader(pairs, batch_size=2)
    learn = Learner(DataLoaders(dl, dl), torch.nn.Linear(1, 1), loss_func=F.mse_loss,
                    opt_func=SGD, cbs=Note())
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(n_epochs, .1)
    np.testing.assert_allclose(fine_tune_rates(n_epochs, .1, n_batches), seen, atol=1e-8)


@many
@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_holds_the_count_and_is_scipys(pair):
    from scipy.stats import binomtest
    right, n = pair
    low, high = wilson(right, n)
    assert -1e-12 <= low <= right/n + 1e-12 and right/n <= high + 1e-12 <= 1 + 2e-12
    theirs = binomtest(right, n).proportion_ci(method="wilson")
    np.testing.assert_allclose((low, high), (theirs.low, theirs.high), atol=1e-12)


def test_mcnemar_counts_coins():
    assert mcnemar(0, 5) == mcnemar(5, 0) == 2/32
    assert math.isclose(mcnemar(1, 7), 2*(1 + 8)/256)
    assert mcnemar(0, 0) == 1 and mcnemar(4, 4) == 1
    a = torch.tensor([1, 1, 0, 0, 1, 1], dtype=torch.bool)
    b = torch.tensor([1, 0, 1, 0, 0, 0], dtype=torch.bool)
    assert disagreements(a, b) == (3, 1)
    with pytest.raises(ValueError, match="same images"): disagreements(a, b[:3])


def test_pairing_takes_the_common_luck_away():
    luck = np.random.default_rng(0).normal(0, .02, 8)
    mean, low, high = paired_difference(.9 + luck, .89 + luck)
    assert math.isclose(mean, .01) and high - low < 1e-12
    mean, low, high = paired_difference([2, 3, 4], [1, 1, 1]) # t(95%, 2) = 4.3027
    assert mean == 2 and math.isclose(high - 2, 4.3027/3**.5, rel_tol=1e-4)
    with pytest.raises(ValueError, match="two seeds"): paired_difference([1], [1])


def test_every_row_is_measured():
    waiting = [c.figure for c in CLAIMS if c.figure not in MNIST]
    assert not waiting, f"run `make ledger`: {waiting}"
    assert len({(c.published, c.figure) for c in CLAIMS}) == len(CLAIMS)
    rows = claims_table(MNIST)
    assert {row["verdict"] for row in rows} == {"reproduces", "cannot tell", "higher", "lower"}
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


def test_the_committed_tables_are_the_ledgers():
    shown = [o for _, _, outputs in cells(NOTEBOOK, "code") for o in outputs
             if "text/markdown" in o.get("data", {})]
    text = ["".join(o["data"]["text/markdown"]) for o in shown]
    for letter in "abcde":
        rows = claims_table(MNIST, [c for c in CLAIMS if c.published.startswith(f"{letter}.")])
        table = results.as_markdown([{k: v for k, v in row.items() if k} for row in rows])
        assert table in text, "run it again: make run NB=13"


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


def test_b_by_the_whole_call_judges_both_sets(monkeypatch):
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (300, 28, 28), generator=g, dtype=torch.uint8)
    labels, seen = torch.arange(300) % 10, {}
    fit = writeups.fit_b
    def spy(train, valid, rates, *how):
        seen.update(train=train, valid=valid, rates=rates)
        seen["run"], seen["training"] = fit(train, valid, rates, *how)
        return seen["run"], seen["training"]
    monkeypatch.setattr(experiments, "load_split", lambda path, part: (images, labels))
    monkeypatch.setattr(writeups, "fit_b", spy)
    judged = experiments.b_by_rates(None, 0, n_epochs=2)
    train, valid = ({bytes(x.numpy()) for x in seen[part][0]} for part in ("train", "valid"))
    assert not train & valid and (len(train), judged["n_valid"]) == (240, 60)
    assert seen["rates"] == fine_tune_rates(2, .1, 48) and len(seen["training"]) == 3
    assert judged["accuracy"] == seen["run"].final and judged["training"] == seen["training"][-1]
    x, y = seen["train"]
    right = seen["run"].model.evaluate(x.flatten(1).float()/255, y)
    assert math.isclose(right, judged["training"], abs_tol=1e-6)
    experiments.b_by_rates(None, 0, n_epochs=2, constant=True)
    assert seen["rates"] == [.1]*2*48


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
