"""One training example in plain Python: lists and `math`, no arrays."""
import math
import sys
from random import Random

from mnist_course.python_net import SIZES, Network, as_lists

from .timing import Comparison, Disagreement, Target, Way
from .work import digits

LR, SAME = .5, "the same weights and biases afterwards, to nine digits"
LOOPS = "the triple loop"


class LoopNetwork(Network):
    "Lesson 07's network with every product written as the textbook's loop over indices."
    # a test holds that all of these take the place of something in `Network`
    def sums(self, x, w, b):
        z = list(b)
        for i in range(len(x)):
            for j in range(len(z)): z[j] += x[i]*w[i][j]
        return z

    def grads(self, inputs, dzs):
        dw = [[0.]*len(dzs[0]) for _ in inputs[0]]
        for n in range(len(inputs)):
            for i in range(len(dw)):
                for j in range(len(dw[i])): dw[i][j] += inputs[n][i]*dzs[n][j]
        return dw

    def backward(self, w, dz):
        dx = [0.]*len(w)
        for i in range(len(w)):
            for j in range(len(dz)): dx[i] += w[i][j]*dz[j]
        return dx

    def sgd_step(self, w, dw, lr):
        for i in range(len(w)):
            for j in range(len(w[i])): w[i][j] -= lr*dw[i][j]


def numbers(net: Network) -> list[float]:
    "All of the network's numbers, one after another."
    flat = [v for w in net.weights for row in w for v in row]
    return flat + [v for b in net.biases for v in b]


def train(net: Network, rows: list, labels: list, bs: int) -> list[float]:
    "One step for each batch, in order."
    for i in range(0, len(rows), bs): net.update_mini_batch(rows[i:i + bs], labels[i:i + bs], LR)
    return numbers(net)


def by_micrograd(net: Network, rows: list, labels: list, bs: int) -> list[float]:
    "The same steps, an image each, by micrograd's scalars and an e^z, which it lacks."
    from micrograd.engine import Value
    weights = [[[Value(v) for v in row] for row in w] for w in net.weights]
    biases = [[Value(v) for v in b] for b in net.biases]
    params = [v for w in weights for row in w for v in row] + [v for b in biases for v in b]

    def exp(z):
        out = Value(math.exp(z.data), (z,), "exp")
        def backward(): z.grad += out.data*out.grad
        out._backward = backward
        return out

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000) # its backward walks a sum of 784 terms by recursion
    try:
        for x, label in zip(rows, labels, strict=True):
            a = x
            for w, b in zip(weights, biases, strict=True):
                z = [sum((v*row[j] for v, row in zip(a, w, strict=True)), bj)
                     for j, bj in enumerate(b)]
                a = [1/(1 + exp(-v)) for v in z]
            truth = [float(k == label) for k in range(len(a))]
            for v in params: v.grad = 0
            (sum((v - t)**2 for v, t in zip(a, truth, strict=True))/2).backward()
            for v in params: v.data -= LR*v.grad
    finally: sys.setrecursionlimit(limit)
    return [v.data for v in params]


def same_numbers(outputs: dict) -> None:
    first, *_ = outputs
    for name, found in outputs.items():
        pairs = zip(found, outputs[first], strict=True)
        if not all(math.isclose(p, q, rel_tol=1e-9, abs_tol=1e-12) for p, q in pairs):
            raise Disagreement(f"{name} ends with other weights than {first}.")


def comparisons(quick: bool, device: str) -> list[Comparison]:
    images, labels = (t[:100] for t in digits("training"))
    rows, labels = as_lists(images), labels.tolist()
    sizes = (784, 12, 10) if quick else SIZES
    def way(name, network, run, bs, batches, note=""):
        n = bs*batches
        def prepare(): return network(sizes, Random(0)), rows[:n], labels[:n], bs
        return Way(name, run, prepare, note=note)
    def ways(bs, batches):
        return (way("python_net", Network, train, bs, batches),
                way(LOOPS, LoopNetwork, train, bs, batches))
    n, rounds = (20, 2) if quick else (100, 7)
    return [
        Comparison(
            "plain.example", "One training example in plain Python, 784-112-16-10, in batches of "
            "10 as lesson 07 trains", ways(10, n//10), same_numbers, SAME, per=n, rounds=rounds,
            targets=(Target(LOOPS, 5, "python_net at least 5× the triple loop"),)),
        Comparison(
            "plain.one", "One training example in plain Python, one image at a time", ways(1, n),
            same_numbers, SAME, per=n, rounds=rounds,
            note="Here the weights are stepped for each image and not for each ten, and that step "
                 "gains less from walking along lists than the sums do."),
        Comparison(
            "plain.micrograd", "One image, by micrograd",
            (way("python_net", Network, train, 1, 1),
             way("micrograd", Network, by_micrograd, 1, 1,
                 "with Python's recursion limit raised and e^z added, or it could not; an object "
                 "for each number, whose making is counted")),
            same_numbers, SAME, rounds=1 if quick else 3)]
