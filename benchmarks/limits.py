"""The limit: what the machine can do at best, what each job must do, and how far apart they are.

The ceilings are measured: a large product of matrices for arithmetic, a large copy for bytes, and
for plain Python the plainest walk along two lists. A job cannot take less than its arithmetic at
the first nor its bytes at the second; the larger of the two is its limit.
"""
import os
import statistics
import time

import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import nn

from . import growth, linear, mlp, plain
from .work import digits, rows_to_train_on

FLOAT = 4 # bytes


def _best(run, rounds: int) -> float:
    "The shortest of several: a ceiling is what can be done, not what is usual."
    run()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def short_dtype() -> torch.dtype:
    "What `mnist_course.speed.train` computes in: bfloat16 where the processor has it."
    from mnist_course.speed import fast_dtype
    return fast_dtype(torch.device("cpu"))


def ceilings(quick: bool) -> dict:
    "Arithmetic in operations a second, memory in bytes a second (read and written)."
    n, rounds = (512, 3) if quick else (3072, 5)
    a, b = torch.rand(n, n), torch.rand(n, n)
    both = _best(lambda: a @ b, rounds)
    short_a, short_b = a.to(short_dtype()), b.to(short_dtype())
    short = _best(lambda: short_a @ short_b, rounds)
    with threadpool_limits(1, "blas"):
        one = _best(lambda: a.numpy() @ b.numpy(), rounds)
    source = torch.rand((8 if quick else 64)*2**20)
    target = torch.empty_like(source)
    copy = _best(lambda: target.copy_(source), rounds)
    total, row = [.5]*100_000, [.5]*100_000
    walk = _best(lambda: [s + .1*v for s, v in zip(total, row, strict=True)], rounds)
    return {"flops": 2*n**3/both, "flops_one_thread": 2*n**3/one, "flops_short": 2*n**3/short,
            "bytes": 2*FLOAT*source.numel()/copy, "python_flops": 2*len(row)/walk}


def _seconds(run, rounds: int, warm: bool = True) -> float:
    if warm: run()
    return statistics.median(_timed(run) for _ in range(rounds))


def _timed(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def parameters(sizes) -> int:
    return sum(p*q for p, q in zip(sizes, sizes[1:], strict=False))


def net_work(net: nn.Module, bs: int) -> tuple[int, int]:
    """Operations and bytes of an epoch of lesson 12's training.

    Bytes at the least: in each step every weight is read twice, forwards and backwards, its
    gradient is written and read, and it and its momentum are read and written again, all in
    float32; each layer's output is written and read in 16 bits, and so is its gradient.
    """
    from mnist_course.resnet import normalised
    from mnist_course.speed import MatrixConv, specialised
    from torch.utils.flop_counter import FlopCounterMode
    images, labels = digits("training")
    n, (images, labels) = len(labels), (images[:bs], labels[:bs])
    outputs = []
    def count_output(module, inputs, output): outputs.append(output.numel())
    with specialised(net.train(), normalised(images[:1])):
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear, MatrixConv))]
        for layer in layers: layer.register_forward_hook(count_output)
        with FlopCounterMode(display=False) as count:
            F.cross_entropy(net(normalised(images)), labels).backward()
        weights = sum(p.numel() for p in net.parameters())
    steps = n//bs
    return steps*count.get_total_flops(), steps*(8*FLOAT*weights + 4*2*sum(outputs))


def net_jobs(quick: bool) -> list[dict]:
    "The same for the nets of lessons 10 and 12, in the arithmetic that `train` would choose."
    from mnist_course.resnet import resnet18
    from mnist_course.speed import small_net
    share = .25 # of ResNet18's epoch is timed
    rows = []
    for work, net, bs, run, per, note in (
            ("epoch of ResNet18", resnet18(1, 10), 64, lambda: growth.resnet_epoch(share), share,
             "timed on a quarter. By PyTorch's profiler a third of the time goes into convolutions "
             "and products, which on maps of 7×7 and less are small ones; a fifth each into batch "
             "normalisation and the step over the weights, a sixth into copies, such as from 32 to "
             "16 bits"),
            ("epoch of the small net", small_net(), 128, growth.small_epoch, 1,
             "by the profiler a quarter of the time goes into convolutions and products, all of "
             "them small; more goes into batch normalisation, ReLU and pooling, which carry much "
             "through memory and compute little; a seventh into the step over the weights")):
        flops, moved = net_work(net, bs)
        rows.append(dict(work=work, run=run, flops=flops, bytes=moved, per=per, rounds=1, note=note,
                         ceiling="flops_short", warm=False))
    return [] if quick else rows # in a hurry they are counted, not timed


def jobs(quick: bool) -> list[dict]:
    "For each job: a function, its arithmetic, the bytes it must move, which ceiling is its own."
    from mnist_course.data import Batches, get_data
    from mnist_course.sgd import train_epoch
    from mnist_course.sgd import linear as scores

    from .loading import ours_again, ours_first
    from .nearest_mean import ours as nearest
    images, labels = digits("training")
    n, n_test = len(labels), len(digits("testing")[1])
    pixels, tested = images.numel(), n_test*784
    files = [f.stat().st_size for f in get_data("full").glob("*/[0-9]/*.png")]

    x, y = rows_to_train_on()
    w, b = linear.start()
    dl = Batches(x, y, linear.BS, True)
    def epoch(): train_epoch(lambda xb: scores(xb, w, b), linear.LR, (w, b), dl)

    rows, digit = plain.as_lists(images[:10]), labels[:10].tolist()
    net = plain.Network(plain.SIZES, plain.Random(0))
    first, others = plain.SIZES[0]*plain.SIZES[1], parameters(plain.SIZES[1:])
    dark = (images[:10] > 0).float().mean().item()
    # forward and weight gradients: every weight whose input is not zero; backward: all but the
    # first layer's
    python_flops = 2*(2*(first*dark + others) + others)

    xs, ys = mlp.rows()
    p_all, p_first = parameters(mlp.SIZES), mlp.SIZES[0]*mlp.SIZES[1]
    steps = -(-n//mlp.BS)
    return [
        dict(work="loading, the first time", run=ours_first, flops=0,
             bytes=sum(files) + pixels + tested, rounds=1,
             note="opening 70,000 files and unpacking each: work for the processor that is "
                  "neither a product nor a copy"),
        dict(work="loading again", run=ours_again, flops=0, bytes=4*(pixels + tested), rounds=5,
             note="read from the file, then joined: each byte is read and written twice, into "
                  "memory that is new each time"),
        dict(work="3/7 epoch, linear", run=epoch, flops=4*x.numel(), bytes=4*FLOAT*x.numel(),
             rounds=5, note="each image is gathered into its batch (read, written) and read "
                            "forwards and backwards; 49 batches are too small to hide the "
                            "fixed cost of some ten calls each"),
        dict(work="one example, plain Python", rounds=5, per=10, ceiling="python_flops",
             run=lambda: net.update_mini_batch(rows, digit, plain.LR), flops=python_flops, bytes=0,
             note="against Python's own plainest walk; inputs that are zero are skipped, and "
                  "the step over all weights comes on top"),
        dict(work="epoch of 784-128-64-10, NumPy", run=lambda: mlp.ours(xs, ys), rounds=3,
             flops=n*(6*p_all - 2*p_first), bytes=FLOAT*(4*n*784 + steps*6*p_all),
             ceiling="flops_one_thread",
             note="against one thread, which is what it uses: products of 64 rows are too small "
                  "to keep even one at full speed"),
        dict(work="nearest mean, ten digits", run=nearest, rounds=3, flops=2*pixels + 3*10*tested,
             bytes=pixels + tested,
             note="the lesson writes the distance as its formula reads, with the difference, "
                  "the square and the mean as whole arrays: each pass goes through memory, "
                  "and most of the time is the system handing over pages of it"),
    ]


def measure(quick: bool, report=lambda line: None) -> dict:
    top = ceilings(quick)
    rows = []
    for job in jobs(quick) + net_jobs(quick):
        rounds = 1 if quick else job["rounds"]
        seconds = _seconds(job["run"], rounds, job.get("warm", True))/job.get("per", 1)
        rows.append(compare(top, job["work"], seconds, job["flops"], job["bytes"],
                            job.get("ceiling", "flops"), job["note"]))
        report(f"  {job['work']}: {seconds:.4g} s, {rows[-1]['times']:.1f} times its limit")
    return {"ceilings": top, "jobs": rows, "cores": os.cpu_count(),
            "short": str(short_dtype()).removeprefix("torch.")}


def compare(top: dict, work: str, seconds: float, flops: float, moved: float,
            ceiling: str = "flops", note: str = "") -> dict:
    "How far from its limit a job runs."
    by_flops, by_bytes = flops/top[ceiling], moved/top["bytes"]
    limit = max(by_flops, by_bytes)
    return dict(work=work, seconds=seconds, flops=flops, bytes=moved, limit=limit,
                bound="arithmetic" if by_flops >= by_bytes else "bytes", times=seconds/limit,
                note=note)
