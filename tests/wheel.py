"""Build the wheel, install it into fresh environments and use it there.

`python tests/wheel.py [capped] [newest]`; both if none is named. `capped` takes the versions of
constraints.txt, `newest` whatever the index offers today.
"""
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROJECT = Path(__file__).parent.parent
USE = """
import importlib, pkgutil, warnings
from importlib.metadata import version
warnings.simplefilter("ignore")
import mnist_course
for found in pkgutil.walk_packages(mnist_course.__path__, "mnist_course."):
    if not found.name.endswith("__main__"): importlib.import_module(found.name)
assert "site-packages" in mnist_course.__file__, mnist_course.__file__

from mnist_course.data import get_data, load_split, source_of
from mnist_course.lab import ledger, published
from mnist_course.models import make
path = get_data("sample", "standin")
assert source_of(path) == "standin" and len(ledger.load("standin")) > 5
x, y = load_split(path, "valid")
for name in "nearest_mean_l2", "relu_learner", "numpy_relu":
    right = (make(name).fit(*load_split(path, "train")).predict(x) == y).float().mean()
    assert right > .9, (name, right)
assert published.load()["e.parameters"].value == 109_386
print("imported and used with", *(f"{p} {version(p)}," for p in ("fastai", "fastcore", "torch")))
"""


def run(*command, **kwargs):
    subprocess.run([str(c) for c in command], check=True, **kwargs)


def main(names):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        quiet = {"stdout": subprocess.DEVNULL}
        run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp, PROJECT, **quiet)
        wheel, = tmp.glob("*.whl")
        for name in names or ("capped", "newest"):
            print(f"{wheel.name} in a fresh environment, {name} versions", flush=True)
            venv.create(tmp/name, with_pip=True)
            python = tmp/name/("Scripts" if os.name == "nt" else "bin")/"python"
            limits = ["-c", PROJECT/"constraints.txt"] if name == "capped" else []
            run(python, "-m", "pip", "install", "--quiet", *limits, wheel)
            env = {**os.environ, "FASTAI_HOME": str(tmp/"home"), "PYTHONUTF8": "1"}
            run(python, "-c", USE, cwd=tmp, env=env)
            run(python.with_name("mnist_course"), "results", cwd=tmp, env=env, **quiet)


if __name__ == "__main__":
    main(sys.argv[1:])
