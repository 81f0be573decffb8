"""What comes in wrong is refused in one sentence; what is accepted gives the right result.

`GOOD` holds a valid call for every public name of the package. The walk spoils one argument at a
time in every way that `WRONG` knows for its kind, and `ALIKE` says it in another way. `FAULTS` is
a table of single mistakes, each with the sentence that meets it.
"""
# ruff: noqa: E501 (tables read better on one line)
import ast
import atexit
import csv
import functools
import importlib
import inspect
import math
import os
import pkgutil
import re
import shutil
import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from random import Random

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.parametrize import is_parametrized

import mnist_course
from mnist_course import (
    capstone,
    checkpoint,
    checks,
    clinic,
    conv,
    data,
    exam,
    exercises,
    fetch,
    figures,
    formats,
    gradcheck,
    handwriting,
    learner,
    marking,
    models,
    numpy_net,
    optim,
    parallel,
    patients,
    pixel_similarity,
    plots,
    preserve,
    python_net,
    relu_net,
    resnet,
    saved,
    sgd,
    speed,
    swap,
    tasks,
    ten_digits,
    trained,
)

settings.register_profile("faults", deadline=None, derandomize=True, max_examples=40, database=None)
settings.load_profile("faults")

# --- good material, small ---

def gen(seed=0): return torch.Generator().manual_seed(seed)
def grey(n=12, h=28, w=28): return torch.randint(0, 256, (n, h, w), generator=gen(), dtype=torch.uint8)
def digit_labels(n=12, c=10): return torch.arange(n) % c
def floats(*size): return torch.rand(size, generator=gen(1))
def binary(n=12): return floats(n, 5), (torch.arange(n) % 2).float()[:, None]
def lists(n=4, n_in=3): return floats(n, n_in).tolist()
def few_lists(): return [list(range(i, i + 3)) for i in range(3)]
def net(n_in=5, n_out=1):
    torch.manual_seed(0)
    return nn.Linear(n_in, n_out)
def small():
    torch.manual_seed(0)
    return speed.small_net(width=2)
def tiny_net(): return python_net.Network((3, 4, 3), Random(0))
def tiny_mlp(): return numpy_net.MLP((3, 4, 3), rng=np.random.default_rng(0), dtype=np.float64)
def rows64(n=4, n_in=3): return floats(n, n_in).double().numpy()


def learn(**other):
    dls = learner.make_dls(binary(), binary(), 4)
    return learner.Learner(dls, net(), learner.mnist_loss, metrics=[learner.batch_accuracy], **other)


# --- each kind of argument: what is wrong, and what means the same ---

nan, inf = math.nan, math.inf
NOTHING = (None, "abc", object(), {})
WRONG = {
    "images": lambda x: (x/255, x.float()/255*nan, x[0], x[:, None], x.flatten(1), x[:0], x.bool(),
                         x.int() - 300, x.int() + 300, x.tolist()[0], [[[1], [2, 3]]], *NOTHING),
    "labels": lambda y: (y[:, None], y[:1], y[:-1], torch.cat([y, y]), y.float(), y*nan, y[:0],
                         y - 1000, y > 3, y[0], ["a"]*len(y), *NOTHING),
    "classes": lambda y: (y[:, None], y[:1], y[:-1], torch.cat([y, y]), y.float(), y*nan, y[:0],
                          y - 1, y + 1000, y > 3, y[0], ["a"]*len(y), *NOTHING),
    "scores": lambda s: (s[0], s[:, None], s.long(), s[:0], s > 0, *NOTHING),
    "rows": lambda s: (s[0], s[:, None], s.long(), s[:0], s[:, :-1], (255*s).byte(), *NOTHING),
    "count": lambda n: (0, -1, 2.5, nan, inf, True, "3", None, [3], 10**13),
    "rate": lambda lr: (-.1, nan, inf, -inf, 1e9, True, "0.1", None, [.1], 1j),
    "share": lambda s: (0, 1, -1, 2, nan, inf, True, "0.1", None),
    "part": lambda s: (-.1, 1.5, nan, inf, True, "0.1", None),
    "float_type": lambda d: (torch.uint8, int, None, "abc", 3),
    "pair": lambda p: (p[0], p[:1], (*p, p[0]), (p[0], p[1][:-1]), (p[0], p[1][:, None]),
                       (p[0].double()/999, p[1]), (p[0], p[1]*nan), (p[0][:0], p[1][:0]),
                       (p[1], p[0]), (p[0], p[1][:1]), 3, *NOTHING),
    "model": lambda m: (nn.Linear, lambda x: x, 3, *NOTHING),
    "choice": lambda c: ("nothing", 3, None),
    "matrix": lambda x: (x[0], x[None], x[:0], x > 0, x[0, 0], *NOTHING),
    "maps": lambda x: (x[0], x[None], x[:0], x > 0, x.long(), *NOTHING),
    "each": lambda x: (x[:1], x[:, None], x[0], torch.cat([x, x]), x.long(), *NOTHING),
    "device": lambda d: ("abc", "meta9", 3.5),
    "nested": lambda x: (x[0], [[.5]], [[[1], [2, 3]]], [[[-1, 2]]], [[[256]]], [[[.5]]], [[["a"]]],
                         None, "abc", 3),
    "label_list": lambda y: ([y], y[:1], y[:-1], y + y, [.5]*len(y), [-1]*len(y), [99]*len(y), [],
                             ["a"]*len(y), None, 3),
    "row_lists": lambda x: (x[0], [x], [r[:-1] for r in x], [[nan]*len(x[0])]*len(x), [], x[:-1],
                            [["a"]*len(x[0])]*len(x), None, 3, "abc"),
    "row_array": lambda x: (x[0], x[None], x[:, :-1], x*nan, x[:0], x[:-1], x.astype(np.uint8),
                            x.astype(str), None, 3, "abc"),
    "label_array": lambda y: (y[:, None], y[:1], y[:-1], y*.5, y - 99, y + 99, y[:0], y > 0,
                              y.astype(str), None, 3),
    "score_array": lambda s: (s[0], s[:, None], s.astype(int), s[:0], s > 0, s.astype(str), None),
    "text": lambda s: (None, "", " ", 3),
    "number": lambda x: ("abc", None, [1.]),
    "quantity": lambda x: (-1, nan, inf, "a", None, True, [1.]),
    "quantity_above": lambda x: (0, -1, nan, inf, "a", None, True, [1.]),
    "positive": lambda x: (-1, nan, inf, "a", None),
    "object": lambda x: (None, 3, "abc"),
    "digits": lambda d: ([], "37", ["3"], [.5], 3, [[3, 7]]),
    "path": lambda p: (3, p/"nowhere"),
}


def numpy_of(x): return x.numpy()
def listed(x): return x.tolist()


ALIKE = {
    "images": (numpy_of, listed, lambda x: x.long(), lambda x: x.short()),
    "labels": (numpy_of, listed, lambda y: y.int(), lambda y: y.byte()),
    "classes": (numpy_of, listed, lambda y: y.int(), lambda y: y.byte()),
    "scores": (numpy_of, listed), "rows": (numpy_of, listed), "matrix": (numpy_of, listed),
    "count": (np.int64, np.uint8), "rate": (np.float64, float), "share": (np.float64,),
    "pair": (list,), "nested": (np.array, lambda x: torch.tensor(x), lambda x: tuple(map(tuple, x))),
    "label_list": (np.array, tuple, torch.tensor), "row_lists": (np.array, tuple),
    "row_array": (torch.from_numpy, np.ndarray.tolist), "digits": (tuple, set, np.array, iter),
    "label_array": (torch.from_numpy, np.ndarray.tolist, lambda y: y.astype(np.uint8)),
    "score_array": (np.ndarray.tolist,),
}

# --- a good call for every public name: how to make its arguments, and of what kind each is ---

def call(f, kinds, *args, **named):
    "Arguments are made anew for each call, so that none spoils the next."
    return f, kinds.split(), args, named


def method(make, name):
    def f(*args, **named): return getattr(make(), name)(*args, **named)
    f.__name__ = name
    return f


def pair(): return grey(), digit_labels()
def lesson_pair(): return grey().numpy(), digit_labels().numpy()


def _fitted(): return pixel_similarity.PixelSimilarity().fit(*pair())


def _python_fit(rows, labels, n_epochs, lr, bs):
    return tiny_net().fit(rows, labels, n_epochs, lr, bs, Random(0)).model.weights


def _numpy_fit(x, labels, n_epochs, lr, bs, decay):
    return tiny_mlp().fit(x, labels, n_epochs, lr, bs, decay, np.random.default_rng(0)).loss


def _train(images, labels, epochs, bs, lr, weight_decay, warm_up, smoothing, plain):
    model = speed.train(small(), images, labels, epochs, bs, lr, weight_decay, warm_up, smoothing,
                        speed.shift, plain, device="cpu")
    return speed.predict(model, grey())


def _labelled(gap):
    ax = Figure().subplots()
    ax.plot([0, 1], label="a line")
    plots.label_lines(ax, gap)


def _grid(images, n_cols, size): return plots.image_grid(images, "Squares.", None, n_cols, size)


def maps(): return np.arange(2*4*4*3, dtype=float).reshape(2, 4, 4, 3)
def kernels(): return rows64(12, 2).reshape(2, 2, 3, 2)
def image_maps(): return conv.as_maps(grey(4))
def tiny_cnn(): return conv.CNN((2, 2), (3, 3), rng=np.random.default_rng(0))


def _cnn_fit(x, labels, n_epochs, lr, bs, shift):
    return tiny_cnn().fit(x, labels, n_epochs, lr, bs, shift, rng=np.random.default_rng(0)).loss


def moved():
    w = floats(3).requires_grad_()
    w.sum().backward()
    return [w]


y4, a4 = [0, 1, 2, 1], np.array([0, 1, 2, 1])
GOOD = {
    "data.hold_out": call(data.hold_out, "first second share", grey, digit_labels, lambda: .25),
    "data.some_of": call(data.some_of, "first second count", grey, digit_labels, lambda: 5),
    "data.as_rows": call(data.as_rows, "images float_type", grey, lambda: torch.float64),
    "data.Batches": call(lambda x, y, bs: list(data.Batches(x, y, bs)), "first second count",
                         grey, digit_labels, lambda: 4),
    "pixel_similarity.l1_distance": call(pixel_similarity.l1_distance, "rows like",
                                         lambda: floats(4, 6), lambda: floats(6)),
    "pixel_similarity.l2_distance": call(pixel_similarity.l2_distance, "rows like",
                                         lambda: floats(4, 6), lambda: floats(6)),
    "pixel_similarity.PixelSimilarity": call(pixel_similarity.PixelSimilarity, "choice",
                                             lambda: "l1"),
    "pixel_similarity.PixelSimilarity.fit": call(
        lambda x, y: pixel_similarity.PixelSimilarity().fit(x, y).means, "images label_kind", grey,
        digit_labels),
    "pixel_similarity.PixelSimilarity.predict": call(method(_fitted, "predict"), "images", grey),
    "pixel_similarity.PixelSimilarity.predict_proba": call(method(_fitted, "predict_proba"),
                                                           "images", grey),
    "pixel_similarity.accuracy": call(pixel_similarity.accuracy, "scored classes",
                                      lambda: floats(12, 10), digit_labels),
    "optim.BasicOptim": call(lambda p, lr: optim.BasicOptim(p, lr).lr, "object rate",
                             lambda: [floats(3)], lambda: .1),
    "optim.train_epoch_with": call(
        lambda model, opt: optim.train_epoch_with(model, opt, [binary()]), "callable object", net,
        lambda: optim.BasicOptim([floats(2)], .1)),
    "optim.fit_basic_optim": call(
        lambda pair, n, lr: optim.fit_basic_optim(pair, binary(), 0, n, lr).loss, "pair count rate",
        binary, lambda: 2, lambda: .5),
    "learner.Learner": call(lambda model, lr, n: learner.Learner(
        learner.make_dls(binary(), None, 4), model, learner.mnist_loss).fit(n, lr).rows[-1]["train_loss"],
        "model rate_or_own count", net, lambda: .5, lambda: 2),
    "learner.mean_over_images": call(learner.mean_over_images, "batches",
                                     lambda: [({"a": 1.}, 3), ({"a": 2.}, 1)]),
    "learner.make_dls": call(lambda pair, bs: list(learner.make_dls(pair, None, bs)[0]),
                             "two count", binary, lambda: 4),
    "learner.as_trained": call(lambda n: learner.as_trained(learn().fit(n)).loss, "count",
                               lambda: 1),
    "learner.fit_learner": call(
        lambda pair, model, n, lr: learner.fit_learner(pair, binary(), model, n, lr).loss,
        "pair model count rate", binary, net, lambda: 2, lambda: .5),
    "relu_net.collapse": call(relu_net.collapse, "model model", lambda: net(5, 3),
                              lambda: net(3, 2)),
    "relu_net.relu_net": call(lambda a, b, c: relu_net.relu_net(a, b, c, gen()),
                              "size size size", lambda: 5, lambda: 4, lambda: 2),
    "relu_net.fit_odd": call(lambda pair, model, n: relu_net.fit_odd(pair, pair, model, n).loss,
                             "pair model count", pair, lambda: net(784), lambda: 1),
    "ten_digits.one_hot": call(ten_digits.one_hot, "classes_alone size", digit_labels, lambda: 10),
    "ten_digits.softmax": call(ten_digits.softmax, "scores", lambda: floats(4, 3)),
    "ten_digits.log_softmax": call(ten_digits.log_softmax, "scores", lambda: floats(4, 3)),
    "ten_digits.cross_entropy": call(ten_digits.cross_entropy, "scores classes",
                                     lambda: floats(12, 10), digit_labels),
    "ten_digits.cross_entropy_grad": call(ten_digits.cross_entropy_grad, "scores classes",
                                          lambda: floats(12, 10), digit_labels),
    "ten_digits.fit_ten": call(
        lambda pair, model, n, lr, bs: ten_digits.fit_ten(pair, None, model, n, lr, bs).loss,
        "pair model count rate count", pair, lambda: net(784, 10), lambda: 1, lambda: .1, lambda: 4),
    "ten_digits.fit_small_batches": call(
        lambda pair, n: ten_digits.fit_small_batches(pair, n_epochs=n).loss, "pair count", pair,
        lambda: 1),
    "ten_digits.fit_mlp": call(lambda pair, n: ten_digits.fit_mlp(pair, n_epochs=n).loss,
                               "pair count", pair, lambda: 1),
    "python_net.as_lists": call(python_net.as_lists, "nested", lambda: grey(3, 4, 4).tolist()),
    "python_net.few": call(python_net.few, "nested label_list_any count",
                           lambda: grey(4, 4, 4).tolist(), lambda: y4, lambda: 2),
    "python_net.one_hot": call(python_net.one_hot, "one_label size", lambda: 2, lambda: 10),
    "python_net.sigmoid": call(python_net.sigmoid, "number", lambda: .5),
    "python_net.sigmoid_grad": call(python_net.sigmoid_grad, "number", lambda: .5),
    "python_net.faulty_sigmoid_grad": call(python_net.faulty_sigmoid_grad, "number", lambda: .5),
    "python_net.relu": call(python_net.relu, "number", lambda: .5),
    "python_net.relu_grad": call(python_net.relu_grad, "number", lambda: .5),
    "python_net.add_rows": call(python_net.add_rows, "short terms", lambda: [1., 2.],
                                lambda: [(2., [1., 2.])]*3),
    "python_net.weighted_sums": call(python_net.weighted_sums, "short table short_too",
                                     lambda: [1., 2.], lambda: [[1.], [2.]], lambda: [0.]),
    "python_net.weight_grads": call(python_net.weight_grads, "no_list table_free", lambda: [[1., 2.]],
                                    lambda: [[1.]]),
    "python_net.backward": call(python_net.backward, "no_list short", lambda: [[1., 2.]],
                                lambda: [1., 2.]),
    "python_net.sgd_step": call(python_net.sgd_step, "table table number", lambda: [[1., 2.]],
                                lambda: [[1., 2.]], lambda: .1),
    "python_net.softmax": call(python_net.softmax, "short_alone", lambda: [1., 2.]),
    "python_net.log_sum_exp": call(python_net.log_sum_exp, "short_alone", lambda: [1., 2.]),
    "python_net.sumprod": call(python_net.sumprod, "short short", lambda: [1., 2.],
                               lambda: [1., 3.]),
    "python_net.check_sizes": call(python_net.check_sizes, "sizes", lambda: (3, 2)),
    "python_net.check_choice": call(python_net.check_choice, "choice", lambda: "a",
                                    choices=["a", "b"], what="letter"),
    "python_net.Network": call(lambda sizes, kind, loss: python_net.Network(
        sizes, Random(0), kind, loss).weights, "sizes choice choice", lambda: (3, 2),
        lambda: "relu", lambda: "mse"),
    "python_net.FaultyNetwork": call(lambda sizes: python_net.FaultyNetwork(sizes, Random(0)).weights,
                                     "sizes", lambda: (3, 2)),
    "python_net.Network.fit": call(_python_fit, "row_lists label_list count rate count", lists,
                                   lambda: y4, lambda: 1, lambda: .1, lambda: 2),
    "python_net.Network.predict": call(method(tiny_net, "predict"), "row_lists_alone", lists),
    "python_net.Network.predict_proba": call(method(tiny_net, "predict_proba"), "row_lists_alone",
                                             lists),
    "python_net.Network.evaluate": call(method(tiny_net, "evaluate"), "row_lists label_list",
                                        lists, lambda: y4),
    "python_net.Network.loss": call(method(tiny_net, "loss"), "row_loose label_list", lists,
                                    lambda: y4),
    "python_net.Network.backpropagate": call(method(tiny_net, "backpropagate"),
                                             "row_loose label_list", lists, lambda: y4),
    "python_net.fit_few": call(lambda pair: python_net.fit_few(pair, n_images=2).model.biases,
                               "list_pair", lambda: (grey(4).tolist(), y4)),
    "numpy_net.as_rows": call(numpy_net.as_rows, "images float_type", grey, lambda: np.float64),
    "numpy_net.Linear": call(lambda a, b: numpy_net.Linear(a, b, np.random.default_rng(0)).w,
                             "size size", lambda: 3, lambda: 2),
    "numpy_net.sigmoid": call(numpy_net.sigmoid, "array_number", lambda: np.ones(3)),
    "numpy_net.softmax": call(numpy_net.softmax, "score_array", lambda: rows64()),
    "numpy_net.CrossEntropy": call(lambda s, y: numpy_net.CrossEntropy().forward(s, y),
                                   "score_array label_array", rows64, lambda: a4),
    "numpy_net.SquaredError": call(lambda s, y: numpy_net.SquaredError().forward(s, y),
                                   "score_array label_array", rows64, lambda: a4),
    "numpy_net.MLP": call(lambda sizes, kind, loss, dtype: numpy_net.MLP(
        sizes, kind, loss, np.random.default_rng(0), dtype).weights,
        "sizes choice choice float_type", lambda: (3, 2), lambda: "relu", lambda: "mse",
        lambda: np.float32),
    "numpy_net.MLP.fit": call(_numpy_fit, "row_array label_array count rate count part_up", rows64,
                              lambda: a4, lambda: 2, lambda: .1, lambda: 2, lambda: .9),
    "numpy_net.MLP.predict": call(method(tiny_mlp, "predict"), "row_array_alone", rows64),
    "numpy_net.MLP.predict_proba": call(method(tiny_mlp, "predict_proba"), "row_array_alone",
                                        rows64),
    "numpy_net.MLP.evaluate": call(method(tiny_mlp, "evaluate"), "row_array label_array", rows64,
                                   lambda: a4),
    "numpy_net.MLP.loss": call(method(tiny_mlp, "loss"), "row_array_loose label_array", rows64,
                               lambda: a4),
    "numpy_net.numpy_twin": call(lambda net: numpy_net.numpy_twin(net).weights, "object", tiny_net),
    "numpy_net.fit_twin": call(lambda pair, lr: numpy_net.fit_twin(pair, lr=lr).loss,
                               "array_pair rate", lesson_pair, lambda: .1),
    "numpy_net.fit_digits": call(lambda pair, n, lr: numpy_net.fit_digits(pair, None, 0, n, lr).loss,
                                 "array_pair count rate", lesson_pair, lambda: 1, lambda: .1),
    "resnet.Block": call(lambda a, b, s: sum(p.numel() for p in resnet.Block(a, b, s).parameters()),
                         "size size size", lambda: 2, lambda: 3, lambda: 2),
    "resnet.PlainBlock": call(
        lambda a, b, s: sum(p.numel() for p in resnet.PlainBlock(a, b, s).parameters()),
        "size size size", lambda: 2, lambda: 3, lambda: 2),
    "resnet.tower": call(lambda n, c: len(resnet.tower(n, c=c)), "count_0 size", lambda: 2,
                         lambda: 3),
    "resnet.normalise_pixels": call(resnet.normalise_pixels, "images", grey),
    "resnet.normalised": call(resnet.normalised, "images", grey),
    "resnet.enough_epochs": call(resnet.enough_epochs, "size size", lambda: 500, lambda: 64),
    "resnet.fit_tower": call(lambda pair, model: resnet.fit_tower(pair, None, model).loss,
                             "pair_bad_only model", pair, lambda: resnet.tower(1, c=2)),
    "resnet.ResNet": call(lambda c, n: len(list(resnet.ResNet((1, 1, 1, 1), c, n).parameters())),
                          "size size", lambda: 1, lambda: 10),
    "resnet.resnet18": call(lambda c, n: len(list(resnet.resnet18(c, n).parameters())), "size size",
                            lambda: 1, lambda: 10),
    "resnet.fit_fastai": call(resnet.fit_fastai, "path_only", lambda: Path("nowhere")),
    "speed.in_turn": call(lambda jobs, n: list(speed.in_turn(jobs, n)), "object count",
                          lambda: {"a": int}, lambda: 1),
    "speed.MatrixConv": call(lambda conv: speed.MatrixConv(conv, (2, 2), [0], [0]).weight.shape,
                             "model", lambda: nn.Conv2d(1, 2, 3)),
    "speed.shift": call(lambda x, n: speed.shift(x, gen(), n), "images count_0", grey, lambda: 2),
    "speed.affine": call(lambda x, *a: speed.affine(x, gen(), *a),
                         "images finite finite finite finite", grey, lambda: 5,
                         lambda: .1, lambda: .1, lambda: 1),
    "speed.one_cycle": call(speed.one_cycle, "part part", lambda: .5, lambda: .2),
    "speed.fast_dtype": call(speed.fast_dtype, "device", lambda: "cpu"),
    "speed.train": call(_train, "images classes positive count rate part part part count_0", grey,
                        digit_labels, lambda: 1, lambda: 4, lambda: .1, lambda: 5e-4, lambda: .2,
                        lambda: .1, lambda: 0),
    "speed.predict": call(lambda m, x, bs: speed.predict(m, x, bs), "model images count", small, grey,
                          lambda: 5),
    "speed.small_net": call(lambda a, b, w: len(list(speed.small_net(a, b, False, w).parameters())),
                            "size size size", lambda: 1, lambda: 10, lambda: 2),
    "speed.fit_small": call(lambda pair: speed.fit_small(pair, pair, device="cpu").final, "pair_bad_only",
                            pair),
    "parallel.fit_large_batch": call(
        lambda pair, bs, lr, up, n: parallel.fit_large_batch(pair, None, bs, lr, up, n).loss,
        "pair count rate count_0 count", pair, lambda: 4, lambda: .1, lambda: 2, lambda: 1),
    "parallel.ring_seconds": call(parallel.ring_seconds, "quantity count quantity_above quantity", lambda: 100.,
                                  lambda: 4, lambda: 1e6, lambda: 1e-3),
    "parallel.efficiency": call(parallel.efficiency, "quantity_above quantity_above count quantity_above quantity_above quantity",
                                lambda: 1e6, lambda: 64., lambda: 4, lambda: 1e9, lambda: 1e6, lambda: 1e-3),
    "speed.fit_resnet": call(lambda pair: speed.fit_resnet(pair, device="cpu"), "pair_bad_only", pair),
    "speed.Coloured": call(lambda m: type(speed.Coloured(m).model), "model", net),
    "trained.Trained": call(lambda a: trained.Trained(None, a).final, "accuracies", lambda: [.5]),
    "plots.label_lines": call(_labelled, "positive", lambda: 11),
    "plots.show": call(plots.show, "text", lambda: "Nothing."),
    "plots.image_grid": call(_grid, "pictures count positive", lambda: grey(2, 4, 4), lambda: 3,
                             lambda: 1),
    "models.make": call(lambda name, device: repr(models.make(name, 0, device)), "choice device",
                        lambda: "small_cnn", lambda: "cpu"),
    "models.Model": call(lambda name: repr(models.Model(name)), "choice", lambda: "softmax"),
    "models.Model.fit": call(lambda x, y: models.make("nearest_mean_l2").fit(x, y).classes,
                             "images label_kind", grey, digit_labels),
    "conv.convolve": call(conv.convolve, "array2 array2", lambda: rows64(6, 5), lambda: rows64(2, 3)),
    "conv.output_size": call(conv.output_size, "size size size count_0", lambda: 28, lambda: 5,
                             lambda: 1, lambda: 2),
    "conv.pad": call(conv.pad, "array4 count_0", maps, lambda: 2),
    "conv.convolve_maps": call(conv.convolve_maps, "array4 kernels size count_0", maps, kernels,
                               lambda: 1, lambda: 1),
    "conv.patches": call(conv.patches, "array4 size size", maps, lambda: 2, lambda: 1),
    "conv.Conv": call(lambda w, stride, padding: conv.Conv(w, stride, padding).forward(maps()),
                      "kernels size count_0", kernels, lambda: 1, lambda: 1),
    "conv.MaxPool": call(lambda size: conv.MaxPool(size).forward(maps()), "size", lambda: 2),
    "conv.CNN": call(lambda m, sides, size, n: len(conv.CNN(m, sides, size, n).layers),
                     "few_counts few_counts size size", lambda: (2, 3), lambda: (3, 3), lambda: 28,
                     lambda: 10),
    "conv.CNN.fit": call(_cnn_fit, "image_maps label_array count rate count count_0",
                         image_maps, lambda: a4, lambda: 1, lambda: .1, lambda: 2, lambda: 1),
    "conv.CNN.predict": call(method(tiny_cnn, "predict"), "image_maps_alone", image_maps),
    "conv.CNN.predict_proba": call(method(tiny_cnn, "predict_proba"), "image_maps_alone",
                                   image_maps),
    "conv.CNN.evaluate": call(method(tiny_cnn, "evaluate"), "image_maps label_array", image_maps,
                              lambda: a4),
    "conv.as_maps": call(conv.as_maps, "images float_type", grey, lambda: np.float64),
    "conv.fit_cnn": call(lambda pair, n, lr, bs, shift: conv.fit_cnn(pair, None, 0, n, lr, bs,
                         shift).loss, "array_pair epochs_or_own rate count count_0", lesson_pair,
                         lambda: 1, lambda: .1, lambda: 4, lambda: 1),
    "sgd.rows_and_targets": call(sgd.rows_and_targets, "images label_kind", grey,
                                 lambda: torch.arange(12) % 2, digit=1),
    "sgd.init_params": call(lambda size, std, dtype: sgd.init_params(size, std, gen(), dtype),
                            "size positive float_type", lambda: 3, lambda: .1, lambda: torch.float64),
    "sgd.linear": call(sgd.linear, "layer_rows layer_rows bias", lambda: floats(4, 3),
                       lambda: floats(3, 2), lambda: floats(2)),
    "sgd.mnist_loss": call(sgd.mnist_loss, "column targets", lambda: floats(12, 1),
                           lambda: binary()[1]),
    "sgd.binary_cross_entropy": call(sgd.binary_cross_entropy, "column targets",
                                     lambda: floats(12, 1), lambda: binary()[1]),
    "sgd.batch_accuracy": call(sgd.batch_accuracy, "column targets", lambda: floats(12, 1),
                               lambda: binary()[1]),
    "sgd.sgd_step": call(sgd.sgd_step, "no_params rate", moved, lambda: .1),
    "sgd.batch_size": call(sgd.batch_size, "count", lambda: 100),
    "sgd.fit_epochs": call(lambda n: sgd.fit_epochs(None, lambda: .5, None, n).loss, "count_0",
                           lambda: 2),
    "sgd.fit_linear": call(lambda pair, n, lr, bs: sgd.fit_linear(pair, None, 0, n, lr, bs=bs).loss,
                           "pair count_0 rate own_count", binary, lambda: 1, lambda: .1, lambda: 4),
    "gradcheck.shape_of": call(gradcheck.shape_of, "ragged", lambda: [[1., 2.]]),
    "gradcheck.one_sided_differences": call(
        lambda index, step: gradcheck.one_sided_differences(lambda: 1., [[1., 2.]], index, step),
        "place step", lambda: (0, 1), lambda: 1e-3),
    "gradcheck.check_entry": call(
        lambda index, rtol: gradcheck.check_entry(lambda: 1., "w", [[1., 2.]], index, 0., rtol).error,
        "place share", lambda: (0, 1), lambda: 1e-5),
    "gradcheck.sample_indices": call(
        lambda n: gradcheck.sample_indices([[1., 2.]], n, Random(0)), "count", lambda: 2),
    "gradcheck.check_gradients": call(
        lambda loss, params, claims, rtol, n: gradcheck.check_gradients(loss, params, claims, rtol, n).ok,
        "callable claims claims share count", lambda: lambda: 1., lambda: {"w": [1.]},
        lambda: {"w": [0.]}, lambda: 1e-5, lambda: 9),
    "figures.possible_sizes": call(figures.possible_sizes, "printed_list counts",
                                   lambda: ["0.98"], lambda: [100]),
    "figures.draws": call(figures.draws, "count_0", lambda: 42),
    "figures.printed_by": call(figures.printed_by, "printed_number score_row", lambda: "0.25",
                               lambda: floats(4)),
    "figures.one_cycle": call(figures.one_cycle, "count rate div share", lambda: 9, lambda: .1,
                              lambda: 25, lambda: .3),
    "figures.fine_tune_rates": call(figures.fine_tune_rates, "count rate count", lambda: 2,
                                    lambda: .1, lambda: 5),
    "figures.wilson": call(figures.wilson, "count_of count share", lambda: 9, lambda: 10,
                           lambda: .95),
    "figures.disagreements": call(figures.disagreements, "answers answers", lambda: floats(4) > .5,
                                  lambda: floats(4) > .3),
    "figures.mcnemar": call(figures.mcnemar, "count_0 count_0", lambda: 3, lambda: 5),
    "figures.paired_difference": call(figures.paired_difference, "paired paired share",
                                      lambda: [.1, .2, .4], lambda: [.2, .2, .2], lambda: .95),
    "figures.allowed": call(lambda c: figures.allowed(figures.summarise([.97, .98]), c), "share",
                            lambda: .95),
    "figures.counts_behind": call(figures.counts_behind, "printed", lambda: "0.98", n=100),
    "figures.summarise": call(figures.summarise, "values", lambda: [.1, .2]),
    "figures.verdict": call(figures.verdict, "claim", lambda: .98, ours=figures.summarise([.97, .98])),
}
WRONG |= {
    "first": lambda x: (x[:3], x[0, 0, 0], None, 3, "abc"),
    "second": lambda y: (y[:3], y[0], None, 3, "abc"),
    "label_kind": lambda y: WRONG["labels"](y)[:7] + ([.5]*len(y), *NOTHING),
    "scored": lambda s: (s*nan, s[0], s[:1], s[:, :1], s[:, None], *NOTHING),
    "classes_alone": lambda y: (y[:, None], y.float(), y*nan, y - 1, y + 10, y > 3, y[0], *NOTHING),
    "size": lambda n: (0, -1, 2.5, nan, inf, "3", None, [3]),
    "count_0": lambda n: (-1, 2.5, nan, inf, "3", None, [3], 10**13),
    "callable": lambda f: (None, 3, "abc"),
    "batches": lambda b: ([], None, 3),
    "two": lambda p: (p[0], p[:1], (p[0], p[1][:-1]), 3, *NOTHING),
    "label_list_any": lambda y: ([y], y[:1], y + y, [.5]*len(y), [], None, 3),
    "one_label": lambda y: (-1, 10, 2.5, nan, None, "3", [2]),
    "short": lambda x: (x[:-1], x + [1.], None, 3),
    "short_too": lambda x: (x + [1.], None, 3),
    "short_alone": lambda x: ([], None, 3, ["a", "b"]),
    "terms": lambda t: ([(2., [1.])], [3], None, 3),
    "table": lambda x: (x + x, [r[:-1] for r in x] if len(x[0]) > 1 else [], None, 3),
    "sizes": lambda s: ((3,), (), (3, 0), (3, -1), (3, 2.5), (3, nan), ("a", "b"), None, 3, (3, None)),
    "row_lists_alone": lambda x: WRONG["row_lists"](x)[:5] + (None, 3, "abc"),
    "row_loose": lambda x: (x[0], [x], [r[:-1] for r in x], [], x[:-1], None, 3),
    "list_pair": lambda p: (p[0], p[:1], (p[0], p[1][:-1]), (p[0][0], p[1]), (p[0], [.5]*4), None, 3),
    "array_pair": lambda p: (p[0], p[:1], (p[0], p[1][:-1]), (p[0][0], p[1]), (p[0], p[1][:, None]),
                             (p[0]/255, p[1]), (p[0], p[1] + 90), (p[0], p[1] - 1), None, 3),
    "row_array_alone": lambda x: (x[0], x[None], x[:, :-1], x*nan, x[:0], x.astype(np.uint8),
                                  x.astype(str), None, 3, "abc"),
    "row_array_loose": lambda x: (x[0], x[None], x[:, :-1], x[:0], x[:-1], x.astype(np.uint8), None),
    "part_up": lambda d: (0, -.1, 1.5, nan, inf, "a", None),
    "pair_bad_only": WRONG["pair"],
    "path_only": lambda p: (p, p/"x", 3),
    "accuracies": lambda a: ([], None),
    "pictures": lambda x: (x[0], x[None], x[:0], [], None, 3, [1, 2]),
    "printed": lambda p: ("abc", "-1", "7"),
    "values": lambda v: ([], None, 3, ["a"]),
    "like": lambda x: (x[:1], x[:, None], x[0], torch.cat([x, x]), None, "abc"),
    "rate_or_own": lambda lr: (-.1, nan, inf, 1e9, True, "0.1", [.1]),
    "no_list": lambda x: (None, 3),
    "table_free": lambda x: ([], None, 3), "array_number": lambda x: ("abc", None),
    "array2": lambda x: (x[0], x[None], x[:0], x > 0, x.astype(str), *NOTHING),
    "array4": lambda x: (x[0], x[None], x[:0], x > 0, x.astype(str), *NOTHING),
    "kernels": lambda w: (w[0], w[:1], w[:, :, :1], w[:0], w.astype(str), *NOTHING),
    "few_counts": lambda n: ((2,), (0, 2), (2.5, 2), ("3", 3), None, 3),
    "image_maps": lambda x: (x[..., 0], x[:0], x[:, :14], x*nan, x[:-1], x.astype(str), *NOTHING),
    "image_maps_alone": lambda x: (x[..., 0], x[:0], x[:, :14], x*nan, x.astype(str), *NOTHING),
    "layer_rows": lambda x: (x[0], x[:, :1], x[:1, :1], x.double(), x[None], None, 3, "abc"),
    "bias": lambda b: (b[None], b[0], torch.cat([b, b]), b.double(), None, "abc"),
    "column": lambda s: (s[0, 0], s[:, 0], s[:1], s[:0], s[None], *NOTHING),
    "targets": lambda y: (y[0, 0], y[:, 0], y[:1], y + 2, y*nan, y[None], *NOTHING),
    "no_params": lambda p: ([], p[0], [3], [floats(2)], None, 3, "abc"),
    "ragged": lambda x: ([[1.], [1., 2.]], [1., [2.]]),
    "place": lambda i: ((0,), (0, 2), (2, 0), (0, -1), (0, .5), (0, 1, 0), None, 3, "ab"),
    "step": lambda h: (0, -1, nan, inf, None, "a"),
    "claims": lambda c: ({}, {"v": [1.]}, {"w": [1., 2.]}, {"w": 3}, {"w": []}, None, 3, "abc"),
    "printed_list": lambda p: ("abc", ["abc"], [3], None, 3),
    "counts": lambda n: ([0], [-1], [2.5], ["a"], None, 3),
    "printed_number": lambda p: ("abc", "", None, 3, "nan"),
    "score_row": lambda s: (s[:0], s[0], None, 3, "abc"),
    "div": lambda d: (0, -1, nan, inf, "a", None),
    "count_of": lambda n: (-1, 11, 2.5, nan, "3", None),
    "answers": lambda a: (a.int(), a.float(), a[:2], a[0], a[None], None, 3, "abc"),
    "paired": lambda v: (v[:2], [], ["a"]*3, [None]*3, None, 3, "abc"),
    "epochs_or_own": lambda n: (-1, 2.5, nan, inf, "3", [3]),
    "own_count": lambda n: (0, -1, 2.5, nan, inf, "3", [3], 10**13),
    "finite": lambda x: (nan, inf, "a", None),
    "claim": lambda c: (nan, inf, None, "a"),
}
BY_HAND = { # not walked, and why
    "data.load_images": "reads a folder: tests/test_data.py", "data.load_split": "the same",
    "data.pooled_split": "the same", "learner.EVENTS": "names", "learner.StopFit": "an exception",
    "learner.Progress": "a callback, called by Learner", "learner.LinearDecay": "the same; below",
    "numpy_net.Sigmoid": "a layer, called by MLP", "numpy_net.ReLU": "the same",
    "numpy_net.FaultySigmoid": "the same", "python_net.SHADES": "numbers", "python_net.SIZES": "numbers",
    "resnet.PIXEL_MEAN": "a number", "resnet.PIXEL_STD": "a number",
    "speed.specialised": "a context; below", "plots.STYLE": "settings", "plots.course_style": "no arguments",
    "models.METHODS": "names", "models.load": "reads a file: test_saved.py", "models.Method": "a record", "figures.CONFIDENCE": "a number",
    "figures.Measured": "a record", "sgd.threes_and_sevens": "reads a folder: test_data.py",
    "sgd.train_epoch": "called by fit_linear; test_training.py", "sgd.validate_epoch": "the same",
    "gradcheck.EPS": "a number", "gradcheck.Entry": "a record",
    "gradcheck.GradientReport": "a record", "gradcheck.diagnose": "takes what check_entry gives",
    "conv.input_gradient": "called by Conv.backward", "conv.he_kernels": "called by CNN",
    "conv.column_means": "called by BatchNorm", "conv.BatchNorm": "a layer, called by CNN",
    "conv.Flatten": "the same", "conv.Momentum": "called by CNN.fit", "conv.Adam": "the same",
    "conv.receptive_fields": "takes a CNN", "parallel.WarmUp": "a callback, called by Learner",
    **{f"parallel.{name}": "among real processes: test_parallel.py" for name in
       ("mean_gradient", "ring_step", "ring_all_reduce", "torchrun", "launch", "rank_and_size",
        "average_gradients", "global_batches", "fit_shards", "count_right", "save_checkpoint",
        "load_checkpoint")},
}
# Formulas of a line or two that a lesson writes down for plain numbers and calls millions of times:
# Python's own operators and strict zips refuse what does not fit, and nothing wrong comes out.
FORMULAS = {
    "python_net.sigmoid", "python_net.sigmoid_grad", "python_net.faulty_sigmoid_grad",
    "python_net.relu", "python_net.relu_grad", "python_net.softmax", "python_net.log_sum_exp",
    "python_net.sumprod", "python_net.add_rows", "python_net.weighted_sums",
    "python_net.weight_grads", "python_net.backward", "python_net.sgd_step", "numpy_net.sigmoid",
    "learner.mean_over_images",
}
# Modules whose names are not for the learner: `lab` has its own tests, `answers` prove themselves.
ELSEWHERE = {"lab", "answers", "processes", "bars"}


# --- the tools: files, workbooks, models ---

FILES = Path(tempfile.mkdtemp(prefix="faults."))
atexit.register(shutil.rmtree, FILES, ignore_errors=True)


def on_disk(name, write):
    "A path, filled by `write` if there is nothing yet."
    path = FILES/name
    if not path.exists(): write(path)
    return path


def a_csv(): return on_disk("a.csv", lambda p: formats.write_csv(p, grey(3), [1, 2, 3]))
def an_idx(): return on_disk("train-images.idx3-ubyte", lambda p: formats.write_idx(p, grey(3)))
def an_npz(): return on_disk("a.npz", lambda p: np.savez(p, images=grey(3), labels=np.arange(3)))
def a_folder(): return on_disk("folder/train", lambda p: fetch.write_images(p, grey(4), digit_labels(4)))
def a_png(): return next(a_folder().glob("*/*.png"))
def a_pipe(): # who opens it waits for ever
    return [on_disk("pipe", os.mkfifo)] if hasattr(os, "mkfifo") else []


def drawn(): return np.array(handwriting.sample_digit())
def workbooks(): return on_disk("books", lambda p: (p.mkdir(), (p/"Ada.ipynb").write_text("{}")))
def a_mark(): return [marking.Mark("Ada", "02.1", "wrong", "the mean is missing")]


def batches(n=32): return [(floats(n, 5), torch.arange(n) % 3)]
def loss(scores, y): return nn.functional.cross_entropy(scores, y)
def deep():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
def xb(): return floats(32, 5)


def _whole(file):
    with fetch.whole(file) as half: half.write_text("a")


def _locked(path):
    with fetch.locked(path): pass


def _preserved(model):
    with preserve.preserve(model): pass


GOOD |= {
    "formats.read_csv": call(formats.read_csv, "path", a_csv),
    "formats.write_csv": call(formats.write_csv, "to_write images labels_or_none", lambda: FILES/"b.csv", grey,
                              digit_labels),
    "formats.write_submission": call(formats.write_submission, "to_write labels_only",
                                     lambda: FILES/"c.csv", digit_labels),
    "formats.read_idx": call(formats.read_idx, "path", an_idx),
    "formats.write_idx": call(formats.write_idx, "to_write values_idx", lambda: FILES/"b.idx", grey),
    "formats.class_names": call(formats.class_names, "path", a_folder),
    "formats.read_folder": call(formats.read_folder, "path", a_folder),
    "formats.read_npz": call(formats.read_npz, "path part_name", an_npz, lambda: None),
    "formats.label_names": call(formats.label_names, "path", a_folder),
    "formats.read": call(formats.read, "path choice", a_csv, lambda: "train"),
    "handwriting.as_grey": call(handwriting.as_grey, "picture", drawn),
    "handwriting.find_ink": call(handwriting.find_ink, "grey", lambda: handwriting.as_grey(drawn())),
    "handwriting.steps": call(handwriting.steps, "picture", drawn),
    "handwriting.prepare": call(handwriting.prepare, "picture", drawn),
    "handwriting.show_reading": call(handwriting.show_reading, "one_image chances names",
                                     lambda: grey(1)[0], lambda: floats(3), lambda: ["a", "b", "c"]),
    "swap.swap": call(swap.swap, "choice callable count", lambda: "sgd.mnist_loss",
                      lambda: sgd.mnist_loss, lambda: 2),
    "marking.mark": call(marking.mark, "path positive positive count", workbooks, lambda: 9,
                         lambda: 1 << 30, lambda: 1),
    "marking.commonest": call(marking.commonest, "marks", a_mark),
    "marking.write_marks": call(marking.write_marks, "marks to_write", a_mark, lambda: FILES/"m.csv"),
    "marking.as_page": call(marking.as_page, "marks", a_mark),
    "exercises.exercise": call(exercises.exercise, "choice", lambda: "02.1"),
    "exercises.check": call(exercises.check, "choice", lambda: "02.1", answer=None),
    "exercises.hint": call(exercises.hint, "choice", lambda: "02.1"),
    "exercises.solution": call(exercises.solution, "choice", lambda: "02.1"),
    "fetch.read_image": call(fetch.read_image, "path", a_png),
    "fetch.file_number": call(fetch.file_number, "a_path", a_png),
    "fetch.pixel_digest": call(fetch.pixel_digest, "images_any", grey),
    "fetch.class_digests": call(fetch.class_digests, "parts", lambda: {"train": pair()}),
    "fetch.verify": call(fetch.verify, "parts choice", lambda: {"train": pair()}, lambda: "tiny",
                         where=FILES),
    "fetch.whole": call(_whole, "a_path", lambda: FILES/"whole.txt"),
    "fetch.load_parts": call(fetch.load_parts, "path", lambda: a_folder().parent),
    "fetch.locked": call(_locked, "a_path", lambda: FILES/"locked"),
    "fetch.write_images": call(fetch.write_images, "to_write images labels", lambda: FILES/"w", grey,
                               digit_labels),
    "fetch.get_data": call(fetch.get_data, "choice source", lambda: "tiny", lambda: "standin"),
    "fetch.source_of": call(fetch.source_of, "a_path", a_folder),
    "preserve.preserve": call(_preserved, "model", net),
    "clinic.check_order": call(clinic.check_order, "loader count", batches, lambda: 40),
    "clinic.check_overlap": call(clinic.check_overlap, "loader loader part", batches, batches,
                                 lambda: .1),
    "clinic.check_scale_in_validation": call(clinic.check_scale_in_validation, "inputs loader", xb,
                                             batches),
    "clinic.examine": call(clinic.examine, "model callable loader", deep, lambda: loss, batches),
    "clinic.AsModule": call(lambda f, p: clinic.AsModule(f, p)(xb()).shape, "callable table_of",
                            lambda: lambda x: x, dict),
}
WRONG |= {
    "images_any": lambda x: (x/255, x[0], x[:, None], x.bool(), x.int() - 300, x.int() + 300, *NOTHING),
    "path": lambda p: (None, 3, "", [p], FILES/"nowhere", *a_pipe()),
    "a_path": lambda p: (None, 3, "", [p]),
    "to_write": lambda p: (None, 3, "", [p]),
    "labels_or_none": lambda y: (*WRONG["labels"](y)[:11], "abc", object(), {}),
    "labels_only": lambda y: (y[:, None], y.float(), y[:0], y > 3, y[0], ["a"], *NOTHING),
    "values_idx": lambda x: (x.float(), x[0], x > 3, x.int() - 300, ["a"], *NOTHING),
    "part_name": lambda p: ("nothing", 3),
    "picture": lambda x: (x[:0], x.astype(float)*nan, x[0, 0], x[None], FILES/"nowhere", b"abc", *NOTHING[:3],
                          x*1e38, [[1], [2, 3]], torch.eye(9).to_sparse(), torch.zeros(9, 9, device="meta"),
                          np.broadcast_to(np.uint8(0), (1 << 15, 1 << 15)), *a_pipe()),
    "grey": lambda x: (x[:0], x[0], x[None], x*nan, x*0, *NOTHING),
    "one_image": lambda x: (x[0], x[None, None], *NOTHING),
    "chances": lambda p: (p[:0], p*nan, p[:2], p[:, None], p - 1, *NOTHING),
    "names": lambda n: (n[:2], 3),
    "marks": lambda m: ([], [3], None, 3),
    "parts": lambda p: ({"train": 3}, {"train": (grey(3), digit_labels(4))}, None, 3),
    "source": lambda s: ("nothing", 3),
    "loader": lambda dl: ([], [3], [(xb(),)], iter(dl), None, 3, "abc", [(None, None)]),
    "table_of": lambda p: (None, 3, "abc"),
    "inputs": lambda x: (x[:0], None, 3, "abc"),
}
BY_HAND |= { # not walked, and why
    "formats.FormatError": "an exception", "formats.read_openml": "needs the network",
    "handwriting.LARGEST": "a number", "handwriting.sample_digit": "no arguments",
    "handwriting.my_digit_file": "the same", "handwriting.my_digit": "the same",
    "swap.PARTS": "names", "marking.Mark": "a record",
    "marking.run_workbook": "for the child process of mark_workbook",
    "marking.mark_workbook": "a workbook that cannot be read is a row of the table: test_marking.py",
    "exercises.Exercise": "a record, made by the answers' modules", "exercises.Result": "a record",
    "exercises.Page": "the same", "exercises.TooLong": "an exception",
    "exercises.solution_of": "for the answers' modules; test_exercises.py",
    "exercises.mistake_of": "the same", "exercises.is_value": "the same",
     "exercises.is_measured": "the same",
    **{f"exercises.{name}": "takes an Exercise: test_exercises.py" for name in
       ("judge", "source_of_answer", "starter", "answer_name", "prove")},
    "exercises.limited": "called by judge", "exercises.explain": "takes an exception",
    "exercises.differs": "compares anything with anything",
    "exercises.progress_file": "no arguments", "exercises.progress": "the same",
    "cli.ended": "what a command does: test_cli.py", "cli.LessonError": "an exception",
    "cli.app": "commands", "cli.data_app": "the same", "cli.command": "registers them",
     "cli.main": "words: test_cli.py",
    "cli.run_notebook": "the same", "cli.fetch_data": "the same", "cli.pack": "the same",
    "cli.course": "the same", "clone.LESSONS": "names", "clone.project_folder": "no arguments",
    "clone.lessons": "words of the command line: test_cli.py",
    "clone.project_settings": "reads a file: test_faults_files.py",
    "fetch.SETTINGS": "names",
    "fetch.check_png": "its words go into the sentence of who calls it: tests/faults.py",
    "fetch.NotAvailable": "the same", "fetch.NowhereError": "the same",
    "fetch.UnknownDrawWarning": "a warning", "fetch.StandInWarning": "the same",
    "fetch.unpack": "called by get_data: tests/faults.py", "fetch.download": "the same",
    "fetch.draw_threes_and_sevens": "the same", "fetch.standin_images": "no arguments",
    "fetch.data_folder": "the same", "clinic.Finding": "a record", "clinic.Report": "the same",
    "clinic.load_subset": "reads a folder: tests/test_data.py", "clinic.CHECKS": "names", "clinic.DoesNotApply": "an exception",
    "clinic.endless": "goes on for ever, as it says",
    **{f"screening.{name}": "measures for the clinic, which has looked at what it is given: "
       "test_zoo.py" for name in ("neighbour_score", "learns_beyond", "closest_symmetry",
                                  "scale_free_keys", "LinearLayers", "unbroken_pairs",
                                  "lowest_loss", "SYMMETRIES", "last_function")},
    "checkup.ClinicCallback": "takes switches and hands the rest to examine: test_zoo.py",
    **{f"fetch.{name}": "a constant" for name in ("LARGEST_FILE", "FULL", "EXPECTED", "KEPT", "FOLDERS",
       "BELONGS", "MOST_MEMBERS", "MOST_BYTES", "PATIENCE", "SILENCE", "HOW_TO_GET_MNIST")},
    **{f"clinic.{check.__name__}": "called by examine, which has looked at what it is given: "
       "test_clinic.py" for check in clinic.CHECKS if f"clinic.{check.__name__}" not in GOOD},
    "clinic.check_claimed_gradients": "the same",
}


# --- the checks themselves, what the commands do, and the clinic's game ---

def words(): return {"seed": 3, "notes": ["a"]}
def some_tensors(): return {"w": floats(2, 3)}
def kept(): return on_disk("kept", lambda p: saved.write(p, some_tensors(), words()))
def a_model(): return models.make("nearest_mean_l2").fit(*pair())
def a_saved_model(): return on_disk("model", lambda p: a_model().save(p))
def a_saved_network(): return on_disk("network", lambda p: models.make("softmax", n_epochs=1).fit(
    *pair()).save(p))
def kaggle(): return on_disk("test.csv", lambda p: formats.write_csv(p, grey(3)))
def a_notebook(): return on_disk("mine.ipynb", lambda p: p.write_text('{"cells": []}'))
def books(): return Path(__file__).parent.parent/"exercises"


def eights(n=64): # what the clinic's set-ups take: rows, labels, and some more of both
    x, y = floats(n, 12), torch.arange(n) % 10
    return x, y, x[:20] + .01, y[:20]


def _steps(number, seed):
    p = patients.patient(number, seed, eights(400))
    return p.losses[0], str(p.diagnose("healthy"))[:3]


def _train_tiny(method, data, epochs, save):
    done = tasks.train(method, data, epochs=epochs, save=save)
    return {key: done[key] for key in ("accuracy", "settings", "n")}


def arch(): return on_disk("both.npz", lambda p: np.savez(
    p, x_train=grey(), y_train=digit_labels(), x_test=grey(), y_test=digit_labels()))


GOOD |= {
    "checks.count": call(checks.count, "count", lambda: 3, what="n"),
    "checks.rate": call(checks.rate, "rate", lambda: .1),
    "checks.number": call(checks.number, "part", lambda: .1, what="x", low=0, high=1),
    "checks.share": call(checks.share, "share", lambda: .1, what="x"),
    "checks.images": call(checks.images, "images", grey),
    "checks.labels": call(checks.labels, "classes", digit_labels, n=12, c=10),
    "checks.tensor": call(checks.tensor, "no_tensor", lambda: floats(3), what="Things"),
    "checks.numbers_or_images": call(checks.numbers_or_images, "idx_values", grey),
    "checks.two": call(checks.two, "two_only", pair, what="images and labels"),
    "checks.scores": call(checks.scores, "scores", lambda: floats(4, 3)),
    "checks.rows": call(checks.rows, "rows", lambda: floats(4, 3), n_in=3),
    "checks.rows_and_mean": call(checks.rows_and_mean, "rows like", lambda: floats(4, 6),
                                 lambda: floats(6)),
    "checks.pixels": call(checks.pixels, "any_grey", grey),
    "checks.pair": call(checks.pair, "pair", pair, c=10),
    "checks.rows_and_targets": call(checks.rows_and_targets, "pair", binary,
                                    dtype=torch.float32),
    "checks.has": call(lambda x: type(checks.has(x, "opt", "step")), "object",
                       lambda: torch.optim.SGD([floats(2)], .1)),
    "checks.function": call(checks.function, "callable", lambda: loss, what="f"),
    "checks.file": call(checks.file, "a_path", a_png),
    "checks.metrics": call(checks.metrics, "functions", lambda: [loss]),
    "checks.choice": call(checks.choice, "choice", lambda: "a", choices=["a", "b"], what="letter"),
    "checks.equal_length": call(checks.equal_length, "first second", grey, digit_labels,
                                what="images and labels"),
    "checks.predictions": call(checks.predictions, "scored classes", lambda: floats(12, 10),
                               digit_labels),
    "checks.parameters": call(checks.parameters, "tensors", lambda: [floats(3)]),
    "checks.numbers": call(checks.numbers, "number_row", lambda: floats(3), what="Numbers"),
    "checks.matrix": call(checks.matrix, "matrix", lambda: floats(3, 4), what="A table"),
    "checks.linear": call(checks.linear, "layer", net),
    "checks.maps": call(checks.maps, "maps each", lambda: floats(2, 3, 4, 4), lambda: floats(3)),
    "checks.device": call(lambda name: str(checks.device(name)), "device", lambda: "cpu"),
    "checks.float_type": call(checks.float_type, "float_type", lambda: torch.float64),
    "checks.label_list": call(checks.label_list, "label_list", lambda: y4, n=4, c=3),
    "checks.folders": call(checks.folders, "a_path", a_folder),
    "checks.digits": call(checks.digits, "digits", lambda: [3, 7]),
    "checks.grey_lists": call(checks.grey_lists, "nested", lambda: grey(3, 4, 4).tolist()),
    "checks.row_lists": call(checks.row_lists, "row_lists_alone", lists, n_in=3),
    "checks.label_array": call(checks.label_array, "label_array", lambda: a4, n=4, c=3),
    "checks.image_array": call(checks.image_array, "images", grey),
    "checks.score_array": call(checks.score_array, "score_array", rows64),
    "checks.row_array": call(checks.row_array, "row_array_alone", rows64, n_in=3,
                             dtype=np.float64),
    "checks.array": call(checks.array, "array2", lambda: rows64(6, 5), what="A map", sizes="(h, w)"),
    "checks.fits": call(checks.fits, "layer_rows layer_rows bias", lambda: floats(4, 3),
                        lambda: floats(3, 2), lambda: floats(2)),
    "saved.write": call(saved.write, "to_write tensor_table words", lambda: FILES/"again",
                        some_tensors, words),
    "saved.read": call(saved.read, "path", kept),
    "checkpoint.Checkpoint": call(lambda file, about: checkpoint.Checkpoint(file, about).about,
                                  "to_write words", lambda: FILES/"place", words),
    "tasks.load_data": call(tasks.load_data, "data_name", arch),
    "tasks.labelled": call(tasks.labelled, "data_name choice", arch, lambda: "test"),
    "tasks.describe": call(tasks.describe, "data_name", arch),
    "tasks.train": call(_train_tiny, "choice data_name own_count to_save",
                        lambda: "softmax", arch, lambda: 1, lambda: FILES/"trained"),
    "tasks.evaluate": call(tasks.evaluate, "model_file judged", a_saved_model, arch),
    "tasks.pictures": call(lambda files: list(tasks.pictures(files)), "files", lambda: [a_png()]),
    "tasks.predict": call(lambda m, files: list(tasks.predict(m, files)), "model_file files",
                          a_saved_model, lambda: [a_png()]),
    "tasks.submit": call(tasks.submit, "model_file path to_save_to", a_saved_model, kaggle,
                         lambda: FILES/"submission.csv"),
    "tasks.examine": call(tasks.examine, "network_file", a_saved_network),
    "tasks.export": call(tasks.export, "network_file to_save_to", a_saved_network,
                         lambda: FILES/"a.onnx"),
    "patients.set_up": call(lambda seed, data: patients.set_up(seed, data).lr, "count_0 four",
                            lambda: 2, eights),
    "patients.patient": call(_steps, "case count_0", lambda: 11, lambda: 2),
    "patients.diagnose": call(lambda suspect: patients.patient(11, 1, eights(400)).diagnose(
        suspect).text[:5], "text", lambda: "backward"),
    "patients.unknown_patients": call(
        lambda n, seed: [p.case.suspect for p in patients.unknown_patients(n, seed, eights(400))],
        "few_of count_0", lambda: 1, lambda: 3),
    "patients.score": call(lambda them: str(patients.score(them)), "patients",
                           lambda: [patients.patient(11, 1, eights(400))]),
    "patients.try_check": call(
        lambda check, seeds: str(patients.try_check(check, seeds, eights(400))), "callable seeds",
        lambda: lambda model: True, lambda: [1]),
    "exam.draw": call(exam.draw, "count_0 count", lambda: 3, lambda: 4),
    "exam.check": call(lambda key: str(exam.check(key, 3)), "choice", lambda: "02.4"),
    "exam.paper": call(exam.paper, "count_0 path count", lambda: 3, books, lambda: 4),
    "exam.write_paper": call(exam.write_paper, "count_0 path to_write", lambda: 3, books,
                             lambda: Path(tempfile.mkdtemp(dir=FILES))),
    "exam.mark_paper": call(exam.mark_paper, "paper", lambda: exam.write_paper(
        1, books(), Path(tempfile.mkdtemp(dir=FILES)), 1), keep=False),
    "capstone.foreign_parts": call(capstone.foreign_parts, "notebook", a_notebook),
    "capstone.check_capstone": call(
        lambda nb, seconds, memory, goal, data, seed: capstone.check_capstone(
            nb, seconds, memory, goal, data, seed), "notebook positive bytes part four_arrays count_0",
        a_notebook, lambda: 60, lambda: 1 << 30, lambda: .9,
        lambda: (*lesson_pair(), *lesson_pair()), lambda: 0),
}
WRONG |= {
    "no_tensor": lambda x: ([[1], [2, 3]], *NOTHING),
    "idx_values": lambda x: (x.float(), x[0], x > 3, ["a"], *NOTHING),
    "two_only": lambda p: (p[:1], (*p, p[0]), 3, *NOTHING),
    "any_grey": lambda x: (x[0], x[:, None], x/255, x.int() - 300, x.int() + 300, x.bool(), x[:0],
                           x.float()*nan, *NOTHING),
    "functions": lambda f: ([3], f + f, None, 3, object()),
    "tensors": lambda p: ([], p[0], [3], None, 3, "abc"),
    "number_row": lambda x: (x[None], x[:0], x > 3, *NOTHING),
    "layer": lambda x: (nn.ReLU(), nn.Linear(2, 2, bias=False), None, 3),
    "tensor_table": lambda t: ({"w": t["w"]*nan}, {"w": 3}, {3: t["w"]}, [t["w"]], None, 3, "abc"),
    "words": lambda w: ({"a": object()}, {"a": nan}, [1], None, 3, "abc"),
    "data_name": lambda p: ("nowhere", FILES/"nowhere", "", [p], None, 3),
    "to_save": lambda p: (FILES, FILES/"none"/"x", "", [p], 3),
    "to_save_to": lambda p: (FILES, FILES/"none"/"x", "", [p], 3, None),
    "model_file": lambda p: ("nowhere", a_png(), "", [p], None, 3, object(), *a_pipe()),
    "network_file": lambda p: ("nowhere", "none.such:f", a_png(), "", [p], None, 3),
    "judged": lambda p: (*WRONG["data_name"](p), pair()[:1], (grey(), digit_labels(3))),
    "files": lambda f: ("abc", f[0], [3], [None], None, 3),
    "case": lambda c: ("nothing", -1, 18, 2.5, None, True, [c]),
    "four": lambda d: (d[:3], (d[0], d[1][:-1], *d[2:]), (*d[:2], d[2][:, :3], d[3]),
                       (d[0], d[1] + 10, *d[2:]), (d[1], d[0], *d[2:]), 3, "abc"),
    "four_arrays": lambda d: (d[:3], (d[0], d[1][:-1], *d[2:]), (d[0], d[1] + 10, *d[2:]), 3, "abc"),
    "bytes": lambda n: WRONG["count"](n),
    "few_of": lambda n: (0, -1, 2.5, 99, "3", None),
    "patients": lambda p: ([3], None, 3, "abc"),
    "seeds": lambda s: ([], ["a"], [-1], None),
    "paper": lambda p: ("nowhere", a_notebook(), a_png(), "", [p], None, 3),
    "notebook": lambda p: ("nowhere", a_png(), "", [p], None, 3),
}
FAULTS_OF_PATIENTS = [case.fault.__name__ for case in patients.CASES.values()]
BY_HAND |= { # not walked, and why
    "checks.DataError": "an exception", "checks.reads": "a context that tells a model's error: below",
    "saved.FORMAT": "a number", "saved.LARGEST": "the same", "saved.SavedError": "an exception",
    "checkpoint.EVERY": "a number", "checkpoint.LossWatch": "a callback: test_checkpoint.py",
    "checkpoint.KeepPlace": "the same", "checkpoint.Retrace": "the same",
    "checks.names": "a hostile list: test_models.py", "checkpoint.steps": "called by trainings: the same",
    "checkpoint.interruptible": "a context: the same",
    "tasks.versions": "no arguments", "tasks.doctor": "the same",
    **{f"patients.{name}": "a table" for name in ("CASES", "SUSPECTS", "LOOKS", "HEALTHY")},
    **{f"patients.{name}": "a record" for name in ("SetUp", "Case", "Answer", "Patient", "Trial")},
    **{f"patients.{name}": "changes a SetUp of ours: test_patients.py" for name in FAULTS_OF_PATIENTS},
    "patients.code": "no arguments", "exam.ExamResult": "a record",
    "capstone.CapstoneResult": "the same",
    "capstone.run_capstone": "for the child process of check_capstone",
}


# --- the walk ---

def public_names():
    "Every public name of every module of the package, as module.name."
    found = set()
    for info in pkgutil.iter_modules(mnist_course.__path__):
        if info.name.startswith("_") or info.name in ELSEWHERE: continue
        module = importlib.import_module(f"mnist_course.{info.name}")
        found |= {f"{info.name}.{name}" for name in getattr(module, "__all__", ())}
    return found


def holds_nan(x):
    if isinstance(x, torch.Tensor): return bool(x.isnan().any())
    if isinstance(x, np.ndarray): return bool(np.isnan(x).any())
    if isinstance(x, dict): return any(map(holds_nan, x.values()))
    if isinstance(x, (list, tuple)): return any(map(holds_nan, x))
    return isinstance(x, float) and x != x


def same(x, y):
    if isinstance(x, nn.Module):
        return all(map(same, x.state_dict().values(), y.state_dict().values()))
    if isinstance(x, (list, tuple)): return len(x) == len(y) and all(map(same, x, y))
    if isinstance(x, dict): return x.keys() == y.keys() and all(same(x[k], y[k]) for k in x)
    if isinstance(x, torch.Tensor): return torch.equal(x, y)
    if isinstance(x, np.ndarray): return np.array_equal(x, y)
    return x == y or (isinstance(x, pixel_similarity.PixelSimilarity))


def quietly(f, *args, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try: return f(*args, **named)
        finally: plt.close("all")


def spoilt(where):
    "Each wrong call: argument, variant, and the arguments."
    _, kinds, args, _ = GOOD[where]
    for i, kind in enumerate(kinds):
        for k in range(len(WRONG.get(kind, lambda x: NOTHING)(args[i]()))):
            fresh = [make() for make in args]
            fresh[i] = WRONG.get(kind, lambda x: NOTHING)(fresh[i])[k]
            yield i, k, fresh


def refusal(where, args):
    "The error that a call ends with; None if it gives a result, and then the result."
    f, _, _, named = GOOD[where]
    try: return None, quietly(f, *args, **named)
    except Exception as e: return e, None


@functools.cache
def raise_lines(file):
    "The lines of a file that a `raise` takes, first and last."
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return [(n.lineno, n.end_lineno) for n in ast.walk(tree) if isinstance(n, ast.Raise)]


def is_told(e):
    "Is this an error that the package raised itself, with a sentence, and no library's?"
    if not isinstance(e, (ValueError, TypeError, data.DataError)): return False
    last = traceback.extract_tb(e.__traceback__)[-1]
    if Path(last.filename).parent != Path(checks.__file__).parent: return False
    ours = any(first <= last.lineno <= end for first, end in raise_lines(last.filename))
    return ours and str(e).rstrip(")").endswith((".", "?"))


def test_only_our_own_sentences_count_as_told():
    def caught(f):
        try: f()
        except Exception as e: return e
    assert is_told(caught(lambda: checks.count(0, "n")))
    assert not is_told(caught(lambda: ten_digits.softmax(floats(2, 2)) @ floats(3, 3)))
    assert not is_told(caught(lambda: python_net.sigmoid("a")))   # Python's own, in a line of ours


@pytest.fixture(autouse=True)
def progress(monkeypatch):
    "Hints that are asked for here are not the reader's."
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(FILES/"progress.jsonl"))
    monkeypatch.setenv("TQDM_DISABLE", "1")


def test_every_public_name_is_walked_or_has_its_reason():
    here = {".".join(name.split(".")[:2]) for name in GOOD}
    assert here | set(BY_HAND) == public_names()
    assert not here & set(BY_HAND)


@pytest.mark.parametrize("where", GOOD)
def test_what_is_wrong_is_refused(where):
    slips = []
    for i, k, args in spoilt(where):
        e, result = refusal(where, args)
        if is_told(e) or (where in FORMULAS and isinstance(e, (ValueError, TypeError))): continue
        if e is None and holds_nan(result): continue # NaN in, NaN out: nothing is hidden
        slips.append((GOOD[where][1][i], k, repr(args[i])[:60], repr(e or result)[:90]))
    assert not slips


@pytest.mark.parametrize("where", [name for name, (_, kinds, *_) in GOOD.items()
                                   if set(kinds) & set(ALIKE)])
def test_what_is_accepted_means_the_same(where):
    f, kinds, args, named = GOOD[where]
    good = quietly(f, *[make() for make in args], **named)
    for i, kind in enumerate(kinds):
        for k, alike in enumerate(ALIKE.get(kind, ())):
            fresh = [make() for make in args]
            fresh[i] = alike(fresh[i])
            result = quietly(f, *fresh, **named)
            assert same(result, good), (kind, k)


# --- the table of faults ---

FAULTS = Path(__file__).parent/"faults.csv"


def plain(sentence): # without what differs between versions and runs
    return sentence.split(" (")[0] if " (torch" in sentence else sentence


def found_faults():
    "Refusals in our own words, one row for each function and sentence, values aside."
    seen = set()
    for where in GOOD:
        for i, k, args in spoilt(where):
            e, _ = refusal(where, args)
            ours = False
            if e is not None:
                last = inspect.getinnerframes(e.__traceback__)[-1].filename
                ours = "mnist_course" in Path(last).parts
            if ours and str(FILES) not in str(e) and " at 0x" not in str(e) and "\n" not in str(e) and len(str(e)) < 200:
                given = type(args[i]).__name__
                if hasattr(args[i], "shape"):
                    given = f"{given} {args[i].dtype} {tuple(args[i].shape)}"
                kind = where, re.sub(r" (is|are|have|not|run) .*?(: |$)|[\d.]+", "", str(e))
                if str(e).endswith(".") and kind not in seen:
                    seen.add(kind)
                    yield where, i, k, given, type(e).__name__, str(e)


def faults():
    with FAULTS.open(encoding="utf-8", newline="") as f: return list(csv.DictReader(f))


def test_each_fault_is_met_by_its_sentence():
    table, calls, slips = faults(), {}, []
    for row in table:
        where = row["where"]
        if where not in calls: calls[where] = {(i, k): args for i, k, args in spoilt(where)}
        e, _ = refusal(where, calls[where][int(row["argument"]), int(row["variant"])])
        if (type(e).__name__, str(e)) != (row["error"], row["sentence"]):
            slips.append((where, row["given"], row["sentence"], str(e)))
    assert not slips
    assert len({(row["where"], row["sentence"]) for row in table}) >= 200


# --- what the issue names, each by itself ---

def test_two_metrics_of_one_name_are_refused():
    def accuracy(scores, y): return 0.
    dls = learner.make_dls(binary(), binary(), 4)
    for metrics in [accuracy, accuracy], [learner.batch_accuracy, learner.batch_accuracy]:
        with pytest.raises(ValueError, match="give each a name of its own"):
            learner.Learner(dls, net(), learner.mnist_loss, metrics=metrics)
    def valid_loss(scores, y): return 0.
    with pytest.raises(ValueError, match="other than"):
        learner.Learner(dls, net(), learner.mnist_loss, metrics=[valid_loss])


def test_a_single_tensor_is_no_list_of_parameters():
    with pytest.raises(ValueError, match=r"give them in a list, \[w\]"):
        optim.BasicOptim(floats(3).requires_grad_(), .1)


def test_the_rate_falls_for_any_optimiser():
    def rates(opt_func):
        decay = learner.LinearDecay()
        learn(callbacks=[decay], opt_func=opt_func, lr=.3).fit(2)
        return decay.rates
    ours = rates(optim.BasicOptim)
    assert ours == rates(torch.optim.SGD) and ours[0] == .3 and 0 < ours[-1] < .1
    class Stubborn:
        def __init__(self, params, lr): pass
    with pytest.raises(TypeError, match="LinearDecay's opt is Stubborn, which has no lr"):
        learn(callbacks=[learner.LinearDecay()], opt_func=Stubborn).fit(1)


def test_a_kernel_need_not_be_square_and_whole_pixels_do_not_overflow():
    image, kernel = floats(6, 5), floats(2, 3)
    ours = conv.convolve(image.numpy(), kernel.numpy())
    theirs = nn.functional.conv2d(image[None, None], kernel[None, None])[0, 0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    full = np.full((3, 3), 255, np.uint8)
    assert conv.convolve(full, np.ones((3, 3), np.uint8)).item() == 9*255


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_training_computes_in_the_dtype_it_is_given(dtype):
    seen, model = set(), small()
    model[0][1].register_forward_hook(
        lambda module, inputs, out: seen.add(inputs[0].dtype) if module.training else None)
    speed.train(model, *pair(), bs=4, dtype=dtype, device="cpu", special=False)
    assert seen == {dtype}


def hooked(conv): conv.register_forward_hook(lambda module, inputs, out: out*2)
def frozen(conv): conv.weight.requires_grad_(False)
def normed(conv): parametrizations.weight_norm(conv)
def pruned(conv): nn.utils.prune.random_unstructured(conv, "weight", .5)


@pytest.mark.parametrize("change", [hooked, frozen, normed, pruned])
def test_specialised_gives_way_where_training_would_mean_something_else(change):
    from torch.nn.utils import prune # noqa: F401 (brings nn.utils.prune)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(16, 3))
    image = floats(1, 1, 2, 2)
    with speed.specialised(model, image) as found: assert len(found) == 1
    change(model[0])
    before = model(image)
    with speed.specialised(model, image) as found:
        assert not found and torch.equal(model(image), before)
    if change is normed: assert is_parametrized(model[0])


def test_a_models_own_error_is_told_about_the_images():
    with pytest.raises(ValueError, match=r"cannot take images of \(12, 28, 28\)"), checks.reads(grey()):
        net()(grey().float())


def test_digits_may_come_from_a_generator(tmp_path):
    from PIL import Image
    for digit in 3, 7, 8:
        (tmp_path/"train"/str(digit)).mkdir(parents=True)
        Image.fromarray(grey(1)[0].numpy()).save(tmp_path/"train"/str(digit)/"0.png")
    asked = data.load_split(tmp_path, "train", digits=(d for d in (3, 7)))
    assert asked[1].tolist() == [3, 7]
    for wrong in WRONG["digits"](None):
        with pytest.raises(ValueError, match="digits are whole numbers"):
            data.load_split(tmp_path, "train", digits=wrong)


@pytest.mark.parametrize("name,wrong,sentence", [
    ("mlp", dict(epochs=3), "mlp has no setting 'epochs'"), ("mlp", dict(n_epochs="3"), "n_epochs"),
    ("mlp", dict(n_epochs=0), "n_epochs"), ("softmax", dict(lr=nan), "lr"),
    ("nearest_mean_l2", dict(norm="l3"), "norm"), ("small_cnn", dict(fine=3), "fine"),
    ("relu_learner", dict(n_hidden=2.5), "n_hidden")])
def test_wrong_settings_are_refused_when_a_model_is_made(name, wrong, sentence):
    with pytest.raises(ValueError, match=sentence): models.make(name, **wrong)


# --- properties, by Hypothesis ---

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))


@given(SIZES, st.integers(0, 9))
def test_images_are_prepared_alike_in_all_three_ways(size, seed):
    x = torch.randint(0, 256, size, generator=gen(seed), dtype=torch.uint8)
    rows = data.as_rows(x, torch.float64)
    assert rows.shape == (size[0], size[1]*size[2]) and 0 <= rows.min() and rows.max() <= 1
    assert np.array_equal(numpy_net.as_rows(x, np.float64), rows.numpy())
    assert python_net.as_lists(x) == rows.tolist()
    back = resnet.normalise_pixels(x)*resnet.PIXEL_STD + resnet.PIXEL_MEAN
    torch.testing.assert_close(back[:, 0].flatten(1).double()/255, rows, rtol=0, atol=1e-6)


@given(SIZES, st.integers(0, 9), st.integers(0, 2))
def test_a_shift_moves_and_invents_nothing(size, seed, pixels):
    pixels = min(pixels, *size[1:])
    x = torch.randint(1, 256, size, generator=gen(seed), dtype=torch.uint8)
    moved = speed.shift(x, gen(seed), pixels)
    assert moved.shape == x.shape and moved.dtype == x.dtype
    for one, new in zip(x, moved, strict=True):
        assert set(new.flatten().tolist()) <= {0, *one.flatten().tolist()}
    if not pixels: assert torch.equal(moved, x)


@given(SIZES, st.integers(0, 9), st.floats(0, 45), st.floats(0, .5))
def test_a_distortion_stays_within_grey(size, seed, rotate, scale):
    x = torch.randint(0, 256, size, generator=gen(seed), dtype=torch.uint8)
    turned = speed.affine(x, gen(seed), rotate, scale)
    assert turned.shape == x.shape and -.01 <= turned.min() and turned.max() <= 255.01
    still = speed.affine(x, gen(seed), 0, 0, 0, 0)
    torch.testing.assert_close(still, x.float(), rtol=0, atol=.05)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
def test_one_hot_has_its_one_in_the_labels_place(labels):
    hot = ten_digits.one_hot(labels)
    assert hot.argmax(1).tolist() == labels and hot.sum().item() == len(labels)
    assert hot.tolist() == [python_net.one_hot(label, 10) for label in labels]


SCORES = st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=1, max_size=5)


@given(SCORES)
def test_softmax_is_the_same_in_all_three_ways(scores):
    s = torch.tensor(scores, dtype=torch.float64)
    p = ten_digits.softmax(s)
    torch.testing.assert_close(p, s.softmax(1))
    torch.testing.assert_close(ten_digits.log_softmax(s), s.log_softmax(1))
    np.testing.assert_allclose(numpy_net.softmax(s.numpy()), p, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose([python_net.softmax(row) for row in scores], p, rtol=1e-12, atol=1e-300)


def slope(f, array, place, step=1e-6):
    "How fast f() grows with one number of a list of lists or an array."
    row, column = place
    kept = array[row][column]
    array[row][column] = kept + step
    high = f()
    array[row][column] = kept - step
    low = f()
    array[row][column] = kept
    return (high - low)/(2*step)


NETS = st.tuples(st.integers(0, 99), st.sampled_from(["sigmoid", "relu"]),
                 st.sampled_from(["mse", "cross_entropy"]))


@given(NETS)
@settings(max_examples=15)
def test_gradients_are_the_losss_slopes(case):
    seed, activation, loss = case
    rng = Random(seed)
    plain_net = python_net.Network((3, 4, 3), rng, activation, loss)
    rows, labels = [[rng.random() for _ in range(3)] for _ in range(3)], [0, 1, 2]
    grads = plain_net.backpropagate(rows, labels)
    twin = numpy_net.numpy_twin(plain_net)
    twin.loss(np.array(rows), np.array(labels))
    fast = twin.backward()
    for name, of_plain, of_twin in ("w1", plain_net.weights[0], twin.weights[0]), \
                                   ("w2", plain_net.weights[1], twin.weights[1]):
        place = rng.randrange(len(of_plain)), rng.randrange(len(of_plain[0]))
        expected = slope(lambda: plain_net.loss(rows, labels), of_plain, place)
        assert math.isclose(grads[name][place[0]][place[1]], expected, rel_tol=1e-4, abs_tol=1e-7)
        expected = slope(lambda: twin.loss(np.array(rows), np.array(labels)), of_twin, place)
        assert math.isclose(fast[name][place], expected, rel_tol=1e-4, abs_tol=1e-7)


@given(st.integers(0, 99))
def test_the_gradient_of_cross_entropy_is_autograds(seed):
    s = torch.randn(4, 3, generator=gen(seed), dtype=torch.float64, requires_grad=True)
    y = torch.randint(0, 3, (4,), generator=gen(seed))
    ten_digits.cross_entropy(s, y).backward()
    torch.testing.assert_close(ten_digits.cross_entropy_grad(s.detach(), y), s.grad)


@given(st.binary(max_size=300))
def test_a_file_of_any_bytes_is_refused_as_an_image(content):
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder)/"0.png").write_bytes(content)
        with pytest.raises(data.DataError): data.load_images(folder)


@given(st.one_of(st.integers(), st.floats(), st.text(max_size=3), st.none(), st.booleans(),
                 st.lists(st.integers(), max_size=2)))
def test_a_check_gives_the_number_back_or_refuses(x):
    for check in (lambda: checks.count(x, "x"), lambda: checks.rate(x), lambda: checks.share(x, "x"),
                  lambda: checks.number(x, "x", 0, 1)):
        with suppress(ValueError): assert check() == x and not isinstance(x, bool)


if __name__ == "__main__": # write the table anew; look through its changes before keeping them
    with FAULTS.open("w", encoding="utf-8", newline="") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow(["where", "argument", "variant", "given", "error", "sentence"])
        table.writerows(found_faults())
