"""The clinic: every check rings at its bug, none at a sound set-up, and none leaves a trace.

A set-up is a dictionary of what `examine` is given. Each bug is planted into a sound one, for
several seeds, on the stand-in and on MNIST where that is to be had.
"""
import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from mnist_course import clinic
from mnist_course.clinic import CHECKS, AsModule, DoesNotApply, Finding, examine
from mnist_course.data import (Batches, StandInWarning, as_rows, get_data, hold_out, load_split,
                               source_of)
from mnist_course.numpy_net import MLP, FaultySigmoid, Linear
from mnist_course.optim import BasicOptim
from mnist_course.preserve import preserve
from mnist_course.relu_net import relu_net
from mnist_course.sgd import mnist_loss
from mnist_course.ten_digits import cross_entropy
from zoo import TwiceModule

seeds = pytest.mark.parametrize("seed", range(3))


@pytest.fixture(scope="module", params=["standin", "mnist"])
def data(request):
    "At most 4,000 images to train on and the held-out ones, as rows; two digits and ten."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StandInWarning)
        path = get_data("full", "standin" if request.param == "standin" else None)
    if source_of(path) != request.param: pytest.skip("MNIST is not to be had here")
    x, y, xv, yv = hold_out(*load_split(path, "training"), seed=0)
    x, y, xv, yv = as_rows(x[:4000]), y[:4000], as_rows(xv[:2000]), yv[:2000]
    def pair(x, y):
        keep = (y == 3) | (y == 7)
        return x[keep], (y[keep] == 3).float()[:, None]
    return {10: (x, y, xv, yv), 2: (*pair(x, y), *pair(xv, yv))}


def seeded(make):
    "PyTorch's layers draw from the global generator; put it back afterwards."
    def with_seed(seed):
        with preserve(nn.Module()):
            torch.manual_seed(seed)
            return make()
    return with_seed


def conv():
    def block(n_in, n_out):
        return [nn.Conv2d(n_in, n_out, 3, 2, 1), nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), *block(1, 8), *block(8, 16),
                         nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(.2), nn.Linear(64, 10))


def sigmoids(kind=nn.Sigmoid): # PyTorch's own start
    return nn.Sequential(nn.Linear(784, 64), kind(), nn.Linear(64, 32), kind(), nn.Linear(32, 10))


def zeros():
    line = nn.Linear(784, 10)
    for p in line.parameters(): nn.init.zeros_(p)
    return line


class Residual(nn.Module):
    "A branch that starts at zero, as residual networks have it, and hides its layers for a step."
    def __init__(self):
        super().__init__()
        self.first, self.branch = nn.Linear(784, 32), nn.Linear(32, 32)
        self.last = nn.Linear(32, 10)
        self.scale = nn.Parameter(torch.zeros(32))

    def forward(self, xb):
        h = F.relu(self.first(xb))
        return self.last(h + self.scale*F.relu(self.branch(h)))


NAMES = ["order", "reshuffling", "labels", "overlap", "orientation", "scale in validation",
         "scale in use", "pairing", "start", "squashing", "extremes", "reach", "symmetry",
         "backward", "overfit", "nonlinearity", "alive", "update", "zeroing", "learning rate",
         "alone"]
bce = F.binary_cross_entropy_with_logits
SOUND = {  # name -> (model, loss, learning rate, classes, checks that have nothing to look at)
    "linear": (lambda: nn.Linear(784, 10), cross_entropy, .2, 10,
               {"nonlinearity", "alive", "symmetry"}),
    "from zero": (zeros, F.cross_entropy, .2, 10, {"nonlinearity", "alive", "symmetry"}),
    "relu": (lambda: relu_net(784, 128, 10), cross_entropy, .2, 10, set()),
    "relu, fast": (lambda: relu_net(784, 64, 10), cross_entropy, .5, 10, set()),
    "sigmoid": (sigmoids, cross_entropy, 1., 10, set()),
    "tanh": (lambda: sigmoids(nn.Tanh), cross_entropy, .1, 10, set()),
    "conv": (conv, F.cross_entropy, .1, 10, set()),
    "residual": (Residual, F.cross_entropy, .1, 10, set()),
    "log-softmax": (lambda: nn.Sequential(*relu_net(784, 32, 10), nn.LogSoftmax(1)), F.nll_loss, .2,
                    10, set()),
    "line, 3 or 7": (lambda: nn.Linear(784, 1), mnist_loss, 1., 2,
                     {"start", "nonlinearity", "alive", "symmetry"}),
    "relu, 3 or 7": (lambda: relu_net(784, 32, 1), mnist_loss, .5, 2, {"start"}),
    "relu, bce": (lambda: relu_net(784, 32, 1), bce, .1, 2, set()),
    "two scores": (lambda: relu_net(784, 32, 2),
                   lambda s, t: F.cross_entropy(s, t[:, 0].long()), .1, 2, set()),
    "sigmoid inside": (lambda: nn.Sequential(*relu_net(784, 32, 1), nn.Sigmoid()),
                       F.binary_cross_entropy, .1, 2, set()),
}


def set_up(data, name="relu", seed=0, dtype=torch.float32):
    "All that `examine` can be given, and nothing wrong with it."
    make, loss_func, lr, c, _ = SOUND[name]
    x, y, xv, yv = data[c]
    if c == 2: y, yv = y.to(dtype), yv.to(dtype)
    model = seeded(make)(seed).to(dtype)
    opt = (torch.optim.SGD(model.parameters(), lr/10, momentum=.9) if name == "conv" else
           BasicOptim(model.parameters(), lr))

    def step(model, xb, yb):
        model.train()
        if seed % 2: opt.zero_grad()       # half of the world does it before the step
        loss_func(model(xb), yb).backward()
        opt.step()
        if not seed % 2: opt.zero_grad()   # and half of it after

    def predict(xb):
        model.eval()
        with torch.no_grad(): return model(xb)
    x, xv = x.to(dtype), xv.to(dtype)
    dl = Batches(x, y, 64, shuffle=True, generator=torch.Generator().manual_seed(seed))
    return dict(model=model, loss_func=loss_func, dl=dl, valid_dl=Batches(xv, yv, 512), step=step,
                opt=opt, predict=predict, in_use=xv)


@seeds
@pytest.mark.parametrize("name", SOUND)
def test_nothing_rings_at_a_sound_set_up(data, name, seed):
    report = examine(**set_up(data, name, seed))
    assert report.ok, report
    assert set(report.skipped) == SOUND[name][-1]
    assert [f.check for f in report.findings] == [n for n in NAMES if n not in report.skipped]


@pytest.mark.parametrize("name", ["relu", "conv", "relu, bce"])
def test_float64_too(data, name):
    report = examine(**set_up(data, name, dtype=torch.float64))
    assert report.ok, report


@seeds
def test_normalised_pixels_are_sound_too(data, seed):
    s, (x, y, xv, yv) = set_up(data, "relu", seed), data[10]
    x, xv = (x - x.mean())/x.std(), (xv - x.mean())/x.std()
    g = torch.Generator().manual_seed(seed)
    opt = BasicOptim(s["model"].parameters(), .05)
    report = examine(s["model"], cross_entropy, Batches(x, y, 64, True, g), in_use=xv, opt=opt,
                     valid_dl=[(xv, yv)])
    assert report.ok, report


# ---- the bugs: each takes a sound set-up and spoils it ----

def own_step(s, **broken):
    "A training step with one thing left out, or put in."
    loss_func, opt = s["loss_func"], s["opt"]

    def step(model, xb, yb):
        loss = loss_func(model(xb), yb)
        if broken.get("backward", True): loss.backward()
        opt.step()
        if broken.get("zero", True): opt.zero_grad()
    return s | {"step": step}


def unshuffled(s):
    x, y = s["dl"].x, s["dl"].y
    order = y.flatten().argsort(stable=True)
    return s | {"dl": Batches(x[order], y[order], 64)}


def blocks(s): # not one class after the other throughout, but in runs of twenty
    x, y = s["dl"].x, s["dl"].y
    order = y.flatten().argsort(stable=True)
    runs = list(order.split(20))
    random.Random(0).shuffle(runs)
    order = torch.cat(runs)
    return s | {"dl": Batches(x[order], y[order], 64)}


def leak(s):
    x, y, v = s["dl"].x, s["dl"].y, s["valid_dl"]
    return s | {"valid_dl": Batches(torch.cat([v.x, x[-9:]]), torch.cat([v.y, y[-9:]]), 64)}


def naive(scores, labels):
    powers = scores.exp()
    return -(powers/powers.sum(1, keepdim=True))[range(len(labels)), labels].log().mean()


def rate(s, lr): s["opt"].lr = lr; return s


def replace(s, model, **more):
    "Another model, with a step and an optimiser of its own."
    opt = BasicOptim(model.parameters(), s["opt"].lr)
    return own_step(s | {"model": model, "opt": opt, "predict": model} | more)


def flattened(s): # the loss gets targets (bs,) and scores (bs, 1)
    dl, v = s["dl"], s["valid_dl"]
    def loss_func(scores, targets): return (F.softplus(scores) - targets*scores).mean()
    s = s | {"dl": Batches(dl.x, dl.y[:, 0], 64, True, dl.generator),
             "valid_dl": Batches(v.x, v.y[:, 0]), "loss_func": loss_func}
    return own_step(s)


class SecondOnInput(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.first, self.second = model[0], nn.Linear(784, 10)

    def forward(self, xb):
        self.first(xb).relu()
        return self.second(xb)


def detached(s):
    model = s["model"]
    def forward(xb): return model[2](model[1](model[0](xb)).detach())
    return replace(s, AsModule(forward, dict(model.named_parameters())))


def alike(s, value=.02):
    for p in s["model"].parameters(): nn.init.constant_(p, value)
    return s


def dead(s):
    nn.init.constant_(s["model"][0].bias, -9.)
    return s


def saturated(s):
    nn.init.normal_(s["model"][0].weight, std=2., generator=torch.Generator().manual_seed(0))
    return s


def faulty(s):
    model = s["model"]
    return replace(s, nn.Sequential(model[0], TwiceModule(), *model[2:]))


def frozen_half(s):
    s["opt"].params = s["opt"].params[2:]
    return s


BUGS = {  # name -> (kind of set-up, how to spoil it, the check that must ring, others that may)
    "unshuffled": ("relu", unshuffled, "order", {"learning rate", "reshuffling"}),
    "unshuffled, two digits": ("relu, bce", unshuffled, "order", {"learning rate", "reshuffling"}),
    "in blocks": ("relu", blocks, "order", {"reshuffling"}),
    "shuffled once": ("relu", lambda s: s | {"dl": Batches(s["dl"].x, s["dl"].y, 64)},
                      "reshuffling", set()),
    "labels slipped": ("relu", lambda s: s | {"dl": Batches(
        s["dl"].x, s["dl"].y.roll(1), 64, True)}, "labels", {"learning rate"}),
    "labels slipped, two digits": ("relu, bce", lambda s: s | {"dl": Batches(
        s["dl"].x, s["dl"].y.roll(1, 0), 64, True)}, "labels", {"learning rate"}),
    "training mirrored": ("relu", lambda s: s | {"dl": Batches(
        s["dl"].x.view(-1, 28, 28).flip(2).flatten(1), s["dl"].y, 64, True)}, "orientation", set()),
    "validation holds training images": ("relu", leak, "overlap", set()),
    "validation is training": ("relu", lambda s: s | {"valid_dl": s["dl"]}, "overlap", set()),
    "validation unscaled": ("relu", lambda s: s | {"valid_dl": Batches(
        255*s["valid_dl"].x, s["valid_dl"].y)}, "scale in validation", set()),
    "in use unscaled": ("relu", lambda s: s | {"in_use": 255*s["in_use"]}, "scale in use", set()),
    "in use normalised": ("relu", lambda s: s | {"in_use": (s["in_use"] - .13)/.31},
                          "scale in use", set()),
    "in use dark on light": ("relu", lambda s: s | {"in_use": 1 - s["in_use"]},
                             "scale in use", set()),
    "loss broadcasts": ("relu, bce", flattened, "pairing", {"overfit", "learning rate"}),
    "softmax twice": ("relu", lambda s: replace(s, nn.Sequential(*s["model"], nn.Softmax(1))),
                      "squashing", {"overfit", "learning rate"}),
    "sigmoid twice": ("relu, bce", lambda s: replace(s, nn.Sequential(*s["model"], nn.Sigmoid())),
                      "squashing", {"overfit", "learning rate"}),
    "softmax overflows": ("relu", lambda s: own_step(s | {"loss_func": naive}), "extremes", set()),
    "log of a softmax": ("relu", lambda s: replace(s, nn.Sequential(*s["model"], nn.Softmax(1)),
        loss_func=lambda p, y: -p[range(len(p)), y].log().mean()), "extremes", set()),
    "no nonlinearity": ("relu", lambda s: replace(s, nn.Sequential(s["model"][0], s["model"][2])),
                        "nonlinearity", {"learning rate"}), # twice as much comes through
    "no nonlinearity, batch norm": ("relu", lambda s: replace(s, nn.Sequential(
        s["model"][0], nn.BatchNorm1d(128), s["model"][2], nn.LogSoftmax(1))), "nonlinearity",
        {"alone"}),
    "second layer on input": ("relu", lambda s: replace(s, SecondOnInput(s["model"])), "reach",
                              {"nonlinearity"}),
    "detached": ("relu", detached, "reach", set()),
    "weights alike": ("relu", alike, "symmetry",
                      {"overfit", "learning rate", "start", "nonlinearity"}),
    "weights all zero": ("relu", lambda s: alike(s, 0.), "symmetry",
                         {"overfit", "learning rate", "alive", "reach"}),
    "dead ReLUs": ("relu", dead, "alive", {"reach", "overfit", "learning rate"}),
    "sigmoids at their flat ends": ("sigmoid", saturated, "alive", {"start", "learning rate"}),
    "backward never called": ("relu", lambda s: own_step(s, backward=False), "update",
                              {"learning rate"}),
    "half of it not in the optimiser": ("relu", frozen_half, "update", {"zeroing"}),
    "another model's optimiser": ("relu", lambda s: s | {"model": relu_net(784, 128, 10)},
                                  "update", {"learning rate", "zeroing"}),
    "never zeroed": ("relu", lambda s: own_step(s, zero=False), "zeroing", {"learning rate"}),
    "rate too high": ("relu", lambda s: rate(s, 5.), "learning rate", set()),
    "rate far too high": ("conv", lambda s: s | {"step": clinic._plain_step(
        s["model"], s["loss_func"], None, 1e3)}, "learning rate", set()),
    "rate too low": ("relu", lambda s: rate(s, 2e-5), "learning rate", set()),
    "derivative twice": ("sigmoid", faulty, "backward", {"learning rate"}),
    "eval forgotten": ("conv", lambda s: s | {"predict": s["model"].train()}, "alone", set()),
    "pixels unscaled from the start": ("relu", lambda s: replace(s | {
        "dl": Batches(255*s["dl"].x, s["dl"].y, 64, True)}, s["model"]), "start",
        {"learning rate", "scale in validation", "scale in use", "labels"}),
    "labels shuffled apart": ("relu", lambda s: s | {"dl": Batches(s["dl"].x[:200].mean(0).repeat(
        300, 1), s["dl"].y[:300], 64, True)}, "overfit", {"learning rate", "scale in validation",
                                                         "scale in use", "alive", "nonlinearity",
                                                         "labels", "reshuffling"}),
}


@seeds
@pytest.mark.parametrize("bug", BUGS)
def test_the_check_rings(data, bug, seed):
    name, spoil, check, may_ring_too = BUGS[bug]
    report = examine(**spoil(set_up(data, name, seed)))
    rings = {f.check for f in report.failed}
    assert check in rings, report
    assert rings <= {check} | may_ring_too, report
    found = next(f for f in report.failed if f.check == check)
    assert found.do and str(found) in repr(report)


def test_every_check_is_rung():
    assert {check for _, _, check, _ in BUGS.values()} == set(NAMES) and len(NAMES) == 21


# ---- gradients written by hand, in NumPy ----

class WrongAxis(Linear):
    def backward(self, dz):
        dx = super().backward(dz)
        self.db = dz.sum(1)
        return dx


def numpy_finding(seed, activation, bs=10, spoil=None):
    rng = np.random.default_rng(seed)
    net = MLP((12, 8, 10), activation, rng=rng, dtype=np.float64)
    x, labels = rng.normal(size=(bs, 12)), rng.integers(10, size=bs)
    if spoil: spoil(net)
    net.loss(x, labels)
    grads = {k: d.copy() for k, d in net.backward().items()}
    return clinic.check_claimed_gradients(lambda: net.loss(x, labels), net.parameters(), grads)


def wrong_axis(net): net.linear[1].__class__ = WrongAxis
def twice(net): net.layers[1] = FaultySigmoid()


@seeds
def test_gradients_by_hand(seed):
    for activation in "relu", "sigmoid": assert numpy_finding(seed, activation).ok
    found = numpy_finding(seed, "relu", spoil=wrong_axis)
    assert not found.ok and "wrong in b2" in found.seen and "axis 0" in found.do
    found = numpy_finding(seed, "relu", bs=7, spoil=wrong_axis)
    assert not found.ok and "(7,)" in found.seen and "axis 0" in found.do
    found = numpy_finding(seed, "sigmoid", spoil=twice)
    assert not found.ok and "w1" in found.seen and "w2" not in found.seen


# ---- nothing is left behind ----

def trace(s, extra=()):
    "Everything that an examination might disturb."
    model = s["model"]
    return [*[p.detach().clone() for p in model.parameters()],
            *[b.clone() for b in model.buffers()], *[p.dtype for p in model.parameters()],
            *[p.grad if p.grad is None else p.grad.clone() for p in model.parameters()],
            [m.training for m in model.modules()], torch.get_rng_state(), random.getstate(),
            np.random.get_state()[1].tolist(), *(f() for f in extra)]


def same(a, b):
    return len(a) == len(b) and all(
        torch.equal(p, q) if isinstance(p, torch.Tensor) and isinstance(q, torch.Tensor) else
        not isinstance(p, torch.Tensor) and not isinstance(q, torch.Tensor) and p == q
        for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["conv", "relu"])
def test_no_trace_is_left(data, name, training):
    s = set_up(data, name)
    for _ in range(3): s["step"](s["model"], *next(iter(s["dl"])))   # momentum, running means
    s["model"].train(training)
    next(s["model"].parameters()).grad = torch.ones_like(next(s["model"].parameters()))
    storage = [p.data_ptr() for p in s["model"].parameters()]

    def memory():
        if name != "conv": return vars(s["opt"])["lr"]
        state = s["opt"].state_dict()["state"]
        return [state[k]["momentum_buffer"].tolist() for k in sorted(state)]
    extra = [memory, lambda: s["dl"].generator.get_state()]
    before = trace(s, extra)
    opt = s.pop("opt")                                               # found in the step
    report = examine(**s)
    assert len(report.findings) >= 17
    s["opt"] = opt
    assert same(before, trace(s, extra))
    assert storage == [p.data_ptr() for p in s["model"].parameters()]


def test_dice_of_three_makers_are_put_back(data):
    s = set_up(data)
    def dicey(model, xb, yb):
        shift = torch.rand(1).item() + np.random.random() + random.random()
        s["step"](model, xb + shift/1000, yb)
    before = trace(s)
    assert examine(**s | {"step": dicey}).ok
    assert same(before, trace(s))


def test_the_trace_would_show(data):
    s = set_up(data)
    before = trace(s)
    s["step"](s["model"], *next(iter(s["dl"])))
    assert not same(before, trace(s))
    before = trace(s)
    torch.rand(1)
    assert not same(before, trace(s))


def test_all_is_put_back_even_after_an_error(data):
    s = set_up(data)
    before = trace(s)
    def stops(model, xb, yb):
        s["step"](model, xb, yb)
        raise RuntimeError("out of paper")
    with pytest.raises(RuntimeError, match="out of paper"): examine(**s | {"step": stops})
    assert same(before, trace(s))


# ---- other loaders, other models ----

def test_pytorchs_dataloader(data):
    s, (x, y) = set_up(data), data[10][:2]
    g = torch.Generator().manual_seed(0)
    dl = DataLoader(TensorDataset(x, y), 64, shuffle=True, generator=g)
    state = g.get_state()
    assert examine(**s | {"dl": dl}).ok and torch.equal(state, g.get_state())
    order = y.argsort()
    in_order = DataLoader(TensorDataset(x[order], y[order]), 64)
    assert "order" in {f.check for f in examine(**s | {"dl": in_order}).failed}


def test_fastais_learner(data):
    from fastai.callback import progress  # noqa: F401
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastaiLoader
    from fastai.learner import Learner
    from fastai.losses import BCEWithLogitsLossFlat, CrossEntropyLossFlat
    from fastai.optimizer import Adam
    x, y, xv, yv = data[10]
    train = FastaiLoader(list(zip(x, y, strict=True)), bs=64, shuffle=True)
    valid = FastaiLoader(list(zip(xv, yv, strict=True)), bs=64)
    learn = Learner(DataLoaders(train, valid), relu_net(784, 32, 10),
                    loss_func=CrossEntropyLossFlat(), opt_func=Adam, lr=.01)
    learn.create_opt()
    rng = learn.dls.train.rng.getstate()
    hypers = [dict(h) for h in learn.opt.hypers]
    report = examine(learn.model, learn.loss_func, learn.dls.train, valid_dl=learn.dls.valid,
                     opt=learn.opt)
    assert report.ok, report
    assert learn.dls.train.rng.getstate() == rng
    assert [dict(h) for h in learn.opt.hypers] == hypers
    assert not any("grad_avg" in learn.opt.state[p] for p in learn.model.parameters())
    # it flattens: (bs, 1) against (bs,) is right with this loss
    assert clinic.check_pairing(BCEWithLogitsLossFlat(), torch.zeros(9, 1), torch.zeros(9)).ok


@seeds
def test_a_model_of_functions(data, seed):
    g = torch.Generator().manual_seed(seed)
    p = {"w1": torch.randn(784, 32, generator=g)*.05, "b1": torch.zeros(32),
         "w2": torch.randn(32, 10, generator=g)*.2, "b2": torch.zeros(10)}
    for t in p.values(): t.requires_grad_()
    def forward(xb): return (xb @ p["w1"] + p["b1"]).max(torch.tensor(0.)) @ p["w2"] + p["b2"]
    s = set_up(data, "relu", seed)
    model = AsModule(forward, p)
    def step(model, xb, yb):
        cross_entropy(forward(xb), yb).backward()
        for t in p.values():
            t.data -= .2*t.grad
            t.grad.zero_()
    given = {k: s[k] for k in ("loss_func", "dl", "valid_dl")}
    report = examine(model=model, step=step, predict=forward, **given)
    assert report.ok, report
    assert set(report.skipped) == {"scale in use"}
    for t in p.values(): nn.init.constant_(t.data, .02)
    assert "symmetry" in {f.check for f in examine(model=model, step=step, **given).failed}


def test_what_is_not_given_is_said(data):
    s = set_up(data)
    report = examine(s["model"], s["loss_func"], s["dl"])
    assert report.ok
    assert "give valid_dl" in repr(report) and "| overlap | not made |" in report._repr_markdown_()
    assert report.skipped == {
        "overlap": "give valid_dl", "scale in validation": "give valid_dl",
        "orientation": "give valid_dl",
        "scale in use": "give in_use", "update": "give step or opt", "zeroing": "give step",
        "learning rate": "give step, opt or lr", "alone": "give predict"}
    report = examine(s["model"], s["loss_func"], s["dl"], lr=1e-6)
    assert [f.check for f in report.failed] == ["learning rate"]
    assert {"update", "zeroing"} <= set(report.skipped)     # a plain step of ours proves nothing
    report = examine(s["model"], s["loss_func"], s["dl"], opt=s["opt"])
    assert report.ok and {"update", "learning rate"} <= {f.check for f in report.findings}
    assert report.skipped["zeroing"] == "give step"


# ---- checks of one's own, and what they are given ----

def test_a_check_is_handed_what_its_parameters_name(data):
    s, handed = set_up(data), {}

    def check_everything(model, loss_func, dl, valid_dl, step, opt, predict, in_use, x, y, xb, yb,
                         scores, opt_step, any_step, other="default", n=7):
        handed.update(locals())
        return Finding("everything", True, "all there", "")
    report = examine(**s, checks=[check_everything])
    assert report.ok and [f.check for f in report.findings] == ["everything"]
    for name in s: assert handed[name] is s[name], name
    assert handed["opt_step"] is handed["any_step"] is s["step"]
    assert len(handed["x"]) == len(handed["y"]) >= min(2000, len(s["dl"].x))
    assert handed["xb"].shape == (64, 784)
    assert handed["yb"].shape == (64,) and handed["scores"].shape == (64, 10)
    assert (handed["other"], handed["n"]) == ("default", 7)
    torch.testing.assert_close(handed["scores"], s["model"](handed["xb"]).detach())


def test_a_plain_step_is_made_where_none_is_given(data):
    s, handed = set_up(data), {}
    def check_steps(opt_step, any_step):
        handed.update(opt_step=opt_step, any_step=any_step)
        return Finding("steps", True, "", "")
    given = s["model"], s["loss_func"], s["dl"]
    assert examine(*given, checks=[check_steps]).skipped == {"steps": "give step or opt"}
    assert examine(*given, lr=.1, checks=[check_steps]).skipped == {"steps": "give step or opt"}
    assert not handed
    report = examine(*given, opt=s["opt"], checks=[check_steps])
    assert [f.check for f in report.findings] == ["steps"] and len(handed) == 2
    before = s["model"][0].weight.detach().clone()
    x, y = (t[:64] for t in data[10][:2])
    with preserve(s["model"]):
        handed["opt_step"](s["model"], x, y)
        assert not torch.equal(before, s["model"][0].weight) # it is a step, and with this optimiser
    assert s["opt"] in clinic._optimizers(handed["opt_step"])


def test_an_optional_parameter_is_handed_over_if_given(data):
    s, handed = set_up(data), []
    def check_opt(opt=None): handed.append(opt); return Finding("opt", True, "", "")
    given = s["model"], s["loss_func"], s["dl"]
    examine(*given, checks=[check_opt])
    examine(*given, opt=s["opt"], checks=[check_opt])
    assert handed == [None, s["opt"]]


def test_own_checks_are_made_after_the_others_and_in_order(data):
    s = set_up(data)
    def check_no_time(y): raise DoesNotApply("no time")
    def check_rain(y): return Finding("rain", False, "it rains", "take an umbrella")
    report = examine(**s, checks=[*CHECKS, check_no_time, check_rain])
    assert [f.check for f in report.findings] == [*NAMES, "rain"]
    assert report.skipped == {"no time": "no time"} and [f.check for f in report.failed] == ["rain"]
    assert examine(**s, checks=[]).findings == ()


def test_a_check_that_cannot_be_made_says_why(data):
    s = set_up(data)
    def check_weather(model, wind): return Finding("weather", True, "", "")
    with pytest.raises(ValueError, match="check_weather asks for 'wind': there is model, "):
        examine(**s, checks=[check_weather])
    def check_nothing(model): return True
    with pytest.raises(ValueError, match="check_nothing gives True: a check gives a Finding"):
        examine(**s, checks=[check_nothing])


# ---- a model is looked at as it trains ----

class ShyInUse(nn.Module):
    "Gives probabilities, but in evaluation mode only; or, `shy_in_training`, in training only."
    def __init__(self, model, shy_in_training=False):
        super().__init__()
        self.model, self.shy_in_training = model, shy_in_training

    def forward(self, xb):
        scores = self.model(xb)
        return scores.softmax(1) if self.training == self.shy_in_training else scores


@pytest.mark.parametrize("training", [True, False])
def test_findings_are_those_of_training_mode(data, training):
    "However the model is brought in: a finding that differs between the modes tells."
    s = set_up(data)
    for shy_in_training in False, True:
        model = ShyInUse(s["model"], shy_in_training).train(training)
        report = examine(model, cross_entropy, s["dl"], lr=.2)
        found = next(f for f in report.findings if f.check == "squashing")
        assert found.ok == (not shy_in_training), report
        assert model.training == training


@pytest.mark.parametrize("training", [True, False])
def test_every_check_finds_training_mode_but_those_of_use(data, training):
    s, modes = set_up(data), {}
    s["model"].train(training)
    def check_first(model):
        modes["first"] = model.training
        model.eval()                                        # the next check must not find this
        return Finding("first", True, "", "")
    def check_second(model): modes["second"] = model.training; return Finding("", True, "", "")
    def check_use(model, predict): modes["use"] = model.training; return Finding("", True, "", "")
    examine(**s, checks=[check_first, check_second, check_use])
    assert modes == {"first": True, "second": True, "use": training}


def test_a_trained_model_is_no_patient(data):
    s = set_up(data)
    for _ in range(10):
        for xb, yb in s["dl"]: s["step"](s["model"], xb, yb)
    report = examine(**s)
    assert report.ok, report


def test_frozen_parameters_are_nobodys_fault(data):
    s = set_up(data)
    for p in s["model"][0].parameters(): p.requires_grad_(False)
    report = examine(**s)
    assert report.ok, report
    for p in s["model"].parameters(): p.requires_grad_(False)
    with pytest.raises(DoesNotApply): clinic.check_reach(s["model"], cross_entropy, *data[10][:2])


def test_one_sigmoid_is_told_from_none(data):
    x, y = (t[:64] for t in data[2][:2])
    for seed in range(40):
        bare = seeded(lambda: relu_net(784, 16, 1))(seed)
        for model, ok in (bare, True), (nn.Sequential(bare, nn.Sigmoid()), False):
            for loss_func in bce, mnist_loss:
                assert clinic.check_squashing(model, loss_func, x, y).ok == ok, seed
            assert clinic.check_squashing(model, F.mse_loss, x, y).ok
    for p in bare.parameters(): nn.init.zeros_(p)
    assert clinic.check_squashing(bare, bce, x, y).ok
    assert not clinic.check_squashing(nn.Sequential(bare, nn.Sigmoid()), bce, x, y).ok


@seeds
def test_equal_weights_do_no_harm_where_gradients_differ(data, seed):
    net = seeded(lambda: relu_net(784, 64, 10))(seed)
    nn.init.constant_(net[0].weight, .02)     # the second layer tells these units apart
    assert clinic.check_symmetry(net, cross_entropy, *(t[:64] for t in data[10][:2])).ok
    for p in net.parameters(): nn.init.constant_(p, .02)
    assert not clinic.check_symmetry(net, cross_entropy, *(t[:64] for t in data[10][:2])).ok


def test_class_weights(data):
    s = set_up(data)
    s["loss_func"] = nn.CrossEntropyLoss(weight=torch.linspace(1, 2, 10)) # float32
    report = examine(**own_step(s))
    assert report.ok and set(report.skipped) == {"backward"}, report


class Narrow(nn.Module):
    "Insists on float32 inside."
    def __init__(self, model): super().__init__(); self.model, self.w = model, torch.ones(784)
    def forward(self, xb): return self.model(F.linear(xb, self.w.diag()))


def test_a_model_that_insists_on_float32(data):
    s = set_up(data)
    report = examine(**replace(s, Narrow(s["model"])))
    assert report.ok and set(report.skipped) == {"backward", "nonlinearity"}, report


# ---- input that cannot be examined: one sentence each ----

@pytest.mark.parametrize("given, said", [
    (lambda s: {"dl": []}, "gives no images"),
    (lambda s: {"dl": [(s["dl"].x[:0], s["dl"].y[:0])]}, "gives no images"),
    (lambda s: {"dl": iter(s["dl"])}, "read only once"),
    (lambda s: {"dl": [(s["dl"].x, s["dl"].y, 1)]}, "has 3 parts"),
    (lambda s: {"dl": [s["dl"].x]}, "has 1 parts"),
    (lambda s: {"dl": [(s["dl"].x[:9], s["dl"].y[:9] + 10)]}, "but the model gives 10 scores"),
    (lambda s: {"dl": [(s["dl"].x[:9], s["dl"].y[:9] - 10)]}, "Labels run from -"),
    (lambda s: {"dl": [(s["dl"].x[:9]/0, s["dl"].y[:9])]}, "no numbers"),
    (lambda s: {"loss_func": lambda s, y: F.cross_entropy(s, y, reduction="none")}, "is \\(64,\\)"),
    (lambda s: {"loss_func": lambda s, y: 1.5}, "is float"),
    (lambda s: {"model": nn.Flatten(0)}, "one row of scores for each"),
])
def test_unfit_input(data, given, said):
    s = set_up(data)
    with pytest.raises(ValueError, match=said) as e: examine(**s | given(s))
    assert not isinstance(e.value, DoesNotApply) and "\n" not in str(e.value)


def test_a_single_batch_will_do(data):
    x, y = data[10][0][:64], data[10][1][:64]
    report = examine(relu_net(784, 32, 10), cross_entropy, [(x, y)], lr=.2)
    assert report.ok, report
    report = examine(relu_net(784, 32, 10), cross_entropy, [(x[:8], y[:8])], lr=.2)
    assert "too few" in report.skipped["order"]


def test_findings_print():
    found = Finding("order", False, "few changes", "shuffle")
    assert str(found).splitlines()[0].startswith("✗ order") and "→ shuffle" in str(found)
    assert "→" not in str(Finding("order", True, "many", "shuffle"))


# ---- what hides, and what is cut off ----

class Trainer:
    "A loop in an object in an object: an optimiser, a scheduler and a list of losses."
    def __init__(self, model, loss_func):
        self.loss_func, self.parts = loss_func, {"opt": torch.optim.Adam(model.parameters(), .01)}
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.parts["opt"], .9)

    def step(self, model, xb, yb):
        self.loss_func(model(xb), yb).backward()
        self.parts["opt"].step()
        self.scheduler.step()
        self.parts["opt"].zero_grad()

    def memory(self):
        state = self.parts["opt"].state_dict()
        return str(state["state"]), str(state["param_groups"]), str(self.scheduler.state_dict())


@pytest.mark.parametrize("hide", [lambda t: t.step, lambda t: lambda *batch: t.step(*batch),
                                  lambda t: partial(Trainer.step, t)],
                         ids=["a method", "a function", "a partial"])
def test_a_hidden_optimiser_and_its_scheduler_are_put_back(data, hide):
    s = set_up(data)
    trainer = Trainer(s["model"], s["loss_func"])
    for _ in range(2): trainer.step(s["model"], *next(iter(s["dl"])))
    before, weights = trainer.memory(), s["model"][0].weight.detach().clone()
    given = {k: s[k] for k in ("model", "loss_func", "dl", "valid_dl")}
    report = examine(**given, step=hide(trainer))
    assert {"update", "zeroing", "learning rate"} <= {f.check for f in report.findings}
    assert trainer.memory() == before and torch.equal(s["model"][0].weight, weights)


def test_a_hand_written_optimiser_with_lists_is_put_back(data):
    s = set_up(data)

    class Momentum:
        def __init__(self, params):
            self.params = list(params)
            self.means = [torch.zeros_like(p) for p in self.params]

        def step(self):
            for p, mean in zip(self.params, self.means, strict=True):
                mean.mul_(.9).add_(p.grad)
                p.data -= .02*mean

        def zero_grad(self):
            for p in self.params: p.grad = None

    hidden = {"where": [Momentum(s["model"].parameters())]}

    def step(model, xb, yb):
        s["loss_func"](model(xb), yb).backward()
        hidden["where"][0].step()
        hidden["where"][0].zero_grad()

    means = hidden["where"][0].means[:]
    report = examine(s["model"], s["loss_func"], s["dl"], step=step)
    assert report.ok, report
    assert all(m is n and not m.any() for m, n in zip(hidden["where"][0].means, means, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_an_overlap_is_seen_across_dtypes(data, dtype):
    x, y, xv, yv = data[10]
    leaked = torch.cat([xv[:100], x[:50]]).to(dtype), torch.cat([yv[:100], y[:50]])
    found = clinic.check_overlap([(x, y)], [leaked])
    assert not found.ok and found.seen.startswith(("50 of 150", "51 of 150", "52 of 150")), found
    assert not clinic.check_overlap([leaked], [(x[:50], y[:50])]).ok
    assert clinic.check_overlap([(x, y)], [(xv.to(dtype), yv)]).ok


CUT = {
    "detached": lambda s: s | {"loss_func": lambda p, y: cross_entropy(p.detach(), y)},
    "a number": lambda s: s | {"loss_func": lambda p, y: torch.tensor(cross_entropy(p, y).item())},
    "no_grad in the model": lambda s: s | {"model": AsModule(
        torch.no_grad()(s["model"].forward), dict(s["model"].named_parameters()))},
    "no_grad in the loss": lambda s: s | {"loss_func": torch.no_grad()(cross_entropy)},
}


@pytest.mark.parametrize("cut", CUT)
def test_a_loss_that_is_cut_off_is_a_finding(data, cut):
    s = set_up(data)
    s = CUT[cut](s)
    before = [p.detach().clone() for p in s["model"].parameters()]
    report = examine(**own_step(s))
    found = {f.check: f for f in report.failed}
    assert "cut off from all 4 parameters" in found["reach"].seen, report
    assert "no_grad()" in found["reach"].do
    assert "RuntimeError" in found["update"].seen and "see reach" in report.skipped["zeroing"]
    assert "see reach" in report.skipped["learning rate"]
    assert all(torch.equal(p, q) for p, q in zip(before, s["model"].parameters(), strict=True))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_examination_within_no_grad(data, mode):
    s = set_up(data)
    with mode(): report = examine(**s)
    assert report.ok, report
    assert torch.is_grad_enabled()
