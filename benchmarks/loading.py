"""MNIST from PNG files to tensors, the first time and again."""
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from mnist_course.data import get_data, load_split
from mnist_course.fetch import pixel_digest
from PIL import Image
from torch import Tensor

from .timing import Comparison, Disagreement, Target, Way
from .work import without_kept_copy

LIST, FASTAI = "list comprehension over Image.open", "fastai's ImageDataLoaders"
PARTS = ("training", "testing")


def both_parts(path: Path) -> tuple[Tensor, Tensor]:
    "Ours: every image and label of the folder."
    found = [load_split(path, part) for part in PARTS]
    return torch.cat([x for x, _ in found]), torch.cat([y for _, y in found])


def ours_first() -> tuple[Tensor, Tensor]:
    "Ours where nothing has been kept yet: decodes, and writes the copy that serves the next time."
    with without_kept_copy() as folder: return both_parts(folder)


def ours_again() -> tuple[Tensor, Tensor]:
    "Ours when the decoded images lie beside the folder."
    return both_parts(get_data("full"))


def by_comprehension() -> tuple[Tensor, Tensor]:
    "What chapter 4 of the fastai book does."
    files = [f for part in PARTS for f in sorted((get_data("full")/part).glob("[0-9]/*.png"))]
    images = torch.stack([torch.tensor(np.array(Image.open(f))) for f in files])
    return images, torch.tensor([int(f.parent.name) for f in files])


def by_fastai() -> tuple[Tensor, Tensor]:
    "fastai's loader over the folder, both parts once, in this process."
    from fastai.vision.all import ImageDataLoaders, PILImageBW
    dls = ImageDataLoaders.from_folder(get_data("full"), train=PARTS[0], valid=PARTS[1], bs=1024,
                                       img_cls=PILImageBW, num_workers=0)
    batches = [b for dl in (dls.train.new(shuffle=False, drop_last=False), dls.valid) for b in dl]
    x, y = (torch.cat([b[k].as_subclass(Tensor) for b in batches]) for k in (0, 1))
    return (x[:, 0]*255).round().byte(), torch.tensor([int(d) for d in dls.vocab])[y]


def write_idx(root: Path) -> None:
    "MNIST's own files in the layout in which torchvision's download leaves them."
    raw = root/"MNIST"/"raw"
    raw.mkdir(parents=True)
    for part, prefix in zip(PARTS, ("train", "t10k"), strict=True):
        x, y = load_split(get_data("full"), part)
        (raw/f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, *x.shape)
                                                        + x.numpy().tobytes())
        (raw/f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, len(y))
                                                        + y.byte().numpy().tobytes())


def by_torchvision(root: Path) -> tuple[Tensor, Tensor]:
    "torchvision's MNIST, both parts, from files already downloaded and unpacked."
    from torchvision.datasets import MNIST
    found = [MNIST(root, train=train) for train in (True, False)]
    return torch.cat([m.data for m in found]), torch.cat([m.targets for m in found])


def same_images(outputs: dict) -> None:
    "The same images under the same labels, in whatever order."
    def by_digit(images, labels):
        return [pixel_digest(images[labels == d]) for d in range(10)]
    digests = {name: by_digit(*output) for name, output in outputs.items()}
    first = next(iter(digests))
    for name, found in digests.items():
        if found != digests[first]: raise Disagreement(f"{name} loads other images than {first}.")


def comparisons(quick: bool, device: str) -> list[Comparison]:
    rounds = 2 if quick else 3
    folder = tempfile.TemporaryDirectory(prefix="bench-idx-") # as long as torchvision's way lives
    write_idx(Path(folder.name))
    def torchvision(): return by_torchvision(Path(folder.name))
    checked = "the same 70,000 images under the same labels, by digest"
    slow = (Way(LIST, by_comprehension), Way(FASTAI, by_fastai, rounds=1, note="in one process"))
    return [
        Comparison("loading.first", "MNIST from PNG files to tensors, the first time",
                   (Way("data.load_split, nothing kept", ours_first,
                        note="reads the files, and writes the copy for the next time"), *slow),
                   same_images, checked, rounds=1 if not quick else 2, warm=False,
                   note="The comprehension only reads. Ours also checks that each image is grey "
                        "and 28×28, and names a damaged file."),
        Comparison("loading.again", "MNIST from PNG files to tensors, again",
                   (Way("data.load_split", ours_again), *slow,
                    Way("torchvision's MNIST", torchvision,
                        note="from raw files, made here from the same pixels, since nothing is "
                             "downloaded; it never reads PNG files")),
                   same_images, checked, rounds, warm=False,
                   targets=(Target(LIST, 30, "loading again at least 30× faster than the list "
                                             "comprehension"),),
                   note="Ours reads its kept file once for each part asked for, and looks at the "
                        "times of all folders to notice a change; torchvision's class just reads "
                        "two raw files."),
    ]
