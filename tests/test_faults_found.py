"What a second look found: silent, lost or with a traceback once; each met by its cause since."
import json
import os
import threading

import numpy as np
import pytest
import torch
from mnist_course import (
    capstone,
    cli,
    exercises,
    figures,
    formats,
    handwriting,
    marking,
    models,
    optim,
    processes,
    tasks,
)
from PIL import Image

EXIF = Image.Exif()
EXIF[0x0112] = 6 # to be turned by a quarter


def npy(n): # the head of an array file that says it has so many numbers, and nothing else
    about = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({n},)}}\n".encode()
    return b"\x93NUMPY\1\0" + len(about).to_bytes(2, "little") + about


def grey(n=60): return torch.randint(0, 256, (n, 28, 28), dtype=torch.uint8,
                                     generator=torch.Generator().manual_seed(0))


def folders(path, *names, n=8): # of one class each, told apart by how light they are
    for name in names:
        (path/name).mkdir(parents=True)
        for i in range(n):
            shade = 40*(ord(name[0]) % 6) + i
            Image.new("L", (28, 28), shade).save(path/name/f"{names.index(name)}{i}.png")
    return path


def learned(path, file):
    model = models.make("nearest_mean_l1").fit(*formats.read(path),
                                               names=formats.label_names(path))
    model.save(file)
    return model


# --- names and numbers of classes ---

@pytest.mark.parametrize("names", [("0", "1", "A", "B"), ("-1", "1"), ("²", "3")])
def test_each_class_is_called_as_its_own_folder(tmp_path, names):
    _, labels = formats.read(folders(tmp_path, *names))
    called, order = formats.label_names(tmp_path), formats.class_names(tmp_path)
    assert sorted(names) == sorted(called.values())
    assert [called[k] for k in sorted(set(labels.tolist()))] == order


def test_two_folders_for_one_digit_are_refused(tmp_path):
    with pytest.raises(formats.FormatError, match="two folders for one digit, among 3, 03, 4"):
        formats.read(folders(tmp_path, "3", "03", "4"))


def test_a_model_is_judged_by_the_names_of_its_classes(tmp_path):
    model = learned(folders(tmp_path/"a", "ant", "bee", "cat"), tmp_path/"model")
    fewer = folders(tmp_path/"b", "bee", "cat")
    assert formats.label_names(fewer) == {0: "bee", 1: "cat"} # in training 1 and 2
    done = tasks.evaluate(tmp_path/"model", fewer)
    assert done["accuracy"] == 1 and set(done["names"].values()) <= {"bee", "cat"}
    assert set(done["classes"]) <= {1, 2}
    other = folders(tmp_path/"c", "bee", "dog")
    with pytest.raises(ValueError, match="holds dog, and nearest_mean_l1 has learned ant, bee"):
        tasks.evaluate(model, other)


def test_what_is_judged_is_not_what_was_learned_from(tmp_path):
    x, y = grey(), torch.arange(60) % 10
    for kind, values in ("images-idx3", x), ("labels-idx1", y):
        formats.write_idx(tmp_path/f"t10k-{kind}-ubyte", values)
    with pytest.raises(ValueError, match="holds only a part to judge by"):
        tasks.train("nearest_mean_l1", tmp_path)
    model = models.make("nearest_mean_l1").fit(x, y)
    assert tasks.evaluate(model, tmp_path)["n"] == 60 # all of it
    assert set(tasks.describe(tmp_path)) == {"data", "test"}


def test_labelled_images_are_no_test_to_submit(tmp_path):
    x, y = grey(20), torch.arange(20) % 10
    model, out = models.make("nearest_mean_l1").fit(x, y), tmp_path/"submission.csv"
    formats.write_csv(tmp_path/"train.csv", x, y)
    np.savez(tmp_path/"both.npz", x_train=x, y_train=y, x_test=x[:3], y_test=y[:3])
    for file in "train.csv", "both.npz":
        with pytest.raises(ValueError, match="has labels: give the images that are to be read"):
            tasks.submit(model, tmp_path/file, out)
    assert not out.exists()


# --- what files hold ---

def table(path, names):
    path.write_text(",".join(names) + "\n" + ",".join(["7"]*len(names)) + "\n")
    return path


@pytest.mark.parametrize("names, said", [
    ([f"{c + 1}x{r + 1}" for r in range(28) for c in range(28)], 
     "1x2 comes after 28x1"), # down each column: all images would be turned over
    (["id", *(f"pixel{i}" for i in range(783))], "column id stands among the pixels"),
    ([f"pixel{i + (i > 5)}" for i in range(784)], "pixel7 comes after pixel5"),
])
def test_columns_in_another_order_are_refused(tmp_path, names, said):
    with pytest.raises(formats.FormatError, match=said):
        formats.read_csv(table(tmp_path/"a.csv", names))


@pytest.mark.parametrize("name", [lambda r, c: f"{r + 1}x{c + 1}", lambda r, c: f"p_{28*r + c}",
                                  lambda r, c: "grey"])
def test_columns_in_order_are_read_whatever_they_are_called(tmp_path, name):
    names = [name(r, c) for r in range(28) for c in range(28)]
    assert formats.read_csv(table(tmp_path/"a.csv", names))[0].shape == (1, 28, 28)


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", ">u2", ">i4"])
def test_whole_numbers_of_every_width_and_byte_order_mean_the_same(tmp_path, kind):
    x, y = grey(4).numpy(), np.arange(4)
    np.savez(tmp_path/"a.npz", images=x.astype(kind), labels=y.astype(kind))
    images, labels = formats.read(tmp_path/"a.npz")
    assert np.array_equal(images, x) and labels.tolist() == [0, 1, 2, 3]


def test_labels_too_large_for_int64_are_refused(tmp_path):
    np.savez(tmp_path/"a.npz", images=grey(2), labels=np.array([1, 2**64 - 1], np.uint64))
    with pytest.raises(formats.FormatError, match="Labels are larger than int64 can hold"):
        formats.read(tmp_path/"a.npz")


def test_a_picture_is_turned_as_its_camera_says_also_in_a_folder(tmp_path):
    picture = Image.fromarray(grey(1)[0].numpy())
    turned = picture.transpose(Image.Transpose.ROTATE_90)
    for name, image, more in ("a", picture, {}), ("b", turned, {"exif": EXIF}):
        (tmp_path/name).mkdir()
        image.save(tmp_path/name/f"{name}.png", **more)
    one, other = formats.read(tmp_path)[0]
    assert torch.equal(one, other)


def test_sixteen_bits_in_either_byte_order_are_one_picture():
    grey16 = np.asarray(handwriting.sample_digit().convert("L")).astype(np.uint16)*257
    large_first = Image.frombytes("I;16B", grey16.shape[::-1], grey16.astype(">u2").tobytes())
    assert torch.equal(handwriting.prepare(large_first),
                       handwriting.prepare(Image.fromarray(grey16)))


# --- parameters and threads ---

def test_a_parameter_that_no_gradient_reaches_is_refused():
    w = torch.zeros(3, requires_grad=True)
    with pytest.raises(ValueError, match="computed from another tensor"):
        optim.BasicOptim([w*.1], .1)
    with pytest.raises(ValueError, match="listed twice"): optim.BasicOptim([w, w], .1)


def test_asking_a_network_in_threads_changes_nothing_in_it(tmp_path):
    x, y = grey(), torch.arange(60) % 10
    model = models.make("numpy_cnn", n_epochs=1).fit(x, y)
    model.save(tmp_path/"model")
    expected = model.predict_proba(x)
    for one in model, models.load(tmp_path/"model"):
        found = []
        def ask(one=one, found=found): found.append(one.predict_proba(x))
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert all(torch.equal(p, expected) for p in [*found, one.predict_proba(x)])
        assert not one.trained.model.layers["norm1"].training # what made it so


# --- the exercises and their marking ---

def test_an_answer_that_breaks_pytorch_does_not_break_what_it_is_compared_with(monkeypatch):
    def broken(*_, **__): raise RuntimeError("gone")
    def answer(*_):
        monkeypatch.setattr(torch.Tensor, "mean", broken)
        raise RuntimeError("gone")
    result = exercises.judge(exercises.exercise("01.1"), answer)
    assert not result.passed and "RuntimeError" in result.text


def test_a_damaged_report_of_a_workbook_is_let_go():
    assert marking._told('[true, "02.1", true, true, "", ""]') == [True, "02.1", True, True, "", ""]
    assert marking._told("[false]") == [False]
    for line in "[tru]", "[]", "3", '{"a": 1}', '[true, "02.1"]', '[true, 1, 1, 1, 1, 1]', "["*9999:
        assert marking._told(line) is None


def test_who_prints_without_end_does_not_fill_the_teachers_memory(monkeypatch):
    monkeypatch.setattr(marking, "_HEARD", 3)
    read, write = os.pipe()
    heard = marking._listen(os.fdopen(read, "rb"))
    with os.fdopen(write, "wb") as pipe: pipe.write(b"x"*(1 << 22)) # all of it is taken
    assert 0 < len(heard()) <= 3 << 16


@pytest.mark.parametrize("write", [
    lambda f: f.write_bytes(b""), lambda f: np.save(f, ["3", "4"]), lambda f: np.save(f, [3j, 4]),
    lambda f: np.savez(open(f, "wb"), a=1), lambda f: f.mkdir(), lambda f: None,
    lambda f: f.symlink_to("/dev/zero"), lambda f: f.write_bytes(npy(10**13)),
    lambda f: f.write_bytes(npy(10**30)),
], ids=["empty", "texts", "complex", "archive", "folder", "nothing", "endless", "huge", "absurd"])
def test_a_capstone_that_leaves_no_digits_is_told(tmp_path, write):
    write(file := tmp_path/"read.npy")
    assert capstone._digits_read(file, 2) == "The workbook gave no digits."


def test_a_capstones_digits_are_read(tmp_path):
    for digits in [3, 4], [3., 4.]:
        np.save(tmp_path/"read.npy", digits)
        assert capstone._digits_read(tmp_path/"read.npy", 2).tolist() == [3, 4]
    assert capstone._digits_read(tmp_path/"read.npy", 3) == "(2,) digits for 3 images."


# --- what surrounds a command ---

@pytest.mark.parametrize("name, value, said", [
    ("RANK", "abc", "RANK is 'abc' and WORLD_SIZE '1'"),
    ("WORLD_SIZE", "-2", "WORLD_SIZE '-2'"), ("WORLD_SIZE", "0", "WORLD_SIZE '0'"),
])
def test_a_launchers_word_that_is_no_number_is_one_sentence(monkeypatch, capsys, name, value, said):
    monkeypatch.setenv(name, value)
    assert cli.main(["train", "nearest_mean_l1", "tiny"]) == 1
    told = capsys.readouterr().err
    assert said in told and told.count("\n") == 1


def test_a_wait_that_is_no_number_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("MNIST_COURSE_WAIT", "abc")
    assert np.isnan(processes._patience())
    monkeypatch.setattr(processes, "PATIENCE", float("nan"))
    with pytest.raises(processes.ProcessError, match="MNIST_COURSE_WAIT is no number of seconds"):
        processes._join(0, 2)


def test_progress_of_a_user_that_is_not_there_is_told(monkeypatch, capsys):
    monkeypatch.setenv("MNIST_COURSE_PROGRESS", "~no_such_user/progress")
    assert cli.main(["progress"]) == 0
    assert "Your progress cannot be read" in capsys.readouterr().out


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    model = models.make("nearest_mean_l1").fit(grey(20), torch.arange(20) % 10)
    found, = tasks.predict(model, ["-"])
    assert "There is no standard input" in found["error"]


# --- data of one's own, from training to use ---

def strokes(path, *names, n=20, paper=0): # as MNIST has them if paper is 0: a bar for each class
    g = torch.Generator().manual_seed(1)
    for k, name in enumerate(names):
        (path/name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            image = np.zeros((28, 28), np.uint8)
            length, wide = 12 + int(torch.randint(0, 9, (1,), generator=g)), 2 + i % 3
            image[14 - length//2:14 + length//2, 14 - wide:14 + wide] = 200 + i
            if k: image = image.T
            Image.fromarray(abs(paper - image.astype(int)).astype(np.uint8)).save(
                path/name/f"{name}{i}.png")
    return path


@pytest.mark.parametrize("paper", [0, 255])
def test_pictures_are_taken_as_in_training(tmp_path, paper):
    strokes(tmp_path/"a", "lying", "standing", paper=paper)
    tasks.train("nearest_mean_l2", tmp_path/"a", save=tmp_path/"model")
    model = models.load(tmp_path/"model")
    assert model.data["as_given"] == bool(paper)
    found = list(tasks.predict(tmp_path/"model", [tmp_path/"a"]))
    assert len(found) == 40
    for one in found: assert one["name"] == os.path.basename(os.path.dirname(one["file"]))
    Image.new("L", (60, 50), 200).save(tmp_path/"large.png")
    one, = tasks.predict(model, [tmp_path/"large.png"])
    assert ("60x50 pixels" if paper else "No digit found") in one["error"]


def test_raw_bytes_are_taken_as_in_training(tmp_path):
    strokes(tmp_path, "lying", "standing", paper=255)
    file = tmp_path/"lying"/"lying3.png"
    expected = torch.from_numpy(np.array(Image.open(file)))
    assert torch.equal(tasks._prepared(file.read_bytes(), True), expected)
    assert torch.equal(tasks._prepared(file, True), expected)
    with pytest.raises(ValueError, match="There is no file"):
        tasks._prepared(tmp_path/"none.png", True)


def test_what_was_learned_from_is_not_judged_when_the_folder_grows(tmp_path):
    g = torch.Generator().manual_seed(2)
    def add(begin, end):
        for i in range(begin, end):
            image = torch.randint(0, 256, (28, 28), dtype=torch.uint8, generator=g).numpy()
            (tmp_path/str(i % 2)).mkdir(exist_ok=True)
            for copy in range(1 + (i % 5 == 0)):
                Image.fromarray(image).save(tmp_path/str(i % 2)/f"{9*i % 31}{i}{copy}.png")
    def sides(): return [{x.numpy().tobytes() for x in part[0]}
                         for part in tasks.load_data(tmp_path)]
    add(0, 50)
    learned, judged = sides()
    assert not learned & judged and 4 <= len(judged) <= 16 # copies stand on one side
    add(50, 80)
    learned_more, judged_more = sides()
    assert not learned & judged_more and not judged & learned_more
    assert len(learned_more) + len(judged_more) == 80


def test_a_class_with_one_image_is_learned_and_none_is_lost():
    x = grey(30)
    for seed in range(20):
        y = torch.arange(30) % 2
        y[seed] = 7
        held = tasks._held_out("here", x, y)
        assert not held[seed] and held.any() and set(y[~held].tolist()) == {0, 1, 7}
    few = tasks._held_out("here", x[:5], torch.tensor([0, 0, 1, 1, 2]))
    assert few.any() and not few[4] and len(few[:4].nonzero()) < 4
    with pytest.raises(ValueError, match="one image of each class"):
        tasks._held_out("here", x[:5], torch.arange(5))


def test_images_of_ones_own_come_mixed(tmp_path): # python_net takes the first 5,000
    formats.write_csv(tmp_path/"a.csv", grey(60), torch.arange(60)//30)
    (_, y), _ = tasks.load_data(tmp_path/"a.csv")
    assert 0 < y[:20].sum() < 20


def test_numbers_are_not_taken_for_names(tmp_path):
    words = strokes(tmp_path/"a", "three", "seven")
    tasks.train("nearest_mean_l1", words, save=tmp_path/"words")
    x, y = formats.read(words)
    formats.write_csv(tmp_path/"numbers.csv", x, 3 + 4*(1 - y))
    formats.write_csv(tmp_path/"test.csv", x)
    numbers = models.make("nearest_mean_l1").fit(x, 3 + 4*(1 - y))
    with pytest.raises(ValueError, match="learned seven, three, and .* has numbers: nobody"):
        tasks.evaluate(tmp_path/"words", tmp_path/"numbers.csv")
    with pytest.raises(ValueError, match="calls its classes seven, three, and .* knows numbers"):
        tasks.evaluate(numbers, words)
    with pytest.raises(ValueError, match="a submission holds numbers"):
        tasks.submit(tmp_path/"words", tmp_path/"test.csv", tmp_path/"out.csv")
    assert not (tmp_path/"out.csv").exists()
    assert tasks.evaluate(tmp_path/"words", words)["accuracy"] == 1
    assert tasks.submit(numbers, tmp_path/"test.csv", tmp_path/"out.csv") == 40


def test_names_that_a_list_gives_to_numbers_leave_the_numbers(tmp_path):
    (tmp_path/"classes.txt").write_text("0 ant\n1 bee\n")
    x, y = grey(40), torch.arange(40) % 2
    formats.write_csv(tmp_path/"a.csv", x, y)
    formats.write_csv(tmp_path/"test.csv", x)
    tasks.train("nearest_mean_l1", tmp_path/"a.csv", save=tmp_path/"model")
    assert models.load(tmp_path/"model").names == ["ant", "bee"]
    assert tasks.submit(tmp_path/"model", tmp_path/"test.csv", tmp_path/"out.csv") == 40


def test_images_of_classes_not_learned_are_counted_aloud(tmp_path, capsys):
    x, y = grey(40), torch.arange(40) % 4
    model = models.make("nearest_mean_l1").fit(x[y < 2], y[y < 2])
    assert tasks.evaluate(model, (x, y))["unlearned"] == 20
    assert "unlearned" not in tasks.evaluate(model, (x[y < 2], y[y < 2]))
    model.save(tmp_path/"model")
    formats.write_csv(tmp_path/"a.csv", x, y)
    assert cli.main(["evaluate", str(tmp_path/"model"), str(tmp_path/"a.csv")]) == 0
    assert "of these are of classes that it has not learned" in capsys.readouterr().out


def test_what_a_mac_and_a_phone_leave_in_a_folder(tmp_path):
    folders(tmp_path, "3", "8")
    (tmp_path/"3"/"._30.png").write_bytes(b"\0\5\x16\7" + bytes(60)) # what a Mac notes
    (tmp_path/".trash").mkdir()
    (tmp_path/".trash"/"1.png").write_bytes((tmp_path/"3"/"30.png").read_bytes()
                                            if (tmp_path/"3"/"30.png").exists() else b"")
    assert formats.read(tmp_path)[0].shape == (16, 28, 28)
    assert all("._" not in name for name, _ in tasks.pictures([tmp_path/"3"]))
    (tmp_path/"5").mkdir()
    (tmp_path/"5"/"IMG_1.HEIC").write_bytes(b"x")
    with pytest.raises(formats.FormatError, match="IMG_1.HEIC is of a kind that is not read"):
        formats.read(tmp_path)


def test_capitals_in_names_change_nothing(tmp_path):
    folders(tmp_path/"Train", "3", "8"), folders(tmp_path/"TEST", "3", "8", n=2)
    assert {k: v["images"] for k, v in tasks.describe(tmp_path).items() if k != "data"} == {
        "train": 16, "test": 4}
    formats.write_csv(tmp_path/"A.CSV", grey(3), [1, 2, 3])
    np.savez(open(tmp_path/"B.NPZ", "wb"), images=grey(3), labels=np.arange(3))
    for name in "A.CSV", "B.NPZ": assert len(formats.read(tmp_path/name)[0]) == 3


def test_onnx_gives_the_models_own_probabilities_and_says_of_what(tmp_path):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    x, y = grey(300), torch.arange(300) % 2*4 + 3
    model = models.make("mlp", n_epochs=1).fit(x, y, names={3: "three", 7: "seven"})
    tasks.export(model, tmp_path/"a.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path/"a.onnx"),
                                           providers=["CPUExecutionProvider"])
    found, = session.run(None, {"images": x[:50].numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model.predict_proba(x[:50]))
    said = {p.key: p.value for p in onnx.load(str(tmp_path/"a.onnx")).metadata_props}
    assert said == {"classes": "[3, 7]", "names": '["three", "seven"]'}


# --- pictures, figures, marks ---

def test_two_digits_or_a_frame_are_no_digit():
    digit = np.full((200, 120), 230, np.uint8)
    digit[40:160, 50:70] = 30
    assert handwriting.prepare(digit).any()
    with pytest.raises(ValueError, match="two digits"):
        handwriting.prepare(np.hstack([digit, digit]))
    digit[:4], digit[-4:], digit[:, :4], digit[:, -4:] = 20, 20, 20, 20
    with pytest.raises(ValueError, match="a frame around"): handwriting.prepare(digit)


def test_printed_figures_are_read_by_their_last_digit():
    for text in "9.8e-1", "0.98 ", "98e-2":
        assert figures.counts_behind(text, 100) == [98] == figures.counts_behind("0.98", 100)
    assert figures.counts_behind("1e-2", 100) == [1]
    assert figures.printed_by("0.5 ", [.53]) == figures.printed_by("0.5", [.53]) == [0]
    for text in "nan", "98%", "", "0,98":
        with pytest.raises(ValueError, match="printed figure is text"):
            figures.counts_behind(text, 9)
    with pytest.raises(ValueError, match="from 0 to 1"): figures.counts_behind("inf", 9)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_run_that_failed_is_no_figure(bad):
    with pytest.raises(ValueError, match="finite"): figures.summarise([.9, bad, .8])
    with pytest.raises(ValueError, match="finite"): figures.paired_difference([.9, bad], [.8, .7])


def test_no_count_is_nearly_right():
    for key in "08.4", "10.5", "14.5":
        ex = exercises.exercise(key)
        for off in 1, -1, 1.: assert not exercises.judge(ex, ex.answer + off).passed
        assert exercises.judge(ex, ex.answer).passed
        assert exercises.judge(ex, float(ex.answer)).passed
    assert exercises.differs(2.0000001, 2) is None and exercises.differs(float("inf"), 2)


def marks_of(tmp_path, *cells):
    book = {"cells": [{"cell_type": "code", "source": source} for source in
                      ["from mnist_course.exercises import check", *cells]]}
    (tmp_path/"book.ipynb").write_text(json.dumps(book), encoding="utf-8-sig")
    return {m.exercise: m for m in marking.mark_workbook(tmp_path/"book.ipynb", "a")}


def test_what_only_a_notebook_has_does_not_cost_the_marks(tmp_path):
    cells = ["display('x')\nget_ipython().run_line_magic('matplotlib', 'inline')\n"
             "check('00.5', 44)", "check?\nif True:\n    !ls\nfiles = !ls\ncheck('00.2', (5, 5))",
             "import asyncio\nawait asyncio.sleep(0)\ninput('?')\ncheck('01.5', 'b and a')",
             "missing\ncheck('03.2', 3)", "answer = ...\ncheck('00.5', answer)"]
    found = marks_of(tmp_path, *cells)
    assert [found[key].result for key in ("00.5", "00.2", "01.5")] == ["right"]*3
    assert found["03.2"].result == "not attempted"
    assert "Never checked: its cell raises NameError in line 1" in found["03.2"].message
