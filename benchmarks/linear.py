"""One epoch of threes and sevens by a linear model: what the way batches are made costs."""
import random

import torch
from mnist_course.data import Batches, get_data, load_split
from mnist_course.learner import Learner
from mnist_course.sgd import init_params, linear, mnist_loss, train_epoch
from torch import Tensor, nn

from .timing import Comparison, Disagreement, Target, Way
from .work import rows_to_train_on

BS, LR = 256, 1.
PYTORCH, FASTAI = "PyTorch's DataLoader, list of pairs", "fastai's DataLoader, list of pairs"


def start() -> tuple[Tensor, Tensor]:
    "The same starting weights for everybody: (784, 1) and (1,)."
    g = torch.Generator().manual_seed(0)
    return init_params((784, 1), .01, g), init_params(1, .01, g)


def course_batches(shuffle: bool):
    return Batches(*rows_to_train_on(), BS, shuffle, torch.Generator().manual_seed(0))


def list_of_pairs() -> list:
    return list(zip(*rows_to_train_on(), strict=True))


def pytorch_list(shuffle: bool):
    return torch.utils.data.DataLoader(list_of_pairs(), BS, shuffle=shuffle)


def fastai_list(shuffle: bool):
    from fastai.data.load import DataLoader
    return DataLoader(list_of_pairs(), BS, shuffle=shuffle)


def pytorch_tensors(shuffle: bool):
    data = torch.utils.data.TensorDataset(*rows_to_train_on())
    return torch.utils.data.DataLoader(data, BS, shuffle=shuffle)


def by_train_epoch(dl) -> Tensor:
    "Lesson 02's epoch over any batches; the weights it ends with."
    w, b = start()
    train_epoch(lambda xb: linear(xb, w, b), LR, (w, b), dl)
    return torch.cat([w.detach().flatten(), b.detach()])


def _model() -> nn.Linear:
    model, (w, b) = nn.Linear(784, 1), start()
    with torch.no_grad(): model.weight.copy_(w.T), model.bias.copy_(b)
    return model


def _weights(model) -> Tensor:
    return torch.cat([model.weight.detach().flatten(), model.bias.detach()])


def our_learner(dl) -> Tensor:
    "The same epoch by lesson 04's Learner, with nothing to validate on but one image."
    x, y = rows_to_train_on()
    learn = Learner((dl, [(x[:1], y[:1])]), _model(), mnist_loss, lr=LR).fit(1)
    return _weights(learn.model)


def fastai_learner(dl) -> Tensor:
    "The same epoch by fastai's Learner, its progress bar off."
    from fastai.callback import progress  # noqa: F401
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import SGD
    valid = type(dl)([(x, y) for x, y in zip(*(t[:1] for t in rows_to_train_on()), strict=True)])
    learn = Learner(DataLoaders(dl, valid), _model(), mnist_loss, opt_func=SGD, lr=LR)
    with learn.no_bar(), learn.no_logging(): learn.fit(1, LR)
    return _weights(learn.model)


def _way(name: str, train, batches, note: str = "") -> Way:
    "Timed with images mixed anew, as one trains; checked with images in order."
    def prepare():
        torch.manual_seed(0), random.seed(0)
        return batches(True),
    return Way(name, train, prepare, lambda: train(batches(False)), note=note)


def same_weights(outputs: dict) -> None:
    first, *_ = outputs
    for name, found in outputs.items():
        if found.shape != outputs[first].shape or not torch.allclose(found, outputs[first],
                                                                     rtol=1e-4, atol=1e-5):
            raise Disagreement(f"{name} ends the epoch with other weights than {first}.")


def comparisons(quick: bool, device: str) -> list[Comparison]:
    load_split(get_data("sample"), "train")
    return [Comparison(
        "linear.epoch", "One epoch of 3/7, linear, batches of 256",
        (_way("sgd.train_epoch, Batches", by_train_epoch, course_batches),
         _way("our Learner, Batches", our_learner, course_batches),
         _way(PYTORCH, by_train_epoch, pytorch_list, "with our train_epoch"),
         _way(FASTAI, by_train_epoch, fastai_list, "with our train_epoch"),
         _way("fastai's Learner", fastai_learner, fastai_list, "with fastai's DataLoader"),
         _way("PyTorch's DataLoader, TensorDataset", by_train_epoch, pytorch_tensors,
              "with our train_epoch")),
        same_weights, "the same weights after an epoch in order; timed with images mixed anew",
        rounds=3 if quick else 15,
        targets=(Target(PYTORCH, 2, "the 3/7 epoch at least 2× faster than PyTorch's DataLoader "
                                    "over the list of pairs"),
                 Target(FASTAI, 2, "the 3/7 epoch at least 2× faster than fastai's DataLoader "
                                   "over the list of pairs")))]
