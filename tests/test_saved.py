"Saved models: every method there and back, bit for bit; damage, kills and full disks."
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import PROJECT, only
from mnist_course import resnet, saved, speed
from mnist_course.data import get_data, load_split, some_of
from mnist_course.models import METHODS, _method, load, make

SHORT = {"relu_learner": dict(n_epochs=2), "linear_learner": dict(n_epochs=2),
         "softmax": dict(n_epochs=1), "mlp": dict(n_epochs=1), "numpy_relu": dict(n_epochs=2),
         "numpy_cnn": dict(n_epochs=1), "python_net": dict(n_images=10),
         "resnet18_stock": dict(bs=32), "resnet18_fastai": dict(bs=32),
         "resnet18_long": dict(epochs=1)}


@pytest.fixture(scope="module")
def ten():
    full = get_data("full", "standin")
    return some_of(*load_split(full, "training"), 140), some_of(*load_split(full, "testing"), 40)


def bits(model):
    "What a model holds, as bytes."
    return {name: (t.dtype, tuple(t.shape), t.cpu().contiguous().numpy().tobytes())
            for name, t in model.method.parts(model.trained).items()}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_there_and_back_bit_for_bit(name, ten, tmp_path, monkeypatch):
    for module in resnet, speed: monkeypatch.setattr(module, "enough_epochs", lambda n, bs: 1)
    digits = [3, 7] if _method(name).max_classes == 2 else list(range(10))
    train, test = only(ten[0], digits), only(ten[1], digits)
    device = {"device": "cpu"} if _method(name).uses_device else {}
    model = make(name, seed=1, **device, **SHORT.get(name, {})).fit(*train, valid=test)
    model.save(tmp_path/"a.safetensors")
    random = torch.get_rng_state()
    other = load(tmp_path/"a.safetensors")
    assert torch.get_rng_state().equal(random)                    # loading draws nothing
    assert bits(other) == bits(model)
    assert other.predict_proba(test[0]).equal(model.predict_proba(test[0]))
    assert other.classes.equal(model.classes) and other.data == model.data
    assert (other.name, other.seed, other.settings) == (model.name, model.seed, model.settings)
    for what in "accuracy", "n_valid", "loss", "valid_loss":
        assert getattr(other.trained, what) == getattr(model.trained, what)
    other.save(tmp_path/"b.safetensors")                          # and once more
    assert (tmp_path/"a.safetensors").read_bytes() == (tmp_path/"b.safetensors").read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.fixture
def small(ten, tmp_path):
    model = make("nearest_mean_l2").fit(*only(ten[0], [3, 7]))
    model.save(tmp_path/"model")
    return model, tmp_path/"model"


def test_the_header_says_what_a_person_wants_to_know(small):
    raw = small[1].read_bytes()
    words = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    words = json.loads(words["mnist_course"])
    about = words["about"]
    assert about["method"] == "nearest_mean_l2" and about["classes"] == [3, 7]
    assert about["normalisation"] == [0, 255] and about["image"] == [28, 28]
    assert about["parameters"] == 2*784 + 2 + 1 and len(about["data"]["digest"]) == 32
    assert words["version"] and words["format"] == 1


def test_a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self): return Path.touch, (tmp_path/"ran",)
    torch.save({"w": Trap()}, tmp_path/"model.pt")
    with pytest.raises(saved.SavedError, match="was not saved by this course"):
        load(tmp_path/"model.pt")
    assert not (tmp_path/"ran").exists()


def test_sizes_that_are_only_claimed_cost_nothing(ten, tmp_path):
    model = make("relu_learner", n_epochs=1, n_hidden=2).fit(*only(ten[0], [3, 7]))
    model.settings["n_hidden"] = 10**11                           # 300 terabytes, if believed
    model.save(tmp_path/"model")
    with pytest.raises(saved.SavedError, match=r"has float32 \(2,\) as 0.bias, where relu_learner"):
        load(tmp_path/"model")


def test_nan_is_neither_saved_nor_loaded(small, monkeypatch):
    model, file = small
    before = file.read_bytes()
    model.trained.model.means[0, 0] = float("nan")
    with pytest.raises(saved.SavedError, match="NaN or infinite"): model.save(file)
    assert file.read_bytes() == before
    monkeypatch.setattr(torch.Tensor, "isfinite", lambda t: torch.ones_like(t, dtype=torch.bool))
    model.save(file)
    monkeypatch.undo()
    with pytest.raises(saved.SavedError, match="NaN or infinite numbers in means"): load(file)


def test_settings_that_are_code_are_not_saved(ten, tmp_path):
    from mnist_course.conv import Adam
    model = make("numpy_cnn", n_epochs=1, optimizer=Adam).fit(*ten[0])
    with pytest.raises(saved.SavedError, match="cannot be written as JSON"):
        model.save(tmp_path/"model")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="limits as on Linux")
def test_no_room_loses_nothing(small):
    "With a limit on the size of files, as a quota sets it: the old one stays, and no half."
    file = small[1]
    before = file.read_bytes()
    code = ("import resource, signal, sys\n"
            "from mnist_course.models import load\n"
            "model = load(sys.argv[1])\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
            "try: model.save(sys.argv[1])\n"
            "except OSError as e: print(e.strerror)")
    done = subprocess.run([sys.executable, "-c", code, file], cwd=PROJECT, capture_output=True,
                          text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.stdout.strip() == "File too large", done.stderr
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]
