"""Two fast trainings that others have published, written anew from what they say of themselves.

Both keep the images in memory, as floats, and take their batches from there; neither counts how
they come there, so neither is that counted here, nor the evaluation at the end. Counted are the
making of the net, all steps, and on a GPU the wait for it.
"""
import time

import torch
import torch.nn.functional as F
from mnist_course.pixel_similarity import accuracy
from torch import Tensor, nn

from .work import wait_for

FAST, BEAUTIFUL = "the recipe of train_mnist_fast", "tinygrad's beautiful_mnist"


class PoolFirst(nn.Sequential):
    """The net of train_mnist_fast (tuomaso/train_mnist_fast, 8_Final_00s76.ipynb).

    Pooling comes before ReLU: the largest of four is positive if any of them is, so the result is
    the same, and ReLU has a quarter as many numbers to look at.
    """
    def __init__(self):
        super().__init__(nn.Conv2d(1, 24, 5), nn.MaxPool2d(2), nn.ReLU(),
                         nn.Conv2d(24, 32, 3), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
                         nn.Linear(800, 256), nn.ReLU(), nn.Linear(256, 10))


def train_fast(images: Tensor, labels: Tensor, bs: int = 256, lr: float = .01) -> nn.Module:
    """One epoch, one cycle of the rate up to `lr`, Adam with a short memory.

    Images are float32 (n, 1, 28, 28) and come in the order in which they lie: theirs were mixed
    once, when they were saved, and every run takes them so.
    """
    model = PoolFirst().to(images.device)
    opt = torch.optim.Adam(model.parameters(), lr=lr, betas=(.7, .9))
    batches = list(zip(images.split(bs), labels.split(bs), strict=True))
    cycle = torch.optim.lr_scheduler.OneCycleLR(opt, lr, len(batches), cycle_momentum=False)
    for xb, yb in batches:
        opt.zero_grad()
        F.cross_entropy(model(xb), yb).backward()
        opt.step()
        cycle.step()
    return model


class Beautiful(nn.Sequential):
    "The net of tinygrad/tinygrad, examples/beautiful_mnist.py, in PyTorch's layers."
    def __init__(self):
        def pair(c_in, c_out, k):
            return (nn.Conv2d(c_in, c_out, k), nn.ReLU(), nn.Conv2d(c_out, c_out, k), nn.ReLU(),
                    nn.BatchNorm2d(c_out), nn.MaxPool2d(2))
        super().__init__(*pair(1, 32, 5), *pair(32, 64, 3), nn.Flatten(), nn.Linear(576, 10))


def train_beautiful(images: Tensor, labels: Tensor, steps: int = 70, bs: int = 512) -> nn.Module:
    "Seventy steps on images drawn with replacement, Adam as it comes; pixels from 0 to 255."
    model = Beautiful().to(images.device)
    opt = torch.optim.Adam(model.parameters())
    for _ in range(steps):
        which = torch.randint(len(images), (bs,), device=images.device)
        opt.zero_grad()
        F.cross_entropy(model(images[which]), labels[which]).backward()
        opt.step()
    return model


def scaled(images: Tensor) -> Tensor:
    "uint8 (n, h, w) to floats (n, 1, h, w), mean 0 and deviation 1, as PyTorch's example has them."
    return (images[:, None].float()/255 - .1307)/.3081


def raw(images: Tensor) -> Tensor:
    "uint8 (n, h, w) to floats (n, 1, h, w), still from 0 to 255."
    return images[:, None].float()


RIVALS = {FAST: (train_fast, scaled), BEAUTIFUL: (train_beautiful, raw)}


def outcome(name: str, train: tuple, test: tuple, device: str, seed: int = 0) -> tuple:
    "Accuracy on `test` and seconds of training; both are uint8 images (n, 28, 28) and labels."
    fit, prepared = RIVALS[name]
    torch.manual_seed(seed)
    order = torch.randperm(len(train[1]))
    images, labels = prepared(train[0][order]).to(device), train[1][order].to(device)
    wait_for(device)
    start = time.perf_counter()
    model = fit(images, labels)
    wait_for(device)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        scores = [model.eval()(prepared(xb).to(device)).cpu() for xb in test[0].split(2000)]
    return accuracy(torch.cat(scores), test[1]), seconds
