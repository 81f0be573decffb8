"""What one of several processes does in the tests of `processes`; a launcher starts it.

    torchrun --standalone --nproc-per-node 2 tests/spread.py TASK FOLDER [WORDS ...]

The tests call the same functions in their own process, to compare.
"""
import os
import resource
import signal
import sys
import time
from pathlib import Path

import torch
from mnist_course import checkpoint, cli, learner, models, processes, relu_net, resnet, sgd
from mnist_course.checkpoint import Checkpoint, KeepPlace
from mnist_course.data import get_data, load_split, some_of

RANK = int(os.environ.get("RANK", 0))
AGAIN = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))


def digits(n=257, n_valid=41): # numbers that no count of processes divides
    "Few images and labels to train on, and to judge by."
    full = get_data("full", "standin")
    return some_of(*load_split(full, "training"), n), some_of(*load_split(full, "testing"), n_valid)


def in_double(n=257):
    "A Learner in float64 whose last batch holds one image: its weights, and the rows of figures."
    g = torch.Generator().manual_seed(1)
    data = torch.rand(n, 5, generator=g, dtype=torch.float64), torch.arange(n)[:, None] % 2*1.
    valid = tuple(t[:101] for t in data)
    net = relu_net.relu_net(5, 7, 1, torch.Generator().manual_seed(2)).double()
    learn = learner.Learner(learner.make_dls(data, valid, 64), net, learner.mnist_loss, lr=.5,
                            metrics=[sgd.batch_accuracy],
                            callbacks=[*processes.callbacks(), learner.LinearDecay()])
    learn.fit(10) # 50 steps
    return [p.detach() for p in net.parameters()], learn.rows


def trained(name, train, valid, folder=None, **settings):
    "A method's parts, accuracies and losses; its place is kept if a folder is named."
    device = {"device": "cpu"} if models._method(name).uses_device else {}
    model = models.make(name, seed=3, **device, **settings)
    model.fit(*train, valid=valid, checkpoint=folder and folder/"place")
    done = model.trained
    return model.method.parts(done), done.accuracy, done.loss, done.valid_loss, done.n_valid


def everything():
    "All that is compared with one process."
    resnet.enough_epochs = models.speed.enough_epochs = lambda n, bs: 1
    train, valid = digits()
    small = {name: trained(name, train, valid) for name in ("softmax", "small_cnn")}
    small["mlp"] = trained("mlp", train, valid, n_epochs=3)
    counted = processes.in_parts(lambda x: x.flatten(1).sum(1), valid[0])
    few = trained("softmax", train, tuple(t[:1] for t in valid), n_epochs=1) # fewer than processes
    return {"double": in_double(), "models": small, "counted": counted, "few": few[1:]}


def task_compare(folder):
    "The same as alone, and in every process the same."
    with processes.together():
        found = everything()
        same = processes.exchange({name: [t.contiguous().numpy().tobytes() for t in one[0].values()]
                                   for name, one in found["models"].items()})
        assert all(one == same[0] for one in same), "the processes have different weights"
        if processes.is_first(): torch.save(found, folder/"found")


def task_fastai(folder):
    "fastai's Learner on few images."
    resnet.enough_epochs = lambda n, bs: 1
    with processes.together():
        train, valid = digits(70, 21)
        model = models.make("resnet18_stock", seed=1, bs=16).fit(*train, valid=valid)
        mine = torch.cat([t.flatten().float() for t in model.method.parts(model.trained).values()])
        assert all(mine.equal(other) for other in processes.exchange(mine)), "different weights"
        read = processes.in_parts(model.predict_proba, valid[0])
        if processes.is_first(): torch.save((model.predict_proba(valid[0]), read), folder/"found")


def task_place(folder, *words):
    "A training that keeps its place after every step, and what may happen to it."
    checkpoint.EVERY, real, n = 0, checkpoint._after_step, 0
    def after_step(self, write):
        nonlocal n
        n += 1
        if n == 7 and words == ("kill",) and RANK == 1 and AGAIN == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if n == 7 and words == ("stop",): self.stop = processes.is_first() # one hears of it
        real(self, write)
    Checkpoint.after_step = after_step
    with processes.together():
        done = trained("mlp", *digits(), folder, n_epochs=3)
        if processes.is_first(): torch.save(done, folder/"found")


def task_trouble(folder, kind, *words):
    "The command, in which one process gets into trouble after a few steps."
    def after_batch(self, learn, real=KeepPlace.after_batch):
        real(self, learn)
        if self.batch != 3: return
        if kind == "disk" and RANK == 0:
            checkpoint.EVERY = 0
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
        if kind == "fails" and RANK == 1: raise OSError(5, "Input/output error", "images")
        if kind == "hangs" and RANK == 1: time.sleep(600)
        if kind == "killed" and RANK == 1: os.kill(os.getpid(), signal.SIGKILL)
        if kind == "nan" and RANK == 1: learn.model[0].weight.data.fill_(float("nan"))
    KeepPlace.after_batch = after_batch
    if kind == "data" and RANK == 1: os.environ["MNIST_COURSE_DATA"] = "elsewhere"
    if kind == "other" and RANK == 1: words = [*words, "--seed", "1"]
    raise SystemExit(cli.main(["train", *words]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    task, folder, *words = sys.argv[1:]
    globals()[f"task_{task}"](Path(folder), *words)
