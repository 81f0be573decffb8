"""The clinic at trainings that it did not grow up with: no false alarm, and bugs named rightly.

What was found at each training is kept in zoo.csv; `make zoo` renews it. Here the sound ones and
a third of the bugs are examined anew, and the book's page is held against what is kept.
"""
import re
import subprocess
import sys
from collections import Counter

import pytest
import torch
import zoo
from conftest import LESSONS, PROJECT, prose
from mnist_course import clinic
from mnist_course.clinic import examine
from mnist_course.preserve import preserve
from torch import nn

ANIMALS = {f"{part}: {kind} {name}": (part, kind, name, *rest)
           for part, kind, name, *rest in zoo.animals()}
KEPT = {f"{row.part}: {row.kind} {row.name}": row for row in zoo.kept()}
SOUND = [name for name in ANIMALS if ANIMALS[name][1] == "sound"]
BUGS = [name for name in ANIMALS if ANIMALS[name][1] == "bug"]


def test_the_zoo_is_as_large_as_the_page_says():
    assert len(SOUND) >= 25 and len(BUGS) >= 80 and set(ANIMALS) == set(KEPT)
    assert {ANIMALS[name][3] for name in BUGS} == set(map(clinic._name, clinic.CHECKS)) # each rings
    assert all(KEPT[name].expected == ANIMALS[name][3] for name in ANIMALS)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_training(name):
    row, report = zoo.found(*ANIMALS[name])
    assert bool(row.rang) == bool(KEPT[name].rang), report or row.rang
    assert report is not None, row.rang


@pytest.mark.parametrize("name", BUGS[::3])
def test_a_bug(name):
    row, report = zoo.found(*ANIMALS[name])
    assert row.named == KEPT[name].named, report or row.rang


def test_the_figures_are_what_is_aimed_at():
    "No false alarm among those tuned on, and nine bugs in ten named, in both parts."
    for part, alarms in ("tuned", 0), ("held out", 2):
        _, rang, bugs, named, _ = zoo.count(KEPT.values(), part)
        assert rang <= alarms and named >= .9*bugs, (part, rang, named, bugs)


def test_the_page_holds_what_is_kept():
    text = zoo.PAGE.read_text("utf-8")
    assert zoo.page(text, list(KEPT.values()), zoo.kept(zoo.BEFORE)) == text
    rows = re.findall(r"^\| `([a-z ]+)` \| (\d+) of (\d+) \| (\d+) \| (\d+) \|", text, re.M)
    assert [row[0] for row in rows] == list(map(clinic._name, clinic.CHECKS))
    assert sum(int(row[3]) for row in rows) == len(BUGS)
    assert {int(row[2]) for row in rows} == {len(SOUND)}


def test_the_lesson_quotes_the_figures():
    n, rang, bugs, named, _ = zoo.count(KEPT.values(), "held out")
    lesson = next(nb for nb in LESSONS if nb.stem == "11_bug_clinic")
    said = f"at `{rang}` of `{n}` sound trainings and named `{named}` of `{bugs}` bugs"
    assert said in prose(lesson)


def test_counting():
    "By hand: three sound, one alarm; four bugs, two named, one silent."
    rows = [zoo.Row("tuned", "sound", str(k), "", "order"*(k == 0)) for k in range(3)]
    rows += [zoo.Row("tuned", "bug", str(k), "alive", rang)
             for k, rang in enumerate(["alive", "reach|alive", "reach", ""])]
    assert zoo.count(rows) == zoo.count(rows, "tuned") == (3, 1, 4, 2, 1)
    assert zoo.count(rows, "held out") == (0, 0, 0, 0, 0)
    assert "| tuned, now | 1 of 3 | 2 of 4 | 50% | 1 | 1 |" in zoo.overall(rows, rows)
    assert "| `alive` | 0 of 3 | 4 | 2 | 2; 3 |" in zoo.by_check(rows)


# ---- an examination leaves nothing behind, in whatever a step keeps ----

def state_of(it, depth=4):
    "All numbers in a thing, for comparison."
    if isinstance(it, torch.Tensor): return it.tolist()
    if isinstance(it, dict): return {str(k): state_of(v, depth - 1) for k, v in it.items()}
    if isinstance(it, (list, tuple)): return [state_of(v, depth - 1) for v in it]
    return repr(it)


@pytest.mark.parametrize("name", ["accumulation", "warm-up from 0", "one cycle",
                                  "average of weights"])
def test_what_a_step_keeps_is_put_back(name):
    given = zoo.sound(name)
    step, opt = given["step"], given["opt"]
    for xb, yb in list(given["dl"])[:5]: step(given["model"], xb, yb) # in the middle of a count
    def trace():
        inside = {n: c.cell_contents for n, c in zip(step.__code__.co_freevars, step.__closure__,
                                                     strict=True)}
        kept = {n: v for n, v in inside.items() if isinstance(v, int)}
        for n, v in inside.items():
            if isinstance(v, nn.Module): kept[n] = state_of(dict(v.state_dict()))
            elif hasattr(v, "state_dict"): kept[n] = state_of(v.state_dict())
        return kept, state_of(opt.state_dict()), state_of(dict(given["model"].state_dict()))
    before = trace()
    assert before[0], "nothing is looked at"
    report = examine(**given)
    assert trace() == before
    assert "update" in {f.check for f in report.findings}
    step(given["model"], xb, yb)
    assert trace() != before                                     # the trace would show


def test_steps_that_hide_what_they_keep():
    class Loop:
        def __init__(self): self.losses, self.count, self.best = [], 0, {"loss": 9.}
        def step(self, model, xb, yb):
            loss = zoo.F.cross_entropy(model(xb), yb)
            loss.backward()
            self.count += 1
            self.losses.append(loss.item())
            self.best["loss"] = min(self.best["loss"], loss.item())
            with torch.no_grad():
                for p in model.parameters():
                    p -= .1*p.grad
                    p.grad = None
    loop, given = Loop(), zoo.sound("multilayer")
    given |= {"step": loop.step, "opt": None}
    loop.step(given["model"], *next(iter(given["dl"])))
    before = loop.count, loop.losses[:], dict(loop.best)
    assert examine(**given).healthy
    assert (loop.count, loop.losses, loop.best) == before and before[0] == 1
    with preserve(given["model"], loop.step):
        loop.step(given["model"], *next(iter(given["dl"])))
        assert loop.count == 2
    assert loop.count == 1


# ---- use ----

def test_an_assertion_says_which_checks_rang():
    given = zoo.spoilt("ReLU on the scores")
    report = examine(**given)
    with pytest.raises(AssertionError, match="squashing") as e: assert report.healthy
    assert "checks found something" in str(e.value)
    assert examine(**zoo.sound("multilayer")).healthy is True


def test_a_report_says_what_it_cost():
    report = examine(**zoo.sound("multilayer"))
    assert set(report.seconds) == {f.check for f in report.findings} | set(report.skipped)
    assert all(t > 0 for t in report.seconds.values())
    assert re.search(r"; \d+\.\d s$", repr(report).splitlines()[0])


def test_the_callback():
    from fastai.learner import Learner
    from mnist_course.checkup import ClinicCallback
    given = zoo.sound("fastai's loop")
    def learner(model, **more):
        from fastai.data.core import DataLoaders
        dls = DataLoaders(given["dl"], given["valid_dl"])
        return Learner(dls, model, loss_func=zoo.F.cross_entropy, lr=.01,
                       cbs=ClinicCallback(**more))
    learn = learner(zoo.made(lambda: zoo.mlp(act=nn.Identity)))
    weights = [p.detach().clone() for p in learn.model.parameters()]
    with pytest.raises(ValueError, match="nonlinearity"): learn.fit(1)
    assert all(torch.equal(p, q) for p, q in zip(learn.model.parameters(), weights, strict=True))
    learn = learner(zoo.made(zoo.mlp))
    with learn.no_logging(): learn.fit(1)
    assert learn.clinic.report.healthy and "labels" in learn.clinic.report.seconds
    learn.get_preds()                       # nothing is examined here
    learn = learner(zoo.made(zoo.mlp), checks=[clinic.check_squashing])
    with learn.no_logging(): learn.fit(1)
    assert Counter(f.check for f in learn.clinic.report.findings) == {"squashing": 1}


def test_the_page_is_made_by_the_program():
    "What is not one of its names is examined by nobody, and nothing is written."
    before = zoo.PAGE.read_bytes(), (zoo.HERE/"zoo.csv").read_bytes()
    done = subprocess.run([sys.executable, zoo.HERE/"zoo.py", "no such training"], cwd=PROJECT,
                          capture_output=True, text=True, encoding="utf-8", timeout=600)
    assert done.returncode == 0, done.stderr
    assert (zoo.PAGE.read_bytes(), (zoo.HERE/"zoo.csv").read_bytes()) == before


# ---- a model on another device, where there is none: tensors that know only their shape and place

@pytest.mark.parametrize("check", [c for c in clinic.CHECKS if c not in (
    clinic.check_order, clinic.check_reshuffling, clinic.check_overlap, clinic.check_orientation,
    clinic.check_scale_in_validation, # these bring everything to the processor
    clinic.check_labels)], ids=clinic._name) # and this asks for the numbers before it starts
def test_no_check_mixes_devices(check, monkeypatch):
    "Numbers cannot be asked for; every operation on tensors of two devices would be an error."
    for name, value in dict(item=.5, __bool__=False, __int__=0, __index__=0, __float__=.5).items():
        monkeypatch.setattr(torch.Tensor, name, lambda self, value=value: value)
    for owner in torch, torch.Tensor: monkeypatch.setattr(owner, "equal", lambda a, b: False)
    monkeypatch.setattr(torch.Tensor, "__format__", lambda self, spec: "0.5")
    monkeypatch.setattr(torch.Tensor, "tolist", lambda self: [.5]*len(self) if self.ndim else .5)
    monkeypatch.setattr(torch, "allclose", lambda a, b, **_: bool(torch.isclose(a, b).all()))
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32, device="meta"), nn.ReLU(),
                          nn.Linear(32, 10, device="meta"))
    x, y = torch.rand(64, 1, 8, 8), torch.zeros(64, dtype=torch.int64)
    with pytest.raises(RuntimeError): model(x) # it would be noticed
    there = x.to("meta"), y.to("meta")
    def step(model, xb, yb):
        zoo.F.cross_entropy(model(xb), yb).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= .1*p.grad
                p.grad = None
    given = dict(model=model, loss_func=zoo.F.cross_entropy, dl=[(x, y)], x=there[0], y=there[1],
                 xb=there[0], yb=there[1], scores=model(there[0]), opt_step=step, any_step=step,
                 step=step, predict=model, in_use=x, valid_dl=[(x, y)])
    assert isinstance(clinic._make(check, given), (clinic.Finding, str))
