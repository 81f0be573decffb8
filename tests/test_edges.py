"Behaviour at the edges, each found by a planted fault that no check noticed (`mutants.py`)."
import os
import random
import re
import sys
import tarfile
import threading
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from mnist_course import (checks, cli, data, exercises, figures, formats, gradcheck, models,
                          numpy_net, plots, python_net, speed, tasks)
from mnist_course.data import Batches, hold_out, some_of
from mnist_course.figures import counts_behind, summarise
from mnist_course.fetch import whole
from mnist_course.handwriting import as_grey
from mnist_course.lab import ledger, published, results
from mnist_course.lab.experiments import EXPERIMENTS
from mnist_course.learner import make_dls
from mnist_course.models import METHODS, make
from mnist_course.numpy_net import fit_digits, fit_twin
from mnist_course.optim import BasicOptim, fit_basic_optim, train_epoch_with
from mnist_course.preserve import preserve
from mnist_course.relu_net import fit_odd
from mnist_course.resnet import fit_tower, tower
from mnist_course.sgd import batch_accuracy, fit_linear, init_params, mnist_loss
from mnist_course.swap import swap
from mnist_course.ten_digits import cross_entropy, fit_mlp, fit_small_batches, fit_ten

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


def test_starting_weights_are_float32_whatever_pytorch_is_set_to():
    try:
        torch.set_default_dtype(torch.float64)
        assert init_params(3).dtype == torch.float32
        assert init_params(3, dtype=torch.float64).dtype == torch.float64
    finally: torch.set_default_dtype(torch.float32)


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
    assert "Images are of type list" in refusal(checks.images, [[1, 2], [3]])


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

# --- recipes ---

def labelled(n, size=28):
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, size, size), generator=g, dtype=torch.uint8)
    return images, torch.randint(0, 10, (n,), generator=g)


def binary(n):
    x, y = labelled(n, 4)
    return x.flatten(1).float()/255, (y % 2).float()[:, None]


def linear(n_out):
    torch.manual_seed(3)
    return torch.nn.Linear(784, n_out)


@pytest.mark.parametrize("fit, train, told", [
    (fit_linear, binary(70), dict(seed=0, n_epochs=20, lr=1., std=.01, bs=7, shuffle=True)),
    (fit_basic_optim, binary(70), dict(seed=0, n_epochs=10, lr=1.)),
    (lambda *a, **k: fit_odd(*a, None, linear(1), **k), labelled(70), dict(n_epochs=5, seed=0)),
    (lambda *a, **k: fit_ten(*a, None, linear(10), **k), labelled(70),
     dict(n_epochs=10, lr=.2, bs=64, seed=0)),
    (fit_small_batches, labelled(11), dict(seed=0, relu=True, n_epochs=10)),
    (fit_mlp, labelled(70), dict(seed=0, n_epochs=10)),
    (fit_twin, labelled(70), dict(seed=0, lr=.5)),
    (fit_digits, labelled(70), dict(seed=0, n_epochs=30, lr=.3, decay=.9, activation="relu"))],
    ids="linear basic_optim odd ten small_batches mlp twin digits".split())
def test_a_recipe_that_is_told_nothing_uses_what_its_page_names(fit, train, told):
    once, again = fit(train), fit(train, **told)
    assert len(once.loss) == len(again.loss) > 0 and once.loss == again.loss
    assert (once.accuracy, once.n_valid) == ([], 0)


def test_the_network_in_numpy_takes_one_epoch_of_batches_of_64_unless_told():
    x, y = numpy_net.as_rows(labelled(130)[0].numpy()), labelled(130)[1].numpy()
    def loss(**told):
        net = numpy_net.MLP((784, 3, 10), rng=np.random.default_rng(0))
        return net.fit(x, y, rng=np.random.default_rng(1), **told).loss
    assert loss() == loss(n_epochs=1, lr=.1, bs=64, decay=1.)


def test_the_network_in_python_takes_batches_of_32_and_says_nothing_unless_told(capsys):
    rng = random.Random(0)
    rows, labels = [[rng.random() for _ in range(3)] for _ in range(70)], [0, 1]*35
    def weights(**told):
        net = python_net.Network((3, 2), random.Random(1))
        return net.fit(rows, labels, 2, .1, rng=random.Random(2), **told).model.weights
    assert weights() == weights(bs=32, report=0) != weights(bs=33)
    assert capsys.readouterr().out == ""
    weights(bs=35, report=2)
    assert capsys.readouterr().out.count("batch 2: loss") == 2


def test_what_judges_is_looked_at_before_the_first_epoch_and_one_epoch_is_the_least():
    train, (x, y) = binary(70), binary(20)
    trained = []
    def optimiser(params, lr): return trained.append(lr) or BasicOptim(params, lr)
    with pytest.raises(ValueError, match="make them the same"):
        fit_basic_optim(train, (x.double(), y.double()), opt_func=optimiser)
    with pytest.raises(ValueError, match=r"\bn_epochs\b"):
        fit_basic_optim(train, n_epochs=0, opt_func=optimiser)
    assert not trained


@pytest.mark.parametrize("fit, net, epochs", [
    (fit_odd, linear(1), 5), (fit_ten, linear(10), 10), (fit_tower, tower(0, c=1), 50)],
    ids="odd ten tower".split())
def test_batches_hold_64_images_and_the_last_the_rest(fit, net, epochs):
    sizes = []
    net.register_forward_hook(lambda net, inputs, out: sizes.append(len(inputs[0])))
    run = fit(labelled(130), None, net)
    assert sizes == [64, 64, 2]*epochs and len(run.loss) == epochs


def test_ten_thousand_blocks_are_enough():
    with pytest.raises(ValueError, match="n_blocks"): tower(10_001, c=1)
    assert len(tower(0, c=1)) == 7


# --- data ---

def same(ours, theirs): return all(a.equal(b) for a, b in zip(ours, theirs, strict=True))


def test_a_split_without_a_seed_is_that_of_seed_1337_and_a_draw_that_of_seed_0():
    images, labels = labelled(40, 2)
    assert same(hold_out(images, labels), hold_out(images, labels, .2, 1337))
    assert not same(hold_out(images, labels), hold_out(images, labels, .2, 1336))
    assert same(some_of(images, labels, 9), some_of(images, labels, 9, 0))


def test_both_parts_are_pooled_and_split_seven_to_one_to_two(monkeypatch):
    parts = {"training": labelled(160, 2), "testing": labelled(40, 2)}
    monkeypatch.setattr(data, "load_split", lambda path, part: parts[part])
    once, again, other = (data.pooled_split("", *seed) for seed in ((), (1337,), (1336,)))
    assert same(once["test"], again["test"]) and not same(once["test"], other["test"])
    assert [len(once[part][1]) for part in ("train", "valid", "test")] == [140, 20, 40]


def test_what_does_not_go_together_is_called_by_its_name():
    images, labels = labelled(4, 2)
    for call in (lambda: hold_out(images, labels[:3]), lambda: some_of(images, labels[:3], 1)):
        with pytest.raises(ValueError, match=r"Images are .* and labels"): call()
    with pytest.raises(ValueError, match=r"Inputs are .* and targets"): Batches(images, labels[:3])
    with pytest.raises(ValueError, match="bs"): Batches(images, labels, 0)
    with pytest.raises(ValueError, match="the number held out"): hold_out(images, labels, .01)
    with pytest.raises(ValueError, match="the number of images"):
        train_epoch_with(linear(1), BasicOptim([torch.ones(1)], 1.), [])
    with pytest.raises((TypeError, ValueError), match=r"\bopt is .* no step"):
        train_epoch_with(linear(1), SimpleNamespace(zero_grad=print), [])
    with pytest.raises((TypeError, ValueError), match=r"\bopt is .* no zero_grad"):
        train_epoch_with(linear(1), SimpleNamespace(step=print), [])


# --- models ---

def test_a_models_settings_are_listed_and_checked_by_name():
    model = make("mlp", n_epochs=3)
    assert repr(model) == "make('mlp', seed=0, n_epochs=3)"
    assert repr(make("linear_learner", 2)) == "make('linear_learner', seed=2, n_epochs=10, lr=1.0)"
    assert make("nearest_mean_l1", norm="l2").settings == {"norm": "l2"}
    with pytest.raises(ValueError, match="norm"): make("nearest_mean_l1", norm="l3")
    with pytest.raises(ValueError, match="bs"): make("linear_sgd", bs=0)
    assert make("linear_sgd", bs=None).settings == {"bs": None}
    assert make("relu_learner", n_hidden=0).settings["n_hidden"] == 0
    assert make("resnet18_long").settings == {"epochs": 4}
    assert make("linear_learner").settings == {"n_epochs": 10, "lr": 1.}


def test_every_method_says_what_it_is_and_where_it_is_from():
    assert all(len(what.split()) > 4 and "lesson " in what for what in METHODS.values())


# --- published, results ---

def figure(printed, where="p. 1"):
    return published.Published("a.b", printed, .972, "accuracy", where, "", "", "")


@pytest.mark.parametrize("printed, decimals", [
    ("97.2%", 3), ("0.972", 3), ("~0.97", 2), ("≈97%", 2), ("12", 0), ("1.50 s", 2),
    ("97.25 %", 4)])
def test_the_printed_form_fixes_its_decimals(printed, decimals):
    assert figure(printed).decimals == decimals


def test_an_error_rate_is_said_to_be_one():
    assert figure("2.8", "cell 3, an error rate").shown == "2.8 (error, %)"
    assert figure("97.2%").shown == "97.2%"
    with pytest.raises(AttributeError): figure("97.2%").value = 1


def test_a_published_figure_is_there_once_and_its_line_is_named(tmp_path):
    head = "key,printed,value,kind,where,task,images,split"
    file = tmp_path/"published.csv"
    row = "a.b,≈97%,.97,accuracy,p. 1,,,"
    file.write_text(f"{head}\n{row}\n", encoding="utf-8")
    assert published.read(file) == {"a.b": published.Published(
        "a.b", "≈97%", .97, "accuracy", "p. 1", "", "", "")}
    file.write_text(f"{head}\n{row}\n{row}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: a.b again"): published.read(file)
    file.write_text(f"{head}\n{row}\n,,.97,accuracy,p. 1,,,\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: fill in key and printed"): published.read(file)


def test_the_results_of_a_run_stand_beside_the_ledgers(capsys):
    known = ledger.load("mnist")
    rows = results.results(known, {})
    assert list(rows[0]) == ["method", "what it adds", "this run", "ledger", "published",
                             "seconds", "data"]
    assert "this run" not in results.results(known)[0]
    assert {row["this run"] for row in rows} == {""}
    (first, *_), (second, *_) = (results.results(known, run) for run in (
        {}, {f"{next(k for k, e in EXPERIMENTS.items() if e.row)}.accuracy": .12345}))
    assert (first["this run"], second["this run"]) == ("", "12.35%")
    results.print_results(known, {})
    title, _, head, line, *_ = capsys.readouterr().out.splitlines()
    assert title == "Results, on MNIST" and line.startswith(rows[0]["method"])
    assert [head.find(name) for name in rows[0]] == sorted(head.find(name) for name in rows[0])
    assert head.index("what it adds") == line.index(rows[0]["what it adds"])
    results.print_results(ledger.Ledger("standin", {}))
    said = capsys.readouterr().out
    assert "STAND-IN" in said and "make ledger" in said


# --- swap ---

N_WEIGHTS = {"sgd.linear": 21, "optim.BasicOptim": 21, "learner.one_batch": 111,
             "ten_digits.softmax": 630, "python_net.backward": 83, "numpy_net.Linear": 515,
             "resnet.Block": 1014}


@pytest.mark.parametrize("part, n", N_WEIGHTS.items())
def test_a_machine_with_the_courses_own_part_has_so_many_weights(part, n):
    module, _, name = part.partition(".")
    theirs = sys.modules[f"mnist_course.{module}"]
    own = theirs.Learner.one_batch if name == "one_batch" else getattr(theirs, name)
    said = swap(part, own, steps=3)
    assert said.passed and f"3 steps with yours in place give the same {n} weights" in str(said)


def test_the_machines_learn_and_meet_every_class():
    losses, met = [], []
    def noted(loss, labels):
        losses.append(torch.as_tensor(loss).item())
        met.append(torch.as_tensor(labels).flatten())
        return loss
    class Noted(numpy_net.CrossEntropy):
        def forward(self, scores, labels): return noted(super().forward(scores, labels), labels)
    for part, mine, n in [
            ("sgd.mnist_loss", lambda p, y: noted(mnist_loss(p, y), y), 2),
            ("ten_digits.cross_entropy", lambda z, y: noted(cross_entropy(z, y), y), 10),
            ("numpy_net.CrossEntropy", Noted, 10)]:
        assert swap(part, mine).passed and len(losses) == 100
        assert sum(losses[-4:]) < sum(losses[:4])*.98, part
        assert sorted(set(torch.cat(met).tolist())) == list(range(n)), part
        losses.clear()
        met.clear()


# --- preserve ---

class ByHand:
    "An optimiser that remembers in its own way."
    def __init__(self):
        self.memory = {"w": {"v": [torch.zeros(2), np.zeros(2), 1]}, "b": [[3]]}
        self.memory["b"].append(self.memory["b"])            # holds itself, as a graph may

    def step(self): pass


def test_what_an_optimiser_remembers_comes_back_object_by_object():
    opt = ByHand()
    memory, v = opt.memory, opt.memory["w"]["v"]
    with preserve(torch.nn.Linear(2, 1), opt):
        v[0] += 1
        v[1] += 1
        v[2] = 5
        memory["b"][0].append(4)
        memory["new"] = opt.other = 7
    assert opt.memory is memory and memory["w"]["v"] is v and not hasattr(opt, "other")
    assert v[0].tolist() == v[1].tolist() == [0, 0] and v[2] == 1
    assert list(memory) == ["w", "b"] and memory["b"][0] == [3] and memory["b"][1] is memory["b"]


def test_a_parameter_comes_back_with_its_gradient_and_whether_it_asks_for_one():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    w, b = model[0].weight, model[0].bias
    model(torch.rand(4, 2)).square().sum().backward()
    b.grad = None
    numbers, grad, values = w.detach().clone(), w.grad, w.grad.clone()
    mean = model[1].running_mean
    kept = mean.clone()
    with preserve(model):
        model.double()
        w.data += 1
        w.grad = torch.zeros_like(w)
        b.grad = torch.zeros_like(b)
        w.requires_grad_(False)
        grad += 1
        model[1].running_mean = torch.ones(2)
        model.eval()
    assert w.dtype == torch.float32 and w.equal(numbers) and w.requires_grad
    assert w.grad is grad and grad.equal(values) and b.grad is None
    assert model[1].running_mean is mean and mean.equal(kept) and model[1].training


def test_every_order_and_every_generator_is_turned_back(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: ["as it was"])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", told.append)
    seeded = [torch.Generator().manual_seed(1) for _ in range(2)]
    rng = random.Random(1)
    loader = SimpleNamespace(generator=seeded[0], sampler=SimpleNamespace(generator=seeded[1]),
                             rng=rng)
    def draw():
        return (torch.rand(1).item(), np.random.rand(), random.random(), loader.rng.random(),
                *(torch.rand(1, generator=g).item() for g in seeded))
    with preserve(torch.nn.Linear(1, 1), loader):
        first = draw()
        loader.rng = random.Random(2)
    assert loader.rng is rng and draw() == first and told == [["as it was"]]


# --- figures ---

def test_a_count_may_be_none_or_all_and_no_more():
    assert counts_behind("1.00", 10) == [10] and counts_behind("0.00", 10) == [0]
    assert counts_behind("1", 3) == [2, 3] and counts_behind("0.5", 2) == [1]


def test_a_single_seed_has_no_spread_and_an_accuracy_its_own_steps():
    one = summarise([.5])
    assert (one.std, one.resolution, one.bounds()) == (0, 0, (.5, .5))
    assert summarise([.5], .01).bounds() == (.47, .53)
    two = summarise([.4, .6])
    assert two.bounds() == two.bounds(.999) != two.bounds(.99)

# --- formats ---

def test_a_table_has_784_named_pixels_and_grey_values(tmp_path):
    images, labels = labelled(3)
    file = tmp_path/"a.csv"
    formats.write_csv(file, images, labels)
    head, *lines = file.read_text(encoding="utf-8").splitlines()
    assert head.split(",") == ["label", *(f"pixel{i}" for i in range(784))] and len(lines) == 3
    assert same(formats.read(file), (images, labels))
    for damage, words in [((head.replace(",pixel9,", ",", 1), *lines), "784 columns: give 784"),
                          ((head, *lines[:2], lines[2][:-1] + "x"), "line 4, column pixel783"),
                          ((head, lines[0], "256" + lines[1][1:]), "line 3, column label: 256"),
                          ((head, "-1" + lines[0][1:]), "line 2, column label: -1")]:
        file.write_text("\n".join(damage) + "\n", encoding="utf-8")
        with pytest.raises(formats.FormatError, match=words): formats.read(file)
    with pytest.raises(ValueError, match="28, 28"): formats.write_csv(file, images[:, :, :27])


def test_an_idx_file_is_read_whole_or_refused(tmp_path):
    images, labels = labelled(3, 4)
    for end in "", ".gz":
        file = tmp_path/f"t10k-images-idx3-ubyte{end}"
        formats.write_idx(file, images)
        formats.write_idx(tmp_path/f"t10k-labels-idx1-ubyte{end}", labels)
        assert same(formats.read(file), (images, labels))
        assert same(formats.read(tmp_path, "test"), (images, labels))
        for other in tmp_path.iterdir(): other.unlink()
    formats.write_idx(file := tmp_path/"a", labels)
    assert formats.read_idx(file).equal(labels.to(torch.uint8))
    whole = file.read_bytes()
    for damaged, words in [(whole[:-1], "says 3 = 3 values and holds 2"), (b"", "nothing"),
                           (whole[:3] + b"\0" + whole[4:], "begins with 00 00 08 00"),
                           (whole[:3] + b"\5" + whole[4:], "begins with 00 00 08 05"),
                           (b"\x1f" + whole[1:], "begins with 1f 00")]:
        file.write_bytes(damaged)
        with pytest.raises(formats.FormatError, match=words): formats.read_idx(file)
    with pytest.raises(formats.FormatError, match="cannot be read"): formats.read_idx(tmp_path)
    for wrong in (images.float(), torch.tensor([-1]), torch.tensor([256]), images[None]):
        with pytest.raises(ValueError, match="0 to 255"): formats.write_idx(file, wrong)
    formats.write_idx(file, torch.tensor([0, 255]))
    assert formats.read_idx(file).tolist() == [0, 255]


def test_what_unfolds_without_end_is_refused(tmp_path, monkeypatch):
    file = tmp_path/"a.gz"
    formats.write_idx(file, torch.zeros(5000, dtype=torch.uint8))
    assert formats._LIMIT == 2**30 and len(formats.read_idx(file)) == 5000
    monkeypatch.setattr(formats, "_LIMIT", 4000)
    with pytest.raises(formats.FormatError, match="more than 4000 bytes"): formats.read_idx(file)


def test_folders_of_classes_are_read_by_number_or_by_name(tmp_path):
    for part, names in [("a/train", "10 2"), ("b/train", "cat dog"), ("b/valid", "dog")]:
        for i, name in enumerate(names.split()):
            (tmp_path/part/name).mkdir(parents=True)
            Image.new("RGB", (3, 2), (90 + i,)*3).save(tmp_path/part/name/f"{i}.png")
    (tmp_path/"b"/"valid"/"empty").mkdir()
    x, y = formats.read(tmp_path/"a")
    assert x.tolist() == [[[90]*3]*2, [[91]*3]*2] and y.tolist() == [10, 2]
    assert formats.class_names(tmp_path/"a"/"train") == ["2", "10"]
    assert formats.read(tmp_path/"b")[1].tolist() == [0, 1]
    assert formats.read(tmp_path/"b", "test")[1].tolist() == [1] # counted as in training
    x, y = formats.read_folder(tmp_path/"b"/"valid"/"dog")
    assert x.shape == (1, 2, 3) and y is None
    with pytest.raises(formats.FormatError, match="holds no images"):
        formats.read_folder(tmp_path/"b"/"valid"/"empty")


def test_of_two_parts_in_one_archive_the_named_one_is_read(tmp_path):
    (a, b), (c, d) = labelled(3, 4), labelled(2, 4)
    np.savez(tmp_path/"two.npz", x_train=a, y_train=b, x_test=c, y_test=d)
    assert same(formats.read(tmp_path/"two.npz"), (a, b))
    assert same(formats.read(tmp_path/"two.npz", "test"), (c, d))
    np.savez(tmp_path/"one.npz", x=a, y=b, more=c)
    assert same(formats.read(tmp_path/"one.npz", "test"), (a, b))
    np.savez(tmp_path/"none.npz", pictures=a)
    with pytest.raises(formats.FormatError, match="holds pictures"):
        formats.read(tmp_path/"none.npz")


def test_openmls_sets_of_784_grey_values_are_read(monkeypatch):
    images, labels = labelled(3)
    def fetch(name, version, return_X_y, as_frame, parser):
        return images.flatten(1).double().numpy(), np.array([str(k) for k in labels.tolist()])
    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch)
    assert same(formats.read_openml(), (images, labels))

def test_a_lone_idx_pair_is_the_part_to_train_on(tmp_path):
    pair = labelled(3, 4)
    for kind, values in zip(("images-idx3", "labels-idx1"), pair, strict=True):
        formats.write_idx(tmp_path/f"{kind}-ubyte", values)
    assert same(formats.read(tmp_path), pair)
    with pytest.raises(formats.FormatError, match="holds no images"): formats.read(tmp_path, "test")


# --- exercises ---

@pytest.fixture
def mean(monkeypatch, tmp_path):
    "An exercise of its own, whose progress goes to a file of its own."
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", str(tmp_path/"progress.jsonl"))
    monkeypatch.setattr(exercises, "_KNOWN", dict(exercises._KNOWN))
    made = exercises.Exercise("02.98", "The mean", ("Add them up.", "Divide.", "By n."),
                              lambda rng: [([1., 3.],), ([rng.random() for _ in range(5)],)])
    made.answer = mean_of
    made.twins += [("this is the sum", sum), ("this is the largest", max), ("the least", min)]
    return made


def mean_of(values): return sum(values)/len(values)


@pytest.mark.parametrize("mine, theirs, words", [
    ([1, 2], [1, 3], "1 of 2 values differ"), (1, 2, "The value differs"),
    ([[1, 2], [3]], [[1, 2], [4]], "1 of 3 values differ"), ([1], [[1]], "The shape is (1,)"),
    ([[1, 2], [3]], [[1], [2]], "(2,), and (2, 1)"), ([[1], [2, 3]], [[1, 2], [3, 4, 5]], "are 3"),
    ({"a": 1}, {"a": 2}, "The value differs"), ({"a": 1}, {"b": 1}, "The value differs")])
def test_in_what_results_differ(mine, theirs, words):
    found = exercises.differs(mine, theirs)
    assert words in found and exercises.differs(mine, mine) is None


def test_what_is_marked_is_said_in_words_and_kept(mean, capsys):
    def told(answer): return exercises.check("02.98", answer)
    assert "not attempted yet" in told(...).text and not told(...).attempted
    assert not told(lambda values: {"a": None}).attempted
    assert "this is float 2.5. Give the function" in told(2.5).text
    by_sum = told(sum)
    assert by_sum.mistake == "this is the sum" and "not yet. this is the sum." in by_sum.text
    assert dict(by_sum.rows) == {"given": "values = [1.0, 3.0]", "yours": "4.0", "expected": "2.0"}
    def empties(values):
        result = mean_of(values)
        values.clear()
        return result
    assert told(empties).text.endswith("It changes what it is given: values.")
    def fails(values): return values[len(values)]
    raised = told(fails)
    assert "It raises IndexError in line " in raised.text and "`def fails(values)" in raised.text
    assert list(dict(raised.rows)) == ["given", "expected"]
    assert exercises.hint("02.98").text == "Hint 1 of 3 to 02.98: Add them up. There is another."
    exercises.hint("02.98")
    assert exercises.hint("02.98").text.endswith('there is solution("02.98").')
    assert 'solution("02.98", show=True)' in exercises.solution("02.98").text
    assert told(mean_of).text == "02.98 The mean: right. Tried on 2 inputs."
    told(sum)                                                # after it has passed: not counted
    assert "02.98 The mean: passed, 5 tries, 3 hints" in exercises.progress().text
    assert "passed, 5 tries" in capsys.readouterr().out
    assert repr(exercises.Page("as it is")) == "as it is"
    assert exercises.solution("02.98").text == "def mean_of(values): return sum(values)/len(values)"


def test_the_mark_has_a_colour_and_short_numbers(mean):
    right, wrong, nothing = (exercises.judge(mean, a) for a in (mean_of, sum, None))
    for mark, colour in (right, "#2a7d2a"), (wrong, "#b35900"), (nothing, "#666"):
        assert f"solid {colour};" in mark._repr_html_()
    assert "<th style='text-align:left'>yours</th>" in wrong._repr_html_()
    assert "<table>" not in right._repr_html_()
    assert exercises._brief({"a": [1/3, 2], "b": "c"}) == "{'a': [0.333333, 2], 'b': 'c'}"
    assert exercises._brief(torch.zeros(2, 1)) == "(2, 1), [[0.0], [0.0]]"


def test_an_answer_in_a_thread_is_stopped_too(mean):
    found = []
    def endless(values):
        while True: pass
    def marked(): found.extend([exercises.judge(mean, endless, .1), exercises.judge(mean, mean_of)])
    thread = threading.Thread(target=marked)
    thread.start()
    thread.join()
    assert "stopped after 0.1 seconds" in found[0].text and found[1].passed
    assert dict(found[0].rows) == {"on": "values = [1.0, 3.0]"}


def test_an_exercise_is_proven_or_the_words_say_why_not(mean):
    assert exercises.starter(mean) == "def mean_of(values):\n    ..."
    assert exercises.prove(mean) == "02.98 The mean: the solution and 3 mistakes are told apart"
    value = exercises.Exercise("02.97", "A number", ("Think.", "Compute."))
    exercises.is_value(value, 3, {"one too many": 4})
    assert exercises.starter(value) == "answer_02_97 = ..."
    assert exercises.prove(value).endswith("the solution and 1 mistakes are told apart")
    for field, damage, words in [("begin", "def mean_of(values): return 1", "counts as tried"),
                                 ("twins", [("right", mean_of)]*3, "'right' passes"),
                                 ("twins", [("a", sum), ("b", sum)], "'a' is told as None"),
                                 ("twins", [("a", sum)], "has 1 twins")]:
        kept = getattr(mean, field)
        setattr(mean, field, damage)
        with pytest.raises(AssertionError, match=words): exercises.prove(mean)
        setattr(mean, field, kept)


def test_progress_is_kept_where_the_user_keeps_data_unless_a_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", "")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    file = exercises.progress_file()
    assert file.parts[-2:] == ("mnist_course", "progress.jsonl") or sys.platform != "linux"
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", "~/here.jsonl")
    assert exercises.progress_file().name == "here.jsonl"
    assert "~" not in str(exercises.progress_file())

# --- cli ---

@pytest.fixture
def clone(tmp_path, monkeypatch):
    "A clone of the course with two lessons that are not run, and data that are not fetched."
    (tmp_path/"settings.ini").write_text("[DEFAULT]\nlib_name = mnist_course\n", encoding="utf-8")
    (tmp_path/"nbs").mkdir()
    for name in "00_data", "01_pixel": (tmp_path/"nbs"/f"{name}.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "get_data", lambda name, source=None: tmp_path/name)
    monkeypatch.setattr(cli, "source_of", lambda path: "mnist")
    monkeypatch.setattr(cli.warnings, "showwarning", cli.warnings.showwarning)
    for name in "MNIST_COURSE_DATA", "MNIST_COURSE_RESULTS": monkeypatch.setenv(name, "before")
    return tmp_path


def test_the_command_says_what_it_does_and_how_it_went(clone, monkeypatch, capsys):
    def main(*words): return cli.main(list(words)), *capsys.readouterr()
    code, out, _ = main("data")
    assert code == 0 and out.splitlines() == [
        f"{name:7} {'MNIST':20} {clone/name}" for name in ("tiny", "sample", "full")]
    code, out, _ = main("methods")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(METHODS)
    assert out.splitlines()[0] == f"{'nearest_mean_l1':20} {METHODS['nearest_mean_l1']}"
    code, out, _ = main("results")
    assert code == 0 and out.startswith("Results, on MNIST")
    code, _, said = main("run", "07")
    assert code == 2 and "no lesson '07': choose from 00_data, 01_pixel." in said
    assert said.startswith("mnist_course: ")
    for error, number in [(cli.LessonError("a cell failed"), 1), (KeyboardInterrupt(), 130),
                          (OSError(28, "No space left", "here"), 2), (cli.DataError("none"), 2)]:
        def fails(*args, error=error): raise error
        monkeypatch.setattr(cli, "run_notebook", fails)
        code, _, said = main("run", "00")
        assert code == number and said.startswith("mnist_course: ") and len(said.splitlines()) == 1
    assert cli._told(OSError(28, "No space left", "here")).startswith("here: No space left. See")
    assert cli._told(OSError("broken")).startswith("broken. See")
    cli._one_sentence("mind this", UserWarning, "file", 1)
    assert capsys.readouterr().err == "\nWARNING: mind this\n\n"


def test_the_help_names_every_command_and_what_it_takes(capsys):
    with pytest.raises(SystemExit): cli.main(["--help"])
    said = capsys.readouterr().out
    lines = [line.split() for line in said.splitlines() if re.match("  [a-z]", line)]
    lines = {words[0]: words[1:] for words in lines}
    assert {"data", "pack", "course", "run", "results", "methods"} <= set(lines)
    assert all(len(words) > 3 for words in lines.values())
    for command, about in [("pack", "folder"), ("course", "which"), ("run", "which")]:
        with pytest.raises(SystemExit): cli.main([command, "--help"])
        assert re.search(rf"^  {about}(?: <\w+>)? +\w+ \w+", capsys.readouterr().out, re.M)


def test_the_course_runs_every_lesson_and_ends_with_the_results(clone, monkeypatch, capsys):
    ran = []
    def run(nb, out): return ran.append((nb, out)) or 1.5
    monkeypatch.setattr(cli, "run_notebook", run)
    (clone/"_run").mkdir()
    (clone/"_run"/"results.jsonl").write_text("of another time")
    assert cli.course() == {"00_data": 1.5, "01_pixel": 1.5}
    assert ran == [(clone/"nbs"/f"{name}.ipynb", clone/"_run"/f"{name}.ipynb")
                   for name in ("00_data", "01_pixel")]
    out = capsys.readouterr().out
    assert "Running 2 lessons; a copy of each" in out and f"{'01_pixel':24}    1.5 s" in out
    assert f"{'all lessons':24}    3.0 s" in out and "Results, on MNIST" in out
    assert os.environ["MNIST_COURSE_DATA"] == "mnist"
    assert os.environ["MNIST_COURSE_RESULTS"] == str(clone/"_run"/"results.jsonl")
    assert cli.main(["course", "01"]) == 0 and len(ran) == 3


def test_archives_are_written_for_every_set(clone):
    for name in "tiny", "sample", "full": (clone/name).mkdir()
    (clone/"tiny"/"a.txt").write_text("a")
    assert cli.main(["pack", str(clone/"a"/"stick")]) == 0
    made = sorted(f.name for f in (clone/"a"/"stick").iterdir())
    assert made == ["full.tgz", "sample.tgz", "tiny.tgz"]
    with tarfile.open(clone/"a"/"stick"/"tiny.tgz") as tar: assert "tiny/a.txt" in tar.getnames()


# --- the ledger ---

def record(mean, std, n, **more):
    figures = {"accuracy": dict(mean=mean, std=std, min=mean, max=mean, n_seeds=n, resolution=1e-4)}
    return dict(figures=figures, seconds=2., dataset="MNIST", **more)


def test_runs_are_summarised_figure_by_figure():
    runs = [dict(figures={"n_valid": 200, "accuracy": a}, seconds=s)
            for a, s in [(.5, 9.), (.7, 1.), (.9, 2.)]]
    made = ledger.as_record(runs, "MNIST", "pool")
    assert list(made["figures"]) == ["accuracy"] and made["seconds"] == 2
    about = made["figures"]["accuracy"]
    assert (about["n_seeds"], about["min"], about["max"], about["resolution"]) == (3, .5, .9, 1/200)
    assert list(made["versions"]) == ["torch", "fastai", "numpy"]
    assert (made["dataset"], made["pool"]) == ("MNIST", "pool") and made["date"] == made["timed"]


def test_a_ledger_is_written_so_that_git_shows_each_line(tmp_path):
    file = tmp_path/"ledger.json"
    ledger.save("mnist", {"a": record(.9, .01, 3), "b": record(.8, .01, 3)}, file=file)
    ledger.save_lesson_seconds({"00_data": 1.26}, file)
    assert ledger.lesson_seconds(file) == {"00_data": 1.3}
    text = file.read_text(encoding="utf-8")
    assert text.endswith("}\n") and '\n "mnist": {\n  "a": {' in text
    digests = re.findall('"digest": "([0-9a-f]+)"', text)
    assert len(digests) == 3 and {len(d) for d in digests} == {16}
    file.write_text(text.replace("0.9", "0.95"), encoding="utf-8")
    with pytest.raises(ValueError, match="mnist a is not what was written"):
        ledger.load("mnist", file)
    ledger.seal(file)
    assert ledger.load("mnist", file)["a.accuracy"].mean == .95
    file.write_text('{"other": {}}', encoding="utf-8")
    with pytest.raises(ValueError, match="other parts than mnist, standin and lessons"):
        ledger.load("mnist", file)


def test_kin_share_their_spread_by_their_degrees_of_freedom():
    known = ledger.Ledger("mnist", {"a": record(.9, .01, 3, pool="p"), "c": record(.9, .5, 9),
                                    "b": record(.8, .02, 2, pool="p"), "d": record(.7, .3, 1)})
    ours = known["a.accuracy"]
    assert ours.freedom == 3 and ours.spread == pytest.approx(((2*.01**2 + .02**2)/3)**.5)
    assert (known["c.accuracy"].spread, known["c.accuracy"].freedom) == (None, None)
    assert list(known) == ["a.accuracy", "c.accuracy", "b.accuracy", "d.accuracy"]
    assert len(known) == 4 and known.seconds("a") == 2
    with pytest.raises(KeyError, match="no 'a.loss' for mnist"): known["a.loss"]


def test_a_figure_is_checked_shown_and_kept(tmp_path, monkeypatch, capsys):
    file = tmp_path/"results.jsonl"
    monkeypatch.setenv("MNIST_COURSE_RESULTS", str(file))
    known = ledger.Ledger("mnist", {"a": record(.9, .001, 12), "wide": record(.9, .003, 12)})
    ledger.check("a.accuracy", .901, known)
    ledger.show("a.accuracy", .5, known)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "a.accuracy: 0.9010 on MNIST; ledger 0.9000 ± 0.0010 over 12 seeds"
    assert ledger.run_results(file) == {"a.accuracy": .5}
    with pytest.raises(AssertionError, match="to 0.9500"): ledger.check("a.accuracy", .95, known)
    with pytest.raises(ValueError, match="costs 0.03"): ledger.check("wide.accuracy", .9, known)
    ledger.check("wide.accuracy", .9, known, cost=.1)
    ledger.check("wide.accuracy", .9, ledger.Ledger("standin", known.records))
    file.write_text(file.read_text().replace("0.5", "0.6"))
    with pytest.raises(ValueError, match="not what was written"): ledger.run_results(file)


def test_figures_in_prose_follow_the_ledger_in_their_own_form():
    known = ledger.Ledger("mnist", {"a": record(.91234, .01, 3)})
    text = ("At 90.0%<!-- a.accuracy -->, or 0.90<!-- a.accuracy.mean --> ± "
            "0.1<!-- a.accuracy.std -->, in 9<!-- a.seconds --> s.")
    assert ledger.requote(text, known) == (
        "At 91.2%<!-- a.accuracy -->, or 0.91<!-- a.accuracy.mean --> ± "
        "0.0<!-- a.accuracy.std -->, in 2<!-- a.seconds --> s.")
    with pytest.raises(KeyError): ledger.requote("90%<!-- a.loss -->", known)


# --- speed, lesson 07's recipe ---

def test_what_speed_takes_unless_told():
    images, labels = labelled(140)
    def g(): return torch.Generator().manual_seed(1)
    assert speed.shift(images, g()).equal(speed.shift(images, g(), pixels=1))
    assert speed.affine(images, g()).equal(speed.affine(images, g(), 10, .1, .1, 1.5))
    assert [speed.one_cycle(d) for d in (0, .1, .2, .6, 1)] == pytest.approx([.1, .55, 1, .5, 0])
    calls = []
    assert list(speed.in_turn({"a": lambda: calls.append(1)})) == ["a"] and len(calls) == 1 + 7
    def weights(**told):
        torch.manual_seed(2)
        model = speed.train(speed.small_net(width=1), images, labels, device="cpu", **told)
        return torch.cat([p.flatten() for p in model.parameters()])
    told = dict(epochs=1, bs=128, lr=.2, weight_decay=5e-4, warm_up=.2, smoothing=.1, plain=0,
                seed=0, augment=None, special=True)
    assert weights().equal(weights(**told)) and not weights().equal(weights(seed=1))


@pytest.mark.parametrize("fine", [False, True])
def test_the_small_net_doubles_its_maps_from_sixteen(fine):
    convs = [m for m in speed.small_net(fine=fine).modules() if isinstance(m, torch.nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [16, 32, 64, 128]
    assert [conv.kernel_size[0] for conv in convs] == [3 if fine else 5, 3, 3, 3]
    assert speed.small_net(fine=fine).eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_two_images_are_the_smallest_batch_and_all_the_largest():
    images, labels = labelled(3)
    def fit(bs): return speed.train(speed.small_net(width=1), images, labels, bs=bs, device="cpu")
    for bs in 1, 4:
        with pytest.raises(ValueError, match=f"batch of {bs} from 3 images: choose 2 to 3"): fit(bs)
    assert not fit(2).training and not fit(3).training


def test_lesson_07s_recipe_takes_batches_of_ten_at_rate_two_and_says_nothing(capsys):
    images, labels = labelled(11)
    train = images.tolist(), labels.tolist()
    run = python_net.fit_few(train)
    net = python_net.Network((784, 112, 16, 10), random.Random(0))
    net.fit(*python_net.few(*train, 11), 8, 2., 10, random.Random(0))
    assert run.model.weights == net.weights and run.model.biases == net.biases
    assert capsys.readouterr().out == "" and run.n_valid == 0


def test_the_twin_computes_in_float64_and_sees_few_images_sixty_times():
    net = python_net.Network((3, 4, 2), random.Random(0))
    twin = numpy_net.numpy_twin(net)
    assert {w.dtype for w in twin.weights} == {np.dtype("float64")}
    assert [w.tolist() for w in twin.weights] == net.weights
    assert len(fit_twin(labelled(70)).loss) == 60


# --- handwriting ---

def test_numbers_are_brightness_of_one_or_of_255():
    def bright(*rows, **kind): return as_grey(np.array(rows, **kind)).tolist()
    assert bright([0, 1], [1, 0]) == [[0, 1], [1, 0]] and bright([0., .5]) == [[0, .5]]
    assert bright([0, 3]) == [[0, pytest.approx(3/255)]] and bright([0, 255]) == [[0, 1]]
    assert bright([0., 2.]) == [[0, 1]] and bright([-1., 1.]) == [[0, 1]]
    assert bright([0, 1020], [510, 0]) == [[0, 1], [.5, 0]]
    colour = torch.tensor([[[0, 90, 210], [255, 255, 255]]], dtype=torch.uint8)
    for image in colour, colour.permute(2, 0, 1), colour.numpy():
        assert as_grey(image).tolist() == [[pytest.approx(100/255), 1]]
    clear = torch.cat([colour, torch.tensor([[[255], [0]]], dtype=torch.uint8)], 2)
    assert as_grey(clear).tolist() == [[pytest.approx(100/255, abs=.01), 1]]


def test_a_large_picture_is_made_smaller_and_another_not():
    assert as_grey(np.zeros((600, 20))).shape == (600, 20)
    assert as_grey(np.zeros((300, 1200))).shape == (150, 600)


# --- a hostile user ---

def test_a_training_that_fails_leaves_the_one_before_as_it_was():
    x, y = labelled(40)
    y = y%2*4 + 3
    model = make("relu_learner", n_epochs=1).fit(x, y)
    before = model.predict_proba(x)
    with pytest.raises(ValueError, match="two digits"): model.fit(x, torch.arange(40)%10)
    with pytest.raises(ValueError, match="did not occur"): model.fit(x, y, valid=(x, y + 1))
    with pytest.raises(ValueError, match="are a pair"): model.fit(x, y, valid=(x,))
    assert model.classes.tolist() == [3, 7] and model.predict_proba(x).equal(before)


def test_what_make_takes_can_be_saved_and_loaded(tmp_path):
    x, y = labelled(40)
    for seed in -1, 1.5, "1", None, True, 2**63:
        with pytest.raises(ValueError, match="seed is a whole number"): make("softmax", seed=seed)
    model = make("softmax", 2**62, n_epochs=np.int64(1), lr=np.float32(.1)).fit(x, y)
    model.save(tmp_path/"model")
    assert models.load(tmp_path/"model").predict(x).equal(model.predict(x))


def test_no_file_is_written_over_another_of_the_same_command(tmp_path):
    x, y = labelled(40)
    data, model, other = tmp_path/"my.csv", tmp_path/"model", tmp_path/"other"
    formats.write_csv(data, x, y)
    for more in (dict(save=data), dict(report=data), dict(save=other, report=other)):
        with pytest.raises(ValueError, match="named twice"):
            tasks.train("nearest_mean_l2", str(data), **more)
    with pytest.raises(ValueError, match="is a folder"):
        tasks.train("nearest_mean_l2", str(data), save=tmp_path)
    tasks.train("nearest_mean_l2", str(data), save=model)
    for out in model, data:
        with pytest.raises(ValueError, match="named twice"): tasks.submit(model, data, out)
    with pytest.raises(ValueError, match="named twice"): tasks.export(model, model)
    assert len(formats.read_csv(data)[0]) == 40 and models.load(model).name == "nearest_mean_l2"


@pytest.mark.skipif(os.name == "nt", reason="links need a right there")
def test_a_link_that_leads_in_a_circle_is_left_as_it_is(tmp_path):
    one, two = tmp_path/"one", tmp_path/"two"
    one.symlink_to(two), two.symlink_to(one)
    with pytest.raises(checks.DataError, match="leads in a circle"):
        with whole(one) as half: half.write_text("new")
    assert one.is_symlink() and two.is_symlink() and len(list(tmp_path.iterdir())) == 2


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_what_is_no_ordinary_file_is_not_replaced_by_one(tmp_path):
    os.mkfifo(tmp_path/"pipe")
    with pytest.raises(checks.DataError, match="no ordinary file"):
        formats.write_submission(tmp_path/"pipe", [1])
    assert (tmp_path/"pipe").is_fifo()


def picture(file, array):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(file)


def test_classes_count_alike_in_both_parts(tmp_path):
    for place in "train/cat", "train/dog", "train/fox", "test/cat", "test/fox":
        picture(tmp_path/place/"1.png", np.zeros((28, 28), np.uint8))
    assert formats.read(tmp_path)[1].tolist() == [0, 1, 2]
    assert formats.read(tmp_path, "test")[1].tolist() == [0, 2]
    picture(tmp_path/"test"/"owl"/"1.png", np.zeros((28, 28), np.uint8))
    with pytest.raises(formats.FormatError, match="owl is a class that is not among"):
        formats.read(tmp_path, "test")


def test_a_file_whose_name_begins_with_test_is_no_part_to_judge_by(tmp_path):
    for i in range(10): picture(tmp_path/str(i%2)/f"{i}.png", np.full((28, 28), i, np.uint8))
    (tmp_path/"test_notes.txt").write_text("none")
    (x, _), (xv, _) = tasks.load_data(str(tmp_path))
    assert len(x) + len(xv) == 10 and len(xv) > 0


@pytest.mark.parametrize("array, said", [
    (np.full((28, 28), 1000, np.uint16), "8 bits"), (np.ones((28, 28), np.float32), "8 bits"),
    (np.zeros((28, 28, 4), np.uint8), "transparen")])
def test_pictures_that_would_come_out_black_are_refused(tmp_path, array, said):
    picture(tmp_path/"3"/"1.tif", array)
    with pytest.raises(formats.FormatError, match=said): formats.read(tmp_path)


def test_pixels_in_another_order_are_refused(tmp_path):
    names = [f"pixel{i}" for i in sorted(range(784), key=str)]
    for header in names, ["pixel0"]*784, [f"{i}.0" for i in range(784)]:
        (tmp_path/"a.csv").write_text(f"{','.join(header)}\n{','.join('0'*784)}\n")
        with pytest.raises(formats.FormatError, match="line 1"): formats.read_csv(tmp_path/"a.csv")


def test_damaged_tables_are_told_in_a_sentence(tmp_path):
    with open(tmp_path/"a.npz", "wb") as f: np.save(f, np.zeros((2, 28, 28), np.uint8))
    (tmp_path/"a.csv").write_text("a"*200_000)
    for name in "a.npz", "a.csv":
        with pytest.raises(formats.FormatError, match=name): formats.read(tmp_path/name)


# --- figures, data, numpy_net ---

def test_the_lowest_seed_is_0_and_settings_are_named_when_refused():
    assert not figures.draws(0, 2)[0].equal(figures.draws(1, 2)[0])
    with pytest.raises(ValueError, match=r"\bseed\b"): figures.draws(-1, 2)
    with pytest.raises(ValueError, match=r"\btop\b"): figures.one_cycle(9, -1, 25, .25)


def test_a_measured_figure_does_not_change_and_goes_with_its_own_seeds():
    with pytest.raises(AttributeError): summarise([.5]).mean = 1
    with pytest.raises(ValueError, match="2 figures and 3"):
        figures.paired_difference([.1, .2], [.1, .2, .3])
    with pytest.raises(ValueError, match="quotes"): counts_behind(.98, 100)


def test_a_claim_at_the_very_end_of_the_interval_reproduces_and_rounding_is_half_a_digit():
    one = figures.Measured(.5, 0., .5, .5, 1, 1/64)         # bounds: exactly 0.5 ± 3/64
    for end in one.bounds(): assert figures.verdict(end, one, 400) == "reproduces"
    high = one.bounds()[1]
    assert figures.verdict(high + .0049, one, 2) == "reproduces"
    assert figures.verdict(high + .0051, one, 2) == "lower"


def test_one_image_at_least_is_left_to_train_on():
    images, labels = labelled(5, 2)
    assert len(hold_out(images, labels, .8)[0]) == 1
    with pytest.raises(ValueError, match="the number held out"): hold_out(images, labels, .95)


def test_the_darkest_ink_is_exactly_one():
    assert data.as_rows(torch.tensor([[[0, 51], [204, 255]]], dtype=torch.uint8)).tolist() == [
        [0, pytest.approx(.2), pytest.approx(.8), 1]]


def test_what_a_layer_draws_its_weights_with_is_looked_at():
    for wrong in 0, random.Random(0):
        with pytest.raises((TypeError, ValueError), match=r"\brng\b"): numpy_net.Linear(3, 2, wrong)
