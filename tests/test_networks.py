"""The tools that the networks lean on, and lessons 05 and 06, with PyTorch as the referee.

What is checked here is what a notebook cannot say of itself: many random cases drawn by Hypothesis,
the package's own modules in place of a notebook's cells, and the recipes' draws.
"""
import math
import subprocess
import sys
from random import Random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from mnist_course import plots
from mnist_course.data import as_rows
from mnist_course.gradcheck import (
    Entry,
    GradientReport,
    check_entry,
    check_gradients,
    diagnose,
    one_sided_differences,
    sample_indices,
    shape_of,
)
from mnist_course.learner import LinearDecay
from mnist_course.relu_net import collapse, fit_odd, relu_net
from mnist_course.ten_digits import (
    cross_entropy,
    cross_entropy_grad,
    fit_mlp,
    fit_small_batches,
    fit_ten,
    log_softmax,
    one_hot,
    softmax,
)

many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


def seeded(seed): return torch.Generator().manual_seed(seed)


# ---- the gradient check ----

def layer(seed, bs=4, n_in=3, n_out=3):
    "A smooth loss of two parameters, and its gradient by autograd."
    g = seeded(seed)
    x = torch.randn(bs, n_in, generator=g, dtype=torch.float64)
    w = torch.randn(n_in, n_out, generator=g, dtype=torch.float64).requires_grad_()
    b = torch.randn(n_out, generator=g, dtype=torch.float64).requires_grad_()
    def loss(): return (x @ w + b).tanh().pow(2).mean()
    loss().backward()
    return loss, {"w": w, "b": b}, {"w": w.grad.clone(), "b": b.grad.clone()}


@many
@given(seeds, st.integers(1, 5), st.integers(1, 5))
def test_autograd_is_right_and_its_parameters_stay(seed, n_in, n_out):
    loss, params, grads = layer(seed, 4, n_in, n_out)
    before = {name: p.detach().clone() for name, p in params.items()}
    report = check_gradients(loss, params, grads)
    assert report.ok and report.worst.error < 1e-5, report
    assert len(report.entries) == n_in*n_out + n_out
    for name, p in params.items():
        assert torch.equal(p, before[name]) and p.requires_grad
        mine = {e.index: e for e in report.entries if e.name == name}
        for index, e in mine.items(): assert e.claimed == grads[name][index]


@many
@given(seeds)
def test_lists_arrays_and_tensors_measure_the_same(seed):
    r = Random(seed)
    rows = [[r.uniform(-1, 1) for _ in range(3)] for _ in range(2)]
    kinds = [[row[:] for row in rows], np.array(rows), torch.tensor(rows, dtype=torch.float64)]
    found = []
    for value in kinds:
        def loss(value=value): return sum(math.exp(value[i][j]) for i in (0, 1) for j in range(3))
        claim = [[math.exp(v) for v in row] for row in rows]
        report = check_gradients(loss, {"v": value}, {"v": claim})
        assert report.ok, report
        found.append([e.measured for e in report.entries])
    assert found[0] == found[1] == found[2]
    assert [shape_of(v) for v in kinds] == [(2, 3)]*3


FAULTS = {
    "factor": (lambda d: d*7, "7 times the derivative"),
    "sign": (lambda d: -d, "uphill"),
    "transposed": (lambda d: d.T.contiguous(), "transposed"),
    "never computed": (lambda d: d*0, "every claim is zero"),
    "one entry": (lambda d: d + torch.eye(3, dtype=d.dtype)[0]*1e-3, ""),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("seed", range(5))
def test_a_wrong_claim_is_found_and_named(fault, seed):
    change, words = FAULTS[fault]
    loss, params, grads = layer(seed)
    report = check_gradients(loss, params, {**grads, "w": change(grads["w"])})
    assert not report.ok and report.worst.verdict == "wrong" and report.worst.name == "w"
    assert {e.name for e in report.entries if e.verdict == "wrong"} == {"w"}
    assert words in report.hints["w"] and bool(words) == bool(report.hints["w"])
    assert report.hints["b"] == ""
    text = str(report).splitlines()
    wrong = sum(e.verdict == "wrong" for e in report.entries)
    assert f"{wrong} WRONG" in text[0] and "claimed" in text[1]
    assert text[-1].startswith("b") and text[-1].endswith("right")


def test_the_tolerance_is_relative():
    w = [1000.]
    def verdict(claimed, **rtol):
        return check_entry(lambda: w[0]**2, "w", w, (0,), claimed, **rtol).verdict
    assert verdict(2000*(1 + 5e-6)) == "right" and verdict(2000*(1 + 2e-5)) == "wrong"
    assert verdict(2000*(1 + 2e-5), rtol=1e-4) == "right"


def test_what_rounding_can_make_is_no_error_and_more_is():
    w = [1.]
    def verdict(derivative):
        return check_entry(lambda: 1 + derivative*w[0], "w", w, (0,), 0.).verdict
    assert (verdict(1e-11), verdict(1e-7)) == ("right", "wrong")


@many
@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-1, 2))
def test_at_a_kink_anything_between_is_right(left, right, where):
    "The loss has slopes of its own to the left and right of zero; the claim lies at `where`."
    if abs(left - right) < .1 or min(abs(where), abs(where - 1)) < .05: return
    w, claimed = [0.], left + where*(right - left)
    def loss(): return w[0]*(right if w[0] > 0 else left) + 1
    entry = check_entry(loss, "w", w, (0,), claimed)
    assert abs(entry.left - left) < 1e-6 and abs(entry.right - right) < 1e-6
    middle = abs(claimed - (left + right)/2) < 1e-4*abs(left + right)
    if not middle: assert entry.verdict == ("kink" if 0 < where < 1 else "wrong")
    assert w == [0.]


def test_a_steep_but_smooth_curve_is_no_kink():
    w = [0.]
    def loss(): return math.tanh(1e3*w[0])
    assert check_entry(loss, "w", w, (0,), 1e3, rtol=1e-4).verdict == "right"
    assert check_entry(loss, "w", w, (0,), 990., rtol=1e-4).verdict == "wrong"


def test_a_curved_loss_is_no_kink():
    "Left and right differ by the curve, and the claim lies between them at both steps."
    w = [0.]
    entry = check_entry(lambda: 1e6*w[0]**2 + w[0], "w", w, (0,), 1.2)
    assert entry.left < 1.2 < entry.right and abs(entry.measured - 1) < 1e-3
    assert entry.verdict == "wrong"


def test_differences_by_hand():
    w = [[2., 5.]]
    left, right = one_sided_differences(lambda: w[0][1]**2, w, (0, 1), .5)
    assert (left, right) == (9.5, 10.5)              # (25 - 20.25)/.5 and (30.25 - 25)/.5
    def fails(): raise RuntimeError("no loss")
    with pytest.raises(RuntimeError, match="no loss"): one_sided_differences(fails, w, (0, 1), .5)
    assert w == [[2., 5.]]


@many
@given(seeds, st.integers(1, 200), st.integers(0, 200))
def test_the_sample_favours_what_is_claimed(seed, n, busy):
    claim = np.zeros((20, 10))
    claim.flat[Random(seed).sample(range(200), busy)] = 1.
    chosen = sample_indices(claim, n, Random(seed))
    assert len(set(chosen)) == len(chosen) == n and chosen == sorted(chosen)
    assert sum(claim[i] for i in chosen) >= min(n//2, busy)
    assert chosen == sample_indices(claim, n, Random(seed))


def test_a_report_counts_kinks_apart():
    right = Entry("w", (0,), 1., 1., 1e-9, "right", 1., 1.)
    kink = Entry("w", (1,), 0., .5, 1., "kink", 0., 1.)
    report = GradientReport([right, kink], {"w": (2,)})
    assert report.ok and report.worst is right
    first, second = str(report).splitlines()
    assert "2 checked" in first and "1.0e-09" in first and first.endswith("right")
    assert "1 at a kink" in second and "0 from the left, 1 from the right" in second
    assert diagnose([right, kink], [1., 0.]) == ""


W = np.ones((2, 3))
REFUSALS = {
    "It looks transposed": (W.sum, {"w": W}, {"w": W.T}),
    "give one gradient for each parameter": (W.sum, {"w": W}, {"w": W, "b": W}),
    "w is float32: use float64": (W.sum, {"w": W.astype(np.float32)}, {"w": W}),
    "w is torch.float32: use float64": (W.sum, {"w": torch.ones(2, 3)}, {"w": W}),
    "w is a single number": (W.sum, {"w": 1.}, {"w": 1.}),
    "The loss is inf": (lambda: math.inf, {"w": W}, {"w": W}),
    "two values for the same parameters": (np.random.default_rng(0).normal, {"w": W}, {"w": W}),
    "give all rows the same length": (W.sum, {"w": [[1.], [2., 3.]]}, {"w": [[1.], [2., 3.]]}),
}


@pytest.mark.parametrize("words", REFUSALS)
def test_what_cannot_be_compared_is_refused(words):
    with pytest.raises(ValueError, match=words): check_gradients(*REFUSALS[words])


NOTHING = {
    "give at least one parameter": lambda: check_gradients(W.sum, {}, {}),
    "there is no number to check": lambda: check_gradients(W.sum, {"w": W[:0]}, {"w": W[:0]}),
    "n_entries is a whole number": lambda: check_gradients(W.sum, {"w": W}, {"w": W}, n_entries=0),
    "rtol is a share": lambda: check_gradients(W.sum, {"w": W}, {"w": W}, rtol=math.nan),
}


@pytest.mark.parametrize("words", NOTHING)
def test_a_check_of_nothing_is_no_check(words):
    with pytest.raises(ValueError, match=words): NOTHING[words]()


def test_a_loss_of_few_digits_is_refused():
    w = torch.ones(3, dtype=torch.float64)
    with pytest.raises(ValueError, match="The loss is torch.float32: compute it in float64"):
        check_gradients(lambda: w.float().sum(), {"w": w}, {"w": w})


@pytest.mark.parametrize("sign", [1, -1])
def test_noise_hides_no_sign(sign):
    "A loss that is rounded on its way, or that a large constant drowns, proves no claim."
    w = np.linspace(.1, .9, 9)
    def rounded(): return float(np.float32(2 + 1e-3*w.sum()))   # in steps of 2e-7
    def drowned(): return 1e12 + w.sum()
    for loss, slope in (rounded, 1e-3), (drowned, 1.):
        report = check_gradients(loss, {"w": w}, {"w": np.full(9, sign*slope)})
        assert not report.ok, report
        assert not any(e.verdict in ("right", "kink") for e in report.entries), report
    assert "NOT MEASURED" in str(report) and "lost in the noise" in str(report)


def test_another_shape_is_not_called_transposed():
    with pytest.raises(ValueError, match="a gradient has its parameter's shape.$"):
        check_gradients(W.sum, {"w": W}, {"w": W[:1]})


def test_the_check_needs_neither_torch_nor_numpy():
    ask = ("import sys, mnist_course.gradcheck; "
           "print([m for m in ('torch', 'numpy', 'fastai', 'matplotlib') if m in sys.modules])")
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


# ---- lesson 05 ----

@many
@given(seeds, st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_two_linear_layers_are_one(seed, n_in, n_hidden, n_out):
    torch.manual_seed(seed)
    first, second = nn.Linear(n_in, n_hidden).double(), nn.Linear(n_hidden, n_out).double()
    x = torch.randn(6, n_in, dtype=torch.float64)
    one = collapse(first, second)
    assert one(x).shape == (6, n_out)
    torch.testing.assert_close(one(x), second(first(x)), rtol=1e-12, atol=1e-12)


def test_layers_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="gives 3 numbers and the second takes 4"):
        collapse(nn.Linear(2, 3), nn.Linear(4, 1))
    for sizes in (0, 1, 1), (1, 0, 1), (1, 1, 0):
        with pytest.raises(ValueError, match="whole number of 1 or more"): relu_net(*sizes)


def test_numbers_keep_their_size_through_the_net():
    net = relu_net(400, 400, 300, seeded(0))
    for linear, n_in in (net[0], 400), (net[2], 400):
        assert abs(linear.weight.var().item()*n_in/2 - 1) < .03 and not linear.bias.any()
    x = torch.randn(500, 400, generator=seeded(1))
    hidden = net[1](net[0](x))
    assert abs(hidden.pow(2).mean().item()/x.pow(2).mean().item() - 1) < .1
    assert hidden.min() == 0
    assert torch.equal(relu_net(400, 400, 300, seeded(0))[2].weight, net[2].weight)


def digits(n, seed=0):
    "Random images, each with its label's place inked so that there is something to learn."
    g = seeded(seed)
    labels = torch.randint(0, 10, (n,), generator=g)
    images = torch.randint(0, 60, (n, 28, 28), generator=g, dtype=torch.uint8)
    for image, digit in zip(images, labels, strict=True): image[:, 2*digit:2*digit + 2] = 255
    return images, labels


class Watch:
    "Keeps the starting weights, the batches and the rates of a training."
    def __init__(self): self.batches, self.rates = [], []
    def before_fit(self, learn):
        self.start = {k: v.clone() for k, v in learn.model.state_dict().items()}
    def before_batch(self, learn):
        self.batches.append((learn.xb, learn.yb))
        self.rates.append(learn.opt.lr)


def by_pytorch(model, batches, loss_func, lr):
    "The same training with PyTorch's own optimiser."
    opt = torch.optim.SGD(model.parameters(), lr=lr)
    for xb, yb in batches:
        opt.zero_grad()
        loss_func(model(xb), yb).backward()
        opt.step()
    return model


def start_again(model, watch):
    model.load_state_dict(watch.start)
    return model


def test_fit_odd_trains_as_pytorch_does_on_odd_targets():
    train, watch = digits(200), Watch()
    run = fit_odd(train, digits(100, 1), relu_net(784, 8, 1, seeded(0)), 2, callbacks=[watch])
    assert len(watch.batches) == 2*4 and set(watch.rates) == {.1}
    model = start_again(relu_net(784, 8, 1), watch)
    by_pytorch(model, watch.batches, F.binary_cross_entropy_with_logits, .1)
    for p, q in zip(model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    rows, targets = map(torch.cat, zip(*watch.batches[:4], strict=True))         # one epoch
    order = torch.randperm(200, generator=seeded(0))
    assert torch.equal(rows, as_rows(train[0])[order])
    assert torch.equal(targets, (train[1][order] % 2)[:, None].float())
    x, y = digits(100, 1)
    said = (run.model(as_rows(x))[:, 0] > 0) == (y % 2 == 1)
    assert math.isclose(run.final, said.float().mean(), abs_tol=1e-6)
    assert (run.n_valid, len(run.accuracy), len(run.loss), len(run.valid_loss)) == (100, 2, 2, 2)


def recipes():
    def net(n_out): return relu_net(784, 8, n_out, seeded(0))
    return {"odd": lambda t, v, seed: fit_odd(t, v, net(1), 1, seed),
            "ten": lambda t, v, seed: fit_ten(t, v, net(10), 1, seed=seed),
            "small_batches": lambda t, v, seed: fit_small_batches(t, v, seed, n_epochs=1),
            "mlp": lambda t, v, seed: fit_mlp(t, v, seed, n_epochs=1)}


@pytest.mark.parametrize("name", recipes())
def test_judging_changes_nothing_and_the_seed_decides(name):
    fit, train = recipes()[name], digits(100)
    judged, unjudged = fit(train, digits(30, 1), 0), fit(train, None, 0)
    assert judged.n_valid == 30 and 0 <= judged.final <= 1
    assert (unjudged.accuracy, unjudged.valid_loss, unjudged.n_valid) == ([], [], 0)
    with pytest.raises(ValueError, match="not judged"): unjudged.final  # noqa: B018
    assert judged.loss == unjudged.loss and fit(train, None, 1).loss != judged.loss
    for p, q in zip(judged.model.parameters(), unjudged.model.parameters(), strict=True):
        assert torch.equal(p, q)


# ---- lesson 06 ----

sizes = st.sampled_from([1e-4, 1., 1e2, 1e4])


@many
@given(seeds, sizes, st.integers(1, 7), st.integers(2, 12))
def test_softmax_and_cross_entropy_are_pytorchs(seed, size, bs, c):
    g = seeded(seed)
    scores = torch.randn(bs, c, generator=g, dtype=torch.float64)*size
    labels = torch.randint(0, c, (bs,), generator=g)
    torch.testing.assert_close(softmax(scores), scores.softmax(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(log_softmax(scores), scores.log_softmax(1), rtol=1e-12, atol=1e-12)
    scores.requires_grad_()
    theirs = F.cross_entropy(scores, labels)
    theirs.backward()
    torch.testing.assert_close(cross_entropy(scores, labels), theirs, rtol=1e-12, atol=1e-14)
    mine = cross_entropy_grad(scores.detach(), labels)
    assert mine.shape == (bs, c)
    torch.testing.assert_close(mine, scores.grad, rtol=1e-9, atol=1e-15)
    report = check_gradients(lambda: cross_entropy(scores, labels), {"z": scores}, {"z": mine})
    if size == 1.: assert report.ok, report


def test_labels_that_are_none_are_refused():
    scores = torch.zeros(2, 3)
    for labels in torch.tensor([[2], [0]]), torch.tensor([1]):
        with pytest.raises(ValueError, match="one (label )?for each"): cross_entropy(scores, labels)
    for label in 3, -1:
        with pytest.raises(ValueError, match="give 0 to 2"): one_hot(torch.tensor([label]), 3)
    assert one_hot(torch.tensor([], dtype=torch.int64)).shape == (0, 10)


def test_fit_ten_trains_as_pytorch_does():
    train, watch, net = digits(200), Watch(), relu_net(784, 8, 10, seeded(0))
    run = fit_ten(train, digits(100, 1), net, n_epochs=2, lr=.05, bs=16, seed=3, callbacks=[watch])
    assert len(watch.batches) == 2*13 and set(watch.rates) == {.05}
    model = start_again(relu_net(784, 8, 10), watch)
    by_pytorch(model, watch.batches, F.cross_entropy, .05)
    for p, q in zip(model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)
    x, y = digits(100, 1)
    said = run.model(as_rows(x)).argmax(1) == y
    assert math.isclose(run.final, said.float().mean(), abs_tol=1e-6)
    order = torch.randperm(200, generator=seeded(3))
    assert torch.equal(watch.batches[0][1], train[1][order][:16])


@pytest.mark.parametrize("relu", [True, False])
def test_small_batches_start_as_pytorch_does(relu):
    watch = Watch()
    run = fit_small_batches(digits(52), None, 7, relu, 1, [watch])
    torch.manual_seed(7)
    for linear in nn.Linear(784, 30), nn.Linear(30, 10):
        for name in "weight", "bias":
            key = f"{0 if linear.in_features == 784 else len(run.model) - 1}.{name}"
            assert torch.equal(watch.start[key], getattr(linear, name))
    kinds = [nn.Linear, nn.ReLU, nn.Linear] if relu else [nn.Linear, nn.Linear]
    assert [type(part) for part in run.model] == kinds
    assert [len(x) for x, _ in watch.batches] == [5]*10 + [2] and set(watch.rates) == {.1}


def test_the_mlp_is_its_own_description():
    train, valid, decay = digits(100), digits(50, 1), LinearDecay()
    mlp = fit_mlp(train, valid, 4, n_epochs=2)
    same = fit_ten(train, valid, relu_net(784, 128, 10, seeded(4)), 2, .5, 32, 4, [decay])
    assert mlp.loss == same.loss and mlp.accuracy == same.accuracy
    assert math.isclose(decay.rates[0], .5) and math.isclose(decay.rates[-1], .5/8)
    assert fit_mlp(train, n_epochs=1).n_valid == 0


# ---- plots ----

@pytest.fixture
def shown(monkeypatch):
    "What would have been shown: sentences and figures."
    kept = []
    monkeypatch.setattr(plots, "show", lambda alt, fig: kept.append((alt, fig)))
    yield kept
    plt.close("all")


def test_a_grid_makes_its_sentence_from_its_titles(shown):
    images = torch.rand(3, 4, 4)
    plots.image_grid(images, titles=["a three", "a seven", 8])
    plots.image_grid(images)
    plots.image_grid(images[:1], "One square.", n_cols=5)
    assert [alt for alt, _ in shown] == ["3 images: a three, a seven, 8",
                                         "3 images without any titles", "One square."]
    titles = [ax.get_title() for ax in shown[0][1].axes]
    assert titles == ["a three", "a seven", "8"]
    assert len(shown[2][1].axes) == 1


def test_a_grid_has_room_for_all_and_no_more(shown):
    for n, n_cols, rows in (10, 4, 3), (8, 4, 2), (1, 8, 1), (9, 8, 2):
        plots.image_grid(np.zeros((n, 4, 4)), n_cols=n_cols, size=2)
        fig = shown[-1][1]
        assert len(fig.axes) == rows*min(n, n_cols)
        assert sum(bool(ax.images) for ax in fig.axes) == n
        assert not any(ax.axison for ax in fig.axes)
        np.testing.assert_allclose(fig.get_size_inches(), (2.1*min(n, n_cols), 2.1*rows))


def test_zero_in_the_middle(shown):
    image = torch.tensor([[-3., 1.], [0., 2.]])
    plots.image_grid([image], symmetric=True)
    plots.image_grid([image])
    assert shown[0][1].axes[0].images[0].get_clim() == (-3, 3)
    assert shown[1][1].axes[0].images[0].get_clim() == (-3, 2)


def test_a_picture_without_images_or_sentence_is_refused():
    with pytest.raises(ValueError, match="no images"): plots.image_grid([])
    image = torch.rand(1, 2, 2)
    for alt in "", "  ":
        with pytest.raises(ValueError, match="a sentence"): plots.image_grid(image, alt)
    plt.close("all")


def test_a_figure_is_closed_when_it_has_been_shown(monkeypatch):
    calls = []
    monkeypatch.setattr(plt, "show", lambda: calls.append(plt.get_fignums()))
    fig, other = plt.subplots()[0], plt.subplots()[0]
    plots.show("The first of two figures.", fig)
    assert calls == [[fig.number, other.number]] and plt.get_fignums() == [other.number]
    plots.show("And the current one.")
    assert not plt.get_fignums()


def test_the_look_is_the_courses():
    with plt.rc_context():
        plots.course_style()
        assert all(plt.rcParams[name] == value for name, value in plots.STYLE.items()
                   if name != "figure.figsize")
        assert tuple(plt.rcParams["figure.figsize"]) == plots.STYLE["figure.figsize"]
