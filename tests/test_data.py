"Everything that can go wrong with data on its way: each is told in one sentence, nothing is left."
import gzip
import hashlib
import os
import struct
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from mnist_course import data
from mnist_course.data import DataError, StandInWarning, get_data, load_split, source_of


def pictures(n, seed=0):
    "`n` made-up images, uint8 (n, 28, 28)."
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 28, 28), generator=g, dtype=torch.uint8)


@pytest.fixture
def small(monkeypatch):
    "Let made-up images pass for MNIST: `tiny` is 3 + 2 and 2 + 1 images whose digests are known."
    train, valid = (pictures(5, 1), torch.tensor([3, 3, 3, 7, 7])), (pictures(3, 2),
                                                                    torch.tensor([3, 3, 7]))
    expected = {part: {d: (int((y == d).sum()), data.pixel_digest(x[y == d])) for d in (3, 7)}
                for part, (x, y) in (("train", train), ("valid", valid))}
    monkeypatch.setitem(data.EXPECTED, "tiny", expected)
    return {"train": train, "valid": valid}


@pytest.fixture
def archives(tmp_path, monkeypatch, small):
    "A folder with mnist_tiny.tgz, named in MNIST_COURSE_ARCHIVES."
    folder = tmp_path/"archives"
    for part, (x, y) in small.items():
        data.write_images(folder/"mnist_tiny"/part, x, y)
    with tarfile.open(folder/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(folder/"mnist_tiny", "mnist_tiny")
    monkeypatch.setenv("MNIST_COURSE_ARCHIVES", str(folder))
    return folder


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
            self.send_header("Content-Length", str(len(contents)))
            self.end_headers()
            self.wfile.write(contents[:n])

        def log_message(self, *args): pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    httpd.files, httpd.address = {}, f"http://127.0.0.1:{httpd.server_port}/"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield httpd
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
    data.write_images(archives/"mnist_tiny"/"valid", changed, y)
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


def test_archive_that_would_write_elsewhere(home, archives, tmp_path):
    with tarfile.open(archives/"mnist_tiny.tgz", "w:gz") as tar:
        tar.add(archives/"mnist_tiny", "mnist_tiny")
        tar.add(archives/"mnist_tiny"/"train"/"3"/"0.png", "../../../escaped.png")
    with pytest.raises(DataError, match="names a place outside its folder"):
        get_data("tiny")
    assert left(home) == [] and not list(tmp_path.rglob("escaped.png"))


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
    known = {part: {d: (int((y == d).sum()), data.pixel_digest(x[y == d])) for d in range(10)}
             for part, (x, y) in parts.items()}
    monkeypatch.setitem(data.EXPECTED, "full", known)
    sample = {mine: {d: known[part][d] for d in (3, 7)} for mine, part in
              (("train", "training"), ("valid", "testing"))}
    monkeypatch.setitem(data.EXPECTED, "sample", sample)
    images, labels = load_split(get_data("sample", "mnist"), "valid")
    assert labels.tolist() == [3, 3, 3, 7, 7, 7]
    x, y = parts["testing"]
    assert torch.equal(images, torch.cat([x[y == 3], x[y == 7]]))
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
    assert sorted(made) == ["mnist_tiny", "mnist_tiny.pt"]


def test_what_a_killed_process_left_behind_is_cleared(home, archives):
    half = home/"data"/".mnist_tiny.half"/"mnist_tiny"/"train"
    half.mkdir(parents=True)
    get_data("tiny")
    assert not half.parent.parent.exists()


def test_force_by_environment(home, archives, monkeypatch):
    monkeypatch.setenv("MNIST_COURSE_DATA", "standin")
    with pytest.warns(StandInWarning, match="it was asked for"):
        assert source_of(get_data("tiny")) == "standin"
    monkeypatch.setenv("MNIST_COURSE_DATA", "mnist")
    assert source_of(get_data("tiny")) == "mnist"


def test_import_is_light():
    ask = "import sys, mnist_course.data; print('fastai' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"
