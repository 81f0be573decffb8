"Runs the lesson's cells: in the page by Pyodide, and in the tests by any Python."
import ast
import linecache
import os
import sys
import traceback
from pathlib import Path


def unpack(files, root): # path -> text
    "Write the files, and make them importable."
    for name, text in files.items():
        file = Path(root)/name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    sys.path.insert(0, str(root))
    os.environ["MNIST_COURSE_PROGRESS"] = str(Path(root)/"progress.jsonl")
    from mnist_course import exercises
    exercises._show = lambda shown: shown # a cell's last value is shown by the page


NAMES = {"__name__": "__main__"}


def run(code, name): # what is printed goes to stdout
    "Run a cell; its last value as (HTML or None, text or None, what was raised or None)."
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    try:
        tree, value = ast.parse(code, name), None
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), NAMES)
        if last: value = eval(compile(ast.Expression(last.value), name, "eval"), NAMES)
        if value is None: return None, None, None
        if hasattr(value, "_repr_html_"): return value._repr_html_(), str(value), None
        return None, repr(value), None
    except SyntaxError as e:
        if e.filename != name: return None, None, _told(e, name)
        return None, None, "".join(traceback.format_exception_only(e))
    except BaseException as e:
        return None, None, _told(e, name)


def _told(e, name): # without the lines of this file
    frames = traceback.extract_tb(e.__traceback__)
    own = [k for k, frame in enumerate(frames) if frame.filename == name]
    lines = traceback.format_list(frames[own[0]:] if own else frames)
    return "".join(lines + traceback.format_exception_only(e))
