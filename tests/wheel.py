"""Build the wheel, install it into fresh environments and use it there.

`python tests/wheel.py [capped] [newest] [oldest] [--python python3.12 ...]`; capped and newest, in
the Python that runs this, if none is named. `capped` takes the versions of constraints.txt,
`newest` whatever the index offers today, `oldest` the lowest that settings.ini allows and the index
has as wheels for that Python; `uv` finds these, since pip cannot.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from configparser import ConfigParser
from pathlib import Path

PROJECT = Path(__file__).parent.parent
VERSIONS = "capped", "newest", "oldest"
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
import platform
print("imported and used with Python", platform.python_version() + ",",
      ", ".join(f"{p} {version(p)}" for p in ("torch", "fastai", "fastcore", "numpy", "pandas")))
"""


def run(*command, **kwargs):
    subprocess.run([str(c) for c in command], check=True, **kwargs)


def install(python, name, wheel):
    "The wheel and what it needs, in the versions of that name."
    if name != "oldest":
        limits = ["-c", PROJECT/"constraints.txt"] if name == "capped" else []
        return run(python, "-m", "pip", "install", "--quiet", *limits, wheel)
    run(python, "-m", "pip", "install", "--quiet", "uv")
    said = ConfigParser()
    said.read(PROJECT/"settings.ini", "utf-8")
    run(python.with_name("uv"), "pip", "install", "--quiet", "--python", python, "--no-build",
        "--resolution", "lowest-direct", wheel, *said["DEFAULT"]["requirements"].split())


def main(names, pythons):
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        quiet = {"stdout": subprocess.DEVNULL}
        run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp, PROJECT, **quiet)
        wheel, = tmp.glob("*.whl")
        for base in pythons or [sys.executable]:
            for name in names or VERSIONS[:2]:
                with tempfile.TemporaryDirectory() as fresh: prove(wheel, base, name, Path(fresh))


def prove(wheel, base, name, fresh):
    "That the wheel can be installed, imported and used with this Python and these versions."
    print(f"{wheel.name} in a fresh environment of {base}, {name} versions", flush=True)
    run(base, "-m", "venv", fresh/"venv")
    python = fresh/"venv"/("Scripts" if os.name == "nt" else "bin")/"python"
    install(python, name, wheel)
    env = {**os.environ, "FASTAI_HOME": str(fresh/"home"), "PYTHONUTF8": "1"}
    run(python, "-c", USE, cwd=fresh, env=env)
    run(python.with_name("mnist_course"), "results", cwd=fresh, env=env, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("names", nargs="*", help="of " + ", ".join(VERSIONS))
    words.add_argument("--python", nargs="+", default=[], metavar="PYTHON")
    said = words.parse_args()
    if strange := set(said.names) - set(VERSIONS): words.error(f"There are no {strange} versions.")
    main(said.names, said.python)
