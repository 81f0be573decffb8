"""Lesson 14 among real processes: the same weights, the same counts, and one sentence when not.

Two and three of them on this machine, by gloo, on the loopback; torchrun finds free ports itself.
"""
import copy
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
import torch
import torch.distributed as dist
from mnist_course import parallel
from mnist_course.parallel import (
    average_gradients,
    count_right,
    fit_shards,
    launch,
    load_checkpoint,
    mean_gradient,
    rank_and_size,
    ring_all_reduce,
    save_checkpoint,
    torchrun,
)
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parameters_to_vector


def task(n=203): # not divisible by 2 or 3
    g = torch.Generator().manual_seed(0)
    x = torch.rand(n, 12, dtype=torch.float64, generator=g)
    return x, (x[:, :4].argmax(1) + 4*(x[:, 5] > .5)).long()


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8)).double()


def sgd(model): return torch.optim.SGD(model.parameters(), .1, momentum=.9)
def weights(model): return parameters_to_vector(model.parameters()).detach()


def equalities(p): # in each process
    rank, n = rank_and_size()
    x, y = task()
    g = torch.Generator().manual_seed(rank)
    vector = torch.rand(10, dtype=torch.float64, generator=g)
    dist.all_reduce(total := vector.clone())
    by_hand = fit_shards(net(), x, y, 50, bs=64)      # 64 is no multiple of 3: unequal shards
    ddp = fit_shards(DistributedDataParallel(net()), x, y, 50, bs=12*n, average=None)
    uneven = net()                                    # one image here, all others there
    mine = slice(0, 1) if rank == 0 else slice(rank, None, p - 1) if p > 2 else slice(1, None)
    F.cross_entropy(uneven(x[mine]), y[mine]).backward()
    average_gradients(uneven, len(x[mine]))
    gradient = torch.cat([q.grad.ravel() for q in uneven.parameters()])
    return {"place": (rank, n), "vector": vector, "total": total, "by_hand": weights(by_hand),
            "ddp": weights(ddp), "right": count_right(by_hand, x, y), "gradient": gradient}


@pytest.fixture(scope="module", params=[2, 3])
def found(request): return launch(equalities, request.param, request.param)


def close(a, b): torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_each_process_knows_its_place(found):
    assert [one["place"] for one in found] == [(rank, len(found)) for rank in range(len(found))]


def test_the_ring_is_all_reduce(found):
    sums, _ = ring_all_reduce([one["vector"] for one in found])
    for one, total in zip(found, sums, strict=True):
        torch.testing.assert_close(total, one["total"], rtol=1e-14, atol=0)


def test_a_training_by_hand_is_that_of_one_process(found):
    alone = fit_shards(net(), *task(), 50, bs=64)
    assert (weights(alone) - weights(net())).abs().max() > .1
    for one in found: close(one["by_hand"], weights(alone))
    assert all(one["by_hand"].equal(found[0]["by_hand"]) for one in found)


def test_a_training_by_ddp_is_that_of_one_process(found):
    alone = fit_shards(net(), *task(), 50, bs=12*len(found))
    for one in found: close(one["ddp"], weights(alone))


def test_every_image_is_counted_once(found):
    x, y = task()
    alone = fit_shards(net(), x, y, 50, bs=64)
    assert {one["right"] for one in found} == {count_right(alone, x, y)}
    assert found[0]["right"][1] == 203 and found[0]["right"][0] > 60


def test_gradients_of_very_unequal_shards(found):
    x, y = task()
    p, parts = len(found), []
    cut = [slice(0, 1)] + [slice(rank, None, p - 1) if p > 2 else slice(1, None)
                           for rank in range(1, p)]
    for mine in cut:
        model = net()
        F.cross_entropy(model(x[mine]), y[mine]).backward()
        parts.append(torch.cat([q.grad.ravel() for q in model.parameters()]))
    counts = [len(x[mine]) for mine in cut]
    whole = net()
    F.cross_entropy(whole(x), y).backward()
    whole = torch.cat([q.grad.ravel() for q in whole.parameters()])
    assert sum(counts) == len(x) and counts[0] == 1
    close(mean_gradient(parts, counts), whole)
    for one in found: close(one["gradient"], whole)
    assert (sum(parts)/p - whole).abs().max() > 1e-3       # the plain mean is another


def arrive_late():
    if os.environ["RANK"] == os.environ["TORCHELASTIC_RESTART_COUNT"] == "1": time.sleep(20)


class Late: # when it is unpacked, before the processes meet, process 1 is late in its second life
    def __reduce__(self): return arrive_late, ()


def dies(folder, p, late): # the last process is killed at step 25 of its first life
    model = DistributedDataParallel(net())
    opt = sgd(model)
    start = load_checkpoint(folder, model, opt)
    def after_step(step):
        if step % 10 == 0: save_checkpoint(folder, step, model, opt)
        if step == 25 and start == 0 and dist.get_rank() == p - 1:
            os.kill(os.getpid(), signal.SIGKILL)
    fit_shards(model, *task(), 50, bs=48, opt=opt, start=start, average=None,
               after_step=after_step)
    return start, weights(model)


def test_killed_in_the_middle_and_resumed(tmp_path):
    alone = weights(fit_shards(net(), *task(), 50, bs=48))
    found = launch(dies, 2, str(tmp_path), 2, Late(), restarts=1) # 0 must not take 1's old address
    assert [start for start, _ in found] == [20, 20]
    for _, other in found: close(other, alone)
    (tmp_path/"step_00000060").mkdir()                    # begun and never finished
    model = net()
    assert load_checkpoint(tmp_path, model, sgd(model)) == 50
    assert weights(model).equal(found[0][1])


def test_a_checkpoint_holds_the_optimiser(tmp_path):
    x, y = task()
    alone = weights(fit_shards(net(), x, y, 40))
    model, again = net(), net()
    opt, other = sgd(model), sgd(again)
    fit_shards(model, x, y, 20, opt=opt)
    save_checkpoint(tmp_path, 20, model, opt)
    assert load_checkpoint(tmp_path, again, other) == 20 and weights(again).equal(weights(model))
    assert fit_shards(again, x, y, 40, opt=other, start=20) is again
    assert weights(again).equal(alone)
    forgetful = fit_shards(copy.deepcopy(model), x, y, 40, start=20)
    assert not torch.allclose(weights(forgetful), alone, atol=1e-3)


def never_arrives():
    if dist.get_rank() == 1: time.sleep(900)
    dist.all_reduce(torch.ones(1))


def fails():
    if dist.get_rank() == 1: raise ValueError("the images are upside down")
    dist.all_reduce(torch.ones(1))


def test_a_process_that_never_arrives_is_a_clear_sentence():
    with pytest.raises(RuntimeError, match=r"^Process [01] of 2 waited 20 seconds for the others "
                                           r"in vain: every process must come to the same exch"):
        launch(never_arrives, 2, patience=20)


def test_the_first_failure_is_told_and_not_its_consequences():
    with pytest.raises(RuntimeError, match=r"^Process 1 of 2 failed: ValueError: the images are "):
        launch(fails, 2)


def test_what_takes_too_long_is_ended_with_all_its_processes(tmp_path):
    slow = tmp_path/"slow.py"
    slow.write_text("import time\ntime.sleep(900)\n")
    with pytest.raises(RuntimeError, match="were not done after 15 seconds and were ended"):
        torchrun(2, [slow], seconds=15)
    left = [p for p in psutil.process_iter(["cmdline"]) if str(slow) in (p.info["cmdline"] or [])]
    assert not left


def test_a_script_that_fails_is_quoted(tmp_path):
    wrong = tmp_path/"wrong.py"
    wrong.write_text("raise KeyError('no such digit')\n")
    with pytest.raises(RuntimeError, match="One of 2 processes failed.*KeyError: 'no such digit'"):
        torchrun(2, [wrong])


@pytest.mark.parametrize("wrong", [dict(n=0), dict(restarts=-1), dict(seconds="long")])
def test_wrong_settings_start_nothing(wrong):
    with pytest.raises(ValueError, match="n is|restarts is|seconds is"):
        torchrun(**{"n": 1, "program": ["-c", ""], **wrong})
    with pytest.raises(TypeError, match="work is str"): launch("not a function", 2)


def test_a_batch_too_small_for_the_processes_is_refused(monkeypatch):
    monkeypatch.setattr(parallel, "rank_and_size", lambda: (0, 3))
    with pytest.raises(ValueError, match="A batch of 2 images has none for some of 3 processes"):
        fit_shards(net(), *task(), 1, bs=2)


def test_the_module_starts_nothing_when_imported():
    code = "import torch.distributed as d, mnist_course.parallel; print(d.is_initialized())"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
