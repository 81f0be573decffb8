"Every method by its name: the same shape for all, the lessons' own numbers, and refusals in words."
import numpy as np
import pytest
import torch
from conftest import only
from mnist_course import sgd
from mnist_course.data import get_data, load_split, some_of
from mnist_course.lab.experiments import EXPERIMENTS, method
from mnist_course.models import METHODS, _method, make
from mnist_course.pixel_similarity import PixelSimilarity, accuracy
from mnist_course.ten_digits import fit_mlp

SHORT = {"relu_learner": dict(n_epochs=5), "softmax": dict(n_epochs=2), "mlp": dict(n_epochs=2),
         "numpy_relu": dict(n_epochs=12), "numpy_cnn": dict(n_epochs=5),
         "python_net": dict(n_images=200), "numpy_sigmoid": {}, "resnet18_fastai": dict(bs=32)}
LONG = {"resnet18", "resnet18_long", "resnet18_stock", "fine_cnn"} # the same code as their kin
TWO = [name for name in METHODS if name.startswith("linear_") or name == "relu_learner"]


@pytest.fixture(scope="module")
def ten():
    full = get_data("full", "standin")
    return some_of(*load_split(full, "training"), 600), some_of(*load_split(full, "testing"), 200)


def test_the_names_are_the_results():
    named = [e.settings["name"] for e in EXPERIMENTS.values() if e.row and "name" in e.settings]
    assert [n for n in METHODS if n in named] == list(dict.fromkeys(named)), "not in their order"
    assert all(what.strip().endswith(".") for what in METHODS.values())


@pytest.mark.parametrize("name", [name for name in METHODS if name not in LONG])
def test_one_shape_for_every_method(name, ten):
    digits = [3, 7] if name in TWO else list(range(10))
    train, test = only(ten[0], digits), only(ten[1], digits)
    device = {"device": "cpu"} if name == "small_cnn" else {}
    model = make(name, seed=1, **device, **SHORT.get(name, {}))
    assert model.fit(train[0].numpy(), train[1].tolist()) is model
    probs, read = model.predict_proba(test[0]), model.predict(test[0].numpy())
    assert probs.shape == (len(test[0]), len(digits)) and probs.dtype == torch.float32
    assert torch.allclose(probs.sum(1), torch.ones(len(probs))) and (probs >= 0).all()
    assert read.dtype == torch.int64 and read.equal(model.classes[probs.argmax(1)])
    assert accuracy(read, test[1]) > (.2 if name == "python_net" else .5), name
    again = make(name, seed=1, **device, **SHORT.get(name, {})).fit(*train)
    assert model.score(*test) == accuracy(read, test[1])
    assert torch.allclose(again.predict_proba(test[0]), probs, atol=1e-5)


@pytest.mark.parametrize("name", TWO)
def test_two_digits_and_no_more(name, ten):
    with pytest.raises(ValueError, match="two digits.*hold 10"): make(name).fit(*ten[0])
    with pytest.raises(ValueError, match="two digits.*hold 1"): make(name).fit(*only(ten[0], [3]))


def test_the_settings_reach_the_recipe(ten):
    train, valid = ten
    net = fit_mlp(train, valid, seed=4, n_epochs=2)
    model = make("mlp", seed=4, n_epochs=2).fit(*train, valid=valid)
    assert model.trained.accuracy == net.accuracy and len(net.accuracy) == 2
    assert make("mlp", seed=5, n_epochs=2).fit(*train, valid=valid).trained.loss != net.loss


def test_lesson_02s_own_figures():
    path = get_data("sample", "standin")
    x, y, xv, yv = sgd.threes_and_sevens(path)
    run = sgd.fit_linear((x, y), (xv, yv), seed=3)
    figures = method(path, 3, "linear_sgd", at_epoch={"first": 1})
    assert figures["accuracy"] == pytest.approx(run.final, abs=1e-6)
    assert figures["first"] == pytest.approx(run.accuracy[0], abs=1e-6)


@pytest.mark.parametrize("images, labels, words", [
    (torch.zeros(3, 28, 28), [0, 1, 2], "give uint8"),
    (np.zeros((3, 784), np.uint8), [0, 1, 2], "28, 28"),
    (np.zeros((28, 28), np.uint8), [0], "28, 28"),
    (np.zeros((0, 28, 28), np.uint8), [], "at least 1 of them"),
    (np.zeros((3, 28, 28), np.uint8), [0, 1], "3 images and 2 labels"),
    (np.zeros((3, 28, 28), np.uint8), [[0], [1], [2]], "give whole numbers"),
    (np.zeros((3, 28, 28), np.uint8), [0., 1., 2.], "give whole numbers"),
    (np.zeros((2, 28, 28), np.uint8), [4, 4], "hold 1")])
def test_unfit_data_is_refused_in_a_sentence(images, labels, words):
    with pytest.raises(ValueError, match=words): make("mlp").fit(images, labels)


def test_unknown_names_and_untrained_models():
    with pytest.raises(ValueError, match="leave `device` out"): make("numpy_relu", device="cuda")
    with pytest.raises(ValueError, match="choose from nearest_mean_l1"): make("perceptron")
    with pytest.raises(RuntimeError, match="call fit first"):
        make("mlp").predict(np.zeros((1, 28, 28), np.uint8))


def test_every_method_is_what_it_says(ten):
    "The nearest means differ in their norm, and only what trains on a device takes one."
    for norm in "l1", "l2":
        ours = make(f"nearest_mean_{norm}").fit(*ten[0])
        assert ours.trained.model.norm == norm
        assert ours.predict(ten[1][0]).equal(PixelSimilarity(norm).fit(*ten[0]).predict(ten[1][0]))
    takes = {name for name in METHODS if _method(name).uses_device}
    assert takes == {"resnet18", "resnet18_long", "small_cnn", "fine_cnn"}
    assert all(isinstance(_method(name).settings, dict) for name in METHODS)
