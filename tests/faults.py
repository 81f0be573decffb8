"""Make trouble for what reads, keeps and writes files, and count how each case is met.

    python tests/faults.py [KIND ...] [--sample N] [--seed S] [--list]

Bytes flip, processes are killed, four come at once, disks fill up, clocks jump, archives try to
break out, servers lie. Each case ends in one of `CLASSES`; only the first is good. The counts go
into `faults_counts.csv` and from there into FAULTS.md, a page of the book. A KIND is the beginning
of a name; with `--sample` or with kinds named, nothing is written. What is stopped goes on after
the last kind that was through, if no code has changed meanwhile. It takes place in a temporary
folder, with a small dataset made from the stand-in. For Linux and macOS; a few kinds need root.
"""
import argparse
import csv
import ctypes
import gzip
import hashlib
import io
import json
import os
import platform
import random
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import warnings
import zlib
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from mnist_course import (
    checkpoint,
    cli,
    exam,
    exercises,
    fetch,
    formats,
    handwriting,
    models,
    processes,
    saved,
)
from mnist_course.checkpoint import Checkpoint
from mnist_course.data import load_split
from mnist_course.fetch import DataError, get_data
from mnist_course.lab import ledger
from tqdm import tqdm

HERE = Path(__file__).parent
COUNTS, PAGE = HERE/"faults_counts.csv", HERE/"FAULTS.md"
DONE = HERE.parent/"_run"/"faults.jsonl" # kinds that are through, of a count that is under way
CLASSES = {
    "well met": "the right images, or one sentence that says what is wrong",
    "no digest": "valid other data: the format has no digest, so that no reader could tell",
    "silent wrong": "other images or figures than the right ones, and not a word",
    "traceback": "an error that is no sentence, or a sentence with the wrong cause",
    "lost": "something of the user's, or a record, is gone",
    "outside": "something was written where nothing should be",
    "silent wait": "nothing happened for long, and not a word",
    "left behind": "half of a file is still there after the next run",
}
GOOD, NO_DIGEST = "well met", "no digest"
KINDS = {} # name -> (group, number of cases, function)


def kind(name, group, n):
    "Register a function that takes (place, random generator, n) and yields how each case was met."
    def register(function):
        KINDS[name] = group, n, function
        return function
    return register


# --- the place where it happens ---

class Place:
    "A home for data with things of the user's in it, an archive of a small dataset, a neighbour."
    def __init__(self, root):
        self.root = Path(root)
        self.home, self.archives = self.root/"home", self.root/"archives"
        x, y = fetch.standin_images()
        chosen = torch.cat([(y == d).nonzero()[:18, 0] for d in (3, 7)])
        late = torch.arange(36) % 18 >= 12
        self.parts = {"train": (x[chosen[~late]], y[chosen[~late]]),
                      "valid": (x[chosen[late]], y[chosen[late]])}
        folder, lines = self.archives/"mnist_tiny", ["name,label"]
        for part, pair in self.parts.items(): fetch.write_images(folder/part, *pair)
        lines += [f"{f.relative_to(folder)},{f.parent.name}" for f in sorted(folder.rglob("*.png"))]
        (folder/"labels.csv").write_text("\n".join(lines) + "\n")
        self.archive = self.archives/"mnist_tiny.tgz"
        self.pack()
        self.packed = self.archive.read_bytes()
        self.expected = [fetch.class_digests(self.parts)]
        (self.root/"neighbour").mkdir()
        (self.root/"neighbour"/"precious.txt").write_text("not yours")
        self.fresh()

    def pack(self, *members):
        "The dataset as an archive, and after it what `members` are: (TarInfo, contents)."
        with tarfile.open(self.archive, "w:gz", compresslevel=1) as tar:
            tar.add(self.archives/"mnist_tiny", "mnist_tiny")
            for info, contents in members: tar.addfile(info, io.BytesIO(contents))

    def fresh(self):
        "An empty data folder, but for what is the user's own."
        shutil.rmtree(self.home, ignore_errors=True)
        for name in ("digits.pt", "mnist_tiny.pt", "mine/3/1.png", ".mnist_tiny.backup/notes"):
            file = self.home/"data"/name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("my own")
        self.archive.write_bytes(self.packed)
        self.before = self.files()

    def files(self):
        "Every file that is here, but for the dataset and the course's own: its contents."
        found = {}
        for folder, folders, names in os.walk(self.root):
            if "mnist_tiny" in folders and Path(folder).is_relative_to(self.home):
                folders.remove("mnist_tiny")
            for name in names:
                file = Path(folder)/name
                if not name.endswith((".lock", ".kept", ".tgz")) and name != "config.ini":
                    found[file] = file.read_bytes() if file.is_file() else b""
        return found

    def harm(self):
        "What is wrong with the files here, or nothing."
        after = self.files()
        for file, contents in self.before.items():
            if after.get(file) != contents:
                return "lost" if file.is_relative_to(self.home) else "outside", str(file)
        for file in after.keys() - self.before.keys():
            if not file.is_relative_to(self.home): return "outside", str(file)
            half = ".making." in str(file) or file.name.endswith(".part")
            if half: return "left behind", str(file)
        return None

    def right(self, path=None):
        "Are the images that are read the right ones?"
        path = path or get_data("tiny", "mnist")
        return all(torch.equal(mine, its) for part, pair in self.parts.items()
                   for mine, its in zip(pair, load_split(path, part), strict=True))


def told(error):
    "Is it an error that says in one sentence what is wrong and what to do?"
    text, last = str(error), traceback.extract_tb(error.__traceback__)[-1].filename
    raised_here = Path(last).parent in (Path(fetch.__file__).parent, HERE.parent/"book")
    ours = isinstance(error, (DataError, cli.LessonError, saved.SavedError)) or (
        isinstance(error, ValueError) and (raised_here or "is damaged" in text))
    return ours and ": " in text and "\n" not in text.split("\n\n")[0]


def meet(task):
    "How a task is met that returns whether all is right: a class, and what was seen."
    try: right = task()
    except Exception as e:
        return (GOOD, "") if told(e) else ("traceback", f"{type(e).__name__}: {e}")
    return (GOOD, "") if right else ("silent wrong", "")


def flipped(contents, rng):
    "The same bytes with one of them another."
    damaged = bytearray(contents)
    damaged[rng.randrange(len(damaged))] ^= rng.randrange(1, 256)
    return bytes(damaged)


def overwrite(file, contents):
    "Write into a file in place and set its times back, as decay would."
    before = file.stat()
    with open(file, "r+b") as f:
        f.write(contents)
        f.truncate()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


# --- processes ---

class Child:
    "A task in a fork: it may be killed, limited, and be another user."
    def __init__(self, task):
        self.read, write = os.pipe()
        self.words = tempfile.TemporaryFile("w+")
        sys.stdout.flush(), sys.stderr.flush()
        self.pid = os.fork()
        if self.pid: os.close(write)
        else: self._work(task, write)

    def _work(self, task, write):
        sys.stderr = os.fdopen(os.dup(self.words.fileno()), "w", buffering=1) # also under pytest
        try:
            os.setsid()
            os.dup2(self.words.fileno(), 2)
            tqdm.set_lock(threading.RLock()) # its own lock is shared with a child that was killed
            with suppress(BaseException): # the end of the pipe, at worst
                os.write(write, json.dumps(meet(task)).encode())
        finally: os._exit(0)

    def kill(self, after=0.):
        time.sleep(after)
        os.kill(self.pid, signal.SIGKILL)

    def met(self, seconds=60):
        "How its task was met; nothing if it was killed first."
        ready, _, _ = select.select([self.read], [], [], seconds)
        if not ready: self.kill()
        with os.fdopen(self.read, "rb") as pipe: found = pipe.read() if ready else b""
        os.waitpid(self.pid, 0)
        self.words.seek(0)
        self.said = self.words.read()
        self.words.close()
        if not ready: return "silent wait", f"after {seconds} s"
        return tuple(json.loads(found)) if found else None


def in_child(task, seconds=60): return Child(task).met(seconds) or ("traceback", "it died")


def worst(place, *met):
    "The first of several ends of a case that is not good, harm done included."
    for end in (*met, place.harm()):
        if end and end[0] != GOOD: return end
    return GOOD, ""


# --- flipped bytes ---

@kind("a byte of the archive flips", "flipped bytes", 1000)
def flip_archive(place, rng, n):
    for _ in range(n):
        place.fresh()
        place.archive.write_bytes(flipped(place.packed, rng))
        yield worst(place, meet(place.right))


@kind("a byte of a PNG file flips, in a folder of one's own", "flipped bytes", 1000)
def flip_png(place, rng, n):
    files = sorted(place.archives.rglob("*.png"))
    bad = place.root/"neighbour"/"bad.png"
    for _ in range(n):
        whole = rng.choice(files)
        bad.write_bytes(flipped(whole.read_bytes(), rng))
        end = meet(lambda a=whole: (fetch.read_image(bad) == fetch.read_image(a)).all())
        bad.unlink()
        yield end


@kind("a byte of a PNG file flips, in the data folder", "flipped bytes", 1000)
def flip_fetched(place, rng, n):
    place.fresh()
    files = sorted(get_data("tiny", "mnist").rglob("*.png"))
    for i in range(n):
        file = rng.choice(files)
        whole = file.read_bytes()
        overwrite(file, flipped(whole, rng))
        kept = fetch._kept_file(place.home/"data"/"mnist_tiny")
        if i % 2: kept.unlink() # with the kept copy, and without
        end = worst(place, meet(place.right))
        overwrite(file, whole)
        get_data("tiny", "mnist")
        yield end


@kind("a byte of the label table flips", "flipped bytes", 1000)
def flip_labels(place, rng, n):
    place.fresh()
    table = get_data("tiny", "mnist")/"labels.csv"
    whole = table.read_bytes()
    for _ in range(n):
        overwrite(table, flipped(whole, rng))
        end = meet(lambda: bool(get_data("tiny", "mnist")) and table.read_bytes() == whole)
        overwrite(table, whole)
        yield worst(place, end)


@kind("a byte of the kept, decoded images flips", "flipped bytes", 1000)
def flip_kept(place, rng, n):
    place.fresh()
    path = get_data("tiny", "mnist")
    kept = fetch._kept_file(path)
    whole = kept.read_bytes()
    head = len(whole) - sum(x.numel() + len(y) for x, y in place.parts.values())
    for i in range(n):
        damaged = flipped(whole[:head], rng) + whole[head:] if i % 2 else flipped(whole, rng)
        kept.write_bytes(damaged)
        yield worst(place, meet(partial(place.right, path)))


@kind("a page of the kept images is zeros, or its end is missing", "flipped bytes", 200)
def cut_kept(place, rng, n):
    place.fresh()
    path = get_data("tiny", "mnist")
    kept = fetch._kept_file(path)
    whole = kept.read_bytes()
    for i in range(n):
        at = rng.randrange(len(whole))
        kept.write_bytes(whole[:at] + (bytes(4096) + whole[at + 4096:] if i % 2 else b""))
        yield worst(place, meet(partial(place.right, path)), meet(place.right))


@kind("a byte of fastai's config.ini flips", "flipped bytes", 1000)
def flip_config(place, rng, n):
    place.fresh()
    get_data("tiny", "mnist")
    config = place.home/"config.ini"
    whole = config.read_bytes()
    for _ in range(n):
        config.write_bytes(flipped(whole, rng))
        yield worst(place, meet(place.right))
        config.write_bytes(whole)


@kind("a byte of one of MNIST's original files flips", "flipped bytes", 1000)
def flip_original(place, rng, n):
    x, _ = place.parts["train"]
    packed = gzip.compress(struct.pack(">HBB3I", 0, 8, 3, *x.shape) + x.numpy().tobytes())
    md5, folder = hashlib.md5(packed).hexdigest(), place.root/"neighbour"
    for _ in range(n):
        damaged = flipped(packed, rng)
        def served(url, file, damaged=damaged): file.write_bytes(damaged)
        with replaced(fetch, "download", served):
            try: got = fetch._from_a_mirror("idx.gz", md5, folder)
            except fetch.NotAvailable: yield GOOD, ""
            else: yield (GOOD if (got == x.numpy()).all() else "silent wrong"), ""
    with suppress(OSError): (folder/"idx.gz").unlink()


@kind("a byte of the ledger flips", "flipped bytes", 1000)
def flip_ledger(place, rng, n):
    whole = ledger.ledger_file().read_bytes()
    known = [ledger.load(d).records for d in ledger.DATASETS], ledger.lesson_seconds()
    file = place.root/"neighbour"/"ledger.json"
    for _ in range(n):
        file.write_bytes(flipped(whole, rng))
        yield meet(lambda: ([ledger.load(d, file).records for d in ledger.DATASETS],
                            ledger.lesson_seconds(file)) == known)
    file.unlink()


@kind("a byte of a notebook flips", "flipped bytes", 1000)
def flip_notebook(place, rng, n):
    whole, nb = (HERE.parent/"nbs"/"lab"/"entry.ipynb").read_bytes(), place.root/"nb.ipynb"
    with replaced(cli, "_execute", lambda book, nb: None), redirect_stderr(io.StringIO()):
        for _ in range(n):
            nb.write_bytes(flipped(whole, rng))
            yield meet(lambda: cli.run_notebook(nb) >= 0)
    nb.unlink()


@kind("a byte of a run's results flips", "flipped bytes", 1000)
def flip_results(place, rng, n):
    file = place.root/"neighbour"/"results.jsonl"
    values = {f"key.{i}": i/7 for i in range(9)}
    with environment(MNIST_COURSE_RESULTS=str(file)), replaced(ledger, "print", lambda *_: None):
        measured = ledger.as_record([{"figures": {"x": .5, "n_valid": 9}, "seconds": 1}], "demo")
        demo = ledger.Ledger("mnist", {"key": {**measured, "figures": {
            str(i): measured["figures"]["x"] for i in range(9)}}})
        for key, value in values.items(): ledger.show(key, value, demo)
    whole = file.read_bytes()
    for _ in range(n):
        file.write_bytes(flipped(whole, rng))
        yield meet(lambda: ledger.run_results(file) == values)
    file.unlink()


# --- formats of others: what has a digest must tell, what has none cannot ---

def meet_reader(read, known, sealed=True):
    "How a reader met a damaged file that held `known`; one other number cannot be told unsealed."
    try: found = read()
    except Exception as e: return (GOOD, "") if told(e) else (
        "traceback", f"{type(e).__name__}: {e}")
    pairs = [(np.asarray(p), np.asarray(q)) for p, q in zip(found, known, strict=True)]
    if any(p.shape != q.shape for p, q in pairs): return "silent wrong", "another shape"
    others = sum(int((p != q).sum()) for p, q in pairs)
    if not others: return GOOD, ""
    return (NO_DIGEST, "") if others == 1 and not sealed else ("silent wrong", f"{others} others")


def flip_format(place, rng, n, files, read, known, sealed=True):
    "Flip a byte of one of some files of a folder, and read them all."
    for _ in range(n):
        file = rng.choice(files)
        whole = file.read_bytes()
        file.write_bytes(flipped(whole, rng))
        yield meet_reader(read, known, sealed)
        file.write_bytes(whole)


def idx_files(place, ending):
    folder, (x, y) = place.root/f"idx{ending}", place.parts["train"]
    folder.mkdir(exist_ok=True)
    files = [folder/f"train-{name}-ubyte{ending}" for name in ("images-idx3", "labels-idx1")]
    for file, values in zip(files, (x, y), strict=True): formats.write_idx(file, values)
    return files, partial(formats.read, files[0]), (x, y)


@kind("a byte of an IDX file flips, gzipped", "formats of others", 1000)
def flip_idx_gz(place, rng, n): return flip_format(place, rng, n, *idx_files(place, ".gz"))


@kind("a byte of an IDX file flips, which has no digest", "formats of others", 1000)
def flip_idx(place, rng, n): return flip_format(place, rng, n, *idx_files(place, ""), sealed=False)


@kind("a byte of a table (CSV) flips, which has no digest", "formats of others", 1000)
def flip_csv(place, rng, n):
    file, (x, y) = place.root/"train.csv", (t[::4] for t in place.parts["train"])
    formats.write_csv(file, x, y)
    return flip_format(place, rng, n, [file], partial(formats.read, file), (x, y), sealed=False)


@kind("a byte of NumPy's .npz flips", "formats of others", 1000)
def flip_npz(place, rng, n):
    x, y = place.parts["train"]
    files = [place.root/"a.npz", place.root/"b.npz"]
    for file, save in zip(files, (np.savez, np.savez_compressed), strict=True):
        save(file, images=x, labels=y)
    return flip_format(place, rng, n, files, lambda: [
        t for file in files for t in formats.read(file)], (x, y, x, y))


@kind("a byte of a PNG file flips, in a folder for each class", "formats of others", 1000)
def flip_class_folder(place, rng, n):
    folder, (x, y) = place.root/"classes", (t[::4] for t in place.parts["train"])
    fetch.write_images(folder, x, y)
    known = formats.read(folder)
    files = sorted(folder.rglob("*.png"))
    return flip_format(place, rng, n, files, partial(formats.read, folder), known)


def picture_flips(place, rng, n, ending, sealed):
    file = place.root/f"digit.{ending}"
    picture = handwriting.sample_digit().resize((60, 75))
    picture.save(file)
    whole, known = file.read_bytes(), handwriting.as_grey(picture if sealed else file)
    for _ in range(n):
        file.write_bytes(flipped(whole, rng))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore") # Pillow's own, on tags
            end, seen = meet(lambda: np.array_equal(handwriting.as_grey(file), known))
        yield (NO_DIGEST, "") if end == "silent wrong" and not sealed else (end, seen)


@kind("a byte of a PNG of one's own flips", "formats of others", 1000)
def flip_png_picture(place, rng, n): return picture_flips(place, rng, n, "png", True)


@kind("a byte of a JPEG of one's own flips, which has no digest", "formats of others", 1000)
def flip_jpeg_picture(place, rng, n): return picture_flips(place, rng, n, "jpg", False)


# --- what the course keeps of a learner and for the book ---

@kind("a byte of the progress flips", "flipped bytes", 1000)
def flip_progress(place, rng, n):
    file = place.root/"neighbour"/"progress.jsonl"
    events = [(key, event) for key in ("02.1", "02.4", "06.2")
              for event in ("wrong", "hint", "passed")]
    with environment(MNIST_COURSE_PROGRESS=str(file)):
        for event in events: exercises._note(*event)
        whole, known = file.read_bytes(), exercises._records()
        for _ in range(n):
            file.write_bytes(flipped(whole, rng))
            found = exercises._records()
            kept = iter(known) # nothing invented, in order, and what is missing is told
            told_so = found == known or None in found
            yield (GOOD, "") if told_so and all(r in kept for r in found if r) else (
                "silent wrong", str(found))
    file.unlink()


@kind("a byte of an exam's paper flips", "flipped bytes", 1000)
def flip_paper(place, rng, n):
    books = HERE.parent/"exercises"
    nb = exam.write_paper(7, books, place.root/"neighbour", 3)
    whole = nb.read_bytes()
    for _ in range(n):
        nb.write_bytes(flipped(whole, rng))
        yield meet(lambda: exam._about(nb) == (7, 3))
    nb.unlink()


@kind("a byte of the drawing page's weights flips", "flipped bytes", 1000)
def flip_weights(place, rng, n):
    sys.path.insert(0, str(HERE.parent/"book"))
    import weights
    sys.path.pop(0)
    whole, known, file = weights.FILE.read_bytes(), weights.read(), place.root/"weights.js"
    for _ in range(n):
        file.write_bytes(flipped(whole, rng))
        yield meet(lambda: weights.read(file) == known)
    file.unlink()


# --- killed at any moment, then run again ---

def killed_then_again(place, rng, task, longest, again=None):
    "A task is killed at a random moment, and then run to its end."
    first = Child(task)
    first.kill(after=rng.uniform(0, longest))
    end = first.met()
    return worst(place, end, in_child(again or task))


def duration(task): # of the task alone, in a fork as it will be
    start = time.monotonic()
    in_child(task)
    return time.monotonic() - start


@kind("killed while data is fetched", "killed, then run again", 200)
def kill_fetching(place, rng, n):
    place.fresh()
    longest = duration(place.right)
    for _ in range(n):
        place.fresh()
        yield killed_then_again(place, rng, place.right, longest)


@kind("killed while the stand-in is made", "killed, then run again", 20)
def kill_standin(place, rng, n):
    def make():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return len(load_split(get_data("tiny", "standin"), "train")[1]) == 120
    place.fresh()
    longest = duration(make)
    for _ in range(n):
        place.fresh()
        yield killed_then_again(place, rng, make, longest)


@kind("killed while decoded images are kept", "killed, then run again", 200)
def kill_keeping(place, rng, n):
    place.fresh()
    kept = fetch._kept_file(get_data("tiny", "mnist"))
    kept.unlink()
    longest = duration(place.right)
    for _ in range(n):
        kept.unlink(missing_ok=True)
        yield killed_then_again(place, rng, place.right, longest)


def records(*names):
    return {name: ledger.as_record([{"figures": {"x": .5, "n_valid": 9}, "seconds": 1}], "demo")
            for name in names}


@kind("killed while the ledger is saved", "killed, then run again", 200)
def kill_saving(place, rng, n):
    place.fresh()
    file = place.home/"ledger.json"
    first = [f"first.{i}" for i in range(40)]

    def save(*names):
        for name in names: ledger.save("mnist", records(name), file=file)
        return set(first) <= set(ledger.load("mnist", file).records)

    for _ in range(n):
        file.unlink(missing_ok=True)
        ledger.save("mnist", records(*first), file=file)
        place.before = place.files()
        del place.before[file]
        many = Child(partial(save, *(f"more.{i}" for i in range(100))))
        many.kill(after=rng.uniform(0, .4))
        many.met()
        end = in_child(partial(save, "last"))
        if end[0] == "silent wrong": end = "lost", "a record"
        yield worst(place, end)


@kind("killed while archives are packed", "killed, then run again", 60)
def kill_packing(place, rng, n):
    place.fresh()
    path, stick = get_data("tiny", "mnist"), place.home/"stick"

    def pack():
        with replaced(cli, "get_data", lambda *_: path), replaced(cli, "FOLDERS", {"tiny": ""}):
            archive, = cli.pack(stick)
            with tarfile.open(archive) as tar: return len(tar.getnames()) > 36

    longest = duration(pack)
    for _ in range(n): yield killed_then_again(place, rng, pack, longest)


# --- several at once ---

@kind("four processes fetch at once", "several at once", 40)
def four_fetch(place, rng, n):
    for _ in range(n):
        place.fresh()
        four = [Child(place.right) for _ in range(4)]
        yield worst(place, *(child.met() for child in four))


@kind("four processes save to the ledger at once", "several at once", 20)
def four_save(place, rng, n):
    place.fresh()
    file = place.home/"ledger.json"

    def save(who):
        for i in range(10): ledger.save("mnist", records(f"k{who}.{i}"), file=file)
        return True

    for _ in range(n):
        file.unlink(missing_ok=True)
        place.before = place.files()
        ends = [child.met() for child in [Child(partial(save, who)) for who in range(4)]]
        found = len(ledger.load("mnist", file).records)
        yield worst(place, *ends, (GOOD, "") if found == 40 else ("lost", f"{40 - found} records"))


@kind("a stopped process holds the lock", "several at once", 4)
def stopped(place, rng, n):
    for _ in range(n):
        place.fresh()
        lock, (read, write) = fetch.locked(place.home/"data"/"mnist_tiny"), os.pipe()

        def hold(lock=lock, write=write):
            with lock:
                os.write(write, b".")
                time.sleep(60)

        holder = Child(hold)
        os.read(read, 1)
        os.kill(holder.pid, signal.SIGSTOP)
        with replaced(fetch, "SILENCE", .3): waiting = Child(place.right)
        for _ in range(250): # a busy machine takes long to begin
            if os.pread(waiting.words.fileno(), 9, 0): break
            time.sleep(.1)
        holder.kill()
        holder.met()
        end = waiting.met()
        os.close(read), os.close(write)
        word = "Another program is busy" in waiting.said
        yield worst(place, end, (GOOD, "") if word else ("silent wait", ""))


# --- no room, no right to write ---

def in_namespace(*commands):
    "Mounts that only this process sees, and that go with it; false where that is not possible."
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or os.getuid() or libc.unshare(0x20000): return False # CLONE_NEWNS
    for command in ["mount --make-rprivate /", *commands]:
        if subprocess.run(command.split(), capture_output=True).returncode: return False
    return True


def can_mount(place):
    met = in_child(lambda: in_namespace(f"mount -t tmpfs none {place.home}"))
    return met[0] == GOOD


def fetch_on(mount, place, then=None):
    "In a fork: fetch on a mounted home, and say in a sentence what is wrong, with its true cause."
    if not in_namespace(*mount): raise RuntimeError("no mount")
    try: right = place.right()
    except DataError as e:
        if not any(word in str(e) for word in ("No space", "Read-only", "too large")):
            raise OSError(f"another cause: {e}") from e
        right = True
    if then: then()
    return right


@kind("the disk is full (a small tmpfs)", "no room", 100)
def full_disk(place, rng, n):
    place.fresh()
    if not can_mount(place): return

    def again(size): # more room: nothing of before stands in the way
        subprocess.run(["mount", "-o", "remount,size=4m", str(place.home)], check=True)
        if not place.right(): raise OSError("wrong images once there is room")

    for _ in range(n):
        size = rng.choice([4, 8, 12, 16, 24, 40, 60, 100, 140, 160, 180, 200, 220, 260])
        mount = f"mount -t tmpfs -o size={size}k none {place.home}"
        yield worst(place, in_child(partial(fetch_on, [mount], place, partial(again, size))))


def limited(size, task):
    "In a fork: no file may grow beyond `size` bytes, as with a quota."
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try: return task()
    except DataError as e:
        if "too large" not in str(e): raise OSError(f"another cause: {e}") from e
        return True
    except OSError as e: # of `ledger.save` and of a notebook: `main` makes a sentence of it
        return "Errno" not in cli._told(e)
    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,)*2)


@kind("no file may grow (a limit, as with a quota), fetching", "no room", 100)
def quota_fetching(place, rng, n):
    for _ in range(n):
        place.fresh()
        size = rng.choice([0, 10, 60, 100, 300, 500, 1000, 2000, 10_000, 20_000])
        yield worst(place, in_child(partial(limited, size, place.right)), in_child(place.right))


@kind("no file may grow, saving and packing", "no room", 60)
def quota_writing(place, rng, n):
    place.fresh()
    file, path = place.home/"ledger.json", get_data("tiny", "mnist")
    names = [f"first.{i}" for i in range(9)]

    def save():
        ledger.save("mnist", records("more"), file=file)
        return True

    def pack():
        with replaced(cli, "get_data", lambda *_: path), replaced(cli, "FOLDERS", {"tiny": ""}):
            return bool(cli.pack(place.home/"stick"))

    for i in range(n):
        file.unlink(missing_ok=True)
        ledger.save("mnist", records(*names), file=file)
        place.before = place.files()
        end = in_child(partial(limited, rng.randrange(4000), (save, pack)[i % 2]))
        lost = not set(names) <= set(ledger.load("mnist", file).records)
        del place.before[file]
        yield worst(place, end, ("lost", "a record") if lost else None)


@kind("a read-only mount, with the data and without", "no right to write", 12)
def read_only(place, rng, n):
    place.fresh()
    if not can_mount(place): return
    for i in range(n):
        place.fresh()
        if i % 3: get_data("tiny", "mnist")
        if i % 3 == 2: fetch._kept_file(place.home/"data"/"mnist_tiny").unlink()
        home = place.home
        mount = [f"mount --bind {home} {home}", f"mount -o remount,bind,ro {home}"]
        yield worst(place, in_child(partial(fetch_on, mount, place)))


def as_somebody(uid, task, **env):
    "In a fork: as another user, with another environment."
    for name, value in env.items():
        if value is None: os.environ.pop(name, None)
        else: os.environ[name] = value
    os.chdir(env.get("PWD", "/"))
    if uid and os.getuid() == 0:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return task()


@kind("another user's home, no home, a relative one", "no right to write", 24)
def no_home(place, rng, n):
    homes = [dict(FASTAI_HOME=None, HOME=None), dict(FASTAI_HOME=None, HOME="/root"),
             dict(FASTAI_HOME=None, HOME="/nowhere"), dict(FASTAI_HOME="/root/.fastai"),
             dict(FASTAI_HOME="relative/home", PWD=str(place.root/"neighbour")),
             dict(FASTAI_HOME="", HOME="/nowhere"), dict(FASTAI_HOME="~/x", HOME="relative"),
             dict(FASTAI_HOME="/dev/null/x"), dict(FASTAI_HOME="/proc/x")]
    place.root.chmod(0o755)
    for i in range(n):
        place.fresh()
        for file in (place.archives, place.archive): file.chmod(0o755)
        uid = rng.choice([65534, 54321]) # nobody, and one whom the system does not know
        if os.getuid(): homes = [h for h in homes if h.get("HOME", "") is not None]
        task = partial(as_somebody, uid, place.right, **homes[i % len(homes)])
        yield worst(place, in_child(task))


@kind("an archive that may not be read", "no right to write", 6)
def unreadable(place, rng, n):
    place.root.chmod(0o755)
    for i in range(n):
        place.fresh()
        for folder in (place.home, place.home/"data"): folder.chmod(0o777)
        locked = (place.archive, place.archives)[i % 2]
        locked.chmod(0o000)

        def ask():
            try: return place.right()
            except DataError as e:
                if "damaged" not in str(e) and "cannot be written" not in str(e): raise
                raise OSError(f"another cause: {e}") from e

        end = in_child(partial(as_somebody, 65534, ask))
        locked.chmod(0o755)
        yield worst(place, end)


# --- times and changes ---

@kind("clocks that jump: times ahead, behind and alike", "clocks and changes", 200)
def clocks(place, rng, n):
    for i in range(n):
        place.fresh()
        path = get_data("tiny", "mnist")
        files = [*path.rglob("*"), path, fetch._kept_file(path)]
        for file in rng.sample(files, rng.randrange(1, 20)):
            when = rng.choice([0, 1, 1e9, time.time(), time.time() + 1e5, 4e9])
            os.utime(file, (when, when))
        if i % 2: # and somebody has changed an image meanwhile, in place
            one, other = rng.sample(sorted(path.rglob("*.png")), 2)
            overwrite(one, other.read_bytes())
        yield worst(place, meet(place.right))


@kind("folders and files removed, renamed, swapped, restored", "clocks and changes", 300)
def changes(place, rng, n):
    for _ in range(n):
        place.fresh()
        path = get_data("tiny", "mnist")
        times = [(f, f.stat()) for f in (path, *path.rglob("*"))]
        classes = sorted(path.glob("*/[0-9]"))
        for _ in range(rng.randrange(1, 3)):
            folder, images = rng.choice(classes), sorted(path.rglob("*.png"))
            one, other = rng.sample(images, 2) if len(images) > 1 else (path/"a", path/"b")
            change = rng.randrange(8)
            with suppress(OSError):
                if change == 0: shutil.rmtree(folder)
                elif change == 1: folder.rename(folder.with_name(str(rng.randrange(10))))
                elif change == 2: one.unlink()
                elif change == 3: overwrite(one, other.read_bytes())
                elif change == 4: one.rename(other)
                elif change == 5: shutil.copy(one, other.with_name(f"{rng.randrange(99)}.png"))
                elif change == 6: one.rename(one.with_suffix(".jpg"))
                else: one.write_bytes(b"")
        for file, s in times: # as an unpacked backup sets them back
            if file.exists(): os.utime(file, ns=(s.st_atime_ns, s.st_mtime_ns))
        yield worst(place, meet(place.right))


# --- archives and servers that mean harm ---

def member(name, contents=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(contents)
    return info, contents


NAMES = ["../{}", "../../{}", "/{}", "mnist_tiny/../../{}", "mnist_tiny/train/3/../../../../{}",
         "./../{}", "mnist_tiny//..//..//{}", "mnist_tiny/train/3/{}", "mnist_tiny/train/{}",
         "mnist_tiny/{}", "{}", "mnist_tiny/valid/7/\u202e{}", "mnist_tiny/train/3/a\n{}",
         "mnist_tiny/train/3/\x1b[2J{}", "mnist_tiny/train/3/" + "9"*300 + "{}", "..\\..\\{}",
         "mnist_tiny/train/3/C:{}", "mnist_tiny/train/٣/{}", "mnist_tiny/train/3/{}\udc80",
         "mnist_tiny/train/3/.{}", "", ".", "..", "mnist_tiny", "x"*5000 + "{}"]
KINDS_OF_MEMBER = [tarfile.REGTYPE]*4 + [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                   tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.CONTTYPE]


@kind("archives that try to escape: names, links, devices", "archives that mean harm", 400)
def hostile(place, rng, n):
    neighbour = place.root/"neighbour"/"precious.txt"
    png = next(place.archives.rglob("*.png")).read_bytes()
    targets = ["..", "../..", "../../../neighbour", str(neighbour), str(neighbour.parent), "/",
               "mnist_tiny/train/3/0.png", ".", "loop"]
    for _ in range(n):
        place.fresh()
        made = [member(rng.choice(NAMES).format(rng.choice(["precious.txt", "9.png", "loop"])),
                       rng.choice([b"", png, b"harm"]), rng.choice(KINDS_OF_MEMBER),
                       rng.choice(targets)) for _ in range(rng.randrange(1, 4))]
        made = [(info, contents if info.isreg() else b"") for info, contents in made]
        for info, contents in made: info.size = len(contents)
        with tarfile.open(place.archive, "w:gz", compresslevel=1, errors="surrogateescape",
                          format=rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])) as tar:
            first = rng.random() < .5
            if first: tar.add(place.archives/"mnist_tiny", "mnist_tiny")
            for info, contents in made:
                with suppress(ValueError): tar.addfile(info, io.BytesIO(contents))
            if not first: tar.add(place.archives/"mnist_tiny", "mnist_tiny")
        yield worst(place, meet(place.right))


@kind("a chain of links longer than any path", "archives that mean harm", 4)
def chain(place, rng, n):
    for _ in range(n):
        place.fresh()
        step, where, made = "d"*rng.randrange(240, 250), "mnist_tiny", []
        for letter in "abcdefghijklmnop":
            made += [member(f"{where}/{step}", kind=tarfile.DIRTYPE),
                     member(f"{where}/{letter}", kind=tarfile.SYMTYPE, target=step)]
            where += f"/{letter}"
        up = "/".join("abcdefghijklmnop")
        made += [member(f"mnist_tiny/{up}/{'l'*254}", kind=tarfile.SYMTYPE, target="../"*16),
                 member("mnist_tiny/out", kind=tarfile.SYMTYPE,
                        target=f"{up}/{'l'*254}/../../../../neighbour"),
                 member("mnist_tiny/out/precious.txt", b"harm")]
        place.pack(*made)
        yield worst(place, meet(place.right))


def bomb_png(width, height, extra=b""):
    def chunk(name, contents):
        return (struct.pack(">I", len(contents)) + name + contents
                + struct.pack(">I", zlib.crc32(name + contents)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra
            + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))
            + chunk(b"IDAT", zlib.compress(bytes(20_000_000))) + chunk(b"IEND", b""))


@kind("bombs: a small file that unfolds without end", "archives that mean harm", 10)
def bombs(place, rng, n):
    for i in range(n):
        place.fresh()
        if i % 5 == 0: place.pack(member("mnist_tiny/notes", bytes(50_000_000)))
        elif i % 5 == 1: place.pack(member("mnist_tiny/train/3/9.png", bytes(50_000_000)))
        elif i % 5 == 2: place.pack(*(member(f"mnist_tiny/{j}") for j in range(3000)))
        elif i % 5 == 3: place.pack(member("mnist_tiny/train/3/9.png", bomb_png(28, 28)))
        else: place.pack(member("mnist_tiny/train/3/9.png", bomb_png(60_000, 60_000)))
        with replaced(fetch, "MOST_BYTES", 20_000_000), replaced(fetch, "MOST_MEMBERS", 2000):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore") # Pillow's own word on bombs
                yield worst(place, meet(place.right))


class Liar(BaseHTTPRequestHandler):
    "A server that cuts off, lies about lengths, sends something else, or errors."
    def do_GET(self):
        rng, whole = self.server.rng, self.server.contents
        contents = rng.choice([whole, whole[:rng.randrange(len(whole))], flipped(whole, rng),
                               b"<html>Please log in</html>", b"", whole*3])
        self.send_response(rng.choice([200, 200, 200, 200, 206, 302, 404, 500, 503]))
        length = rng.choice([str(len(contents))]*5 + ["many", "-5", "9"*30, "0", "", None])
        if length is not None: self.send_header("Content-Length", length)
        for name in ("Location", "Content-Encoding"):
            if rng.random() < .1: self.send_header(name, rng.choice(["/", "gzip", "nowhere:/"]))
        self.end_headers()
        with suppress(OSError): self.wfile.write(contents)

    def log_message(self, *args): pass


@kind("servers that lie, cut off, redirect or send rubbish", "archives that mean harm", 300)
def servers(place, rng, n):
    from fastai.data.external import URLs
    from torchvision.datasets import MNIST
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.rng, server.contents = rng, place.packed
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/mnist_tiny.tgz"
    with environment(MNIST_COURSE_ARCHIVES=None), replaced(fetch, "PATIENCE", .5), replaced(
            URLs, "MNIST_TINY", url), replaced(URLs, "MNIST", url), replaced(MNIST, "mirrors", []):
        for _ in range(n):
            place.fresh()
            yield worst(place, meet(place.right))
    server.shutdown()
    server.server_close()


# --- Ctrl-C ---

def command(*words, cwd=None, before="", of="sys.argv[1:]"):
    "The command as a terminal starts it; it says when its own code begins, and when that is done."
    says, told = os.pipe()
    lines = f"""import os, signal, sys; {before}
signal.signal(signal.SIGINT, signal.default_int_handler) # a job in the background ignores it
os.write({told}, b"begun ")
from mnist_course.__main__ import main
status = main({of})
os.write({told}, b"done")
sys.exit(status)"""
    process = subprocess.Popen([sys.executable, "-c", lines, *words], cwd=cwd, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(told,),
                               start_new_session=True,
                               env={**os.environ, "PYTHONPATH": str(HERE.parent)})
    os.close(told)
    process.says = os.fdopen(says, "rb", buffering=0)
    return process


def lasted(process):
    "How many seconds a command took, from the beginning of its own code, and what it said."
    process.says.read(6)
    start = time.monotonic()
    _, said = process.communicate()
    process.says.close()
    return time.monotonic() - start, said


def interrupted(process, after):
    "How Ctrl-C is met by a command, some time after its own code began."
    process.says.read(6)
    time.sleep(after)
    with suppress(ProcessLookupError): os.killpg(process.pid, signal.SIGINT)
    try: _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        return "silent wait", "after Ctrl-C"
    os.set_blocking(process.says.fileno(), False)
    with process.says: done = process.says.read(4) == b"done"
    if "Traceback" in said: return "traceback", f"{process.returncode} {said[-300:]}"
    if done: return GOOD, "" # what is left is Python's own way out
    ends = 130, -signal.SIGINT # the latter where a library's `exec` was what stopped
    word = process.returncode in ends and "mnist_course: stopped, as you asked." in said
    return (GOOD, "") if word else ("no word", f"{process.returncode} {said[-300:]}")


@kind("Ctrl-C while the data is fetched", "Ctrl-C", 20)
def ctrl_c_fetching(place, rng, n):
    with environment(MNIST_COURSE_DATA="standin"):
        place.fresh()
        longest, _ = lasted(command("data"))
        for _ in range(n):
            place.fresh()
            end = interrupted(command("data"), rng.uniform(.02, longest))
            yield worst(place, end)


@kind("Ctrl-C while a lesson runs", "Ctrl-C", 8)
def ctrl_c_running(place, rng, n):
    import nbformat
    import psutil
    from nbformat.v4 import new_code_cell, new_notebook
    clone = place.root/"neighbour"/"clone"
    (clone/"nbs").mkdir(parents=True)
    (clone/"settings.ini").write_text("[DEFAULT]\nlib_name = mnist_course\n")
    nb = clone/"nbs"/"01_slow.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("import time\ntime.sleep(60)")]), nb)
    whole = nb.read_bytes()
    for _ in range(n):
        process = command("run", "01", cwd=clone)
        time.sleep(rng.uniform(.5, 9))
        kernels = psutil.Process(process.pid).children(recursive=True)
        end = interrupted(process, .05)
        _, alive = psutil.wait_procs(kernels, timeout=5)
        if alive: end = "left behind", "a kernel"
        if nb.read_bytes() != whole or list(clone.rglob("*.part")): end = "left behind", "a half"
        yield end
    shutil.rmtree(clone)


@kind("stopped or killed while a model trains, then the same command again", "Ctrl-C", 12)
def stopped_training(place, rng, n):
    place.fresh()
    get_data("tiny", "mnist")
    for name in "whole", "again": (place.home/name).mkdir()
    def train(name): # the small dataset passes for MNIST's in the child as well
        words = ["train", "mlp", "tiny", "--epochs", "60", "--save", "model", "--checkpoint",
                 "place", "--report", "report"]
        return command(of=words, cwd=place.home/name, before="from mnist_course import checkpoint, "
                       f"fetch; fetch.EXPECTED['tiny'] = {place.expected!r}; checkpoint.EVERY = 0")
    longest, said = lasted(train("whole"))
    known = (place.home/"whole"/"model").read_bytes()
    folder = place.home/"again"
    for i in range(n):
        process = train("again")
        if i % 2: end = interrupted(process, rng.uniform(.02, longest))
        else:
            process.says.read(6)
            time.sleep(rng.uniform(.02, longest))
            with suppress(ProcessLookupError): os.killpg(process.pid, signal.SIGKILL)
            lasted(process)
            end = GOOD, ""
        _, said = lasted(train("again"))
        whole = (folder/"model").is_file() and (folder/"model").read_bytes() == known
        names = sorted(f.name for f in folder.iterdir())
        if end[0] == GOOD and not whole: end = "lost", said[-300:]
        if end[0] == GOOD and names != ["model", "report"]: end = "left behind", str(names)
        yield end
        for name in names: (folder/name).unlink()


# --- models, checkpoints and what the commands make of them ---

ABOUT = {"method": "none", "seed": 0}


def a_model(place):
    "A small trained model."
    return models.make("nearest_mean_l2").fit(*place.parts["train"])


def held(model): return {k: t.tolist() for k, t in model.method.parts(model.trained).items()}


def a_checkpoint(file, step):
    "A training's place after a step, as the trainings write it."
    net = torch.nn.Linear(40, 3)
    with torch.no_grad(): net.weight.fill_(step)
    Checkpoint(file, ABOUT).write(net, None, {"step": step})


def step_of(file):
    "The step of a checkpoint whose weights are that step's."
    tensors, place = Checkpoint(file, ABOUT).found
    whole = bool((tensors["model.weight"] == place["step"]).all())
    return place["step"] if whole else None


@kind("a byte of a saved model flips", "models and checkpoints", 1000)
def flip_model(place, rng, n):
    file, model = place.root/"model", a_model(place)
    model.save(file)
    whole, known = file.read_bytes(), held(model)
    for _ in range(n):
        file.write_bytes(flipped(whole, rng))
        yield meet(lambda: held(models.load(file)) == known)
    file.unlink()


@kind("a byte of a checkpoint flips, or its end is missing", "models and checkpoints", 1000)
def flip_checkpoint(place, rng, n):
    file = place.root/"place"
    a_checkpoint(file, 7)
    whole = file.read_bytes()
    for i in range(n):
        file.write_bytes(whole[:rng.randrange(len(whole))] if i % 4 == 3 else flipped(whole, rng))
        yield meet(lambda: step_of(file) == 7)
    file.unlink()


@kind("killed while a model is saved over another", "models and checkpoints", 100)
def kill_model(place, rng, n):
    place.fresh()
    file, model = place.home/"model", a_model(place)
    known = held(model)

    def save(times):
        for _ in range(times): model.save(file)
        return held(models.load(file)) == known

    for _ in range(n):
        model.save(file)
        place.before = place.files()
        many = Child(partial(save, 100))
        many.kill(after=rng.uniform(0, .2))
        many.met()
        whole = meet(lambda: held(models.load(file)) == known)
        yield worst(place, ("lost", "a model") if whole[0] != GOOD else None, in_child(
            partial(save, 1)))


@kind("killed while checkpoints are written", "models and checkpoints", 100)
def kill_checkpoint(place, rng, n):
    place.fresh()
    file = place.home/"place"

    def train(steps):
        for step in range(steps): a_checkpoint(file, step)
        return step_of(file) == steps - 1

    for _ in range(n):
        a_checkpoint(file, 0)
        many = Child(partial(train, 400))
        many.kill(after=rng.uniform(0, .3))
        many.met()
        whole = meet(lambda: step_of(file) is not None)
        yield worst(place, ("lost", "the place") if whole[0] != GOOD else None, in_child(
            partial(train, 2)))
        file.unlink()


@kind("no file may grow, saving a model or a checkpoint", "models and checkpoints", 60)
def quota_models(place, rng, n):
    place.fresh()
    model_file, place_file, model = place.home/"model", place.home/"place", a_model(place)
    model.save(model_file), a_checkpoint(place_file, 7)
    place.before = place.files()

    def save(): return model.save(model_file) is None
    def write(): return a_checkpoint(place_file, 7) is None

    for i in range(n):
        size = rng.randrange(place_file.stat().st_size)
        yield worst(place, in_child(partial(limited, size, (save, write)[i % 2])))


@kind("killed while NumPy's network trains", "models and checkpoints", 40)
def kill_training(place, rng, n):
    place.fresh()
    file, data = place.home/"place", place.parts["train"]

    def train(kept): # to the same weights, however often it was stopped
        with replaced(checkpoint, "EVERY", 0):
            return held(models.make("numpy_relu", n_epochs=4).fit(*data, checkpoint=kept))

    known, longest = train(None), duration(lambda: bool(train(file)))
    for _ in range(n):
        yield killed_then_again(place, rng, lambda: train(file) == known, longest)


@kind("a command is given a damaged model", "models and checkpoints", 200)
def flip_for_command(place, rng, n):
    file = place.root/"model"
    a_model(place).save(file)
    whole = file.read_bytes()

    def evaluate(contents):
        file.write_bytes(contents)
        with redirect_stderr(io.StringIO()) as said, redirect_stdout(io.StringIO()) as out, \
                replaced(cli.warnings, "showwarning", None):
            return cli.main(["evaluate", str(file), "tiny"]), out.getvalue(), said.getvalue()

    good = evaluate(whole)
    for _ in range(n):
        status, out, said = evaluate(flipped(whole, rng))
        refused = status == 2 and not out and said.startswith("mnist_course: ")
        refused &= said.count("\n") == 1
        yield (GOOD, "") if refused or (status, out, said) == good else ("traceback", said)
    file.unlink()


# --- several processes ---

STEPS = 40


def one_of_three(r, place, port, before):
    "What one process does: it trains with the others, and its place is kept after every step."
    os.environ |= {"RANK": str(r), "WORLD_SIZE": "3", "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    real, checkpoint.EVERY, processes.PATIENCE, n = checkpoint._after_step, 0, 60, 0

    def after_step(self, write):
        nonlocal n
        n += 1
        before(r, n)
        real(self, write)

    def train():
        with processes.together():
            model = models.make("linear_learner", n_epochs=STEPS)
            model.fit(*place.parts["train"], checkpoint=place.home/"place")
            if processes.is_first(): model.save(place.home/"model")

    Checkpoint.after_step = after_step
    return cli.ended("faults", train, (DataError, ValueError)) in (0, 1, 2)


def three(place, before):
    "Three processes train; how each was met, and what was said of what went wrong."
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False) # as torchrun's
    children = [Child(partial(one_of_three, r, place, store.port, before)) for r in range(3)]
    met = [child.met(120) for child in children]
    said = "".join(child.said for child in children)
    return met, [line for line in said.splitlines() if "faults: " in line], said


def nothing(r, n): "No trouble."


def as_known(place, known):
    "Is the model that was saved the one that undisturbed processes get? It is removed."
    same = held(models.load(place.home/"model")) == known
    (place.home/"model").unlink()
    return same


def undisturbed(place):
    "What three processes get that nobody disturbs."
    place.fresh()
    met, _, said = three(place, nothing)
    assert [end for end in met if end and end[0] == GOOD] == met, said
    known = held(models.load(place.home/"model"))
    (place.home/"model").unlink()
    return known


@kind("one of three is killed while they train", "several processes", 12)
def kill_one(place, rng, n):
    known = undisturbed(place)
    for _ in range(n):
        who, when = rng.randrange(3), rng.randrange(1, STEPS)

        def before(r, n, who=who, when=when):
            if (r, n) == (who, when): os.kill(os.getpid(), signal.SIGKILL)

        met, told_of, said = three(place, before)
        left = [end for r, end in enumerate(met) if r != who]
        one = None if len(told_of) == 1 and "has gone without a word" in said else (
            "traceback", said[:300] or "nothing was said")
        again = three(place, nothing)[0]
        yield worst(place, *left, one, *again, meet(partial(as_known, place, known)))


@kind("one of three fails, or has no room", "several processes", 12)
def fail_one(place, rng, n):
    known = undisturbed(place)
    for i in range(n):
        who, when = (0, rng.randrange(3))[i % 2], rng.randrange(1, STEPS)

        def before(r, n, who=who, when=when, full=i % 2 == 0):
            if (r, n) != (who, when): return
            if not full: raise DataError("The images are gone: bring them back.")
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))

        met, told_of, said = three(place, before)
        words = "too large" if i % 2 == 0 else "bring them back"
        one = None if len(told_of) == 1 and words in told_of[0] and f"[rank {who} of 3]" in said \
            else ("traceback", said[:300] or "nothing was said")
        again = three(place, nothing)[0]
        yield worst(place, *met, one, *again, meet(partial(as_known, place, known)))


# --- all of it ---

@contextmanager
def replaced(owner, name, value):
    "Another value for an attribute, for a while."
    missing = object()
    before = getattr(owner, name, missing)
    setattr(owner, name, value)
    try: yield
    finally: delattr(owner, name) if before is missing else setattr(owner, name, before)


@contextmanager
def environment(**values):
    "Other environment variables, for a while; None takes one away."
    before = {name: os.environ.get(name) for name in values}

    def put(values):
        for name, value in values.items():
            if value is None: os.environ.pop(name, None)
            else: os.environ[name] = value

    put(values)
    try: yield
    finally: put(before)


@contextmanager
def a_place():
    "A place in a temporary folder, whose small dataset passes for MNIST's."
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None # spares the disk
    with tempfile.TemporaryDirectory(prefix="faults.", dir=memory,
                                     ignore_cleanup_errors=True) as folder:
        with environment(FASTAI_HOME=f"{folder}/home", MNIST_COURSE_ARCHIVES=f"{folder}/archives",
                         MNIST_COURSE_DATA=None, HOME=folder, TQDM_DISABLE="1"):
            place = Place(os.path.realpath(folder))
            with replaced(fetch, "EXPECTED", {**fetch.EXPECTED, "tiny": place.expected}):
                yield place


def count(name, n, seed=0):
    "Make the cases of one kind: class -> how many, and a few examples of what was not well met."
    found, examples = Counter(), []
    with a_place() as place:
        for end, seen in KINDS[name][2](place, random.Random(f"{seed} {name}"), n):
            found[end] += 1
            if end != GOOD and len(examples) < 3: examples.append(f"{end}: {seen[:300]}")
    return found, examples


def of_this_code(seed):
    "What the counts of a kind hang on: the package, this file and the seed."
    files = sorted([*Path(fetch.__file__).parent.rglob("*.py"), Path(__file__)])
    code = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
    return [code, seed, platform.python_version(), torch.__version__]


def through(seed):
    "The kinds that an earlier call, which was stopped, has counted: name -> counts, no examples."
    try: lines = [json.loads(line) for line in DONE.read_text("utf-8").splitlines()]
    except (OSError, ValueError): return {}
    return {name: (Counter(found), []) for of, name, found in lines if of == of_this_code(seed)}


def note_through(seed, name, found):
    "Keep that a kind has been counted."
    DONE.parent.mkdir(exist_ok=True)
    with DONE.open("a", encoding="utf-8") as f:
        f.write(json.dumps([of_this_code(seed), name, found]) + "\n")


def table(rows):
    "The counts as Markdown, with a line of sums."
    names = ["group", "kind", "cases", *CLASSES]
    sums = {name: sum(int(row[name]) for row in rows) for name in names[2:]}
    lines = [names, ["---"]*2 + ["---:"]*(len(names) - 2)]
    lines += [[str(row[name]) for name in names] for row in rows]
    lines += [["**together**", "", *(f"**{sums[name]}**" for name in names[2:])]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def page(rows):
    "The page of the book, with these counts between its marks."
    text = PAGE.read_text("utf-8")
    head, tail = text.split("<!-- counts -->")[0], text.split("<!-- end of counts -->")[1]
    first = rows[0]
    about = ", ".join(f"{name} {first[name]}" for name in ("python", "torch", "pillow", "filelock"))
    return (f"{head}<!-- counts -->\nCounted on {first['date']}: {about}, {first['system']}.\n\n"
            f"{table(rows)}\n<!-- end of counts -->{tail}")


def main():
    "The command line."
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="beginnings of kinds' names; all if none")
    parser.add_argument("--sample", type=int, help="at most so many cases of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="list the kinds")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler) # a shell's background job ignores it
    chosen = [k for k in KINDS if not args.kinds or k.startswith(tuple(args.kinds))]
    if args.list: return print(*chosen, sep="\n")
    about = dict(date=time.strftime("%Y-%m-%d"), python=platform.python_version(),
                 system=platform.system(),
                 **{p: version(p) for p in ("torch", "pillow", "filelock")})
    whole = not args.sample and not args.kinds
    done = through(args.seed) if whole else {}
    rows, bad, start = [], 0, time.monotonic()
    for name in chosen:
        group, n, _ = KINDS[name]
        try: found, examples = done.get(name) or count(name, min(n, args.sample or n), args.seed)
        except Exception: # the driver's own: the other kinds are counted all the same
            found, examples = Counter({"traceback": 1}), [traceback.format_exc()[-600:]]
        cases, wrong = sum(found.values()), sum(found.values()) - found[GOOD] - found[NO_DIGEST]
        if whole and name not in done and not wrong: note_through(args.seed, name, found)
        bad += wrong
        rows.append(dict(about, group=group, kind=name, cases=cases,
                         **{c: found[c] for c in CLASSES}))
        rest = ", ".join(f"{c} {found[c]}" for c in CLASSES if c != GOOD and found[c])
        note = rest or ("" if cases else "not possible here")
        note += " (counted before)" if name in done else ""
        print(f"{time.monotonic() - start:6.0f} s  {found[GOOD]:4} of {cases:4}  {name}  {note}",
              *examples, sep="\n          ", flush=True)
    if whole and not bad:
        with open(COUNTS, "w", newline="", encoding="utf-8") as f:
            writer = csv.DictWriter(f, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        PAGE.write_text(page(rows), encoding="utf-8")
        DONE.unlink(missing_ok=True)
    print(f"{sum(r['cases'] for r in rows)} cases, {bad} not well met")
    return bool(bad)


if __name__ == "__main__": sys.exit(cli.ended("faults", main))
