"Everything that can go wrong with data on its way: each is told in one sentence, nothing is left."
import gzip
import hashlib
import io
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from mnist_course import data, fetch
from mnist_course.data import load_images, load_split
from mnist_course.fetch import DataError, StandInWarning, get_data, source_of
from PIL import Image


def pictures(n, seed=0):
    "`n` made-up images, uint8 (n, 28, 28)."
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 28, 28), generator=g, dtype=torch.uint8)


@pytest.fixture
def small(monkeypatch):
    "Let made-up images pass for MNIST: `tiny` is 3 + 2 and 2 + 1 images whose digests are known."
    train, valid = (pictures(5, 1), torch.tensor([3, 3, 3, 7, 7])), (pictures(3, 2),
                                                                    torch.tensor([3, 3, 7]))
    expected = {part: {d: (int((y == d).sum()), fetch.pixel_digest(x[y == d])) for d in (3, 7)}
                for part, (x, y) in (("train", train), ("valid", valid))}
    monkeypatch.setitem(fetch.EXPECTED, "tiny", [expected])
    return {"train": train, "valid": valid}


@pytest.fixture
def archives(tmp_path, monkeypatch, small):
    "A folder with mnist_tiny.tgz, named in MNIST_COURSE_ARCHIVES."
    folder = tmp_path/"archives"
    for part, (x, y) in small.items():
        fetch.write_images(folder/"mnist_tiny"/part, x, y)
    with tarfile.open(folder/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(folder/"mnist_tiny", "mnist_tiny")
    monkeypatch.setenv("MNIST_COURSE_ARCHIVES", str(folder))
    return folder


def pack(archives, *members):
    "Pack mnist_tiny anew, and after it what `members` are: pairs of a TarInfo and its contents."
    with tarfile.open(archives/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(archives/"mnist_tiny", "mnist_tiny")
        for info, contents in members:
            info.size = len(contents)
            tar.addfile(info, io.BytesIO(contents))


def member(name, kind=tarfile.REGTYPE, target=""):
    "A member of an archive: a file, a link to `target`, a device."
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def unreachable(monkeypatch):
    "No address answers."
    from fastai.data.external import URLs
    from torchvision.datasets import MNIST
    nowhere = "http://127.0.0.1:9/"
    for name in ("MNIST", "MNIST_SAMPLE", "MNIST_TINY"):
        monkeypatch.setattr(URLs, name, f"{nowhere}{name.lower()}.tgz")
    monkeypatch.setattr(MNIST, "mirrors", [nowhere])


@pytest.fixture
def server():
    "A web server on this machine; `server.files` maps a path to (bytes, how many of them to send)."
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            contents, n = self.server.files.get(self.path, (None, 0))
            if contents is None: return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", self.server.length or str(len(contents)))
            self.end_headers()
            try:
                self.wfile.write(contents[:n])
                if self.server.silent: self.server.over.wait()
            except OSError: pass # the other side has hung up

        def log_message(self, *args): pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    httpd.length, httpd.silent, httpd.over = "", False, threading.Event()
    httpd.files, httpd.address = {}, f"http://127.0.0.1:{httpd.server_port}/"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd
    httpd.over.set()
    httpd.shutdown()
    httpd.server_close()


def left(home):
    "What stands in the data folder, locks aside."
    found = (home/"data").rglob("*") if (home/"data").exists() else []
    return sorted(f.name for f in found if f.suffix != ".lock")


def test_archive_arrives_whole_and_is_read_back(home, archives, small):
    path = get_data("tiny", "mnist")
    assert path == home/"data"/"mnist_tiny" and source_of(path) == "mnist"
    for part, (x, y) in small.items():
        images, labels = load_split(path, part)
        assert torch.equal(images, x) and torch.equal(labels, y)
    assert get_data("tiny") == path     # and is found again


def test_archive_cut_off(home, archives):
    archive = archives/"mnist_tiny.tgz"
    archive.write_bytes(archive.read_bytes()[:-900])
    with pytest.raises(DataError, match="mnist_tiny.tgz cannot be unpacked.*get it again"):
        get_data("tiny")
    assert left(home) == []


def test_archive_with_other_pixels(home, archives, small):
    x, y = small["valid"]
    changed = x.clone()
    changed[2, 5, 5] ^= 1
    fetch.write_images(archives/"mnist_tiny"/"valid", changed, y)
    with tarfile.open(archives/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(archives/"mnist_tiny", "mnist_tiny")
    with pytest.raises(DataError, match="valid.7 holds other pixels than MNIST's"):
        get_data("tiny")
    assert left(home) == []


def test_archive_with_an_image_missing(home, archives):
    next((archives/"mnist_tiny"/"train"/"3").iterdir()).unlink()
    with tarfile.open(archives/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(archives/"mnist_tiny", "mnist_tiny")
    with pytest.raises(DataError, match="train.3 holds 2 images where MNIST has 3"):
        get_data("tiny")
    assert left(home) == []


@pytest.mark.parametrize("name", ["../../../escaped.png", "/escaped.png",
                                  "mnist_tiny/train/3/../../../../escaped.png"])
def test_archive_that_would_write_elsewhere(home, archives, tmp_path, name):
    contents = (archives/"mnist_tiny"/"train"/"3"/"0.png").read_bytes()
    name = name if name[0] != "/" else str(tmp_path/"escaped.png")
    pack(archives, (member(name), contents))
    with pytest.raises(DataError, match="names a place outside its folder"):
        get_data("tiny")
    assert left(home) == [] and not list(tmp_path.rglob("escaped.png"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                                  tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_archive_with_a_link_or_a_device(home, archives, kind):
    pack(archives, (member("mnist_tiny/train/3/9.png", kind, "mnist_tiny/train/3/0.png"), b""))
    with pytest.raises(DataError, match="holds mnist_tiny/train/3/9.png, which is a link or a dev"):
        get_data("tiny")
    assert left(home) == []


def test_archive_with_a_chain_of_links_past_the_longest_path(home, archives, tmp_path):
    # Links in links whose resolved path is longer than a system takes: Python's filter loses
    # count there, and the last link leads out of the folder.
    step, place, members = "d"*247, "mnist_tiny", []
    for letter in "abcdefghijklmnop":
        members += [(member(f"{place}/{step}", tarfile.DIRTYPE), b""),
                    (member(f"{place}/{letter}", tarfile.SYMTYPE, step), b"")]
        place += f"/{letter}"
    up = "/".join("abcdefghijklmnop")
    members += [(member(f"mnist_tiny/{up}/{'l'*254}", tarfile.SYMTYPE, "../"*16), b""),
                (member("mnist_tiny/out", tarfile.SYMTYPE, f"{up}/{'l'*254}/../../../.."), b""),
                (member("mnist_tiny/out/escaped.png"), b"out")]
    pack(archives, *members)
    with pytest.raises(DataError, match="which is a link or a device"):
        get_data("tiny")
    assert left(home) == [] and not list(tmp_path.rglob("escaped.png"))


def test_archive_with_a_huge_member(home, archives):
    pack(archives, (member("mnist_tiny/train/3/9.png"), bytes(2_000_000)))
    with pytest.raises(DataError, match="9.png of 2,000,000 bytes, far too large"):
        get_data("tiny")
    assert left(home) == []


def test_archive_that_unfolds_without_end(home, archives, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_BYTES", 1_000_000)
    pack(archives, (member("mnist_tiny/notes"), bytes(3_000_000)))  # passed over, yet it counts
    assert (archives/"mnist_tiny.tgz").stat().st_size < 50_000
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        get_data("tiny")
    packed = gzip.compress(bytes(3_000_000))                        # zeros after the archive's end
    pack(archives)
    with open(archives/"mnist_tiny.tgz", "ab") as f: f.write(packed)
    with pytest.raises(DataError, match="more than 1,000,000 bytes"):
        get_data("tiny")
    assert left(home) == []


def test_archive_with_too_many_members(home, archives, monkeypatch):
    monkeypatch.setattr(fetch, "MOST_MEMBERS", 50)
    pack(archives, *((member(f"mnist_tiny/notes/{i}"), b"") for i in range(60)))
    with pytest.raises(DataError, match="holds more than 50 files"):
        get_data("tiny")
    assert left(home) == []


def test_archive_with_a_name_twice(home, archives):
    pack(archives, (member("mnist_tiny/train/3/0.png"), b"another"))
    with pytest.raises(DataError, match="0.png twice"):
        get_data("tiny")
    assert left(home) == []


def test_what_does_not_belong_stays_in_the_archive(home, archives):
    names = ("mnist_tiny/._labels.csv", "mnist_tiny/train/3/._0.png", "mnist_tiny/models/a.pth",
             "mnist_tiny/train/3/run.py", "elsewhere/train/3/9.png", "mnist_tiny/train/12/9.png")
    pack(archives, *((member(name), b"?") for name in names))
    path = get_data("tiny")
    assert len(load_split(path, "train")[1]) == 5
    kept = {f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file()}
    assert kept == {f.relative_to(archives/"mnist_tiny").as_posix()
                    for f in (archives/"mnist_tiny").rglob("*") if f.is_file()}


def test_archive_with_any_flipped_bit_is_refused(home, archives, small):
    archive = archives/"mnist_tiny.tgz"
    whole = archive.read_bytes()
    g, refused = torch.Generator().manual_seed(0), 0
    start = whole.index(b"\0", 10) + 1 # before it: the time and the archive's name, no contents
    for at in torch.randint(start, len(whole), (60,), generator=g).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        archive.write_bytes(damaged)
        try: path = get_data("tiny")
        except DataError as e:
            assert "mnist_tiny.tgz" in str(e) and left(home) == [], at
            refused += 1
        else: # a bit that fills up the last byte means nothing
            assert torch.equal(load_split(path, "train")[0], small["train"][0]), at
            shutil.rmtree(home/"data")
    assert refused >= 58
    archive.write_bytes(whole)
    assert len(load_split(get_data("tiny"), "train")[1]) == 5


def test_damaged_image_in_an_archive_is_named_by_its_place_in_it(home, archives):
    image = archives/"mnist_tiny"/"train"/"7"/"4.png"
    image.write_bytes(image.read_bytes()[:100])
    pack(archives)
    with pytest.raises(DataError, match="What was fetched is damaged: mnist_tiny.train.7.4.png ca"):
        get_data("tiny")
    assert left(home) == []


def test_archives_folder_that_is_none(home, monkeypatch):
    monkeypatch.setenv("MNIST_COURSE_ARCHIVES", "nowhere/at/all")
    with pytest.raises(DataError, match="MNIST_COURSE_ARCHIVES names nowhere/at/all"):
        get_data("tiny")


def test_damaged_image_is_named(home, archives):
    path = get_data("tiny")
    (path/"train"/"7"/"4.png").write_bytes(b"not a picture")
    os.utime(path/"train"/"7", (2e9, 2e9))  # as when a file is added or removed
    with pytest.raises(DataError, match=r"7.4\.png cannot be read as an image"):
        load_split(path, "train")
    with pytest.raises(DataError, match=r"4\.png"):
        get_data("tiny")


def test_image_missing_from_the_data_folder(home, archives):
    path = get_data("tiny")
    next((path/"train"/"3").iterdir()).unlink()
    os.utime(path/"train"/"3", (2e9, 2e9))
    with pytest.raises(DataError, match="2 images where MNIST has 3: delete"):
        get_data("tiny")


def other_pixels(file):
    "Write another image into the file, in place, and set its time back."
    before, new = file.stat(), io.BytesIO()
    Image.fromarray(255 - fetch.read_image(file)).save(new, "PNG")
    with open(file, "r+b") as f:
        f.write(new.getvalue())
        f.truncate()
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [
    lambda path: other_pixels(path/"train"/"3"/"1.png"),
    lambda path: (path/"train"/"7").rename(path/"train"/"8"),
    lambda path: (path/"train"/"3"/"1.png").rename(path/"train"/"7"/"1.png"),
    lambda path: (path/"valid"/"3"/"0.png").rename(path/"valid"/"3"/"9.jpg"),
    lambda path: [f.unlink() for f in (path/"valid"/"7").iterdir()],
], ids=["overwritten in place", "class renamed", "label changed", "renamed", "class emptied"])
def test_a_change_in_the_data_folder_is_noticed(home, archives, change):
    path = get_data("tiny")
    times = [(f, f.stat()) for f in (path, *path.rglob("*")) if f.is_dir()]
    change(path)
    for folder, s in times:  # as an unpacked backup sets them back
        if folder.exists(): os.utime(folder, ns=(s.st_atime_ns, s.st_mtime_ns))
    with pytest.raises(DataError, match="MNIST|holds no PNG|also holds"):
        get_data("tiny")


def test_what_is_loaded_is_what_was_verified(home, archives, small):
    # Whoever asks `get_data` hears of it (above); whoever does not gets the verified images.
    path = get_data("tiny")
    other_pixels(path/"train"/"3"/"1.png")
    assert torch.equal(load_split(path, "train")[0], small["train"][0])


def test_any_flipped_byte_in_the_kept_file_is_noticed(home, archives, small, monkeypatch):
    path = get_data("tiny")
    kept, decoded = home/"data"/".mnist_tiny.kept", []
    whole = kept.read_bytes()
    decode = fetch._decode
    monkeypatch.setattr(fetch, "_decode", lambda path: decoded.append(path) or decode(path))
    g = torch.Generator().manual_seed(0)
    head = torch.randint(len(whole.partition(b"}\n")[0]), (40,), generator=g).tolist()
    for i, at in enumerate([*head, *torch.randint(len(whole), (100,), generator=g).tolist()]):
        damaged = bytearray(whole)
        damaged[at] ^= int(torch.randint(1, 256, (1,), generator=g))
        kept.write_bytes(damaged)
        for part, (x, y) in small.items():
            images, labels = load_split(path, part)
            assert torch.equal(images, x) and torch.equal(labels, y)
        assert len(decoded) == 2*(i + 1), f"byte {at} was believed"
    for damage in (b"", whole[:100], whole[:-1], bytes(len(whole)), whole[:-500] + bytes(500)):
        kept.write_bytes(damage)
        assert torch.equal(load_split(path, "train")[0], small["train"][0])
    assert len(decoded) == 2*140 + 5
    get_data("tiny")                        # which repairs it
    decoded.clear()
    assert kept.read_bytes() == whole and len(load_split(path, "train")[1]) == 5 and not decoded


def test_kept_file_of_an_older_folder_is_not_believed(home, archives):
    path = get_data("tiny")
    fetch.write_images(path/"valid", pictures(1, 5), torch.tensor([7]))  # 0.png among the sevens
    assert len(load_split(path, "valid")[1]) == 4


def test_nothing_is_written_beside_a_persons_own_folder(home, archives, tmp_path):
    own = tmp_path/"own"/"digits"
    fetch.write_images(own/"train", pictures(4), torch.tensor([1, 2, 3, 3]))
    for name in ("digits.pt", ".digits.kept", ".digits.part", "digits.ok"):
        (own.parent/name).write_bytes(b"my own")
    before = {f: f.read_bytes() for f in tmp_path.joinpath("own").rglob("*") if f.is_file()}
    assert load_split(own, "train")[1].tolist() == [1, 2, 3, 3]
    assert {f: f.read_bytes() for f in (tmp_path/"own").rglob("*") if f.is_file()} == before


def test_data_folder_that_cannot_be_written_is_used(home, archives, small, monkeypatch):
    path = get_data("tiny")
    (home/"data"/".mnist_tiny.kept").unlink()
    def refused(*args, **kwargs): raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(fetch, "FileLock", refused)
    monkeypatch.setattr(fetch.os, "fsync", refused)
    monkeypatch.setattr(fetch, "data_folder", lambda: home/"data")
    assert get_data("tiny") == path
    assert torch.equal(load_split(path, "train")[0], small["train"][0])
    assert not [name for name in left(home) if name.endswith(".part")]
    other_pixels(path/"train"/"3"/"1.png")
    with pytest.raises(DataError, match="other pixels than MNIST's"): get_data("tiny")


def test_stand_in_that_was_changed(home):
    with pytest.warns(StandInWarning): path = get_data("tiny", "standin")
    next((path/"train"/"3").iterdir()).unlink()
    with pytest.raises(DataError, match="no longer holds the images it was made with: delete it"):
        get_data("tiny", "standin")


def test_a_lock_that_is_held_is_waited_for_with_a_word(home, archives, monkeypatch, capsys):
    monkeypatch.setattr(fetch, "SILENCE", .1)
    (home/"data").mkdir(parents=True)
    hold = ("import sys, time, filelock\n"
            "with filelock.FileLock(sys.argv[1]):\n"
            "    print('held', flush=True)\n"
            "    time.sleep(1.5)")
    lock = home/"data"/".mnist_tiny.lock"
    other = subprocess.Popen([sys.executable, "-c", hold, lock], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    assert len(load_split(get_data("tiny"), "train")[1]) == 5
    assert other.wait() == 0 and other.stdout.close() is None
    assert "Another program is busy with" in capsys.readouterr().err


def test_data_fetched_by_fastai_before_is_used(home, archives):
    with tarfile.open(archives/"mnist_tiny.tgz") as tar:
        tar.extractall(home/"data", filter="data")
    (archives/"mnist_tiny.tgz").unlink()
    assert len(load_split(get_data("tiny", "mnist"), "train")[1]) == 5


def test_no_network(home, unreachable):
    reasons = "MNIST_COURSE_ARCHIVES is not set; fastai's address did not serve it"
    with pytest.raises(DataError, match=f"MNIST .tiny. cannot be had: {reasons}"):
        get_data("tiny", "mnist")
    assert left(home) == []
    with pytest.warns(StandInWarning, match="THIS IS NOT MNIST.*'tiny' because.*the network"):
        path = get_data("tiny")
    assert source_of(path) == "standin" and "standin" in path.parts


def test_download_cut_off_then_whole(home, archives, server, unreachable, monkeypatch):
    from fastai.data.external import URLs
    whole = (archives/"mnist_tiny.tgz").read_bytes()
    monkeypatch.delenv("MNIST_COURSE_ARCHIVES")
    monkeypatch.setattr(URLs, "MNIST_TINY", server.address + "mnist_tiny.tgz")
    server.files["/mnist_tiny.tgz"] = whole, len(whole)//2
    with pytest.raises(DataError, match="fastai's address did not serve it"):
        get_data("tiny", "mnist")
    assert left(home) == []
    server.files["/mnist_tiny.tgz"] = whole, len(whole)
    assert len(load_split(get_data("tiny", "mnist"), "valid")[1]) == 3


def test_server_that_answers_with_something_else(home, server, unreachable, monkeypatch):
    from fastai.data.external import URLs
    monkeypatch.setattr(URLs, "MNIST_TINY", server.address + "mnist_tiny.tgz")
    server.files["/mnist_tiny.tgz"] = b"<html>Please log in</html>", 26
    with pytest.raises(DataError, match="cannot be unpacked"):
        get_data("tiny", "mnist")
    assert left(home) == []


def test_server_that_falls_silent(home, server, unreachable, monkeypatch):
    from fastai.data.external import URLs
    monkeypatch.setattr(URLs, "MNIST_TINY", server.address + "mnist_tiny.tgz")
    monkeypatch.setattr(fetch, "PATIENCE", .5)
    server.files["/mnist_tiny.tgz"], server.silent = (bytes(1000), 10), True
    with pytest.raises(DataError, match="fastai's address did not serve it .*(time|Time)"):
        get_data("tiny", "mnist")
    assert left(home) == []


@pytest.mark.parametrize("length", ["many", "-5", "9"*30])
def test_server_that_lies_about_the_length(length, home, archives, server, unreachable,
                                           monkeypatch):
    from fastai.data.external import URLs
    whole = (archives/"mnist_tiny.tgz").read_bytes()
    monkeypatch.delenv("MNIST_COURSE_ARCHIVES")
    monkeypatch.setattr(URLs, "MNIST_TINY", server.address + "mnist_tiny.tgz")
    server.files["/mnist_tiny.tgz"], server.length = (whole, len(whole)), length
    try: assert len(load_split(get_data("tiny", "mnist"), "train")[1]) == 5 # it came all the same
    except DataError as e: assert "did not serve it" in str(e) and left(home) == []


def test_server_that_sends_without_end(home, server, unreachable, monkeypatch):
    from fastai.data.external import URLs
    monkeypatch.setattr(URLs, "MNIST_TINY", server.address + "mnist_tiny.tgz")
    monkeypatch.setattr(fetch, "MOST_BYTES", 100_000)
    server.files["/mnist_tiny.tgz"] = bytes(3_000_000), 3_000_000
    with pytest.raises(DataError, match="did not serve it .*more than 100,000 bytes"):
        get_data("tiny", "mnist")
    assert left(home) == []


def test_mirror_that_serves_another_file(home, server, unreachable, monkeypatch):
    from torchvision.datasets import MNIST
    monkeypatch.setattr(MNIST, "mirrors", [server.address])
    name = MNIST.resources[0][0]
    server.files[f"/{name}"] = gzip.compress(b"something else"), 10**9
    with pytest.raises(DataError, match=f"nor did torchvision's mirror .*{name} is another file"):
        get_data("full", "mnist")
    assert left(home) == []


def test_mirror_and_the_smaller_set_out_of_the_full_one(home, server, unreachable, monkeypatch):
    from torchvision.datasets import MNIST
    resources = []
    full = {part: (pictures(n, n), torch.arange(n) % 10)
            for part, n in (("train", 40), ("t10k", 30))}
    for prefix, (x, y) in full.items():
        for kind, array in (("images-idx3", x), ("labels-idx1", y.to(torch.uint8))):
            head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            packed = gzip.compress(head + array.numpy().tobytes())
            name = f"{prefix}-{kind}-ubyte.gz"
            server.files[f"/{name}"] = packed, len(packed)
            resources.append((name, hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(MNIST, "mirrors", [server.address])
    monkeypatch.setattr(MNIST, "resources", resources)
    parts = dict(zip(("training", "testing"), full.values(), strict=True))
    known = {part: {d: (int((y == d).sum()), fetch.pixel_digest(x[y == d])) for d in range(10)}
             for part, (x, y) in parts.items()}
    monkeypatch.setitem(fetch.EXPECTED, "full", [known])
    sample = {mine: {d: known[part][d] for d in (3, 7)} for mine, part in
              (("train", "training"), ("valid", "testing"))}
    monkeypatch.setitem(fetch.EXPECTED, "sample", [sample])
    images, labels = load_split(get_data("sample", "mnist"), "valid")
    assert labels.tolist() == [3, 7, 3, 7, 3, 7]    # in the order of the full set
    x, y = parts["testing"]
    mine = (y == 3) | (y == 7)
    assert torch.equal(images, x[mine]) and torch.equal(labels, y[mine])
    assert (home/"data"/"mnist_png").is_dir()


def test_no_permission_to_write(tmp_path):
    # a folder that may not be written, asked by somebody who is not root
    folder = tmp_path/"locked"
    folder.mkdir(mode=0o555)
    for parent in [tmp_path, *tmp_path.parents][:3]: parent.chmod(parent.stat().st_mode | 0o055)
    ask = ("import os, sklearn.datasets, fastai.data.external\n"
           "from mnist_course.data import DataError, get_data\n"
           "hasattr(os, 'getuid') and os.getuid() == 0 and os.setuid(65534)\n"
           "try: get_data('tiny', 'standin')\n"
           "except DataError as e: print(e)")
    env = {**os.environ, "FASTAI_HOME": str(folder/"home"), "HOME": str(tmp_path)}
    if sys.platform == "win32":  # modes mean little there: a file stands where the folder should be
        (tmp_path/"file").write_text("")
        env["FASTAI_HOME"] = str(tmp_path/"file")
    said = subprocess.run([sys.executable, "-c", ask], env=env, capture_output=True, text=True)
    assert "cannot be written" in said.stdout and "set FASTAI_HOME" in said.stdout, said.stderr
    assert len(said.stdout.strip().splitlines()) == 1
    folder.chmod(0o755)


def test_two_processes_at_once(home):
    ask = ("import warnings; warnings.simplefilter('ignore')\n"
           "from mnist_course.data import get_data, load_split\n"
           "print(len(load_split(get_data('tiny', 'standin'), 'train')[1]))")
    running = [subprocess.Popen([sys.executable, "-c", ask], stdout=subprocess.PIPE, text=True,
                                stderr=subprocess.PIPE) for _ in range(2)]
    said = [p.communicate() for p in running]
    assert [out.strip() for out, _ in said] == ["120", "120"], said
    made = [f.name for f in (home/"data"/"standin").iterdir() if f.suffix != ".lock"]
    assert sorted(made) == [".mnist_tiny.kept", "mnist_tiny"]


def test_what_a_killed_process_left_behind_is_cleared(home, archives):
    half = home/"data"/".mnist_tiny.making.half"/"mnist_tiny"/"train"
    half.mkdir(parents=True)
    get_data("tiny")
    assert not half.parent.parent.exists()
    half.mkdir(parents=True) # killed after the data was in its place, and before the rest was gone
    get_data("tiny")
    assert not half.parent.parent.exists()


def test_force_by_environment(home, archives, monkeypatch):
    monkeypatch.setenv("MNIST_COURSE_DATA", "standin")
    with pytest.warns(StandInWarning, match="it was asked for"):
        assert source_of(get_data("tiny")) == "standin"
    monkeypatch.setenv("MNIST_COURSE_DATA", "mnist")
    assert source_of(get_data("tiny")) == "mnist"


def test_tiny_of_another_draw_is_taken_with_a_word(home, archives):
    x, y = pictures(8, 9), torch.tensor([3, 3, 3, 7, 7, 3, 3, 7])
    for f in (archives/"mnist_tiny").rglob("*.png"): f.unlink()
    fetch.write_images(archives/"mnist_tiny"/"train", x[:5], y[:5])
    fetch.write_images(archives/"mnist_tiny"/"valid", x[5:], y[5:])
    pack(archives)
    with pytest.warns(fetch.UnknownDrawWarning, match="none of the draws.*taken on trust"):
        path = get_data("tiny", "mnist")
    assert torch.equal(load_split(path, "train")[0], x[:5])
    with warnings.catch_warnings():
        warnings.simplefilter("error")      # said once
        get_data("tiny", "mnist")


@pytest.fixture
def real():
    "name -> the real dataset's folder, where MNIST can be had."
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StandInWarning)
        found = {name: get_data(name) for name in fetch.FOLDERS}
    if "standin" in map(source_of, found.values()): pytest.skip("MNIST cannot be had")
    return found


def test_images_come_in_the_order_of_mnist(real):
    images, labels = load_split(real["full"], "training")
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert torch.bincount(labels[:50_000]).tolist() == [4932, 5678, 4968, 5101, 4859, 4506, 4951,
                                                        5175, 4842, 4988]
    assert load_split(real["full"], "testing")[1][:5].tolist() == [7, 2, 1, 0, 4]
    mine = torch.isin(labels, torch.tensor([3, 7]))
    sample = load_split(real["sample"], "train")
    assert torch.equal(sample[0], images[mine]) and torch.equal(sample[1], labels[mine])
    fives = load_images(real["full"]/"training"/"5")
    assert torch.equal(fives[0], images[0]) and torch.equal(fives, images[labels == 5])


def test_order_is_that_of_the_numbers(tmp_path):
    labels = torch.tensor([5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5])
    images = pictures(12)
    fetch.write_images(tmp_path/"set"/"train", images, labels)
    x, y = load_split(tmp_path/"set", "train")
    assert torch.equal(x, images) and torch.equal(y, labels)  # 10 comes after 9, not after 1
    x, y = load_split(tmp_path/"set", "train", digits=iter([1, 5]))
    assert torch.equal(x, images[[0, 3, 6, 8, 11]]) and y.tolist() == [5, 1, 1, 1, 5]


def test_tiny_is_on_record(real):
    known = fetch.EXPECTED["tiny"]
    assert fetch.class_digests(fetch.load_parts(real["tiny"])) in known
    for draw in known:
        assert [n for d in draw.values() for n, _ in d.values()] == [346, 363, 346, 353]
        assert all(len(digest) == 16 for d in draw.values() for _, digest in d.values())
    parts = fetch.load_parts(real["tiny"])
    fetch.verify(parts, "tiny", real["tiny"])
    images, labels = parts["valid"]
    changed = images.clone()
    changed[labels.tolist().index(3), 3, 3] ^= 1
    with pytest.raises(DataError, match="valid.3 holds other pixels than MNIST's"):
        fetch.verify({**parts, "valid": (changed, labels)}, "tiny", real["tiny"])


def test_one_part_is_a_copy_of_its_own(home, archives, small):
    path = get_data("tiny")
    x, y = load_split(path, "train")
    x.zero_(), y.zero_()
    again = load_split(path, "train")
    assert torch.equal(again[0], small["train"][0]) and torch.equal(again[1], small["train"][1])


def test_data_offers_what_fetch_has():
    for name in ("get_data", "source_of", "DataError", "StandInWarning", "FOLDERS", "read_image",
                 "pixel_digest"):
        assert getattr(data, name) is getattr(fetch, name)


def test_import_is_light():
    ask = ("import sys, mnist_course.data\n"
           "print({'fastai', 'pooch', 'sklearn', 'torchvision'} & set(sys.modules) != set())")
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
