"Every method by its name: the same shape for all, the lessons' own numbers, and refusals in words."
import numpy as np
import pytest
import torch
from conftest import only
from mnist_course import resnet, sgd, speed
from mnist_course.data import get_data, load_split, some_of
from mnist_course.lab.experiments import EXPERIMENTS, method
from mnist_course.models import METHODS, _method, load, make
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


@pytest.fixture(scope="module")
def letters(ten):
    "26 classes with the labels of EMNIST's letters, 1 to 26: digits, on their side, and mirrored."
    sets = []
    for n, turned in (10, lambda x: x), (10, lambda x: x.transpose(1, 2)), (6, lambda x: x.flip(2)):
        x, y = only(ten[0], list(range(n)))
        sets.append((turned(x), y + 1 + sum(len(s[1].unique()) for s in sets)))
    x, y = (torch.cat(parts) for parts in zip(*sets, strict=True))
    mixed = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    return x[mixed].contiguous(), y[mixed]


SHORT_26 = {**SHORT, "numpy_cnn": dict(n_epochs=2), "python_net": dict(n_images=60),
            "softmax": dict(n_epochs=4), "mlp": dict(n_epochs=4), "resnet18_stock": dict(bs=64)}


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TWO])
def test_as_many_classes_as_there_are(name, letters, tmp_path, monkeypatch):
    for module in resnet, speed: monkeypatch.setattr(module, "enough_epochs", lambda n, bs: 1)
    n = 320 if "18" in name or name in ("fine_cnn", "python_net") else len(letters[1])
    x, y = letters[0][:n], letters[1][:n]
    device = {"device": "cpu"} if _method(name).uses_device else {}
    names = {k: chr(64 + k) for k in range(1, 27)}
    model = make(name, seed=1, **device, **SHORT_26.get(name, {}))
    model.fit(x, y, valid=(x[:80], y[:80]), names=names)
    p = model.predict_proba(x)
    assert p.shape == (n, 26) and model.classes.tolist() == list(range(1, 27))
    assert model.names == [chr(64 + k) for k in range(1, 27)] and model.named(3) == "C"
    assert model.trained.accuracy[-1] == pytest.approx(model.score(x[:80], y[:80]), abs=.03)
    if name in ("nearest_mean_l1", "nearest_mean_l2", "softmax", "mlp", "numpy_relu", "numpy_cnn"):
        assert model.score(x, y) > .5 and len(model.predict(x).unique()) == 26
    model.save(tmp_path/"m")
    again = load(tmp_path/"m")
    assert again.predict_proba(x[:50]).equal(model.predict_proba(x[:50]))
    assert again.names == model.names


@pytest.mark.parametrize("names, words", [
    (["a"]*10, "give a dictionary"), ({0: ""}, "can be printed"), ({0: "x", 1: "x"}, "Two classes"),
    ({3: "a\x1b[31mb"}, "can be printed"), ({3: 4}, "can be printed")])
def test_names_that_cannot_be_printed_are_refused_before_training(names, words, ten):
    model = make("nearest_mean_l2")
    with pytest.raises(ValueError, match=words): model.fit(*ten[0], names=names)
    assert model.trained is None and model.names is None
