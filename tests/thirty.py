"""Marks a class of thirty made submissions and compares the table with what each deserves.

    python tests/thirty.py [FOLDER]      minutes; the table is left in FOLDER if one is named

Half of them are those of `test_marking.py`, which `make test` marks; here is the other half: work
on other lessons, and more ways of breaking, stalling, swallowing and cheating.
"""
import sys
import tempfile
from pathlib import Path

from mnist_course.marking import commonest, mark, write_marks
from test_marking import CLASS, HAND, RIGHT, SUM, submit

KERNEL = "from mnist_course.exercises import exercise\n"
MORE = {
    "right in 06": ([f"{KERNEL}check('06.2', exercise('06.2').answer)"], {"06.2": "right"}),
    "right in 07": ([f"{KERNEL}check('07.2', exercise('07.2').answer)",
                     f"{KERNEL}check('07.6', exercise('07.6').answer)"],
                    {"07.2": "right", "07.6": "right"}),
    "overflows": (["def softmax(scores):\n    e = scores.exp()\n    return e/e.sum(1, keepdim=True)"
                   "\ncheck('06.2', softmax)"], {"06.2": "wrong"}),
    "one more sigmoid": ([f"{KERNEL}check('07.2', exercise('07.2').twins[0][1])"],
                         {"07.2": "wrong"}),
    "wrong by hand": (["check('02.4', 3.7)", "check('02.4', 2.3)"], {"02.4": "wrong"}),
    "better the second time": (["check('02.4', 3.7)", HAND], {"02.4": "right"}),
    "answers with a number": (["check('02.1', 0.5)"], {"02.1": "wrong"}),
    "indents badly": (["def f():\nreturn 1", HAND], {"02.4": "right"}),
    "imports what is not there": (["import no_such_library", RIGHT], {"02.1": "right"}),
    "recurses": ([HAND, "def f(n): return f(n + 1)\nf(0)", RIGHT],
                 {"02.1": "right", "02.4": "right"}),
    "sleeps": ([HAND, "import time\nwhile True: time.sleep(1)", SUM],
               {"02.1": "too long", "02.4": "right"}),
    "catches everything": (["def f(s, t):\n    while True:\n        try:\n            while 1: pass"
                            "\n        except BaseException: pass\ncheck('02.1', f)", HAND],
                           {"02.1": "wrong", "02.4": "right"}), # stopped all the same
    "collects": ([HAND, "kept = []\nwhile True: kept.append(bytes(100 << 20))", RIGHT],
                 {"02.1": "memory", "02.4": "right"}),
    "kills itself": (["import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", RIGHT],
                     {"02.1": "crashed"}),
    "judges itself": (["import mnist_course.exercises as e\n"
                       "e.judge = lambda ex, a: e.Result(ex.key, True, 'right')", SUM],
                      {"02.1": "tampered"}),
}


def main(folder: Path, seconds: float = 240) -> int:
    "How many of the submissions got another mark than they deserve."
    everybody = {**CLASS, **MORE}
    assert len(everybody) == 30
    for name, (sources, _) in everybody.items(): submit(folder, name, sources)
    marks = mark(folder, seconds=seconds, memory=3 << 30)
    wrong = 0
    for name, (_, deserved) in everybody.items():
        found = {m.exercise: m.result for m in marks if m.learner == name}
        wrong += found != deserved
        said = ", ".join(f"{key} {result}" for key, result in found.items())
        print(f"{'as it should' if found == deserved else 'WRONG':12}  {name:26} {said}")
        if found != deserved: print(f"{'':14}deserved {deserved}")
    for exercise, mistake, n in commonest(marks): print(f"{n} × {exercise} {mistake}")
    print(f"{30 - wrong} of 30; the table: {write_marks(marks, folder/'marks.csv')}")
    return wrong


if __name__ == "__main__":
    if sys.argv[1:]: sys.exit(main(Path(sys.argv[1])))
    with tempfile.TemporaryDirectory() as temporary: sys.exit(main(Path(temporary)))
