"""The weights behind the page "Draw a digit": trained, packed into one small file, and measured.

    python book/weights.py

Each method is trained once as `mnist_course.models.make` gives it, and what it learned is kept in
`_run/weights`, so that a second call only packs. The file, `book/static/draw-weights.js`, is a
script that sets one constant, because a page opened by double click may load scripts but not data.
"""
import base64
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

PROJECT = Path(__file__).parent.parent.resolve()
FILE = PROJECT/"book"/"static"/"draw-weights.js"
BEFORE, AFTER = "const DRAW_WEIGHTS = ", ";\n"
SEED = 0

# name for `make`: what the page calls it, the page of its lesson, what it is
METHODS = {
    "nearest_mean_l1": ("Nearest mean, L1", "01_pixel_similarity",
                        "the mean image with the smallest mean absolute difference"),
    "nearest_mean_l2": ("Nearest mean, L2", "01_pixel_similarity",
                        "the mean image with the smallest mean squared difference"),
    "softmax": ("Linear, softmax", "06_ten_digits", "one weight for each pixel and digit"),
    "mlp": ("ReLU, softmax", "06_ten_digits", "128 hidden units"),
    "numpy_relu": ("NumPy net", "08_backprop_numpy", "two hidden layers, 128 and 64 units"),
    "numpy_cnn": ("CNN by hand", "09_convolution", "8, then 16 maps of 5×5 windows"),
    "small_cnn": ("Small net", "12_speed", "four convolutions, trained in seconds"),
}


def array(x) -> np.ndarray:
    "Numbers of any kind as a float32 array."
    return np.array(x.detach().cpu().numpy() if isinstance(x, torch.Tensor) else x, np.float32)


def dense(w, b): return {"kind": "dense", "w": array(w), "b": array(b)} # w is (n_out, n_in)


def of_means(model) -> list[dict]:
    "Lesson 01's method as a single layer."
    return [{"kind": "nearest", "norm": model.norm, "scale": model.scale,
             "means": array(model.means)}]


def of_torch(model) -> list[dict]:
    "An `nn.Linear`, or a row of them with ReLU between."
    modules = [m for m in model.modules() if not list(m.children())]
    return [{"kind": "relu"} if isinstance(m, torch.nn.ReLU) else dense(m.weight, m.bias)
            for m in modules]


def of_numpy(model) -> list[dict]:
    "Lesson 08's network."
    layers = [dense(linear.w.T, linear.b) for linear in model.linear]
    return [part for layer in layers for part in ({"kind": "relu"}, layer)][1:]


def of_cnn(model) -> list[dict]:
    "Lesson 09's network; maps come first here, and last there."
    layers = []
    for name, layer in model.layers.items():
        if name.startswith("conv"):
            w = array(layer.w.transpose(3, 2, 0, 1))
            layers.append({"kind": "conv", "w": w, "b": np.zeros(len(w), np.float32),
                           "stride": layer.stride, "padding": layer.padding})
        elif name.startswith("pool"): layers.append({"kind": "pool", "size": layer.size})
        elif name.startswith("norm"):
            scale = layer.scale/np.sqrt(layer.var + layer.eps)
            layers.append({"kind": "affine", "scale": array(scale),
                           "shift": array(layer.shift - layer.mean*scale)})
        elif name.startswith("relu"): layers.append({"kind": "relu"})
        elif name == "linear":
            c, side = len(layers[-2]["scale"]), 7
            w = layer.w.T.reshape(-1, side, side, c).transpose(0, 3, 1, 2)
            layers.append(dense(w.reshape(len(w), -1), layer.b))
    return layers


def of_small_net(model) -> list[dict]:
    "Lesson 12's network, each batch normalisation taken into the convolution before it."
    from mnist_course.resnet import PIXEL_MEAN, PIXEL_STD
    layers = [{"kind": "normalise", "mean": float(PIXEL_MEAN)/255, "std": float(PIXEL_STD)/255}]
    for m in [m for m in model.cpu().float().modules() if not list(m.children())]:
        if isinstance(m, torch.nn.Conv2d):
            layers.append({"kind": "conv", "w": array(m.weight), "stride": m.stride[0],
                           "padding": m.padding[0]})
        elif isinstance(m, torch.nn.BatchNorm2d):
            factor = m.weight/(m.running_var + m.eps).sqrt()
            layers[-1] |= {"w": layers[-1]["w"]*array(factor)[:, None, None, None],
                           "b": array(m.bias - m.running_mean*factor)}
        elif isinstance(m, torch.nn.ReLU): layers.append({"kind": "relu"})
        elif isinstance(m, torch.nn.MaxPool2d):
            layers.append({"kind": "pool", "size": m.kernel_size})
        elif isinstance(m, torch.nn.Linear): layers.append(dense(m.weight, m.bias))
    return layers


LAYERS = {"nearest_mean_l1": of_means, "nearest_mean_l2": of_means, "softmax": of_torch,
          "mlp": of_torch, "numpy_relu": of_numpy, "numpy_cnn": of_cnn, "small_cnn": of_small_net}


def scores(
    layers,            # as the functions above give them
    images,            # grey values from 0 to 255, (n, 28, 28)
) -> torch.Tensor:     # float32, (n, 10): raw scores, or for the nearest mean its distances
    "What the layers say, computed by PyTorch: the page's arithmetic is held to this."
    x = torch.as_tensor(images).float()[:, None]/255
    for layer in layers:
        t = {k: torch.from_numpy(v) for k, v in layer.items() if isinstance(v, np.ndarray)}
        match layer["kind"]:
            case "nearest":
                gaps = [x.flatten(1) - mean for mean in t["means"]]
                x = torch.stack([g.abs().mean(1) if layer["norm"] == "l1" else
                                 g.square().mean(1).sqrt() for g in gaps], 1)
            case "normalise": x = (x - layer["mean"])/layer["std"]
            case "dense": x = F.linear(x.flatten(1), t["w"], t["b"])
            case "conv": x = F.conv2d(x, t["w"], t["b"], layer["stride"], layer["padding"])
            case "pool": x = F.max_pool2d(x, layer["size"])
            case "affine": x = x*t["scale"][:, None, None] + t["shift"][:, None, None]
            case "relu": x = x.relu()
            case kind: raise ValueError(f"There is no layer of the kind {kind!r}.")
    return x


def log_shares(layers, images) -> torch.Tensor: # float64, (n, 10)
    "Logarithms of the shares of the ten digits."
    x, last = scores(layers, images).double(), layers[-1]
    if last["kind"] == "nearest":
        ratio = x/max(last["scale"], 1/510)
        x = -784*(ratio if last["norm"] == "l1" else ratio.square()/2)
    return x.log_softmax(1)


def probabilities(layers, images) -> torch.Tensor: # float64, (n, 10), each row adds up to 1
    "The shares of the ten digits."
    return log_shares(layers, images).exp()


class Packer:
    "One string of bytes: matrices as a byte a number with a scale for each row, the rest whole."
    def __init__(self): self.bytes, self.known = bytearray(), {}

    def add(self, numbers: np.ndarray) -> int:
        "Put numbers at the end; the same numbers are kept once. Where they begin."
        raw = numbers.tobytes()
        if raw not in self.known:
            self.bytes += bytes(-len(self.bytes) % 4) # where a browser may read float32
            self.known[raw] = len(self.bytes)
            self.bytes += raw
        return self.known[raw]

    def tensor(self, x: np.ndarray) -> dict:
        "Its description: shape, and where its bytes are."
        if x.ndim == 1: return {"shape": list(x.shape), "at": self.add(x.astype("<f4"))}
        rows = x.reshape(len(x), -1)
        scale = np.maximum(abs(rows).max(1), 1e-12).astype("<f4")/np.float32(127)
        packed = np.round(rows/scale[:, None]).astype(np.int8)
        return {"shape": list(x.shape), "at": self.add(packed), "scale": self.add(scale)}


def packed(methods: dict) -> dict:
    "Layers of methods as one description with its bytes."
    packer = Packer()
    described = [{"name": name, "layers": [
        {k: packer.tensor(v) if isinstance(v, np.ndarray) else v for k, v in layer.items()}
        for layer in layers]} for name, layers in methods.items()]
    return {"methods": described, "n_bytes": len(packer.bytes),
            "sha256": hashlib.sha256(packer.bytes).hexdigest(),
            "data": base64.b64encode(packer.bytes).decode()}


def unpacked(weights: dict) -> dict: # name -> layers
    "The layers again, as the page sees them."
    raw = base64.b64decode(weights["data"])

    def tensor(found):
        shape = found["shape"]
        if "scale" not in found: return np.frombuffer(raw, "<f4", shape[0], found["at"]).copy()
        numbers = np.frombuffer(raw, np.int8, int(np.prod(shape)), found["at"])
        scale = np.frombuffer(raw, "<f4", shape[0], found["scale"])
        return (numbers.reshape(shape[0], -1)*scale[:, None]).astype(np.float32).reshape(shape)

    return {m["name"]: [{k: tensor(v) if isinstance(v, dict) else v for k, v in layer.items()}
                        for layer in m["layers"]] for m in weights["methods"]}


def digest(weights: dict) -> str:
    "Of all that the file says."
    said = {k: v for k, v in weights.items() if k not in ("digest", "data")}
    return hashlib.sha256(json.dumps([said, weights["data"]]).encode()).hexdigest()


def read(file: Path = FILE) -> dict:
    "The committed file's content; a `ValueError` if it is not what was written."
    try:
        found = json.loads(file.read_text("utf-8").removeprefix(BEFORE).removesuffix(AFTER))
        whole = found["digest"] == digest(found)
    except (ValueError, KeyError, TypeError, RecursionError): whole = False
    if not whole: raise ValueError(f"{file} is damaged: make it anew, with `make weights`.")
    return found


def write(weights: dict, file: Path = FILE) -> None:
    "What `read` reads; the bytes come last, so that what stands before them can be read."
    data, said = weights["data"], {k: v for k, v in weights.items() if k not in ("digest", "data")}
    sealed = {**said, "digest": digest(weights), "data": data}
    file.write_text(BEFORE + json.dumps(sealed, ensure_ascii=False) + AFTER, "utf-8")


def learned(name, train, test) -> dict:
    "A method's layers and its accuracy on the test images, trained now if it is not yet."
    from mnist_course.models import make
    kept = PROJECT/"_run"/"weights"/f"{name}.pt"
    if not kept.exists():
        model = make(name, seed=SEED).fit(*train)
        found = {"layers": LAYERS[name](model.trained.model), "float32": model.score(*test),
                 "p": model.predict_proba(test[0][:1000])}
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(found, kept)
    found = torch.load(kept, weights_only=False)
    gap = (probabilities(found["layers"], test[0][:1000]) - found["p"]).abs().max().item()
    if gap > 1e-3: sys.exit(f"{name}: its layers differ from the model by {gap:.2g}.")
    return found


def main() -> None:
    "Train what is not trained yet, pack, measure, write."
    from mnist_course.data import get_data, load_split, source_of
    path = get_data("full")
    if source_of(path) != "mnist": sys.exit("The page wants weights from MNIST itself.")
    train, test = load_split(path, "training"), load_split(path, "testing")
    found = {}
    for name in METHODS:
        found[name] = learned(name, train, test)
        print(f"{name}: {found[name]['float32']:.2%}", flush=True)
    weights = packed({name: method["layers"] for name, method in found.items()})
    layers = unpacked(weights)
    for method in weights["methods"]:
        name = method["name"]
        read_as = scores(layers[name], test[0])
        if layers[name][-1]["kind"] == "nearest": read_as = -read_as
        right = (read_as.argmax(1) == test[1]).double().mean().item()
        title, lesson, what = METHODS[name]
        method |= {"title": title, "lesson": lesson, "what": what, "n_test": len(test[1]),
                   "accuracy": {"float32": round(found[name]["float32"], 4),
                                "packed": round(right, 4)}}
        print(f"{name}: {found[name]['float32']:.2%}, packed {right:.2%}")
    write({"seed": SEED, **weights})
    print(f"{FILE.relative_to(PROJECT)}: {FILE.stat().st_size/1000:.0f} kB")


if __name__ == "__main__": main()
