"""A zoo for the clinic: trainings that it did not grow up with, sound ones and spoilt ones.

`SOUND` are trainings in which nothing is wrong; `BUGS` spoil some of them, each with the check
that should ring. All are small: digits of 8×8 pixels, a few hundred of them. Those of `TUNED`
were there while the checks were written and their thresholds chosen; those of `HELD_OUT`, in
zoo_held_out.py, were written when the checks were final, and were examined once.

    python tests/zoo.py              examine them all, and renew zoo.csv and the book's page
    python tests/zoo.py NAME...      examine these, and print what was found
"""
import copy
import csv
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from mnist_course import clinic
from mnist_course.clinic import AsModule, examine

HERE = Path(__file__).parent


@cache
def digits():
    "Images (n, 1, 8, 8) from 0 to 1, and their labels; in an order of their own."
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x/16).float().view(-1, 1, 8, 8), torch.tensor(y)
    mixed = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[mixed], y[mixed]


def plain_step(t, opt):
    "One training step: forward, backward, step, clear."
    def step(model, xb, yb):
        model.train()
        loss = t.loss_func(model(xb), yb)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()
    return step


def sgd(params, lr): return torch.optim.SGD(params, lr, momentum=.9)
def adam(params, lr): return torch.optim.AdamW(params, lr)


def shuffled(t, x, y):
    "A loader that shuffles anew in each epoch."
    return DataLoader(TensorDataset(x, y), t.bs, shuffle=True,
                      generator=torch.Generator().manual_seed(t.seed))


@dataclass
class Training:
    "A model, its data and its loop. A bug changes one of them."
    model:nn.Module
    loss_func:Callable=F.cross_entropy
    lr:float=.05
    opt_func:Callable=sgd            # (params, lr) -> optimiser
    make_step:Callable=plain_step    # (training, optimiser) -> step
    loader:Callable=shuffled         # (training, x, y) -> training loader
    bs:int=32
    seed:int=0
    x:torch.Tensor=field(default_factory=lambda: digits()[0][:640])
    y:torch.Tensor=field(default_factory=lambda: digits()[1][:640])
    xv:torch.Tensor=field(default_factory=lambda: digits()[0][640:1040])
    yv:torch.Tensor=field(default_factory=lambda: digits()[1][640:1040])
    in_use:torch.Tensor=None         # those to validate on if not given
    eval_first:bool=True             # is `eval` called before use?
    predict:Callable=None
    more:dict=field(default_factory=dict)

    def given(self):
        "What `examine` is given."
        params = [p for p in self.model.parameters() if p.requires_grad]
        opt = self.more.get("opt") or self.opt_func(params, self.lr)
        def predict(xb):
            self.model.train(not self.eval_first)
            with torch.no_grad(): return self.model(xb)
        dl = self.loader(self, self.x, self.y)
        valid_dl = self.more.get("valid_dl") or DataLoader(TensorDataset(self.xv, self.yv), 100)
        return dict(model=self.model, loss_func=self.loss_func, dl=dl, valid_dl=valid_dl,
                    step=self.make_step(self, opt), opt=opt, predict=self.predict or predict,
                    in_use=self.xv if self.in_use is None else self.in_use)


# ---- models ----

def mlp(n_out=10, act=nn.ReLU):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), act(), nn.Linear(64, 32), act(),
                         nn.Linear(32, n_out))


def conv_norm(n_out=10, p=.3):
    def block(a, b): return [nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*block(1, 8), *block(8, 16), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Dropout(p), nn.Linear(256, n_out))


def conv_gelu(n_out=10):
    return nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.GELU(), nn.Conv2d(8, 16, 3, 2, 1), nn.GELU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, n_out))


class Rows(nn.Module):
    "Reads an image row by row: LSTM, or the same small layer for each row."
    def __init__(self, kind="lstm", n_out=10):
        super().__init__()
        self.kind, self.head = kind, nn.Linear(32, n_out)
        if kind == "lstm": self.body = nn.LSTM(8, 32, batch_first=True)
        else:
            self.body = nn.Linear(8, 32)
            self.second = nn.Linear(8*32, 32)

    def forward(self, xb):
        h = xb.view(-1, 8, 8)
        if self.kind == "lstm": return self.head(self.body(h)[0][:, -1])
        return self.head(F.relu(self.second(F.relu(self.body(h)).flatten(1))))


class Transformer(nn.Module):
    def __init__(self, n_out=10, width=32):
        super().__init__()
        self.embed, self.place = nn.Linear(4, width), nn.Parameter(.02*torch.randn(1, 16, width))
        self.layers = nn.ModuleList([nn.TransformerEncoderLayer(
            width, 4, 64, .1, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(2)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, n_out)

    def forward(self, xb):
        patches = F.unfold(xb, 2, stride=2).transpose(1, 2)
        h = self.embed(patches) + self.place
        for layer in self.layers: h = layer(h)
        return self.head(self.norm(h).mean(1))


class NextBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(c, c, 3, 1, 1, groups=c), nn.LayerNorm(c)
        self.wide, self.narrow = nn.Linear(c, 4*c), nn.Linear(4*c, c)
        self.scale = nn.Parameter(torch.full((c,), .1))

    def forward(self, xb):
        h = self.norm(self.depthwise(xb).permute(0, 2, 3, 1))
        h = self.scale*self.narrow(F.gelu(self.wide(h)))
        return xb + h.permute(0, 3, 1, 2)


def convnext(n_out=10):
    return nn.Sequential(nn.Conv2d(1, 16, 2, 2), NextBlock(16), NextBlock(16),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(16),
                         nn.Linear(16, n_out))


class Residual(nn.Module):
    "Branches that start at zero."
    def __init__(self, n_out=10):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, n_out)
        self.a, self.b = nn.Linear(32, 32), nn.Linear(32, 32)
        for p in self.b.parameters(): nn.init.zeros_(p)

    def forward(self, xb):
        h = F.relu(self.first(xb.flatten(1)))
        return self.last(h + self.b(F.relu(self.a(h))))


class Tied(nn.Module):
    "An autoencoder whose decoder is its encoder, transposed."
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(24, 64)/8)
        self.b, self.c = nn.Parameter(torch.zeros(24)), nn.Parameter(torch.zeros(64))

    def forward(self, xb):
        return F.linear(F.relu(F.linear(xb.flatten(1), self.w, self.b)), self.w.T, self.c)


class Pair(nn.Module):
    "Two images in, the distance of what the same net makes of them out."
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, xb): # (bs, 2, 8, 8)
        a, b = self.net(xb[:, :1]), self.net(xb[:, 1:])
        return (a - b).square().sum(1, keepdim=True).add(1e-6).sqrt()


class Autocast(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, xb):
        with torch.autocast("cpu", torch.bfloat16): return self.model(xb).float()


class LightningLike(nn.Module):
    "The model knows its loss, its step and its optimiser."
    def __init__(self):
        super().__init__()
        self.net, self.seen = conv_norm(), []

    def forward(self, xb): return self.net(xb)
    def configure_optimizers(self, lr): return torch.optim.Adam(self.parameters(), lr)

    def training_step(self, batch, number):
        loss = F.cross_entropy(self(batch[0]), batch[1])
        self.seen.append((number, loss.item()))
        return loss


# ---- losses and targets ----

def margin_loss(distance, same):
    return torch.where(same > .5, distance**2, (1 - distance).clamp(min=0)**2).mean()


def pairs(x, y, seed):
    "As many pairs as images, half of them of one digit; and whether they are."
    g, first, second = torch.Generator().manual_seed(seed), [], []
    for i in range(len(x)):
        candidates = ((y == y[i]) == (i % 2 == 0)).nonzero()[:, 0]
        first.append(i)
        second.append(candidates[torch.randint(len(candidates), (1,), generator=g)].item())
    same = (y[first] == y[second]).float()[:, None]
    return torch.cat([x[first], x[second]], 1), same


def several(y): # even, at least five, has a loop
    return torch.stack([y % 2 == 0, y >= 5, torch.isin(y, torch.tensor([0, 6, 8, 9]))], 1).float()


def odd(y): return (y % 2).float()[:, None]
def lean(x): # how far the ink lies to the right, and how much there is
    place = torch.arange(8.)
    ink = x.sum((1, 2, 3))
    return torch.stack([(x.sum((1, 2))*place).sum(1)/ink, ink/10], 1)


def targets(t, make):
    "The same training for other targets, made from images and labels."
    return replace(t, y=make(t.x, t.y), yv=make(t.xv, t.yv))


# ---- loops ----

def accumulating(k=4):
    def make(t, opt):
        count = 0
        def step(model, xb, yb):
            nonlocal count
            model.train()
            (t.loss_func(model(xb), yb)/k).backward()
            count += 1
            if count % k == 0:
                opt.step()
                opt.zero_grad()
        return step
    return make


def scheduled(make_scheduler):
    "The usual step, with a scheduler inside."
    def make(t, opt):
        scheduler = make_scheduler(opt)
        def step(model, xb, yb):
            model.train()
            opt.zero_grad()
            t.loss_func(model(xb), yb).backward()
            opt.step()
            scheduler.step()
        return step
    return make


def warm_up(opt): return torch.optim.lr_scheduler.LambdaLR(opt, lambda k: min(k/60, 1.))
def one_cycle(opt):
    return torch.optim.lr_scheduler.OneCycleLR(opt, opt.param_groups[0]["lr"], total_steps=10**4)


def averaging(t, opt): # an average of the weights, updated at each step
    average, step = torch.optim.swa_utils.AveragedModel(t.model), plain_step(t, opt)
    def both(model, xb, yb):
        step(model, xb, yb)
        average.update_parameters(model)
    both.average = average
    return both


def lightning_step(t, opt):
    number = 0
    def step(model, xb, yb):
        nonlocal number
        opt.zero_grad()
        model.training_step((xb, yb), number).backward()
        opt.step()
        number += 1
    return step


def fastai_loop(t):
    "The same training as a fastai Learner's: its loaders, its optimiser."
    from fastai.data.core import DataLoaders
    from fastai.data.load import DataLoader as FastaiLoader
    from fastai.learner import Learner
    from fastai.optimizer import Adam
    train = FastaiLoader(list(zip(t.x, t.y, strict=True)), bs=t.bs, shuffle=True)
    valid = FastaiLoader(list(zip(t.xv, t.yv, strict=True)), bs=100)
    learn = Learner(DataLoaders(train, valid), t.model, loss_func=t.loss_func, opt_func=Adam,
                    lr=.01)
    learn.create_opt()
    return replace(t, loader=lambda t, x, y: train, more={"opt": learn.opt, "valid_dl": valid})


# ---- the sound ones ----

def frozen_body():
    "A body that has learned something, frozen, and a fresh head."
    model = conv_norm(p=0.)
    x, y = digits()
    opt = torch.optim.Adam(model.parameters(), .01)
    for k in range(20):
        opt.zero_grad()
        F.cross_entropy(model(x[64*k:64*k + 64]), y[64*k:64*k + 64]).backward()
        opt.step()
    model[-1] = nn.Linear(256, 10)
    for p in model[:-1].parameters(): p.requires_grad_(False)
    return Training(model, lr=.02)


def pair_training():
    t = Training(Pair(), margin_loss, lr=.003, opt_func=adam)
    (x, y), (xv, yv) = pairs(t.x, t.y, 0), pairs(t.xv, t.yv, 1)
    return replace(t, x=x, y=y, xv=xv, yv=yv)


def image_targets(x, y): return x.flatten(1)

smoothing = nn.CrossEntropyLoss(label_smoothing=.5)
bce = F.binary_cross_entropy_with_logits
SOUND = {
    "multilayer": lambda: Training(mlp()),
    "tanh": lambda: Training(mlp(act=nn.Tanh)),
    "conv, norm, dropout": lambda: Training(conv_norm()),
    "conv, GELU": lambda: Training(conv_gelu(), lr=.01, opt_func=adam),
    "LSTM over rows": lambda: Training(Rows(), lr=.01, opt_func=adam),
    "layer for each row": lambda: Training(Rows("each")),
    "transformer": lambda: Training(Transformer(), lr=.003, opt_func=adam),
    "convnext": lambda: Training(convnext(), lr=.005, opt_func=adam),
    "frozen body": frozen_body,
    "sigmoid autoencoder": lambda: targets(Training(nn.Sequential(
        nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 64), nn.Sigmoid()), F.mse_loss,
        lr=.003, opt_func=adam), image_targets),
    "tied autoencoder": lambda: targets(Training(Tied(), F.mse_loss, lr=.003, opt_func=adam),
                                        image_targets),
    "regression": lambda: targets(Training(mlp(2), F.mse_loss, lr=.003, opt_func=adam),
                                  lambda x, y: lean(x)),
    "pairs": pair_training,
    "several labels": lambda: targets(Training(conv_norm(3), bce), lambda x, y: several(y)),
    "odd or even": lambda: targets(Training(mlp(1), bce), lambda x, y: odd(y)),
    "sigmoid inside": lambda: targets(Training(nn.Sequential(mlp(1), nn.Sigmoid()),
                                               F.binary_cross_entropy), lambda x, y: odd(y)),
    "strong smoothing": lambda: Training(mlp(), smoothing),
    "hinge": lambda: Training(mlp(), F.multi_margin_loss),
    "log-softmax": lambda: Training(nn.Sequential(mlp(), nn.LogSoftmax(1)), F.nll_loss),
    "class weights": lambda: Training(mlp(), nn.CrossEntropyLoss(weight=torch.linspace(.2, 2, 10))),
    "residual from zero": lambda: Training(Residual()),
    "bfloat16": lambda: Training(Autocast(mlp())),
    "accumulation": lambda: Training(mlp(), make_step=accumulating()),
    "warm-up from 0": lambda: Training(mlp(), make_step=scheduled(warm_up)),
    "one cycle": lambda: Training(mlp(), lr=.1, make_step=scheduled(one_cycle)),
    "average of weights": lambda: Training(mlp(), make_step=averaging),
    "fastai's loop": lambda: fastai_loop(Training(mlp())),
    "Lightning-like": lambda: Training(m := LightningLike(), lr=.01, make_step=lightning_step,
                                       opt_func=lambda ps, lr: m.configure_optimizers(lr)),
}


# ---- what spoils them; each gives a training back ----

def in_order(t):
    key = t.y if t.y.ndim == 1 else t.y[:, 0]
    order = key.argsort(stable=True)
    return replace(t, x=t.x[order], y=t.y[order], loader=unshuffled)


def unshuffled(t, x, y): return DataLoader(TensorDataset(x, y), t.bs)
class SameAgain:
    "Starts its generator anew for each epoch."
    def __init__(self, t, x, y): self.x, self.y, self.bs = x, y, t.bs
    def __iter__(self):
        mixed = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(1))
        for some in mixed.split(self.bs): yield self.x[some], self.y[some]


def leak(t, change=lambda x: x):
    return replace(t, xv=torch.cat([t.xv, change(t.x[-40:])]), yv=torch.cat([t.yv, t.y[-40:]]))


def all_leaked(t, change=lambda x: x):
    return replace(t, xv=change(t.x[:300]), yv=t.y[:300], in_use=change(t.x[:300]))


def labels_apart(t):
    mixed = torch.randperm(len(t.y), generator=torch.Generator().manual_seed(5))
    return replace(t, y=t.y[mixed])


def labels_slipped(t): return replace(t, y=t.y.roll(1, 0))
def valid_apart(t):
    mixed = torch.randperm(len(t.yv), generator=torch.Generator().manual_seed(5))
    return replace(t, yv=t.yv[mixed])


def other_classes(t): return replace(t, yv=(t.yv + 3) % 10) # folders in another order
def images(change): return lambda t: replace(t, x=change(t.x))
def mirrored(x): return x.flip(-1)
def turned(x): return x.rot90(1, (-2, -1))
def transposed(x): return x.transpose(-2, -1).contiguous()
def valid(change): return lambda t: replace(t, xv=change(t.xv), in_use=change(t.xv))
def used(change): return lambda t: replace(t, in_use=change(t.xv))
def dark(x): return 1 - x
def times(k): return lambda x: k*x
def normalised(x): return (x - .3)/.37
def wrapped(last): return lambda t: replace(t, model=nn.Sequential(t.model, last))
def loss(loss_func): return lambda t: replace(t, loss_func=loss_func)
def over_batch(scores, y): return F.nll_loss(scores.log_softmax(0), y)
def probabilities_over_batch(scores, y):
    return -(scores.softmax(0)[range(len(y)), y] + 1e-9).log().mean()


def naive(scores, y):
    powers = scores.exp()
    return -(powers/powers.sum(1, keepdim=True))[range(len(y)), y].log().mean()


def naive_bce(scores, y):
    p = 1/(1 + (-scores).exp())
    return -(y*p.log() + (1 - y)*(1 - p).log()).mean()


def flat_targets(loss_func):
    return lambda t: replace(t, y=t.y[:, 0], yv=t.yv[:, 0], loss_func=loss_func)


def soft_bce(scores, y): return (F.softplus(scores) - y*scores).mean()
def squares(scores, y): return ((scores - y)**2).mean()
def one_number(t): return replace(t, model=mlp(1), y=t.y[:, :1], yv=t.yv[:, :1])


def rate(k): return lambda t: replace(t, lr=k*t.lr)
def loop(make): return lambda t: replace(t, make_step=make)


def broken_step(backward=True, step=True, zero=True, first=None):
    def make(t, opt):
        def one(model, xb, yb):
            model.train()
            loss = t.loss_func(model(xb), yb)
            if first: first(model)
            if backward: loss.backward()
            if step: opt.step()
            if zero: opt.zero_grad()
        return one
    return loop(make)


def zeroed_too_soon(t, opt): # after backward, before the step
    def step(model, xb, yb):
        model.train()
        t.loss_func(model(xb), yb).backward()
        opt.zero_grad()
        opt.step()
    return step


def accumulating_for_ever(t, opt):
    count = 0
    def step(model, xb, yb):
        nonlocal count
        model.train()
        t.loss_func(model(xb), yb).backward()
        count += 1
        if count % 4 == 0: opt.step()
    return step


def other_optimizer(t):
    other = copy.deepcopy(t.model)
    return replace(t, opt_func=lambda params, lr: sgd(other.parameters(), lr))


def without(n): # the optimiser does not have the first, or the last, n parameters
    def spoil(t):
        was = t.opt_func
        def some(params, lr): return was(params[n:] if n > 0 else params[:n], lr)
        return replace(t, opt_func=some)
    return spoil


def change(where, how):
    "Change a part of the model, by its name."
    def spoil(t):
        how(t.model.get_submodule(where))
        return t
    return spoil


def swap(where, new):
    "Put something else in the place of a part of the model."
    def spoil(t):
        parent, _, name = where.rpartition(".")
        setattr(t.model.get_submodule(parent), name, new)
        return t
    return spoil


def alike(t, value=.02):
    for p in t.model.parameters(): nn.init.constant_(p, value)
    return t


def bias_down(layer): nn.init.constant_(layer.bias, -30.)
def most_down(layer): layer.bias.data[:len(layer.bias)*7//8] = -30.
def larger(k):
    def how(layer):
        for p in layer.parameters(): p.data.mul_(k)
    return how


class Detach(nn.Module):
    def forward(self, xb): return xb.detach()


class Twice(torch.autograd.Function):
    "A sigmoid with a derivative that is one only if taken of what went in."
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(a := z.sigmoid())
        return a

    @staticmethod
    def backward(ctx, da):
        s = ctx.saved_tensors[0].sigmoid()
        return da*s*(1 - s)


class TwiceModule(nn.Module):
    def forward(self, z): return Twice.apply(z)


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.clamp(min=0)

    @staticmethod
    def backward(ctx, da): return da*.5*(ctx.saved_tensors[0] > 0)


class HalvedModule(nn.Module):
    def forward(self, z): return Halved.apply(z)


class SecondOnInput(nn.Module):
    "The first layer's result is thrown away."
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 10)

    def forward(self, xb):
        self.first(xb.flatten(1)).relu()
        return self.second(xb.flatten(1))


def no_graph(t):
    body = t.model
    def forward(xb):
        with torch.no_grad(): return body(xb)
    return replace(t, model=AsModule(forward, dict(body.named_parameters())))


def three_collapsed(t):
    return replace(t, model=nn.Sequential(
        nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.Linear(64, 64),
        nn.Linear(64, 10)))


def batch_statistics(t): # the images in use are normalised by their own batch
    def predict(xb):
        t.model.eval()
        with torch.no_grad(): return t.model((xb - xb.mean(0))/(xb.std(0, correction=0) + .1))
    return replace(t, predict=predict)


# name -> (which sound training, how it is spoilt, the check that should ring)
BUGS = {
    "in order, multilayer": ("multilayer", in_order, "order"),
    "in order, transformer": ("transformer", in_order, "order"),
    "in order, regression": ("regression", in_order, "order"),
    "in order, several labels": ("several labels", in_order, "order"),
    "shuffled once, multilayer": ("multilayer", lambda t: replace(t, loader=unshuffled),
                                  "reshuffling"),
    "shuffled once, regression": ("regression", lambda t: replace(t, loader=unshuffled),
                                  "reshuffling"),
    "same order each epoch, conv": ("conv, norm, dropout", lambda t: replace(t, loader=SameAgain),
                                    "reshuffling"),
    "some leaked": ("conv, GELU", leak, "overlap"),
    "all leaked": ("regression", all_leaked, "overlap"),
    "all leaked, autoencoder": ("sigmoid autoencoder", all_leaked, "overlap"),
    "leaked and scaled": ("multilayer", lambda t: all_leaked(t, times(1.25)), "overlap"),
    "leaked and normalised": ("conv, norm, dropout", lambda t: all_leaked(
        replace(t, x=normalised(t.x)), lambda x: x*.9 + .05), "overlap"),
    "labels apart, multilayer": ("multilayer", labels_apart, "labels"),
    "labels apart, LSTM": ("LSTM over rows", labels_apart, "labels"),
    "labels apart, several": ("several labels", labels_apart, "labels"),
    "labels apart, regression": ("regression", labels_apart, "labels"),
    "labels slipped": ("conv, norm, dropout", labels_slipped, "labels"),
    "labels apart, pairs": ("pairs", labels_apart, "labels"),
    "validation's labels apart": ("transformer", valid_apart, "labels"),
    "validation's classes renamed": ("convnext", other_classes, "labels"),
    "training mirrored": ("multilayer", images(mirrored), "orientation"),
    "training turned": ("conv, norm, dropout", images(turned), "orientation"),
    "training transposed": ("LSTM over rows", images(transposed), "orientation"),
    "validation upside down": ("regression", valid(lambda x: x.flip(-2)), "orientation"),
    "validation unscaled": ("conv, GELU", valid(times(16)), "scale in validation"),
    "validation normalised": ("pairs", valid(normalised), "scale in validation"),
    "in use unscaled": ("transformer", used(times(255)), "scale in use"),
    "in use dark on light": ("convnext", used(dark), "scale in use"),
    "in use normalised": ("several labels", used(normalised), "scale in use"),
    "broadcast, odd or even": ("odd or even", flat_targets(soft_bce), "pairing"),
    "broadcast, regression": ("regression", lambda t: flat_targets(squares)(one_number(t)),
                              "pairing"),
    "broadcast, pairs": ("pairs", flat_targets(margin_loss), "pairing"),
    "softmax twice, conv": ("conv, norm, dropout", wrapped(nn.Softmax(1)), "squashing"),
    "softmax twice, transformer": ("transformer", wrapped(nn.Softmax(1)), "squashing"),
    "softmax twice, smoothing": ("strong smoothing", wrapped(nn.Softmax(1)), "squashing"),
    "sigmoid twice": ("odd or even", wrapped(nn.Sigmoid()), "squashing"),
    "sigmoid twice, several": ("several labels", wrapped(nn.Sigmoid()), "squashing"),
    "softmax over the batch, model": ("multilayer", lambda t: replace(wrapped(nn.Softmax(0))(t),
        loss_func=lambda p, y: -(p[range(len(y)), y] + 1e-9).log().mean()), "squashing"),
    "softmax over the batch, loss": ("conv, norm, dropout", loss(over_batch), "squashing"),
    "softmax over the batch, by hand": ("multilayer", loss(probabilities_over_batch), "squashing"),
    "ReLU on the scores": ("multilayer", wrapped(nn.ReLU()), "squashing"),
    "ReLU on the scores, conv": ("conv, GELU", wrapped(nn.ReLU()), "squashing"),
    "ReLU on one score": ("odd or even", wrapped(nn.ReLU()), "squashing"),
    "tanh on the scores": ("LSTM over rows", wrapped(nn.Tanh()), "squashing"),
    "softmax overflows": ("conv, norm, dropout", loss(naive), "extremes"),
    "sigmoid overflows": ("several labels", loss(naive_bce), "extremes"),
    "log of a softmax": ("multilayer", lambda t: replace(wrapped(nn.Softmax(1))(t),
        loss_func=lambda p, y: -p[range(len(p)), y].log().mean()), "extremes"),
    "unscaled from the start": ("multilayer", lambda t: replace(
        t, x=255*t.x, xv=255*t.xv), "start"),
    "head too large": ("conv, GELU", change("6", larger(200)), "start"),
    "weights too large": ("layer for each row", change("second", larger(40)), "start"),
    "second layer on input": ("multilayer", lambda t: replace(t, model=SecondOnInput()), "reach"),
    "detached, conv": ("conv, norm, dropout", swap("2", Detach()), "reach"),
    "detached, transformer": ("transformer", swap("layers.0.dropout2", Detach()), "reach"),
    "no_grad": ("multilayer", no_graph, "reach"),
    "all alike": ("multilayer", alike, "symmetry"),
    "all zero, conv": ("conv, GELU", lambda t: alike(t, 0.), "symmetry"),
    "all alike, autoencoder": ("sigmoid autoencoder", alike, "symmetry"),
    "derivative twice": ("multilayer", swap("2", TwiceModule()), "backward"),
    "half a derivative": ("several labels", swap("2", HalvedModule()), "backward"),
    "half a derivative, regression": ("regression", swap("4", HalvedModule()), "backward"),
    "no nonlinearity": ("multilayer", lambda t: replace(t, model=mlp(act=nn.Identity)),
                        "nonlinearity"),
    "no nonlinearity, conv": ("conv, GELU", lambda t: replace(t, model=nn.Sequential(
        *[m for m in t.model if not isinstance(m, nn.GELU)])), "nonlinearity"),
    "three collapsed after one ReLU": ("multilayer", three_collapsed, "nonlinearity"),
    "one ReLU of two missing, norm": ("conv, norm, dropout", swap("2", nn.Identity()),
                                      "nonlinearity"),
    "dead ReLUs": ("multilayer", change("1", bias_down), "alive"),
    "dead ReLUs, conv": ("several labels", change("4", bias_down), "alive"),
    "seven of eight dead, rows": ("layer for each row", change("body", most_down), "alive"),
    "seven of eight dead, convnext": ("convnext", change("1.wide", most_down), "alive"),
    "tanh at its ends": ("tanh", change("1", larger(200)), "alive"),
    "no backward": ("transformer", broken_step(backward=False), "update"),
    "no step": ("LSTM over rows", broken_step(step=False), "update"),
    "zeroed too soon": ("conv, GELU", loop(zeroed_too_soon), "update"),
    "other model's optimiser": ("regression", other_optimizer, "update"),
    "optimiser without the head": ("conv, norm, dropout", without(-2), "update"),
    "optimiser without the body": ("transformer", without(8), "update"),
    "rate of nothing": ("pairs", rate(0.), "update"),
    "never zeroed": ("conv, norm, dropout", broken_step(zero=False), "zeroing"),
    "never zeroed, regression": ("regression", broken_step(zero=False), "zeroing"),
    "accumulated for ever": ("accumulation", loop(accumulating_for_ever), "zeroing"),
    "rate too high": ("multilayer", rate(200), "learning rate"),
    "rate too high, transformer": ("transformer", rate(1000), "learning rate"),
    "rate too low": ("conv, GELU", rate(1e-4), "learning rate"),
    "rate too low, regression": ("regression", rate(1e-5), "learning rate"),
    "eval forgotten, norm": ("several labels", lambda t: replace(t, eval_first=False), "alone"),
    "eval forgotten, dropout": ("transformer", lambda t: replace(t, eval_first=False), "alone"),
    "batch's own statistics in use": ("multilayer", batch_statistics, "alone"),
}


def made(make, seed=0):
    "PyTorch's layers draw from the global generator: seed it, and put it back."
    state = torch.get_rng_state()
    torch.manual_seed(seed)
    try: return make()
    finally: torch.set_rng_state(state)


def sound(name, seed=0):
    "What `examine` is given for a sound training."
    return made(lambda: replace(SOUND[name](), seed=seed).given(), seed)


def spoilt(name, seed=0):
    "What `examine` is given for a spoilt one."
    which, spoil, _ = BUGS[name]
    return made(lambda: spoil(replace(SOUND[which](), seed=seed)).given(), seed)


# ---- the round through the zoo ----

@dataclass(frozen=True)
class Row:
    "What was found at one training: a line of zoo.csv."
    part:str     # tuned, or held out
    kind:str     # sound, or bug
    name:str
    expected:str # the check that should ring
    rang:str     # those that rang, separated by a bar; or how the examination stopped
    @property
    def named(self): return self.expected in self.rang.split("|")


def animals():
    "(part, kind, name, expected check, what makes it) of all trainings."
    parts = [("tuned", SOUND, BUGS)]
    try: import zoo_held_out as held
    except ImportError: held = None
    if held: parts.append(("held out", held.SOUND, held.BUGS))
    for part, sounds, bugs in parts:
        for name, make in sounds.items():
            yield part, "sound", name, "", lambda seed, m=make: replace(m(), seed=seed).given()
        for name, (which, spoil, check) in bugs.items():
            make = sounds.get(which) or SOUND[which]
            yield (part, "bug", name, check,
                   lambda seed, m=make, s=spoil: s(replace(m(), seed=seed)).given())


def found(part, kind, name, expected, make, seed=0):
    "The row of one training, and its report."
    try: report = examine(**made(lambda: make(seed), seed))
    except Exception as e: # noqa: BLE001 — whatever stops it is a result here
        return Row(part, kind, name, expected, f"stopped by {type(e).__name__}: {e}"[:120]), None
    return Row(part, kind, name, expected, "|".join(f.check for f in report.failed)), report


def kept(file=HERE/"zoo.csv"):
    "The rows of the last round, or of another file."
    with open(file, newline="", encoding="utf-8") as f:
        return [Row(**row) for row in csv.DictReader(f)]


def write(rows):
    "Keep the rows, and bring the book's page up to date."
    with open(HERE/"zoo.csv", "w", newline="", encoding="utf-8") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["part", "kind", "name", "expected", "rang"])
        out.writerows([r.part, r.kind, r.name, r.expected, r.rang] for r in rows)
    PAGE.write_text(page(PAGE.read_text("utf-8"), rows, kept(BEFORE)), encoding="utf-8")


# ---- the book's page ----

PAGE, BEFORE = HERE.parent/"book"/"clinic.md", HERE/"zoo_before.csv"


def count(rows, part=None):
    "Sound trainings, false alarms among them; bugs, those named, those that nothing rang at."
    rows = [r for r in rows if part in (None, r.part)]
    sound, bugs = ([r for r in rows if r.kind == kind] for kind in ("sound", "bug"))
    return (len(sound), sum(bool(r.rang) for r in sound), len(bugs), sum(r.named for r in bugs),
            sum(not r.rang or r.rang.startswith("stopped") for r in bugs))


def table(head, rows):
    lines = [head, ["---"] + ["---:"]*(len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def overall(rows, before):
    "The table of both parts, before the checks were mended and after."
    body = []
    for part in "tuned", "held out":
        for when, some in ("before", before), ("now", rows):
            n, alarms, m, named, silent = count(some, part)
            if not n: continue # these were not there yet
            body.append([f"{part}, {when}", f"{alarms} of {n}", f"{named} of {m}",
                         f"{100*named/max(m, 1):.0f}%", m - named - silent, silent])
    return table(["trainings", "false alarms", "bugs named rightly", "share",
                  "another check rang", "nothing rang"], body)


def by_check(rows):
    "The table of the checks: false alarms, and misses among the bugs that each should name."
    body, n = [], sum(r.kind == "sound" for r in rows)
    for check in map(clinic._name, clinic.CHECKS):
        mine = [r for r in rows if r.expected == check]
        alarms = sum(check in r.rang.split("|") for r in rows if r.kind == "sound")
        missed = ["; ".join(r.name for r in mine if not r.named and r.part == part) or "none"
                  for part in ("tuned", "held out")]
        counts = [sum(r.part == part for r in mine) for part in ("tuned", "held out")]
        body.append([f"`{check}`", f"{alarms} of {n}", sum(counts), sum(not r.named for r in mine),
                     ", ".join(m for m in missed if m != "none") or "none"])
    return table(["check", "false alarms", "bugs", "missed", "which"], body)


def alarms(rows):
    "The false alarms, one line each."
    found = [f"- {r.name} ({r.part}): {r.rang.replace('|', ', ')}" for r in rows
             if r.kind == "sound" and r.rang]
    return "\n".join(found) or "- none"


def page(text, rows, before):
    "The page with its tables replaced by those of these rows."
    for name, made in (("overall", overall(rows, before)), ("by check", by_check(rows)),
                       ("alarms", alarms(rows))):
        mark, end = f"<!-- zoo: {name} -->\n", "<!-- end -->"
        start, rest = text.split(mark)
        text = f"{start}{mark}\n{made}\n\n{end}{rest.split(end, 1)[1]}"
    return text


def examined(number, report_too=False):
    "The row of a training, by its number; printed, with the report if it is asked for."
    torch.set_num_threads(1)
    start = time.process_time()
    row, report = found(*list(animals())[number])
    good = row.named if row.kind == "bug" else not row.rang
    print("ok  " if good else "BAD ", f"{time.process_time() - start:4.1f} s", row, flush=True)
    if report_too: print(report, flush=True)
    return row


def main(names):
    chosen = [i for i, animal in enumerate(animals())
              if not names or any(name in (animal[0], animal[2]) for name in names)]
    if names:
        for i in chosen: examined(i, report_too=True)
        return
    with ProcessPoolExecutor(int(os.environ.get("WORKERS", 2))) as pool:
        write(list(pool.map(examined, chosen)))


if __name__ == "__main__": main(sys.argv[1:])
