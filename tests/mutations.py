"""What `mutants.py` works on: the small faults of a module, the package, its notebooks and tests.

A fault is a piece of the module's text that is replaced, so that a reader sees it as a difference
of lines and everything else in the file stays where it was. Operators, tests, numbers, texts,
bounds of slices, defaults, assignments, calls, returns and refusals are changed. Left alone is
what no program does: imports, `__all__`, docstrings, annotations, comments, the words of a
`raise` (that it refuses is tested, how it says so is prose), the parts of an f-string, which goes
as a whole, and `STYLE`, whose sizes and colours only an eye can judge.
"""
import ast
import configparser
import gc
import importlib
import json
import linecache
import os
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType

SWAPS = {ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"),
         ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"),
         ast.NotIn: ("not in", "in"), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
         ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.Add: ("+", "-"), ast.Sub: ("-", "+"),
         ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.FloorDiv: ("//", "/"), ast.Mod: ("%", "*"),
         ast.Pow: ("**", "*"), ast.MatMult: ("@", "*"), ast.BitAnd: ("&", "|"),
         ast.BitOr: ("|", "&"), ast.BitXor: ("^", "|"), ast.LShift: ("<<", ">>"),
         ast.RShift: (">>", "<<")}
EITHER_WAY = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot) # swapped is negated


# --- mutants ---

@dataclass
class Mutant:
    "One piece of a module's source replaced."
    function:str # in which function or class it is
    line:int
    what:str     # in words
    start:int    # first byte that is replaced
    end:int      # first byte after it
    text:str     # what stands there instead
    old:str      # the lines that it touches
    new:str      # and how they read then
    lines:list   # it counts as reached when one of these runs: in a call, or if negative on import
    default:tuple=() # of a default value: its argument, and the new expression

    @property
    def fingerprint(self):
        "What stays the same when lines move."
        return self.function, " ".join(self.old.split()), " ".join(self.new.split())


class Finder:
    "Walks over a module's syntax tree and lists its mutants in `found`."
    def __init__(self, source):
        self.data, self.found = source.encode(), []
        self.starts = [0]                       # positions in the tree are lines and bytes
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.function, self.lines, self.decorates, self.default = "", [], False, None
        for node in ast.parse(source).body: self.statement(node, -1)

    def span(self, node):
        return (self.starts[node.lineno - 1] + node.col_offset,
                self.starts[node.end_lineno - 1] + node.end_col_offset)

    def source(self, node):
        start, end = self.span(node)
        return self.data[start:end].decode()

    def add(self, what, text, start, end):
        first = self.data.rfind(b"\n", 0, start) + 1
        last = self.data.find(b"\n", end)
        old = self.data[first:last].decode()
        new = (self.data[first:start] + text.encode() + self.data[end:last]).decode()
        default = ()
        if self.default:
            argument, (begins, ends) = self.default
            words = self.data[begins:start] + text.encode() + self.data[end:ends]
            default = argument, words.decode()
        self.found.append(Mutant(self.function, self.data.count(b"\n", 0, start) + 1, what, start,
                                 end, text, old, new, self.lines, default))

    def replace(self, node, text, what=None):
        short = " ".join(self.source(node).split())
        short = short if len(short) < 40 else short[:36] + " ..."
        self.add(what or f"{short} becomes {text}", text, *self.span(node))

    def swap(self, op, left, right):
        "Exchange the operator between two operands."
        old, new = SWAPS[type(op)]
        after, before = self.span(left)[1], self.span(right)[0]
        between = self.data[after:before].decode()
        words = old.replace(" ", r"\s+") if old.isalpha() or " " in old else re.escape(old)
        place = re.search(words, between)
        at = after + len(between[:place.start()].encode())
        self.add(f"{old} becomes {new}", new, at, at + len(place[0].encode()))

    def statement(self, node, sign):
        "`sign` is 1 in a function, whose lines run when it is called, and else -1."
        before = self.function, self.lines
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if isinstance(body, list) and body else node.end_lineno
        self.lines = [sign*n for n in range(node.lineno, max(node.lineno, last) + 1)]
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()): pass
            case ast.Assign(targets=[ast.Name(id="__all__" | "STYLE")]): pass
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                self.definition(node, sign)
            case ast.Raise(): self.replace(node, "pass")         # its message is prose
            case ast.AnnAssign():
                if node.value: self.expression(node.value)
            case _:
                if isinstance(node, ast.Assign | ast.AugAssign) or (
                    isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
                    self.replace(node, "pass")
                if isinstance(node, ast.AugAssign): self.swap(node.op, node.target, node.value)
                if isinstance(node, ast.Return) and not is_none(node.value):
                    self.replace(node, "return None")
                if isinstance(node, ast.If | ast.While): self.negate(node.test)
                self.children(node, sign)
        self.function, self.lines = before

    def definition(self, node, sign):
        "Decorators run on import; a default value counts as reached when the body is."
        outer = self.function
        self.function = f"{outer}.{node.name}" if outer else node.name
        for decorator in node.decorator_list:
            self.lines = [sign*n for n in range(decorator.lineno, decorator.end_lineno + 1)]
            self.decorates = True
            self.expression(decorator)
            self.decorates = False
        if not isinstance(node, ast.ClassDef):
            outside, sign = sign, 1
            self.lines = list(range(node.body[0].lineno, node.end_lineno + 1))
            for argument, default in defaults(node.args):
                if outside < 0: self.default = argument, self.span(default)
                if is_none(default): self.replace(default, "0")
                elif not isinstance(default, ast.Constant | ast.UnaryOp):
                    self.replace(default, "None")
                self.expression(default)
                self.default = None
        for child in node.body: self.statement(child, sign)

    def children(self, node, sign=1):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.stmt): self.statement(child, sign)
            elif isinstance(child, ast.expr): self.expression(child)
            else: self.children(child, sign)    # `with` items, handlers, comprehensions, keywords
        if isinstance(node, ast.comprehension):
            for test in node.ifs: self.negate(test)

    def expression(self, node):
        match node:
            case ast.JoinedStr():               # Python 3.11 does not know where its parts are
                self.replace(node, '""')
                return
            case ast.Constant(): self.constant(node)
            case ast.Compare():
                operands = [node.left, *node.comparators]
                for op, *pair in zip(node.ops, operands, operands[1:], strict=False):
                    self.swap(op, *pair)
            case ast.BinOp(): self.swap(node.op, node.left, node.right)
            case ast.BoolOp():
                for pair in zip(node.values, node.values[1:], strict=False):
                    self.swap(node.op, *pair)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                self.replace(node, self.source(node.operand))
            case ast.IfExp(): self.negate(node.test)
            case ast.Slice():
                for bound in filter(None, (node.lower, node.upper)):
                    if not isinstance(bound, ast.Constant):
                        for shift in "+ 1", "- 1":
                            self.replace(bound, f"({self.source(bound)}) {shift}")
        self.children(node)

    def negate(self, test):
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not): return # it is dropped
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(
            test.ops[0], EITHER_WAY): return
        self.replace(test, f"not ({self.source(test)})")

    def constant(self, node):
        match node.value:
            case bool(): self.replace(node, str(not node.value))
            case int(): self.replace(node, str(node.value + 1)), self.replace(
                node, str(node.value - 1))
            case float(): self.replace(node, str(node.value + 1))
            case str() if " " not in node.value: self.replace(node, repr(node.value + "X"))
            case str() if not self.decorates: self.replace(node, '""') # in a decorator: prose


def defaults(arguments):
    "Name and node of each default value."
    by_place = [*arguments.posonlyargs, *arguments.args]
    pairs = [*zip(by_place[len(by_place) - len(arguments.defaults):], arguments.defaults,
                  strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return [(argument.arg, node) for argument, node in pairs if node]


def is_none(node):
    return node is None or isinstance(node, ast.Constant) and node.value is None


def find_mutants(source):
    "All mutants of a module's source that Python can read, in the order of the source."
    return sorted(Finder(source).found, key=lambda m: (m.start, m.end, m.text))


def apply(source, mutant):
    "The whole source with the fault in it."
    data = source.encode()
    return (data[:mutant.start] + mutant.text.encode() + data[mutant.end:]).decode()


# --- a fault put into functions that are in use ---

def functions_in(code):
    "All code objects of functions inside one, by their full names, and what classes and it run."
    inner, outer = defaultdict(list), []
    waiting = [code]
    while waiting:
        code = waiting.pop()
        if code.co_flags & 1: inner[code.co_qualname].append(code)
        else: outer.append(frame_of(code))
        waiting += [c for c in reversed(code.co_consts) if isinstance(c, CodeType)]
    return inner, outer


def frame_of(code):
    "What a code object does by itself; those inside it only by name."
    consts = [c.co_qualname if isinstance(c, CodeType) else (type(c).__name__, repr(c))
              for c in code.co_consts]
    return (code.co_code, tuple(consts), code.co_names, code.co_varnames, code.co_freevars,
            code.co_cellvars, code.co_flags, code.co_argcount, code.co_kwonlyargcount)


def whole(code):
    "What it does, with all inside it, wherever its lines are."
    return frame_of(code), tuple(whole(c) for c in code.co_consts if isinstance(c, CodeType))


class Patch:
    """A mutant as new code for functions that exist, so that nothing need be imported again.

    `possible` is false for what runs on import (a module's or class's own lines), and where two
    functions have one name.
    """
    def __init__(self, module, mutant):
        self.default, self.path = mutant.default, str(module.path)
        self.function, self.new = mutant.function, {}
        if self.default:
            self.possible = True
            return
        (old, before), (new, after) = (functions_in(compile(text, self.path, "exec"))
                                       for text in (module.source, apply(module.source, mutant)))
        self.possible = before == after
        for name in old.keys() & new.keys():
            if [*map(whole, old[name])] == [*map(whole, new[name])]: continue
            if len(old[name]) == len(new[name]) == 1 and (
                old[name][0].co_freevars == new[name][0].co_freevars): self.new[name] = new[name][0]
            elif name.rpartition(".")[2][0] != "<" or name.endswith("<lambda>"):
                self.possible = False           # comprehensions come with their function
        self.possible &= bool(self.new)

    def put(self, functions):
        "Into the live functions of the module, as `live_functions` found them."
        if self.default: done = [self.put_default(f) for f in functions.get(self.function, ())]
        else:
            done = []
            for name, code in self.new.items():
                for f in functions.get(name, ()):
                    f.__code__ = code.replace(co_filename=f.__code__.co_filename)
                    done.append(f)
        if not done: raise LookupError(f"no live function is {self.function}")

    def put_default(self, function):
        argument, words = self.default
        value = eval(words, function.__globals__)
        code = function.__code__
        if argument in (function.__kwdefaults__ or {}): function.__kwdefaults__[argument] = value
        else:
            names = code.co_varnames[:code.co_argcount]
            values = list(function.__defaults__)
            values[names.index(argument) - len(names)] = value
            function.__defaults__ = tuple(values)
        return function


def live_functions(path):
    "All functions that exist and stand in this file, by their full names; for a fork to come."
    found = defaultdict(list)
    gc.unfreeze()
    for f in gc.get_objects():
        if type(f) is FunctionType and f.__code__.co_filename == path:
            found[f.__code__.co_qualname].append(f)
    gc.freeze()                                 # else a fork's collector copies every page
    return found


# --- the project ---

@dataclass
class Module:
    name:str      # such as "mnist_course.sgd"
    path:Path
    notebook:Path # that it is exported from
    source:str


def imported(source, module=""):
    "The full names that a source imports: modules, and names that may be modules."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import): yield from (a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            outer = module.split(".")[:-node.level] if node.level else []
            base = ".".join([*outer, *filter(None, [node.module])])
            yield base
            yield from (f"{base}.{a.name}" for a in node.names)


def code_cells(notebook):
    "Position, directives and source of each code cell, without magics."
    for i, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or not source.strip(): continue
        directives = re.findall(r"^#\|\s*(.+)", source, re.M)
        yield i, directives, re.sub(r"^([%!].*)", r"pass # \1", source, flags=re.M)


def is_exported(directives): return any(d.startswith("export") for d in directives)


class Project:
    "The package, its notebooks and its tests, as the files on disk have them."
    def __init__(self, root):
        self.root = Path(root).absolute()
        settings = configparser.ConfigParser(interpolation=None)
        settings.read(self.root/"settings.ini")
        self.package = self.root/settings["DEFAULT"]["lib_path"]
        self.notebooks = self.root/settings["DEFAULT"]["nbs_path"]
        self.modules = {}                       # name without the package's -> Module
        for notebook in sorted(self.notebooks.rglob("*.ipynb")):
            if ".ipynb_checkpoints" in notebook.parts: continue
            for _, directives, _ in code_cells(notebook):
                for name in (d.split()[1] for d in directives if d.startswith("default_exp ")):
                    path = self.package/f"{name.replace('.', '/')}.py"
                    self.modules[name] = Module(f"{self.package.name}.{name}", path, notebook,
                                                path.read_text(encoding="utf-8"))
        names = {m.name for m in self.modules.values()}
        self.needs = {m.name: names & set(imported(m.source, m.name))
                      for m in self.modules.values()}
        self.tests = {path: names & set(imported(path.read_text(encoding="utf-8")))
                      for path in sorted((self.root/"tests").glob("test_*.py"))}

    def units(self, module):
        "What checks a module: its notebook and each test file that imports it."
        cells = {n for _, _, source in code_cells(module.notebook) for n in imported(source)}
        yield {"kind": "cells", "module": module.name, "key": str(module.notebook),
               "notebook": str(module.notebook.relative_to(self.root)),
               "needs": self.closure({module.name} | cells & set(self.needs))}
        for path, direct in self.tests.items():
            if module.name in direct:
                yield {"kind": "tests", "files": [str(path.relative_to(self.root))],
                       "key": str(path), "needs": self.closure(direct)}

    def closure(self, names):
        "The modules of these names and all that they import in turn."
        needed, waiting = set(), set(names)
        while waiting:
            needed |= waiting
            waiting = set().union(*(self.needs[n] for n in waiting)) - needed
        return sorted(needed)

    def preload(self):
        "Import what others made and this project uses, so that a fork need not; nothing of ours."
        sys.path[:] = [p for p in sys.path
                       if Path(p).absolute() not in (self.root, *self.root.glob("*"))]
        sources = [m.source for m in self.modules.values()]
        sources += [p.read_text(encoding="utf-8") for p in self.tests]
        sources += [s for m in self.modules.values() for _, _, s in code_cells(m.notebook)]
        for name in sorted({n for source in sources for n in imported(source)}):
            if name.split(".")[0] == self.package.name: continue
            try: importlib.import_module(name)
            except Exception: pass              # a function of a module, or not installed
        assert self.package.name not in sys.modules


# --- a notebook as a script ---

def names_in(source, kind):
    "Names that a cell sets (`ast.Store`, with functions, classes, imports) or uses (`ast.Load`)."
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, kind): found.add(node.id)
        if kind is ast.Load: continue
        if isinstance(node, ast.FunctionDef | ast.ClassDef): found.add(node.name)
        if isinstance(node, ast.alias): found.add((node.asname or node.name).split(".")[0])
    return found


def left_out_cells(unit, slow):
    "Those of the slow cells that set no name that a later cell uses."
    out, used = [], set()
    for i, directives, source in reversed(list(code_cells(Path(unit["key"])))):
        if is_exported(directives): continue
        if str(i) in slow and not names_in(source, ast.Store) & used: out.append(str(i))
        else: used |= names_in(source, ast.Load)
    return out


def run_cells(unit, keys, watch, stop, before=None):
    """Run a notebook's cells, the given ones or all, with the package in place of exported cells.

    `before` is told each cell's key and given a function that runs the cells from there on.
    """
    twin = vars(importlib.import_module(unit["module"]))
    assert Path(twin["__file__"]).is_relative_to(Path.cwd()), twin["__file__"]
    space = {k: v for k, v in twin.items() if not k.startswith("__")}
    space |= {"__name__": "__main__", "display": lambda *values: [repr(v) for v in values]}
    notebook = Path(unit["notebook"]).absolute()
    os.chdir(notebook.parent)
    cells = [(str(i), directives, source) for i, directives, source in code_cells(notebook)
             if is_exported(directives) or (keys is None or str(i) in keys)
             and "eval: false" not in directives]

    def run_from(start, keys=keys, watch=watch, stop=stop, before=None):
        for n, (key, directives, source) in enumerate(cells[start:], start):
            if is_exported(directives):         # the package's, even if a draft had the name
                space.update((n, twin[n]) for n in names_in(source, ast.Store) if n in twin)
                continue
            if keys is not None and key not in keys: continue
            if before: before(key, partial(run_from, n))
            watch.start(key)
            try: run_cell(source, space, f"<cell {key}>")
            except BaseException as e:
                watch.failed[key] = f"{type(e).__name__}: {e}"[:300]
                if stop: return
            else: watch.passed.add(key)
            watch.stop()
            if plots := sys.modules.get("matplotlib.pyplot"): plots.close("all") # as notebooks do
    run_from(0, before=before)


def run_cell(source, space, name):
    "Execute a cell; its last value is made into text, as a notebook would show it."
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    body = ast.parse(source, name).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), name, "exec"), space)
    if last: repr(eval(compile(ast.Expression(last.value), name, "eval"), space))
