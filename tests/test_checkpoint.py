"A training that is stopped goes on to the same bits: after any step, by Ctrl-C, and killed."
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import PROJECT
from mnist_course import checkpoint, conv, learner, models, numpy_net, optim, python_net, saved
from mnist_course import sgd, speed
from mnist_course.checkpoint import Checkpoint, KeepPlace, steps
from mnist_course.data import get_data, load_split, some_of
from mnist_course.models import METHODS, make

GOES_ON = [name for name in METHODS if models._method(name).goes_on]
SETTINGS = {"linear_learner": dict(n_epochs=3), "relu_learner": dict(n_epochs=3, n_hidden=4),
            "softmax": dict(n_epochs=2), "mlp": dict(n_epochs=2), "resnet18_long": dict(epochs=2),
            "linear_sgd": dict(n_epochs=3), "linear_basic_optim": dict(n_epochs=3),
            "python_net": dict(n_images=10), "numpy_relu": dict(n_epochs=3),
            "numpy_cnn": dict(n_epochs=2)}
posix = pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")


@pytest.fixture(scope="module")
def ten():
    full = get_data("full", "standin")
    return some_of(*load_split(full, "training"), 300), some_of(*load_split(full, "testing"), 40)


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(speed, "enough_epochs", lambda n, bs: 1)


def only(pair, digits):
    keep = torch.isin(pair[1], torch.tensor(digits))
    return pair[0][keep], pair[1][keep]


def outcome(model):
    "All that a training leaves."
    done = model.trained
    parts = model.method.parts(done)
    return ({name: t.contiguous().numpy().tobytes() for name, t in parts.items()}, done.accuracy,
            done.loss, done.valid_loss, done.n_valid)


def stopped_after(monkeypatch, n):
    "Ctrl-C arrives during every n-th step."
    calls = []
    real = checkpoint._after_step
    def after_step(self, write):
        calls.append(1)
        self.stop = len(calls) % n == 0
        real(self, write)
    monkeypatch.setattr(Checkpoint, "after_step", after_step)


def test_only_fastai_and_what_has_no_steps_keep_no_place():
    assert set(METHODS) - set(GOES_ON) == {"nearest_mean_l1", "nearest_mean_l2", "resnet18_stock",
                                           "resnet18_fastai"}


@pytest.mark.parametrize("name, every", [
    ("linear_sgd", 1), ("linear_basic_optim", 2), ("python_net", 1),
    ("numpy_sigmoid", 7), ("numpy_relu", 1), ("numpy_relu", 4), ("numpy_cnn", 1),
    ("numpy_cnn", 3), ("linear_learner", 1), ("relu_learner", 1), ("softmax", 1),
    ("softmax", 3), ("mlp", 1),
    ("mlp", 4), ("resnet18", 2), ("resnet18_long", 2), ("small_cnn", 1), ("fine_cnn", 1),
    ("fine_cnn", 3)])
def test_stopped_and_resumed_is_the_same_training(name, every, ten, tmp_path, monkeypatch):
    digits = [3, 7] if models._method(name).max_classes == 2 else list(range(10))
    train, valid = only(ten[0], digits), only(ten[1], digits)
    if name == "numpy_sigmoid": train = train[0][:70], train[1][:70] # sixty epochs
    def new():
        device = {"device": "cpu"} if models._method(name).uses_device else {}
        return make(name, seed=2, **device, **SETTINGS.get(name, {}))
    whole = outcome(new().fit(*train, valid=valid))
    file, interruptions, model = tmp_path/"place", 0, None
    stopped_after(monkeypatch, every)
    while model is None:
        torch.manual_seed(interruptions)                        # nothing hangs on what others draw
        try: model = new().fit(*train, valid=valid, checkpoint=file)
        except KeyboardInterrupt:
            interruptions += 1
            assert file.exists() and list(tmp_path.iterdir()) == [file]
    assert interruptions > (name != "resnet18_long") and outcome(model) == whole
    assert not list(tmp_path.iterdir())                         # nothing left to go on from


def test_a_checkpoint_that_no_one_needs_changes_nothing(ten, tmp_path):
    plain = outcome(make("mlp", n_epochs=2).fit(*ten[0], valid=ten[1]))
    kept = make("mlp", n_epochs=2).fit(*ten[0], valid=ten[1], checkpoint=tmp_path/"place")
    assert outcome(kept) == plain
    lesson = learner.fit_learner, models.ten_digits.fit_mlp(ten[0], ten[1], n_epochs=2)
    assert lesson[1].loss == kept.trained.loss                  # as the lesson's own recipe


@pytest.mark.parametrize("name, recipe, network", [
    ("python_net", python_net.fit_few, python_net.Network),
    ("numpy_sigmoid", numpy_net.fit_twin, numpy_net.MLP),
    ("numpy_relu", numpy_net.fit_digits, numpy_net.MLP), ("numpy_cnn", conv.fit_cnn, conv.CNN),
    ("linear_sgd", sgd.fit_linear, None), ("linear_basic_optim", optim.fit_basic_optim, None)])
def test_watched_and_kept_are_the_lessons_own_bits(name, recipe, network, ten, tmp_path):
    pairs = [(x[:60], y[:60]) for x, y in ten]
    settings = {k: v for k, v in SETTINGS.get(name, {"lr": 3.}).items()}
    if network is None: pairs = [only(pair, [3, 7]) for pair in ten]
    model = make(name, seed=3, **settings).fit(*pairs[0], valid=pairs[1], checkpoint=tmp_path/"p")
    as_taken = [(x.numpy(), y.numpy()) for x, y in pairs]
    if network is None: as_taken = [sgd.rows_and_targets(x, y, 3) for x, y in pairs]
    own = recipe(*as_taken, seed=3, **settings)
    model, kept = outcome(model), model
    kept.trained = own
    assert outcome(kept) == model
    assert network is None or type(own.model) is network
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["numpy_relu", "numpy_cnn", "numpy_sigmoid"])
def test_arrays_that_are_no_numbers_end_the_training(name, ten, monkeypatch, tmp_path):
    loss = numpy_net.SquaredError if name == "numpy_sigmoid" else numpy_net.CrossEntropy
    real, calls = loss.forward, []
    def nan_at_the_third(*args):
        calls.append(1)
        return real(*args) if len(calls) != 3 else float("nan")
    monkeypatch.setattr(loss, "forward", nan_at_the_third)
    pair = ten[0][0][:200], ten[0][1][:200]
    model = make(name, **SETTINGS.get(name, {}))
    with pytest.raises(FloatingPointError, match=r"nan at step 2 .* at learning rate"):
        model.fit(*pair, checkpoint=tmp_path/"place")
    assert model.trained is None and not list(tmp_path.iterdir())


def test_lists_that_are_no_numbers_end_the_training(ten, monkeypatch):
    monkeypatch.setattr(python_net.Network, "output_grads", lambda self, *_: [float("nan")]*10)
    with pytest.raises(FloatingPointError, match="no numbers any more after step 0"):
        make("python_net", n_images=30).fit(*ten[0])


@pytest.mark.parametrize("other, words", [
    (dict(seed=1), "seed is 0, here 1"), (dict(n_epochs=4), "settings is"),
    (dict(name="softmax"), "method is mlp, here softmax"), (dict(images=200), "images is 300")])
def test_another_training_is_refused(other, words, ten, tmp_path, monkeypatch):
    stopped_after(monkeypatch, 3)
    with pytest.raises(KeyboardInterrupt):
        make("mlp", n_epochs=2).fit(*ten[0], checkpoint=tmp_path/"place")
    before = (tmp_path/"place").read_bytes()
    n = other.get("images", 300)
    again = make(**{"name": "mlp", "n_epochs": 2} | {k: other[k] for k in other if k != "images"})
    with pytest.raises(saved.SavedError, match=words):
        again.fit(ten[0][0][:n], ten[0][1][:n], checkpoint=tmp_path/"place")
    assert (tmp_path/"place").read_bytes() == before


def test_a_damaged_checkpoint_is_refused_and_kept(ten, tmp_path):
    (tmp_path/"place").write_bytes(b"rubbish")
    with pytest.raises(saved.SavedError, match="was not saved by this course"):
        make("mlp").fit(*ten[0], checkpoint=tmp_path/"place")
    assert (tmp_path/"place").read_bytes() == b"rubbish"


def test_adam_goes_on_too(tmp_path):
    "An optimiser with more to remember than momentum."
    def train(file=None):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 1)
        opt = torch.optim.Adam(net.parameters(), lr=.1)
        kept = file and Checkpoint(file, {})
        for k, x in enumerate(steps(kept, iter(torch.eye(3).repeat(3, 1, 1)), net, opt)):
            if kept: kept.stop = True
            net(x).sum().backward()
            opt.step()
            opt.zero_grad()
            assert k < 9
        return net.weight
    whole, now = train(), None
    while now is None:
        try: now = train(tmp_path/"c")
        except KeyboardInterrupt: pass
    assert now.equal(whole)


def test_a_loss_that_is_no_number_ends_the_training(ten, tmp_path):
    rows, targets = sgd.rows_and_targets(*only(ten[0], [3, 7]), 3)
    def loss_func(scores, y): return (scores - y).square().mean()
    dls = learner.make_dls((rows, targets), None, 8)
    learn = learner.Learner(dls, torch.nn.Linear(784, 1), loss_func, lr=30.,
                            callbacks=[KeepPlace(None)])
    with pytest.raises(FloatingPointError, match=r"at step \d+ .*learning rate 30: try a lower "
                                                 r"rate, such as 3, and"):
        learn.fit(50)
    with pytest.raises(FloatingPointError, match="The loss is (nan|inf) at step"):
        speed.train(speed.small_net(width=4), *ten[0], epochs=40, bs=50, lr=1e6, device="cpu")


CHILD = """
import sys
from mnist_course import checkpoint
from mnist_course.data import get_data, load_split, some_of
from mnist_course.models import make
checkpoint.EVERY = 0
train = some_of(*load_split(get_data("full", "standin"), "training"), 300)
print("begins", flush=True)
make("mlp", seed=3, n_epochs=6).fit(*train, checkpoint=sys.argv[1]).save(sys.argv[2])
"""


def child(folder, **more):
    env = {**os.environ, "MNIST_COURSE_DATA": "standin", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen([sys.executable, "-c", CHILD, folder/"place", folder/"model"],
                               cwd=PROJECT, env=env, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, **more)
    process.stdout.readline()
    return process


@posix
def test_killed_and_interrupted_at_any_moment(tmp_path):
    for name in "whole", "again": (tmp_path/name).mkdir()
    assert child(tmp_path/"whole").wait() == 0
    for wait, kind in (.05, signal.SIGKILL), (.2, signal.SIGINT), (.4, signal.SIGKILL):
        process = child(tmp_path/"again")
        time.sleep(wait)
        process.send_signal(kind)
        _, said = process.communicate()
        assert process.returncode in (-kind, 0), said # 0: it was done before the signal came
    assert child(tmp_path/"again").wait() == 0
    assert (tmp_path/"again"/"model").read_bytes() == (tmp_path/"whole"/"model").read_bytes()
    assert [f.name for f in (tmp_path/"again").iterdir()] == ["model"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="limits as on Linux")
def test_a_full_disk_keeps_the_checkpoint_that_was_there(ten, tmp_path, monkeypatch):
    import resource
    stopped_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        make("mlp", n_epochs=2).fit(*ten[0], checkpoint=tmp_path/"place")
    before = (tmp_path/"place").read_bytes()
    limits, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.getsignal(signal.SIGXFSZ)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError):
            make("mlp", n_epochs=2).fit(*ten[0], checkpoint=tmp_path/"place")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (tmp_path/"place").read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    words = before[8:8 + int.from_bytes(before[:8], "little")]
    assert json.loads(words)["__metadata__"]["mnist_course"]
