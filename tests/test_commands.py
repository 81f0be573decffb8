"The commands as scripts use them: results on standard output, the rest beside it, true exit codes."
import csv
import importlib.util
import io
import json
import os
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
import pytest
from conftest import PROJECT
from mnist_course import bars, checkpoint, cli, formats, handwriting, models, saved, tasks
from PIL import Image

posix = pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise on Windows")
COMMAND = "import sys; from mnist_course.cli import main; sys.exit(main())"


@pytest.fixture
def run(capsys, monkeypatch):
    "A command in this process: its status, what it printed, what it said beside."
    monkeypatch.setattr(cli.warnings, "showwarning", cli.warnings.showwarning)
    def run(*words):
        try: status = cli.main([str(w) for w in words])
        except SystemExit as e: status = e.code
        return status, *capsys.readouterr()
    return run


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Fashion-like data with classes of its own, in three wrappings, a picture and a model of it."
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = rng.integers(0, 60, (60, 28, 28)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True): image[9*label:9*label + 9] += 150
    formats.write_csv(folder/"train.csv", images, labels)
    formats.write_csv(folder/"test.csv", images[:5])
    formats.write_idx(folder/"train-images-idx3-ubyte.gz", images)
    formats.write_idx(folder/"train-labels-idx1-ubyte.gz", labels)
    np.savez(folder/"own.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    handwriting.sample_digit().save(folder/"three.png")
    models.make("nearest_mean_l2").fit(images, labels).save(folder/"model")
    return folder


@pytest.mark.parametrize("data", ["train.csv", "own.npz", "train-images-idx3-ubyte.gz"])
def test_trained_judged_and_used(run, files, tmp_path, data):
    status, out, _ = run("train", "softmax", files/data, "--epochs", 40, "--seed", 2, "--save",
                         tmp_path/"m", "--report", tmp_path/"r.json", "--json")
    report = json.loads(out)
    assert status == 0 and report == json.loads((tmp_path/"r.json").read_text())
    assert report["method"] == "softmax" and report["seed"] == 2 and report["accuracy"] > .9
    assert set(report["classes"]) == {"0", "1", "2"} and abs(report["n"] - 12) < 7
    low, high = report["range"]
    assert low < report["accuracy"] <= high <= 1
    status, out, _ = run("evaluate", tmp_path/"m", files/data, "--json")
    assert status == 0 and json.loads(out)["accuracy"] == report["accuracy"]
    status, out, _ = run("evaluate", tmp_path/"m", files/data)
    assert status == 0 and out.startswith("accuracy ") and len(out.splitlines()) == 4
    assert sorted(f.name for f in tmp_path.iterdir()) == ["m", "r.json"]


def test_pictures_are_read_one_line_each(run, files, tmp_path):
    (tmp_path/"folder").mkdir()
    three = handwriting.sample_digit()
    three.save(tmp_path/"folder"/"b.png")
    Image.eval(three.convert("L"), lambda v: 255 - v).resize((900, 1100)).save(
        tmp_path/"folder"/"a.jpg")                                    # light on dark, large
    model = tmp_path/"m"
    train = tasks.load_data("tiny")[0]
    models.make("nearest_mean_l2").fit(*train).save(model)
    status, out, said = run("predict", tmp_path/"folder", files/"three.png", "--model", model)
    lines = [line.split("\t") for line in out.splitlines()]
    assert status == 0 and said == "" and [line[1] for line in lines] == ["3"]*3
    assert [line[0] for line in lines] == [str(tmp_path/"folder"/"a.jpg"),
                                           str(tmp_path/"folder"/"b.png"), str(files/"three.png")]
    shares = dict(part.split(":") for part in lines[0][2:])
    assert set(shares) == {"3", "7"} and abs(sum(map(float, shares.values())) - 1) < 1e-3
    (tmp_path/"no.png").write_text("no picture")
    status, out, said = run("predict", tmp_path/"no.png", files/"three.png", "--model", model)
    assert status == 1 and len(out.splitlines()) == 1 and len(said.splitlines()) == 1
    assert said.startswith(f"mnist_course: {tmp_path/'no.png'}: ")
    status, out, _ = run("predict", tmp_path/"no.png", files/"three.png", "--model", model,
                         "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert status == 1 and "error" in records[0] and records[1]["class"] == 3


def test_a_picture_on_standard_input(files, monkeypatch, run, tmp_path):
    class Stdin: buffer = io.BytesIO((files/"three.png").read_bytes())
    monkeypatch.setattr(tasks.sys, "stdin", Stdin)
    status, out, _ = run("predict", "-", "--model", files/"model", "--json")
    assert status == 0 and json.loads(out)["file"] == "-"


def test_kaggles_file(run, files, tmp_path):
    status, out, _ = run("submit", files/"model", files/"test.csv", "--out", tmp_path/"s.csv")
    assert status == 0 and "5 lines" in out
    with open(tmp_path/"s.csv") as f: rows = list(csv.reader(f))
    assert rows == [["ImageId", "Label"]] + [[str(i + 1), str(i % 3)] for i in range(5)]


def test_export_agrees_or_says_what_is_missing(run, tmp_path):
    model = tmp_path/"m"
    models.make("mlp", n_epochs=1).fit(*tasks.load_data("tiny")[0]).save(model)
    status, out, said = run("export", model, "--out", tmp_path/"m.onnx")
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript"):
        assert status == 0 and (tmp_path/"m.onnx").exists(), said
        assert float(out.split()[-1]) < 1e-4
    else: assert status == 2 and 'pip install "mnist_course[onnx]"' in said
    models.make("nearest_mean_l1").fit(*tasks.load_data("tiny")[0]).save(model)
    status, _, said = run("export", model, "--out", tmp_path/"n.onnx")
    assert status == 2 and "it has no ONNX" in said and not (tmp_path/"n.onnx").exists()


def test_letters_are_read_by_their_names(run, files, tmp_path):
    "A set as EMNIST's letters come: IDX on its side, labels from 1 to 26, codes in a mapping file."
    letters = tmp_path/"letters"
    letters.mkdir()
    labels = np.arange(260) % 26 + 1
    images = np.zeros((260, 28, 28), np.uint8)
    for image, label in zip(images, labels, strict=True): image[label:label + 2, 4:20] = 250
    for part, n in ("train", 260), ("test", 52):
        stem = f"emnist-letters-{part}"
        formats.write_idx(letters/f"{stem}-images-idx3-ubyte.gz", images[:n].transpose(0, 2, 1))
        formats.write_idx(letters/f"{stem}-labels-idx1-ubyte.gz", labels[:n])
    lines = [f"{k} {64 + k} {96 + k}" for k in range(1, 27)]
    (letters/"emnist-letters-mapping.txt").write_text("\n".join(lines))
    status, out, _ = run("train", "numpy_relu", letters, "--epochs", 12, "--save", tmp_path/"m",
                         "--checkpoint", tmp_path/"place", "--json")
    report = json.loads(out)
    assert status == 0 and report["n"] == 52 and report["accuracy"] == 1
    assert report["names"]["26"] == "Zz" and not (tmp_path/"place").exists()
    status, out, _ = run("evaluate", tmp_path/"m", letters)
    assert status == 0 and "class 2    100.00% Bb" in out
    status, out, _ = run("data", "describe", letters)
    assert status == 0 and "class 26   10      Zz" in out
    model = models.load(tmp_path/"m")
    assert model.named(3) == "Cc"
    assert model.predict(images[2:3]).tolist() == [3]                 # upright, not on its side
    status, out, _ = run("predict", files/"three.png", "--model", tmp_path/"m", "--json")
    one = json.loads(out)
    assert status == 0 and one["name"] == model.named(one["class"]) and "Aa" in one["probabilities"]
    status, out, _ = run("predict", files/"three.png", "--model", tmp_path/"m")
    assert out.split("\t")[1] == one["name"]


def test_folders_and_tables_bring_their_names(run, files, tmp_path):
    (tmp_path/"classes.txt").write_text("0 T-shirt/top\n1 trouser\n2 sandal\n")
    (tmp_path/"train.csv").write_bytes((files/"train.csv").read_bytes())
    status, out, _ = run("data", "describe", tmp_path/"train.csv", "--json")
    assert status == 0 and json.loads(out)["names"] == {"0": "T-shirt/top", "1": "trouser",
                                                        "2": "sandal"}
    x, y = formats.read(tmp_path/"train.csv")
    for i, (image, k) in enumerate(zip(x, y.tolist(), strict=True)):
        (tmp_path/"set"/"abc"[k]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(tmp_path/"set"/"abc"[k]/f"{i}.png")
    status, out, _ = run("train", "softmax", tmp_path/"set", "--epochs", 40, "--json")
    assert status == 0 and json.loads(out)["names"] == {"0": "a", "1": "b", "2": "c"}
    (tmp_path/"classes.txt").write_text("0 a\nx b\n")
    status, out, said = run("train", "softmax", tmp_path/"train.csv")
    assert (status, out) == (2, "") and "classes.txt, line 2: 'x b'" in said


def test_bars_are_drawn_when_asked_for_and_on_standard_error(run, files, monkeypatch):
    monkeypatch.setattr(bars, "SHOW", None)
    real = bars.bar
    at_once = {"delay": 0, "mininterval": 0}
    monkeypatch.setattr(bars, "bar", lambda *args, **named: real(*args, **{**named, **at_once}))
    words = "train", "numpy_relu", files/"own.npz", "--epochs", 2
    for flag, drawn in (["--progress"], True), ([], False), (["--no-progress"], False):
        monkeypatch.setattr(bars, "SHOW", None)
        status, out, said = run(*flag, *words)
        assert status == 0 and out.startswith("accuracy") and "\r" not in out
        assert ("train numpy_relu" in said and "100%" in said) == drawn and "\x1b[3" not in said


def test_data_is_described(run, files):
    status, out, _ = run("data", "describe", files/"own.npz", "--json")
    found = json.loads(out)
    assert status == 0 and found["train"]["images"] == 60 and found["test"]["images"] == 9
    status, out, _ = run("data", "describe", files/"train.csv")
    assert status == 0 and "60 images of 28x28" in out and "class 2    20" in out


def test_examine_says_by_its_status_what_it_found(run, tmp_path, monkeypatch):
    model = tmp_path/"m"
    models.make("relu_learner", n_epochs=3).fit(*tasks.load_data("tiny")[0]).save(model)
    status, out, _ = run("examine", model, "tiny")
    assert "checks" in out.splitlines()[0] and status == (0 if "are content" in out else 1)
    (tmp_path/"mine.py").write_text(
        "import torch\n"
        "def broken():\n"
        "    x, y = torch.rand(64, 4), torch.zeros(64, dtype=torch.int64)\n"
        "    net = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Softmax(1))\n"
        "    return dict(model=net, loss_func=torch.nn.functional.cross_entropy, lr=.1,\n"
        "                dl=[(x, y)])\n")
    monkeypatch.chdir(tmp_path)
    status, out, _ = run("examine", "mine:broken")
    assert status == 1 and "found something" in out


def test_doctor_tells_versions_and_places(run, monkeypatch):
    status, out, _ = run("doctor")
    assert status == 0 and f"torch                  {version('torch')}" in out
    rows = json.loads(run("doctor", "--json")[1])
    assert {"python", "GPU", "data folder", "full"} <= {row["what"] for row in rows}


@pytest.mark.parametrize("words, said", [
    (["train", "mlq"], "There is no method 'mlq'"),
    (["train", "mlp", "none.csv"], "none.csv does not exist"),
    (["train", "mlp", "tiny", "--epochs", "0"], "n_epochs is a whole number"),
    (["train", "mlp", "tiny", "--save", "no/such/m"], "There is no folder"),
    (["train", "mlp", "tiny", "--device", "cuda"], "leave `device` out"),
    (["train", "nearest_mean_l1", "tiny", "--checkpoint", "c"], "keeps no checkpoints"),
    (["evaluate", "none"], "none cannot be read"), (["predict", "a.png"], "--model"),
    (["predict", "a.png", "--model", "none"], "none cannot be read"),
    (["submit", "none", "test.csv"], "none cannot be read"),
    (["examine", "none"], "cannot be read"),
    (["data", "describe", "none"], "none does not exist"), (["nothing"], "No such command"),
    (["train", "mlp", "--seed", "x"], "'--seed'")])
def test_a_persons_mistake_is_one_sentence_and_status_2(run, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out) == (2, "") and said in err, err
    assert err.startswith("mnist_course: ") and len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_no_number_is_status_1(run, files, monkeypatch):
    def fails(*_, **__): raise FloatingPointError("The loss is nan at step 3")
    monkeypatch.setattr(models.ten_digits, "fit_mlp", fails)
    status, out, said = run("train", "mlp", files/"train.csv")
    assert (status, out, said) == (1, "", "mnist_course: The loss is nan at step 3\n")


@posix
def test_ctrl_c_keeps_the_place_and_the_same_command_goes_on(files, tmp_path):
    words = ["train", "mlp", files/"train.csv", "--epochs", "3000", "--checkpoint",
             tmp_path/"place"]
    env = {**os.environ, "PYTHONWARNINGS": "ignore"}
    code = f"from mnist_course import checkpoint; checkpoint.EVERY = 0; {COMMAND}"
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words)], cwd=PROJECT, env=env,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 120
    while not (tmp_path/"place").exists() and time.monotonic() < end: time.sleep(.05)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", said
    assert "the same command goes on" in said and said.endswith("stopped, as you asked.\n")
    assert "Traceback" not in said and len(list(tmp_path.iterdir())) == 1
    _, words_kept = saved.read(tmp_path/"place", "checkpoint")
    assert words_kept["of"]["method"] == "mlp" and words_kept["place"]["step"] > 0
    assert checkpoint.Checkpoint(tmp_path/"place", {k: v for k, v in words_kept["of"].items()
                                                    if k != "torch"}).found


def test_help_needs_no_pytorch():
    code = ("import sys; from mnist_course import cli\n"
            "for words in ['--help'], ['train', '--help'], ['data', '--help']:\n"
            "    try: cli.main(words)\n"
            "    except SystemExit as e: assert not e.code\n"
            "print({'torch', 'numpy', 'fastai', 'pandas'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=PROJECT)
    assert done.stdout.splitlines()[-1] == "set()" and "Commands:" in done.stdout
