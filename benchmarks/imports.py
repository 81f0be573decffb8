"""How long each module takes to import, and what each lesson takes in time and memory."""
import subprocess
import sys
from pathlib import Path

from mnist_course.clone import LESSONS, lessons
from mnist_course.lab.ledger import lesson_seconds

from .timing import Comparison, Target, Way, do_nothing

FASTAI = "from fastai.vision.all import *"
TOOLS = ("fetch", "gradcheck", "plots", "models", "cli", "lab.ledger")


def _python(code: str, *args: str) -> str:
    run = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True)
    if run.returncode: raise RuntimeError(f"{code!r} failed:\n{run.stderr[-2000:]}")
    return run.stdout


def _import(statement: str) -> Way:
    # one untimed import, fastai's, reads all files from disk
    warm = None if statement == FASTAI else do_nothing
    return Way(statement, lambda: _python(statement), proof=warm, note="in a fresh Python")


def no_outputs(outputs: dict) -> None: "Imports give nothing to compare."


def comparisons(quick: bool, device: str) -> list[Comparison]:
    # the target's module first; an import leaves no output, so there is nothing to compare
    modules = LESSONS[:1] if quick else (*LESSONS, *TOOLS)
    ours, *others = (f"import mnist_course.{name}" for name in modules)
    rivals = [FASTAI, *others, "import torch"]
    return [Comparison(
        "imports", "Import time of each module, Python's own start included",
        (_import(ours), *map(_import, rivals)), no_outputs, "each import succeeds",
        rounds=1 if quick else 2,
        targets=(Target(FASTAI, 2, "`import mnist_course.data` in under half of what "
                                   "`from fastai.vision.all import *` takes"),),
        note="Most of it is PyTorch's own import; fastai is imported where it is first needed.")]


_LESSON = """
import resource, sys
from pathlib import Path
from mnist_course.cli import run_notebook
seconds = run_notebook(Path(sys.argv[1]))
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss # the kernel's, which has ended
print(seconds, peak/(2**20 if sys.platform == "darwin" else 2**10))
"""


def lesson(nb: Path) -> dict:
    "Run a lesson from top to bottom; its seconds and its kernel's peak memory."
    seconds, peak = map(float, _python(_LESSON, str(nb)).split()[-2:])
    return {"lesson": nb.stem, "seconds": seconds, "peak_mb": peak}


def measure_lessons(quick: bool, report, minutes: float) -> list[dict]:
    "Each lesson in turn; one that would not fit into the minutes left keeps the ledger's time."
    rows, left, known = [], minutes*60, lesson_seconds()
    for nb in lessons()[4:5] if quick else lessons():
        expected = known.get(nb.stem, 0)
        fits = expected <= left
        rows.append(lesson(nb) if fits else {"lesson": nb.stem, "seconds": expected})
        left -= rows[-1]["seconds"] if fits else 0
        report(f"  {nb.stem}: {rows[-1]['seconds']:.1f} s" + ("" if fits else ", from the ledger"))
    return rows
