"Behaviour at the edges, each found by a planted fault that no check noticed (`mutants.py`)."
import random
import sys
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from mnist_course import checks, gradcheck, plots
from mnist_course.learner import make_dls
from mnist_course.optim import BasicOptim
from mnist_course.sgd import batch_accuracy

# --- optim, sgd ---

def test_a_learning_rate_of_zero_moves_nothing_and_is_allowed():
    w = torch.ones(3, requires_grad=True)
    opt = BasicOptim([w], lr=0)
    w.sum().backward()
    opt.step()
    assert w.tolist() == [1, 1, 1]


def test_an_even_chance_is_the_side_of_a_seven():
    even = torch.zeros(2, 1)                    # the sigmoid of 0 is exactly 0.5
    assert batch_accuracy(even, torch.zeros(2, 1)) == 1
    assert batch_accuracy(even, torch.ones(2, 1)) == 0


def test_the_order_of_the_training_images_without_a_seed_is_that_of_seed_0():
    images = torch.arange(32.).reshape(16, 2)
    train, valid = (images, torch.zeros(16, 1)), (images[:2], torch.zeros(2, 1))
    def order(**settings):
        train_dl, _ = make_dls(train, valid, 4, **settings)
        return torch.cat([x for x, _ in train_dl])
    assert order().equal(order(seed=0)) and not order().equal(order(seed=1))


# --- gradcheck ---

def test_a_claim_of_the_mirrored_shape_is_said_to_look_transposed():
    def claims(shape):
        with pytest.raises(ValueError) as e:
            gradcheck.check_gradients(lambda w: w.sum(), {"w": np.zeros((2, 3))},
                                      {"w": np.zeros(shape)})
        return str(e.value)
    assert "It looks transposed." in claims((3, 2))
    assert "transposed" not in claims((3, 3))


def test_half_of_the_sample_is_where_the_claim_is_not_zero():
    claim = [0.]*1000
    for i in range(0, 1000, 100): claim[i] = 1.
    for seed in range(5):
        chosen = gradcheck.sample_indices(claim, 12, random.Random(seed))
        busy = sum(claim[i] != 0 for i, in chosen)
        assert len(set(chosen)) == 12 and chosen == sorted(chosen)
        assert 6 <= busy <= 7                   # six by choice; one of ten among 994 by chance


def test_a_hundred_numbers_of_a_parameter_are_checked_unless_more_are_asked_for():
    w = np.arange(150.)
    def checked(**settings):
        report = gradcheck.check_gradients(lambda: (w**2).sum(), {"w": w}, {"w": 2*w}, **settings)
        assert report.ok
        return len(report.entries)
    assert checked() == 100 and checked(n_entries=150) == 150


def test_a_wrong_claim_that_is_not_square_is_never_called_transposed():
    w = np.arange(6.).reshape(2, 3) + 1
    report = gradcheck.check_gradients(lambda: (w**2).sum(), {"w": w}, {"w": w + 1})
    assert not report.ok and report.hints["w"] == ""
    one_wrong = 2*w
    one_wrong[0, 2] = 0                         # where the mirrored place does not exist
    report = gradcheck.check_gradients(lambda: (w**2).sum(), {"w": w}, {"w": one_wrong})
    assert [e.index for e in report.entries if e.verdict == "wrong"] == [(0, 2)]
    assert report.hints["w"] == ""


def test_the_worst_entry_is_a_wrong_one_even_if_another_has_a_larger_error():
    def entry(verdict, error): return gradcheck.Entry("w", (0,), 0., 0., error, verdict, 0., 0.)
    right, kink, wrong = entry("right", .9), entry("kink", 1.), entry("wrong", .1)
    assert gradcheck.GradientReport([right, kink, wrong], {}).worst is wrong
    assert gradcheck.GradientReport([kink, right], {}).worst is right


# --- checks ---

def refusal(check, *args, **kwargs):
    with pytest.raises(ValueError) as e: check(*args, **kwargs)
    return str(e.value)


def test_the_wanted_shape_of_images_is_named():
    flat = torch.zeros(2, 784, dtype=torch.uint8)
    assert "give uint8 (n, h, w)," in refusal(checks.images, flat)
    assert "give uint8 (n, 28, 28)," in refusal(checks.images, flat, size=(28, 28))


def test_the_fewest_images_that_are_enough_are_enough():
    two = torch.zeros(2, 4, 4, dtype=torch.uint8)
    assert len(checks.images(two, least=2)) == 2 and len(checks.images(two[:1])) == 1
    assert "at least 3" in refusal(checks.images, two, least=3)
    assert "at least 1" in refusal(checks.images, two[:0])


def test_bounds_of_grey_values():
    for values in ([0, 255], [255, 255]):
        t = checks.images(torch.tensor(values).reshape(2, 1, 1))
        assert t.dtype == torch.uint8 and t.flatten().tolist() == values
    for values in ([-1, 255], [0, 256]):
        assert "int64" in refusal(checks.images, torch.tensor(values).reshape(2, 1, 1))
    for kind in (torch.bool, torch.float32, torch.complex64):
        assert "uint8" in refusal(checks.images, torch.ones(2, 1, 1, dtype=kind))


def test_bounds_of_rates_and_shares():
    assert checks.rate(1e6) == 1e6 and checks.rate(0, zero=True) == 0
    assert "a number above 0" in refusal(checks.rate, 0)
    assert "a number from 0" in refusal(checks.rate, -1e-9, zero=True)
    for wrong in (1e6 + 1, True, "1", float("nan"), float("inf"), 1j): refusal(checks.rate, wrong)
    assert checks.share(.999, "x") == .999 and checks.share(1e-9, "x") == 1e-9
    for wrong in (0, 1, True, False, "x"): refusal(checks.share, wrong, "x")


def test_bounds_of_counts():
    assert checks.count(1, "n") == 1 and checks.count(0, "n", least=0) == 0
    assert type(checks.count(np.int64(3), "n")) is int
    for wrong in (0, True, 1., "1", None): assert "whole" in refusal(checks.count, wrong, "n")


def test_bounds_of_labels():
    assert checks.labels([0, 9], 2, 10).tolist() == [0, 9]
    assert checks.labels(torch.tensor([3], dtype=torch.int32)).dtype == torch.int64
    assert checks.labels([3, -4]).tolist() == [3, -4]        # no classes named: nothing compared
    assert checks.labels(torch.zeros(0, dtype=torch.int64), 0, 10).tolist() == []
    assert "from 0 to 10: give 0 to 9" in refusal(checks.labels, [0, 10], c=10)
    assert "from -1 to 5" in refusal(checks.labels, [-1, 5], c=10)
    assert "3 images and 2 labels" in refusal(checks.labels, [0, 1], 3)
    for wrong in ([[1]], [1.], [True], [1j]): assert "whole numbers (n,)" in refusal(
        checks.labels, torch.tensor(wrong))


def test_a_tensor_with_a_gradient_is_checked_without_it():
    y = checks.images(torch.zeros(1, 2, 2, dtype=torch.uint8))
    assert not y.requires_grad
    assert "Images are list" in refusal(checks.images, [[1, 2], [3]])


# --- plots ---

@pytest.fixture
def shown(monkeypatch):
    "What a notebook would be given to show: (figure, metadata)."
    plt.close(plt.figure())                     # the backend is chosen, and asks no IPython later
    found = []
    def display(figure, metadata): found.append((figure, metadata))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(
        version_info=(9, 0), get_ipython=lambda: True, display=SimpleNamespace(display=display)))
    return found


def test_a_picture_in_a_notebook_carries_its_description(shown):
    plots.show("A line that rises.", plt.figure())
    (_, about), = shown
    assert about == {kind: {"alt": "A line that rises."} for kind in ("image/png", "image/svg+xml")}


def test_a_grid_has_eight_images_in_a_row_of_about_an_inch_each(shown):
    plots.image_grid(np.zeros((9, 4, 4)))
    plots.image_grid(np.zeros((2, 4, 4)), titles=["a", "b"], size=2)
    grid, pair = (figure for figure, _ in shown)
    assert len(grid.axes) == 16 and len(pair.axes) == 2
    assert 8 <= grid.get_size_inches()[0] <= 9 and 4 <= pair.get_size_inches()[0] <= 4.5
    assert 2 <= grid.get_size_inches()[1] <= 2.5 and 2 < pair.get_size_inches()[1] <= 3
    assert [ax.get_title() for ax in grid.axes + pair.axes] == [""]*16 + ["a", "b"]
