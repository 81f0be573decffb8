"ONNX files give what the models give, in every method that is made of PyTorch's layers."
import onnxruntime
import pytest
import torch
from conftest import only
from mnist_course import resnet, speed, tasks
from mnist_course.data import get_data, load_split, some_of
from mnist_course.models import METHODS, _method, make
from torch import nn

LAYERS = ["linear_basic_optim", "linear_learner", "relu_learner", "softmax", "mlp",
          "resnet18_stock", "resnet18_fastai", "resnet18", "resnet18_long", "small_cnn", "fine_cnn"]
SHORT = {"relu_learner": dict(n_epochs=2), "linear_learner": dict(n_epochs=2),
         "linear_basic_optim": dict(n_epochs=2), "softmax": dict(n_epochs=1),
         "mlp": dict(n_epochs=1), "resnet18_stock": dict(bs=64), "resnet18_fastai": dict(bs=64),
         "resnet18_long": dict(epochs=1)}


@pytest.fixture(scope="module")
def ten():
    return some_of(*load_split(get_data("full", "standin"), "training"), 140)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in LAYERS])
def test_what_has_no_layers_of_pytorchs_is_refused(name, ten, tmp_path):
    x, y = only(ten, [3, 7])
    short = {"python_net": dict(n_images=10), "numpy_relu": dict(n_epochs=1),
             "numpy_cnn": dict(n_epochs=1), "linear_sgd": dict(n_epochs=1)}
    model = make(name, **short.get(name, {})).fit(x[:20], y[:20])
    with pytest.raises(ValueError, match="it has no ONNX"): tasks.export(model, tmp_path/"m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", LAYERS)
def test_the_file_gives_what_the_model_gives(name, ten, tmp_path, monkeypatch):
    for module in resnet, speed: monkeypatch.setattr(module, "enough_epochs", lambda n, bs: 1)
    x, y = only(ten, [3, 7]) if _method(name).max_classes == 2 else ten
    if name in ("softmax", "small_cnn"): # more classes than there are digits
        x, y = torch.cat([x, x.flip(1)]), torch.cat([y, y + 10])
    device = {"device": "cpu"} if _method(name).uses_device else {}
    model = make(name, seed=1, **device, **SHORT.get(name, {})).fit(x, y)
    assert isinstance(getattr(model.trained.model, "model", model.trained.model), nn.Module)
    assert tasks.export(model, tmp_path/"m.onnx") < 1e-4
    session = onnxruntime.InferenceSession(tmp_path/"m.onnx", providers=["CPUExecutionProvider"])
    for n in 1, 17: # one image and many, of the real ones
        p, = session.run(None, {"images": x[:n].numpy()})
        assert p.shape == (n, len(model.classes))
        assert (torch.from_numpy(p) - model.predict_proba(x[:n])).abs().max() < 1e-4
