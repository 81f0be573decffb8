"""How cost grows: each main job with more data, larger batches and wider layers.

Every point is a process of its own, so its peak memory is its own: what it takes above the images,
which lie there as bytes. The seconds are those of the job's core, the median of a few repetitions
where it is short.
"""
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

import torch
from mnist_course.data import Batches, as_rows, get_data, load_split

from . import linear, mlp, plain
from .timing import THREADS, Job, do_nothing, run_alone
from .work import digits, share_of

SHARES = (.1, .25, .5, 1.)


def load_digits() -> None:
    "All digits in memory, as bytes."
    digits("training"), digits("testing")


@cache
def threes_and_sevens():
    "The threes and sevens of the training part: uint8 (n, 28, 28), int64 (n,)."
    images, labels = digits("training")
    keep = (labels == 3) | (labels == 7)
    return images[keep], labels[keep]


def load_threes_and_sevens() -> None:
    "The threes and sevens in memory, as bytes."
    threes_and_sevens()


def _median_seconds(run: Callable, enough: float = .5, most: int = 5) -> float:
    "Of as many runs as fit into half a second, one at least and five at most."
    seconds = []
    while not seconds or (sum(seconds) < enough and len(seconds) < most):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def load_png(share: float = 1.) -> float:
    "From PNG files to tensors, nothing kept."
    real = get_data("full")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)/real.name
        for digit in sorted(real.glob("*/[0-9]")):
            here = folder/digit.relative_to(real)
            here.mkdir(parents=True)
            files = sorted(digit.glob("*.png"))
            for file in files[:max(1, round(len(files)*share))]: (here/file.name).symlink_to(file)
        start = time.perf_counter()
        load_split(folder, "training")
        return time.perf_counter() - start


def linear_epoch(share: float = 1., bs: int = linear.BS) -> float:
    from mnist_course.sgd import mnist_loss, train_epoch
    from mnist_course.sgd import linear as scores
    images, labels = share_of(*threes_and_sevens(), share)
    x, y = as_rows(images), (labels == 3).float()[:, None]
    w, b = linear.start()
    dl = Batches(x, y, bs, True, torch.Generator().manual_seed(0))
    def epoch(): train_epoch(lambda xb: scores(xb, w, b), linear.LR, (w, b), dl, mnist_loss)
    epoch()
    return _median_seconds(epoch)


def python_epoch(share: float = 1., bs: int = 10, hidden: int = 112, images: int = 1000) -> float:
    from mnist_course.python_net import Network, few
    x, y = few(*digits("training"), max(1, round(images*share)))
    net = Network((784, hidden, 16, 10), Random(0))
    return _median_seconds(lambda: net.fit(x, y, 1, plain.LR, bs, Random(0)))


def numpy_epoch(share: float = 1., bs: int = mlp.BS, hidden: int = 128) -> float:
    x, y = mlp.rows(share)
    return _median_seconds(lambda: mlp.ours(x, y, bs=bs, sizes=(784, hidden, 64, 10)))


def mean_images(share: float = 1.) -> float:
    from mnist_course.pixel_similarity import PixelSimilarity
    train, (x, _) = share_of(*digits("training"), share), share_of(*digits("testing"), share)
    return _median_seconds(lambda: PixelSimilarity("l2").fit(*train).predict(x))


def _training(train: Callable, share: float) -> float:
    "Seconds of a training of lesson 12 on a share of the images."
    x, y = share_of(*digits("training"), share)
    start = time.perf_counter()
    train(x, y)
    return time.perf_counter() - start


def resnet_epoch(share: float = 1., bs: int = 64) -> float:
    from mnist_course.resnet import resnet18
    from mnist_course.speed import shift, train
    settings = dict(lr=.05, augment=shift, device="cpu") # those of `fit_resnet`
    return _training(lambda x, y: train(resnet18(1, 10), x, y, bs=bs, **settings), share)


def small_epoch(share: float = 1., bs: int = 128, hidden: int = 16) -> float:
    from mnist_course.speed import small_net, train
    return _training(
        lambda x, y: train(small_net(width=hidden), x, y, bs=bs, device="cpu"), share)


READY = { # what lies in memory before; all digits if not named
    "load": do_nothing, "linear": load_threes_and_sevens}

CURVES = ( # key, title, job, what varies, its values, the other settings
    ("load", "PNG files to tensors", load_png, "share", SHARES, {}),
    ("linear", "3/7, linear, one epoch", linear_epoch, "share", SHARES, {}),
    ("python", "plain Python, one epoch of 1,000 images", python_epoch, "share", SHARES, {}),
    ("numpy", "NumPy 784-128-64-10, one epoch", numpy_epoch, "share", SHARES, {}),
    ("mean", "nearest mean", mean_images, "share", SHARES, {}),
    ("resnet", "ResNet18, one epoch", resnet_epoch, "share", SHARES, {}),
    ("small", "small net of lesson 12, one epoch", small_epoch, "share", SHARES, {}),
    ("linear", "3/7, linear, one epoch", linear_epoch, "bs", (16, 64, 256, 1024), {}),
    ("python", "plain Python, 200 images", python_epoch, "bs", (1, 10, 50, 200), {"share": .2}),
    ("numpy", "NumPy, one epoch", numpy_epoch, "bs", (16, 64, 256, 1024), {}),
    ("resnet", "ResNet18, a tenth of the images", resnet_epoch, "bs", (16, 64, 256),
     {"share": .1}),
    ("small", "small net, a fifth of the images", small_epoch, "bs", (32, 128, 512), {"share": .2}),
    ("python", "plain Python, 200 images", python_epoch, "hidden", (28, 56, 112, 224),
     {"share": .2}),
    ("numpy", "NumPy, one epoch", numpy_epoch, "hidden", (32, 128, 512, 1024), {}),
    ("small", "small net, a fifth of the images", small_epoch, "hidden", (8, 16, 32, 64),
     {"share": .2}),
)


def measure(quick: bool, report=lambda line: None) -> list[dict]:
    "Every curve as plain data; in a hurry only the first and last share of each."
    curves = []
    for key, title, run, varies, values, others in CURVES:
        if quick and (varies != "share" or key in ("python", "resnet", "small")): continue
        points = []
        for value in (values[::3] if quick else values):
            before = READY.get(key, load_digits)
            job = Job(run, {varies: value, **others}, before)
            result = run_alone(job, threads=1 if quick else THREADS)
            seconds, peak_mb = result["seconds"], result["peak_mb"]
            points.append({varies: value, "seconds": seconds, "peak_mb": peak_mb})
            report(f"  {key}, {varies} {value:g}: {seconds:.3g} s, {peak_mb:.0f} MB")
        curves.append({"key": f"{key}.{varies}", "title": title, "varies": varies,
                       "points": points})
    return curves
