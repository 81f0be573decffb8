"""The chain: finite differences = plain Python = NumPy = PyTorch, and faults that must be seen.

Networks, batches and seeds are drawn by Hypothesis. The planted faults are changes to the text of
the real modules, so that a fault that can no longer be planted fails as loudly as one unseen.
"""
import inspect
import math
from random import Random
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mnist_course.lab import ledger, numpy_net, python_net
from mnist_course.gradcheck import check_gradients, shape_of
from mnist_course.numpy_net import MLP, numpy_twin
from mnist_course.python_net import Network

PAIRS = [("sigmoid", "mse"), ("relu", "cross_entropy"), ("sigmoid", "cross_entropy"),
         ("relu", "mse")]

cases = st.tuples(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.integers(1, 7),
                  st.integers(0, 10**6), st.sampled_from(PAIRS))
many = settings(max_examples=40, deadline=None, derandomize=True)


def draw(case):
    "A network, and a function that draws batches for it."
    sizes, bs, seed, (activation, loss) = case
    r = Random(seed)
    net = Network(sizes, r, activation, loss)
    for b in net.biases: b[:] = [r.uniform(-1, 1) for _ in b]

    def batch():
        rows = [[r.choice((0., r.random(), r.gauss(0, 1))) for _ in range(sizes[0])]
                for _ in range(bs)]
        return rows, [r.randrange(sizes[-1]) for _ in range(bs)]
    return net, batch


def torch_params(net):
    return {name: torch.tensor(p, dtype=torch.float64).requires_grad_()
            for name, p in net.parameters().items()}


def torch_loss(net, params, rows, labels):
    a, n = torch.tensor(rows, dtype=torch.float64), len(net.sizes) - 1
    for k in range(1, n + 1):
        z = a @ params[f"w{k}"] + params[f"b{k}"]
        a = z.relu() if net.activation == "relu" else z.sigmoid()
    truth = torch.tensor(labels)
    if net.loss_name == "cross_entropy": return F.cross_entropy(z, truth)
    return (z.sigmoid() - F.one_hot(truth, z.shape[1])).pow(2).sum(1).mean()/2


def largest_difference(p, q):
    p, q = np.asarray(p), np.asarray(q)
    assert p.shape == q.shape
    return abs(p - q).max()


@many
@given(cases)
def test_four_ways_to_the_same_gradient(case):
    net, batch = draw(case)
    rows, labels = batch()
    plain = net.backpropagate(rows, labels)
    report = check_gradients(lambda: net.loss(rows, labels), net.parameters(), plain)
    assert report.ok, report

    twin, params = numpy_twin(net), torch_params(net)
    loss = torch_loss(net, params, rows, labels)
    loss.backward()
    assert math.isclose(net.loss(rows, labels), loss.item(), rel_tol=1e-12, abs_tol=1e-14)
    assert math.isclose(twin.loss(np.array(rows), np.array(labels)), loss.item(),
                        rel_tol=1e-12, abs_tol=1e-14)
    arrays = twin.backward()
    assert set(arrays) == set(plain) == set(params)
    for name, p in params.items():
        assert shape_of(plain[name]) == tuple(p.shape)
        assert largest_difference(plain[name], p.grad) < 1e-12, name
        assert largest_difference(arrays[name], p.grad) < 1e-12, name


@many
@given(cases)
def test_one_step_by_all_three(case):
    net, batch = draw(case)
    rows, labels = batch()
    twin, params = numpy_twin(net), torch_params(net)
    torch_loss(net, params, rows, labels).backward()
    twin.loss(np.array(rows), np.array(labels))
    twin.backward()
    twin.step(.7)
    net.update_mini_batch(rows, labels, .7)
    for name, p in params.items():
        stepped = p.detach() - .7*p.grad
        assert largest_difference(net.parameters()[name], stepped) < 1e-12, name
        assert largest_difference(twin.parameters()[name], stepped) < 1e-12, name


@pytest.mark.parametrize("pair", PAIRS[:2], ids="-".join)
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_steps_stay_together(pair, seed):
    net, batch = draw(((7, 6, 5, 4), 8, seed, pair))
    twin, params = numpy_twin(net), torch_params(net)
    before = [row[:] for row in net.weights[-1]]
    for _ in range(100):
        rows, labels = batch()
        torch_loss(net, params, rows, labels).backward()
        for p in params.values():
            p.data -= .5*p.grad
            p.grad = None
        twin.loss(np.array(rows), np.array(labels))
        twin.backward()
        twin.step(.5)
        net.update_mini_batch(rows, labels, .5)
    assert largest_difference(before, net.weights[-1]) > .01   # something was learned at all
    for name, p in params.items():
        assert largest_difference(net.parameters()[name], p.detach()) < 1e-9, name
        assert largest_difference(twin.parameters()[name], p.detach()) < 1e-9, name


@many
@given(cases, st.booleans())
def test_plain_python_with_and_without_sumprod(case, builtin):
    "Python 3.12 has math.sumprod, 3.11 has not: the numbers are the same to 1e-12."
    net, batch = draw(case)
    rows, labels = batch()
    expected = net.backpropagate(rows, labels)
    exact = lambda p, q: math.fsum(a*b for a, b in zip(p, q, strict=True))  # noqa: E731
    before = python_net.sumprod
    python_net.sumprod = exact if builtin else python_net._sumprod
    try: got = net.backpropagate(rows, labels)
    finally: python_net.sumprod = before
    for name in expected: assert largest_difference(expected[name], got[name]) < 1e-12


@pytest.mark.parametrize("size", [1e2, 1e4])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_large_scores_overflow_nowhere(pair, size):
    net, batch = draw(((4, 3, 3), 5, 0, pair))
    net.weights[-1] = [[v*size for v in row] for row in net.weights[-1]]
    rows, labels = batch()
    twin, params = numpy_twin(net), torch_params(net)
    loss = torch_loss(net, params, rows, labels)
    loss.backward()
    with np.errstate(all="raise", under="ignore"):
        assert math.isclose(twin.loss(np.array(rows), np.array(labels)), loss.item(), rel_tol=1e-9)
        arrays = twin.backward()
    assert math.isclose(net.loss(rows, labels), loss.item(), rel_tol=1e-9)
    plain = net.backpropagate(rows, labels)
    for name, p in params.items():
        scale = max(1, abs(p.grad).max().item())
        assert largest_difference(plain[name], p.grad) < 1e-9*scale
        assert largest_difference(arrays[name], p.grad) < 1e-9*scale


# --- planted faults ---

def plant(module, old, new):
    "A copy of a module with one piece of its text replaced."
    text = inspect.getsource(module)
    assert text.count(old) == 1, f"{module.__name__} has {text.count(old)} places like {old!r}"
    copy = ModuleType(module.__name__)
    copy.__file__ = module.__file__
    experiments = dict(ledger.EXPERIMENTS)      # the copy registers its own under the same keys
    try: exec(compile(text.replace(old, new), module.__file__, "exec"), copy.__dict__)
    finally:
        ledger.EXPERIMENTS.clear()
        ledger.EXPERIMENTS.update(experiments)
    return copy


SQUARE = ((5, 4, 4, 4), 4)      # sizes and batch for which no wrong shape gives a fault away

PYTHON_FAULTS = {
    "derivative of an activation taken twice": (
        "    return a*(1 - a)\n", "    return sigmoid(a)*(1 - sigmoid(a))\n", "sigmoid", "mse"),
    "derivative without the activation's slope": (
        "dz = [d*slope(v) for d, v in zip(da, a, strict=True)]", "dz = da", "sigmoid", "mse"),
    "slope of the output forgotten": (
        "return [d*slope(a) for d, a in zip(da, outputs, strict=True)]", "return da",
        "sigmoid", "mse"),
    "cross-entropy with the squared error's slope": (
        'if self.loss_name == "cross_entropy": return da', "pass", "relu", "cross_entropy"),
    "transposed gradient": (
        "dw = [self.slopes(*pair) for pair in zip(inputs, dzs, strict=True)]",
        "dw = [self.slopes(*pair) for pair in zip(inputs, dzs, strict=True)]\n"
        "    dw[1] = [list(c) for c in zip(*dw[1])]", "sigmoid", "mse"),
    "transposed weights on the way back": (
        "return [sumprod(row, dz) for row in w]", "return [sumprod(row, dz) for row in zip(*w)]",
        "relu", "cross_entropy"),
    "wrong bias axis": (
        "db = [[sum(column) for column in zip(*dz, strict=True)] for dz in dzs]",
        "db = [[sum(row) for row in dz] for dz in dzs]", "sigmoid", "mse"),
    "forgotten batch mean": (
        "dz = [d/len(rows) for d in", "dz = [d for d in", "sigmoid", "mse"),
    "batch mean taken twice": (
        "dz = [d/len(rows) for d in", "dz = [d/len(rows)**2 for d in", "relu", "cross_entropy"),
    "uphill": ("da = [a - t for a, t in zip(outputs", "da = [t - a for a, t in zip(outputs",
               "sigmoid", "mse"),
    "a layer fed with the wrong layer's input": (
        "inputs[k].append(a); dzs[k].append(dz)",
        "inputs[k].append(activations[min(k, 1)]); dzs[k].append(dz)", "sigmoid", "mse"),
    "zeros skipped where they count": (
        "for xi, dz in zip(column, dzs, strict=True) if xi]",
        "for xi, dz in zip(column, dzs, strict=True) if xi > 0]", "sigmoid", "mse"),
    "ReLU's slope forgotten": (
        "def relu_grad(a:float)->float: return float(a > 0)",
        "def relu_grad(a:float)->float: return 1.", "relu", "cross_entropy"),
    "no activation between the layers": (
        "activations.append([activate(z) for z in sums[-1]])", "activations.append(sums[-1])",
        "relu", "cross_entropy"),
    "backward never called": (
        "    return self.named(dw, db)\n",
        "    zeros = [[[0.]*len(row) for row in w] for w in dw], [[0.]*len(b) for b in db]\n"
        "    return self.named(*zeros)\n",
        "sigmoid", "mse"),
}

NUMPY_FAULTS = {
    "derivative of an activation taken twice": (
        "        return da*self.a*(1 - self.a)\n",
        "        return da*sigmoid(self.a)*(1 - sigmoid(self.a))\n", "sigmoid", "mse"),
    "derivative taken of the slope's wrong half": (
        "return da*self.a*(1 - self.a)", "return da*(1 - self.a)", "sigmoid", "mse"),
    "transposed gradient": (
        "        np.matmul(self.x.T, dz, out=self.dw)\n",
        "        np.matmul(self.x.T, dz, out=self.dw)\n"
        "        if self.dw.shape[0] == self.dw.shape[1]: self.dw[:] = self.dw.T.copy()\n",
        "relu", "cross_entropy"),
    "images not transposed": (
        "np.matmul(self.x.T, dz, out=self.dw)",
        "np.matmul(self.x.T if self.is_first else self.x, dz, out=self.dw)",
        "relu", "cross_entropy"),
    "weights not transposed on the way back": (
        "return None if self.is_first else dz @ self.w.T",
        "return None if self.is_first else dz @ self.w", "relu", "cross_entropy"),
    "wrong bias axis": ("dz.sum(0, out=self.db)", "dz.sum(1, out=self.db)",
                        "relu", "cross_entropy"),
    "bias averaged, not added up": ("dz.sum(0, out=self.db)", "dz.mean(0, out=self.db)",
                                    "relu", "cross_entropy"),
    "forgotten batch mean": ("        dz /= len(dz)\n", "", "relu", "cross_entropy"),
    "forgotten batch mean of the squared error": (
        "return self.error/len(self.error)", "return self.error", "sigmoid", "mse"),
    "ReLU's slope forgotten": ("return da*(self.a > 0)", "return da", "relu", "cross_entropy"),
    "ReLU's slope turned over": ("return da*(self.a > 0)", "return da*(self.a <= 0)",
                                 "relu", "cross_entropy"),
    "no ReLU between the layers": ("self.a = np.maximum(z, 0)", "self.a = z",
                                   "relu", "cross_entropy"),
    "truth not subtracted": ("        dz[self.rows, self.labels] -= 1\n", "",
                             "relu", "cross_entropy"),
    "uphill": ("return self.error/len(self.error)", "return -self.error/len(self.error)",
               "sigmoid", "mse"),
}


def report_of(module, sizes, bs, activation, loss, seed=3):
    "The gradient check of a network of this module, plain or NumPy; the slopes as it claims them."
    plain, batch = draw((sizes, bs, seed, (activation, loss)))
    rows, labels = batch()
    if hasattr(module, "MLP"):
        net = module.MLP(sizes, activation, loss, dtype=np.float64)
        net.weights, net.biases = plain.weights, plain.biases
        rows, labels = np.array(rows), np.array(labels)
        net.loss(rows, labels)
        claims = {name: d.copy() for name, d in net.backward().items()}
    else:
        net = module.Network(sizes, None, activation, loss)
        net.weights, net.biases = plain.weights, plain.biases
        claims = net.backpropagate(rows, labels)
    return check_gradients(lambda: net.loss(rows, labels), net.parameters(), claims)


@pytest.mark.parametrize("module", [python_net, numpy_net], ids=["python", "numpy"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_the_unbroken_code_passes_where_the_faults_are_planted(module, pair):
    report = report_of(module, *SQUARE, *pair)
    assert report.ok, report
    assert max(e.error for e in report.entries if e.verdict == "right") < 1e-5


FAULTS = [pytest.param(module, *fault, id=f"{name}: {what}") for module, name, faults in
          ((python_net, "python", PYTHON_FAULTS), (numpy_net, "numpy", NUMPY_FAULTS))
          for what, fault in faults.items()]


@pytest.mark.parametrize("module,old,new,activation,loss", FAULTS)
def test_gradcheck_catches_a_planted_fault(module, old, new, activation, loss):
    report = report_of(plant(module, old, new), *SQUARE, activation, loss)
    assert not report.ok, f"unseen:\n{report}"
    assert report.worst.verdict == "wrong"
    assert "WRONG" in str(report) and "claimed" in str(report)


@pytest.mark.parametrize("module,faults", [(python_net, PYTHON_FAULTS), (numpy_net, NUMPY_FAULTS)],
                         ids=["python", "numpy"])
def test_the_report_names_the_mistake(module, faults):
    "A pattern that has a name is named: a factor (the batch holds four), a transpose."
    old, new, *pair = faults["forgotten batch mean"]
    report = report_of(plant(module, old, new), *SQUARE, *pair)
    assert all("4 times the slope" in hint for hint in report.hints.values()), report
    old, new, *pair = faults["transposed gradient"]
    report = report_of(plant(module, old, new), *SQUARE, *pair)
    assert "transposed" in report.hints["w2"] and not report.hints["b2"], report
    old, new, *pair = faults["uphill"]
    report = report_of(plant(module, old, new), *SQUARE, *pair)
    assert all("uphill" in hint for hint in report.hints.values()), report


def test_the_faulty_network_of_the_story_is_caught():
    net = python_net.FaultyNetwork((5, 4, 3), Random(0))
    rows, labels = [[.1, .5, 0., .9, .3]]*2, [0, 2]
    report = check_gradients(lambda: net.loss(rows, labels), net.parameters(),
                             net.backpropagate(rows, labels))
    assert {e.name for e in report.entries if e.verdict == "wrong"} == {"w1", "b1", "w2", "b2"}
    twin = numpy_twin(net)
    twin.loss(np.array(rows), np.array(labels))
    claims = twin.backward()
    assert not check_gradients(lambda: twin.loss(np.array(rows), np.array(labels)),
                               twin.parameters(), claims).ok


def test_a_transposed_gradient_of_another_shape_is_refused():
    net = MLP((5, 4, 3), dtype=np.float64, rng=np.random.default_rng(0))
    x, labels = np.ones((2, 5)), np.array([0, 1])
    net.loss(x, labels)
    claims = {name: d.T for name, d in net.backward().items()}
    with pytest.raises(ValueError, match="It looks transposed"):
        check_gradients(lambda: net.loss(x, labels), net.parameters(), claims)
