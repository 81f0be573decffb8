"""The data that the benchmarks share, whole or a part of it."""
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from mnist_course.data import get_data, load_split, some_of
from mnist_course.sgd import threes_and_sevens
from torch import Tensor


@cache
def digits(part: str) -> tuple[Tensor, Tensor]:
    "All digits of the part training or testing, mixed once: uint8 (n, 28, 28), int64 (n,)."
    images, labels = load_split(get_data("full"), part)
    return some_of(images, labels, len(labels), seed=0)


@cache
def rows_to_train_on() -> tuple[Tensor, Tensor]:
    "The threes and sevens to train on, mixed once: rows (n, 784), targets (n, 1)."
    x, y, *_ = threes_and_sevens(get_data("sample"))
    return some_of(x, y, len(y), seed=0)


def share_of(x: Tensor, y: Tensor, share: float) -> tuple[Tensor, Tensor]:
    "The first share, between 0 and 1, of images that are mixed."
    n = max(1, round(len(y)*share))
    return x[:n], y[:n]


@contextmanager
def without_kept_copy():
    "The full set's folder by another path, where no decoded copy lies beside it."
    real = get_data("full")
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)/real.name
        folder.symlink_to(real, target_is_directory=True)
        yield folder


def wait_for(device: str) -> None:
    "A GPU is given work and does it later: the clock must wait for it."
    if device.startswith("cuda"): torch.cuda.synchronize()
