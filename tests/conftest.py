"What the tests share: the project's folder, its notebooks, and a home of their own for data."
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
NOTEBOOKS = sorted(nb for nb in (PROJECT/"nbs").rglob("*.ipynb") if not nb.name.startswith("."))
LESSONS = [nb for nb in NOTEBOOKS if nb.parent.name == "nbs" and nb.name[:2].isdigit()]


def cells(nb, kind=None):
    "The cells of a notebook as (kind, source, outputs)."
    book = json.loads(nb.read_text(encoding="utf-8"))
    found = [(c["cell_type"], "".join(c["source"]), c.get("outputs", [])) for c in book["cells"]]
    return [c for c in found if kind in (None, c[0])]


def prose(nb):
    "All text cells of a notebook as one text."
    return "\n\n".join(source for _, source, _ in cells(nb, "markdown"))


def only(pair, digits):
    "Of images and labels, those of some digits."
    import torch
    keep = torch.isin(pair[1], torch.tensor(digits))
    return pair[0][keep], pair[1][keep]


def built_book(tmp_path_factory):
    "The folder of the book, built from this checkout; or the one that BOOK names, as it is."
    if os.environ.get("BOOK"): return Path(os.environ["BOOK"]).resolve()
    folder = tmp_path_factory.mktemp("book")/"site"
    done = subprocess.run([sys.executable, PROJECT/"book"/"make.py", folder],
                          capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    "An empty home for data, with no archives named and nothing forced."
    from fastai.data.external import fastai_cfg
    monkeypatch.setenv("FASTAI_HOME", str(tmp_path/"home"))
    for name in ("MNIST_COURSE_ARCHIVES", "MNIST_COURSE_DATA"):
        monkeypatch.delenv(name, raising=False)
    fastai_cfg.cache_clear()
    yield tmp_path/"home"
    fastai_cfg.cache_clear()
