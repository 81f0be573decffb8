"""Convolutional nets: an epoch of ResNet18 and its accuracy, and the seconds to 99.0% and 99.5%.

The stock recipe and PyTorch's example are written out here as their users run them; ours are
`mnist_course.resnet` and `mnist_course.speed`. Each training has a process of its own, so that none
finds what another has left behind. Its output is its accuracy on the testing part, so what is
compared is that ours is no less accurate. One run's accuracy is luck: the lessons' ledger has those
of the same trainings over several seeds.
"""
import time
from dataclasses import dataclass
from functools import cache, partial
from itertools import count

import torch
import torch.nn.functional as F
from mnist_course.data import get_data
from mnist_course.pixel_similarity import accuracy
from mnist_course.speed import fit_resnet, fit_small, predict
from torch import Tensor, nn

from . import rivals
from .timing import Comparison, Disagreement, Job, Target, Way, run_alone
from .work import digits, share_of, wait_for

STOCK, EXAMPLE = "the stock fastai recipe", "PyTorch's example CNN"


@dataclass(frozen=True)
class Outcome:
    "What a training came to."
    accuracy: float  # on the testing part, from 0 to 1
    seconds: float   # of training, its evaluation after it not counted


# --- ours: the recipes of lesson 12, for lesson 10's ResNet18 and for its own small net ---

fit_fine = partial(fit_small, fine=True)


def ours(recipe, device: str, seed: int = 0, share: float = 1.) -> Outcome:
    "Train by a recipe from images in memory; read the testing part afterwards, untimed."
    train, (images, labels) = share_of(*digits("training"), share), digits("testing")
    wait_for(device)
    start = time.perf_counter()
    model = recipe(train, seed=seed, device=device).model
    wait_for(device)
    seconds = time.perf_counter() - start
    return Outcome(accuracy(predict(model, images), labels), seconds)


def train_alone(run, **settings) -> Outcome:
    "A training in a process of its own."
    return run_alone(Job(run, settings), torch.get_num_threads())["output"]


def with_new_seeds(run, **settings):
    "Each call takes another seed, since a time holds for a recipe and not for a lucky start."
    seeds = count()
    return lambda: train_alone(run, seed=next(seeds), **settings)


# --- the rivals ---

def stock_resnet_epoch(device: str) -> Outcome:
    "fastai's own way: loaders over the folder, ResNet18 from nothing, one-cycle at 0.1."
    from fastai.callback import progress, schedule  # noqa: F401
    from fastai.losses import CrossEntropyLossFlat
    from fastai.metrics import accuracy
    from fastai.vision.all import ImageDataLoaders, resnet18, vision_learner
    start = time.perf_counter()
    dls = ImageDataLoaders.from_folder(get_data("full"), train="training", valid="testing",
                                       device=device)
    learn = vision_learner(dls, resnet18, pretrained=False, loss_func=CrossEntropyLossFlat(),
                           metrics=accuracy)
    with learn.no_bar(), learn.no_logging(): learn.fit_one_cycle(1, .1)
    wait_for(device)
    return Outcome(learn.recorder.values[-1][-1], time.perf_counter() - start)


@cache # minutes long: run once, shown wherever it is a rival
def stock_once(device: str) -> Outcome: return train_alone(stock_resnet_epoch, device=device)


class ExampleNet(nn.Module):
    "The net of PyTorch's MNIST example."
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Dropout(.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(.5),
            nn.Linear(128, 10))

    def forward(self, x): return F.log_softmax(self.body(x), dim=1)


class Pictures(torch.utils.data.Dataset):
    "As the example's: each image a PIL picture that is transformed when it is asked for."
    def __init__(self, images: Tensor, labels: Tensor):
        from torchvision.transforms import Compose, Normalize, ToTensor
        self.images, self.labels = images, labels
        self.transform = Compose([ToTensor(), Normalize((.1307,), (.3081,))])

    def __len__(self): return len(self.labels)

    def __getitem__(self, i):
        from PIL import Image
        return self.transform(Image.fromarray(self.images[i].numpy())), int(self.labels[i])


def example_until(target: float, device: str, most: int = 14, seed: int = 1) -> Outcome:
    "PyTorch's example with its published settings, until an epoch ends at the target."
    from torch.utils.data import DataLoader
    torch.manual_seed(seed)
    cuda = dict(num_workers=1, pin_memory=True, shuffle=True) if device != "cpu" else {}
    train = DataLoader(Pictures(*digits("training")), 64, **cuda)
    test = DataLoader(Pictures(*digits("testing")), 1000)
    net = ExampleNet().to(device)
    opt = torch.optim.Adadelta(net.parameters(), lr=1.)
    schedule = torch.optim.lr_scheduler.StepLR(opt, step_size=1, gamma=.7)
    seconds, reached = 0., 0.
    for _ in range(most):
        wait_for(device)
        start = time.perf_counter()
        net.train()
        for xb, yb in train:
            opt.zero_grad()
            F.nll_loss(net(xb.to(device)), yb.to(device)).backward()
            opt.step()
        schedule.step()
        wait_for(device)
        seconds += time.perf_counter() - start
        net.eval()
        with torch.no_grad():
            right = sum((net(xb.to(device)).argmax(1).cpu() == yb).sum().item() for xb, yb in test)
        reached = right/len(test.dataset)
        if reached >= target: break
    return Outcome(reached, seconds)


def published(name: str, device: str, seed: int = 0) -> Outcome:
    "A fast training of others (`rivals.RIVALS`), with the settings that they published."
    return Outcome(*rivals.outcome(name, digits("training"), digits("testing"), device, seed))


# --- the checks and the rows ---

def at_least_as_accurate(outputs: dict) -> None:
    "Ours must not have bought its speed with accuracy, beyond what 10,000 images can tell."
    ours, *rivals = outputs.values()
    n = len(digits("testing")[1])
    for rival in rivals:
        noise = 3*(2*rival.accuracy*(1 - rival.accuracy)/n)**.5
        if ours.accuracy < rival.accuracy - noise:
            raise Disagreement(f"Ours reads {ours.accuracy:.2%} and the rival "
                               f"{rival.accuracy:.2%}: faster, but to less.")


def reaches(target: float):
    def check(outputs: dict) -> None:
        first, *_ = outputs
        if outputs[first].accuracy < target:
            raise Disagreement(f"{first} came to {outputs[first].accuracy:.2%}, not {target:.1%}.")
    return check


def describe(outcome: Outcome, target: float = 0.) -> str:
    "What a row says of a training."
    short = "" if outcome.accuracy >= target else f", short of {target:.1%}"
    return f"{outcome.accuracy:.2%}{short}"


def _way(name: str, run, target: float = 0., **about) -> Way:
    return Way(name, run, seconds=lambda outcome: outcome.seconds,
               describe=lambda outcome: describe(outcome, target), **about)


def comparisons(quick: bool, device: str) -> list[Comparison]:
    if quick: return [_quick(device)]
    def stock(target: float = 0.) -> Way:
        return _way(STOCK, lambda: stock_once(device), target, rounds=1,
                    note="one run: `from_folder`, 64 in a batch, `fit_one_cycle(1, 0.1)`; its "
                         "loaders and its evaluation are counted")

    def our_way(name: str, recipe, target: float = 0.) -> Way:
        return _way(name, with_new_seeds(ours, recipe=recipe, device=device), target,
                    note="from images in memory, each round another seed")

    def rival(name: str, note: str, target: float) -> Way:
        return _way(name, with_new_seeds(published, name=name, device=device), target, note=note)
    return [
        Comparison(
            "conv.resnet18", "One epoch of ResNet18 on all of MNIST",
            (our_way("resnet, speed", fit_resnet), stock()), at_least_as_accurate,
            "no lower accuracy on the testing part", rounds=2, warm=False,
            targets=(Target(STOCK, 3, "the ResNet18 epoch at least 3× faster than stock at no "
                                      "lower accuracy"),)),
        Comparison(
            "conv.to99", "Seconds to 99.0% of the testing part",
            (our_way("speed, small net", fit_small, .99),
             rival(rivals.FAST, "one epoch with its published settings, written anew; from images "
                                "in memory, each round another seed", .99),
             rival(rivals.BEAUTIFUL, "its 70 steps, written anew in PyTorch's layers; they are "
                                     "published as good for 98%", .99),
             _way(EXAMPLE, lambda: train_alone(example_until, target=.99, device=device), .99,
                  rounds=1,
                  note="one run, its published settings; counted to the end of the first epoch "
                       "that reaches it, evaluations not counted"), stock(.99)),
            reaches(.99), "ours reaches 99.0%", rounds=3, warm=False,
            targets=(Target(EXAMPLE, 10, "99.0% at least 10× faster than PyTorch's example "
                                         "reaches it"),)),
        Comparison(
            "conv.to995", "Seconds to 99.5% of the testing part",
            (our_way("speed, fine small net", fit_fine, .995), stock(.995)), reaches(.995),
            "ours reaches 99.5%", rounds=1, warm=False,
            note="PyTorch's example is not run for this: its 14 epochs end at a published "
                 "99.185%."),
    ]


def _quick(device: str) -> Comparison:
    "On half of the images: does it run?"
    def accept_anything(outputs): pass
    def run(): return train_alone(ours, recipe=fit_small, device=device, share=.5)
    return Comparison("conv.quick", "The small net on half of the images", (_way("speed", run),),
                      accept_anything, "it runs", rounds=1, warm=False)
