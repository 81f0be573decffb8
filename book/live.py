"""The numbers behind the figures that move: a small committed file, `book/static/live-data.js`.

    python book/live.py

Lesson 05's points and the nets that it trains on them, with the accuracy of each, and lesson 09's
seven. They are made as those lessons make them; the other figures compute all they show.
"""
import base64
import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

FILE = Path(__file__).parent.resolve()/"static"/"live-data.js"
BEFORE, AFTER = "const LIVE_DATA = ", ";\n"
SIZES = 1, 2, 3, 4, 8, 32 # hidden units


def points_of_lesson_05() -> tuple[torch.Tensor, torch.Tensor]: # (400, 2); (400, 1), 1 or 0
    "Points in a square, and which of them lie in the disc."
    g = torch.Generator().manual_seed(0)
    points = torch.rand(400, 2, generator=g)*4 - 2
    return points, (points.norm(dim=1, keepdim=True) < 1.3).float()


def trained(net, points, inside, n_epochs=400, lr=.5) -> float: # accuracy
    "Train as lesson 05 does, with PyTorch's own step."
    opt = torch.optim.SGD(net.parameters(), lr)
    for _ in range(n_epochs):
        opt.zero_grad()
        F.binary_cross_entropy_with_logits(net(points), inside).backward()
        opt.step()
    with torch.no_grad(): return ((net(points) > 0) == (inside > .5)).float().mean().item()


def best_of(n_hidden, n_starts=4) -> tuple[float, nn.Module]: # accuracy, net
    "The best of several starts."
    points, inside = points_of_lesson_05()
    nets = []
    for seed in range(n_starts):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(2, n_hidden), nn.ReLU(), nn.Linear(n_hidden, 1))
        nets.append((trained(net, points, inside), net))
    return max(nets, key=lambda pair: pair[0])


def rounded(x:torch.Tensor) -> list: return [float(f"{v:.7g}") for v in x.flatten().tolist()]


def made(seven:torch.Tensor) -> dict: # uint8, (28, 28)
    "All that the file holds."
    points, inside = points_of_lesson_05()
    nets = []
    for n_hidden in SIZES:
        accuracy, net = best_of(n_hidden)
        nets.append({"n_hidden": n_hidden, "accuracy": round(accuracy, 4),
                     "w1": rounded(net[0].weight), "b1": rounded(net[0].bias),
                     "w2": rounded(net[2].weight), "b2": rounded(net[2].bias)})
    return {"points": rounded(points), "inside": [int(v) for v in inside[:, 0]], "nets": nets,
            "seven": base64.b64encode(bytes(seven.flatten().tolist())).decode()}


def read(file: Path = FILE) -> dict:
    "The committed file's content."
    return json.loads(file.read_text("utf-8").removeprefix(BEFORE).removesuffix(AFTER))


def main() -> None:
    "Make the file anew."
    from mnist_course.data import get_data, load_split, source_of
    path = get_data("full")
    if source_of(path) != "mnist": sys.exit("The figures want MNIST itself.")
    images, labels = load_split(path, "training")
    found = made(images[labels == 7][0])
    FILE.write_text(BEFORE + json.dumps(found) + AFTER, "utf-8")
    for net in found["nets"]: print(f"{net['n_hidden']} hidden: {net['accuracy']:.0%}")
    print(f"{FILE.name}: {FILE.stat().st_size/1000:.0f} kB")


if __name__ == "__main__": main()
