"""One epoch of 784-128-64-10 on all digits: arrays by hand, and the libraries."""
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from mnist_course.data import as_rows
from mnist_course.numpy_net import MLP
from torch import nn

from .timing import Comparison, Disagreement, Target, Way
from .work import digits, share_of

SIZES, BS, LR = (784, 128, 64, 10), 64, .1
SKLEARN, EAGER = "scikit-learn's MLPClassifier", "PyTorch, eager"
IN_ORDER = 3200  # images of the proof: 50 steps in the same order, before roundings grow


class InOrder:
    "In place of a random generator: leaves the images as they are."
    permutation = staticmethod(np.arange)


def start(sizes=SIZES) -> MLP:
    return MLP(sizes, rng=np.random.default_rng(0))


def rows(share: float = 1.) -> tuple[np.ndarray, np.ndarray]:
    x, y = share_of(*digits("training"), share)
    return as_rows(x).numpy(), y.numpy()


def ours(x, y, shuffle=True, bs=BS, sizes=SIZES) -> list:
    net = start(sizes)
    net.fit(x, y, 1, LR, bs, rng=np.random.default_rng(0) if shuffle else InOrder())
    return [p.copy() for p in net.parameters().values()]


def by_sklearn(x, y, shuffle=True) -> list:
    "One pass of plain SGD from the same weights, without momentum and decay."
    from sklearn.neural_network import MLPClassifier
    net = MLPClassifier(SIZES[1:-1], solver="sgd", alpha=0, batch_size=BS, learning_rate_init=LR,
                        momentum=0, nesterovs_momentum=False, shuffle=shuffle, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.partial_fit(x[:BS], y[:BS], classes=np.arange(10)) # makes its arrays,
        for mine, given in zip(net.coefs_ + net.intercepts_, _by_kind(start()), strict=True):
            mine[...] = given                                  # which get our numbers
        net.partial_fit(x, y)
    return [p for pair in zip(net.coefs_, net.intercepts_, strict=True) for p in pair]


def _by_kind(net: MLP) -> list: return [*net.weights, *net.biases]


def _torch_net(sizes=SIZES) -> nn.Sequential:
    pairs = list(zip(sizes, sizes[1:], strict=False))
    layers = [layer for pair in pairs for layer in (nn.Linear(*pair), nn.ReLU())][:-1]
    net = nn.Sequential(*layers)
    with torch.no_grad():
        for p, v in zip(net.parameters(), start(sizes).parameters().values(), strict=True):
            p.copy_(torch.from_numpy(v).T if v.ndim == 2 else torch.from_numpy(v))
    return net


def _torch_epoch(batches) -> list:
    net = _torch_net()
    opt = torch.optim.SGD(net.parameters(), LR)
    for xb, yb in batches:
        F.cross_entropy(net(xb), yb).backward()
        opt.step()
        opt.zero_grad()
    return [p.detach().numpy().T for p in net.parameters()]


def eager(x, y, shuffle=True) -> list:
    "The loop that a user of PyTorch writes when everything fits in memory."
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    g = torch.Generator().manual_seed(0)
    order = torch.randperm(len(y), generator=g) if shuffle else torch.arange(len(y))
    return _torch_epoch((x[i], y[i]) for i in order.split(BS))


def with_loader(x, y, shuffle=True) -> list:
    "The same with TensorDataset and DataLoader."
    from torch.utils.data import DataLoader, TensorDataset
    torch.manual_seed(0)
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    return _torch_epoch(DataLoader(data, BS, shuffle=shuffle))


def same_arrays(outputs: dict) -> None:
    first, *_ = outputs
    for name, found in outputs.items():
        for p, q in zip(found, outputs[first], strict=True):
            if p.shape != q.shape or not np.allclose(p, q, rtol=1e-3, atol=1e-4):
                raise Disagreement(f"{name} comes to other weights than {first}.")


def _way(name, run, note="", share=1.):
    def proof():
        x, y = rows()
        return run(x[:IN_ORDER], y[:IN_ORDER], shuffle=False)
    return Way(name, run, lambda: rows(share), proof, note=note)


def comparisons(quick: bool, device: str) -> list[Comparison]:
    return [Comparison(
        "mlp.epoch", "One epoch of 784-128-64-10, batches of 64, float32",
        (_way("numpy_net", ours, "NumPy's products held to one thread"),
         _way(SKLEARN, by_sklearn, "plain SGD, two threads"),
         _way(EAGER, eager, "two threads"),
         _way("PyTorch with DataLoader", with_loader, "two threads")),
        same_arrays, "the same weights after 50 steps in the same order",
        rounds=2 if quick else 5,
        targets=(Target(SKLEARN, 1, "numpy_net no slower than scikit-learn"),
                 Target(EAGER, 1/1.2, "numpy_net no slower than 1.2× PyTorch eager")))]
