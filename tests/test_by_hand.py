"""The networks by hand: finite differences = plain Python = NumPy = PyTorch, faults that must be
seen, and what `python_net` and `numpy_net` promise beside the gradient.

Networks, batches and seeds are drawn by Hypothesis. The planted faults are changes to the text of
the real modules, so that a fault that can no longer be planted fails as loudly as one unseen.
"""
import inspect
import math
import subprocess
import sys
from random import Random
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist_course import data, numpy_net, python_net
from mnist_course.gradcheck import check_gradients, shape_of
from mnist_course.numpy_net import MLP, fit_digits, fit_twin, numpy_twin
from mnist_course.python_net import FaultyNetwork, Network, as_lists, fit_few
from torch.nn import functional as F

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


# --- the chain ---

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
    copy.__file__, copy.__package__ = module.__file__, module.__package__
    exec(compile(text.replace(old, new), module.__file__, "exec"), copy.__dict__)
    return copy


SQUARE = ((5, 4, 4, 4), 4)      # sizes and batch for which no wrong shape gives a fault away

PYTHON_FAULTS = {
    "derivative of an activation taken twice": (
        "    return a*(1 - a)\n", "    return sigmoid(a)*(1 - sigmoid(a))\n", "sigmoid", "mse"),
    "the activation's derivative forgotten": (
        "dz = [d*derivative(a) for d, a in zip(da, inputs[k], strict=True)]", "dz = da",
        "sigmoid", "mse"),
    "derivative of the output forgotten": (
        "return [d*derivative(a) for d, a in zip(da, outputs, strict=True)]", "return da",
        "sigmoid", "mse"),
    "cross-entropy with the squared error's gradient": (
        'if self.loss_name == "cross_entropy": return da', "pass", "relu", "cross_entropy"),
    "transposed gradient": (
        "dw.append(self.grads(inputs, dzs))",
        "dw.append(self.grads(inputs, dzs))\n"
        "        if k == 1: dw[1] = [list(column) for column in zip(*dw[1])]", "sigmoid", "mse"),
    "transposed weights on the way back": (
        "return [sumprod(row, dz) for row in w]", "return [sumprod(row, dz) for row in zip(*w)]",
        "relu", "cross_entropy"),
    "wrong bias axis": (
        "db.append([sum(column) for column in zip(*dzs, strict=True)])",
        "db.append([sum(row) for row in dzs])", "sigmoid", "mse"),
    "forgotten batch mean": (
        "dzs = [[d/bs for d in", "dzs = [[d for d in", "sigmoid", "mse"),
    "batch mean taken twice": (
        "dzs = [[d/bs for d in", "dzs = [[d/bs**2 for d in", "relu", "cross_entropy"),
    "uphill": ("da = [a - t for a, t in zip(outputs", "da = [t - a for a, t in zip(outputs",
               "sigmoid", "mse"),
    "a layer fed with the wrong layer's input": (
        "    return inputs, dzs\n",
        "    return [inputs[min(k, 1)] for k in range(len(inputs))], dzs\n",
        "sigmoid", "mse"),
    "an activation taken from the wrong layer": (
        "zip(da, inputs[k], strict=True)", "zip(da, inputs[-1], strict=True)", "sigmoid", "mse"),
    "the weights of the wrong layer on the way back": (
        "da = self.backward(self.weights[k],", "da = self.backward(self.weights[-1],",
        "sigmoid", "mse"),
    "zeros skipped where they count": (
        "for xi, dz in zip(column, dzs, strict=True) if xi]",
        "for xi, dz in zip(column, dzs, strict=True) if xi > 0]", "sigmoid", "mse"),
    "ReLU's derivative forgotten": (
        "def relu_grad(a:float)->float: return float(a > 0)",
        "def relu_grad(a:float)->float: return 1.", "relu", "cross_entropy"),
    "no activation between the layers": (
        "    f = sigmoid if is_last", "    if not is_last: return sums\n    f = sigmoid if is_last",
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
    "half of the sigmoid's derivative": (
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
    "ReLU's derivative forgotten": ("return da*(self.a > 0)", "return da",
                                    "relu", "cross_entropy"),
    "ReLU's derivative turned over": ("return da*(self.a > 0)", "return da*(self.a <= 0)",
                                      "relu", "cross_entropy"),
    "no ReLU between the layers": ("self.a = np.maximum(z, 0)", "self.a = z",
                                   "relu", "cross_entropy"),
    "truth not subtracted": ("        dz[self.rows, self.labels] -= 1\n", "",
                             "relu", "cross_entropy"),
    "uphill": ("return self.error/len(self.error)", "return -self.error/len(self.error)",
               "sigmoid", "mse"),
}


def report_of(module, sizes, bs, activation, loss, seed=3):
    "The gradient check of a network of this module, plain or NumPy, as it claims its gradient."
    plain, batch = draw((sizes, bs, seed, (activation, loss)))
    rows, labels = batch()
    if hasattr(module, "MLP"):
        net = module.MLP(sizes, activation, loss, dtype=np.float64)
        net.weights, net.biases = plain.weights, plain.biases
        rows, labels = np.array(rows), np.array(labels)
        net.loss(rows, labels)
        grads = {name: d.copy() for name, d in net.backward().items()}
    else:
        net = module.Network(sizes, None, activation, loss)
        net.weights, net.biases = plain.weights, plain.biases
        grads = net.backpropagate(rows, labels)
    return check_gradients(lambda: net.loss(rows, labels), net.parameters(), grads)


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
    assert all("4 times the" in hint for hint in report.hints.values()), report
    old, new, *pair = faults["transposed gradient"]
    report = report_of(plant(module, old, new), *SQUARE, *pair)
    assert "transposed" in report.hints["w2"] and not report.hints["b2"], report
    old, new, *pair = faults["uphill"]
    report = report_of(plant(module, old, new), *SQUARE, *pair)
    assert all("uphill" in hint for hint in report.hints.values()), report


def test_the_faulty_network_of_the_story_is_caught():
    net = FaultyNetwork((5, 4, 3), Random(0))
    rows, labels = [[.1, .5, 0., .9, .3]]*2, [0, 2]
    report = check_gradients(lambda: net.loss(rows, labels), net.parameters(),
                             net.backpropagate(rows, labels))
    assert {e.name for e in report.entries if e.verdict == "wrong"} == {"w1", "b1", "w2", "b2"}
    twin = numpy_twin(net)
    twin.loss(np.array(rows), np.array(labels))
    grads = twin.backward()
    assert not check_gradients(lambda: twin.loss(np.array(rows), np.array(labels)),
                               twin.parameters(), grads).ok


def test_a_transposed_gradient_of_another_shape_is_refused():
    net = MLP((5, 4, 3), dtype=np.float64, rng=np.random.default_rng(0))
    x, labels = np.ones((2, 5)), np.array([0, 1])
    net.loss(x, labels)
    grads = {name: d.T for name, d in net.backward().items()}
    with pytest.raises(ValueError, match="It looks transposed"):
        check_gradients(lambda: net.loss(x, labels), net.parameters(), grads)


# --- what each module may lean on ---

@pytest.mark.parametrize("module,forbidden", [("python_net", ("torch", "numpy")),
                                              ("numpy_net", ("torch",))])
def test_nothing_is_imported_that_the_lesson_does_without(module, forbidden):
    "In a process of its own, trained a little there, so that late imports are seen as well."
    code = f"""
import sys
from mnist_course import {module} as m
images = [[[(i*j) % 256 for j in range(28)] for _ in range(28)] for i in range(1, 13)]
labels = [i % 10 for i in range(12)]
if "{module}" == "python_net": trained = m.fit_few((images, labels), (images, labels), n_images=4)
else:
    images, labels = m.np.array(images, m.np.uint8), m.np.array(labels)
    trained = m.fit_digits((images, labels), (images, labels), n_epochs=1)
assert 0 <= trained.final <= 1
print([name for name in {forbidden!r} if name in sys.modules])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]", f"{module} brings in {run.stdout}"


# --- images in, probabilities out ---

def some_images(n, seed=0, h=28, w=28):
    r = np.random.default_rng(seed)
    return r.integers(0, 256, (n, h, w), dtype=np.uint8), r.integers(0, 10, n)


def test_images_may_come_as_tensor_array_or_lists():
    images, _ = some_images(4, h=3, w=5)
    expected = data.as_rows(torch.from_numpy(images), torch.float64).tolist()
    for same in (images, torch.from_numpy(images), images.tolist(), list(images)):
        assert as_lists(same) == expected
    assert as_lists([]) == []


@pytest.mark.parametrize("wrong", [[[[.5, 1.]]], [[[0, 256]]], [[[0, -1]]], [[0, 255]]])
def test_pixels_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"): as_lists(wrong)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_those_of_lesson_00_to_the_last_bit(dtype):
    images, _ = some_images(20)
    images[0].flat[:256] = range(256)          # every shade
    ours = numpy_net.as_rows(images, getattr(np, dtype))
    theirs = data.as_rows(torch.from_numpy(images), getattr(torch, dtype)).numpy()
    assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
    assert np.array_equal(numpy_net.as_rows(torch.from_numpy(images), getattr(np, dtype)), ours)
    with pytest.raises(ValueError, match="give uint8"): numpy_net.as_rows(ours)


@many
@given(cases)
def test_probabilities_add_up_and_the_largest_is_what_is_read(case):
    net, batch = draw(case)
    rows, _ = batch()
    twin, x = numpy_twin(net), np.array(rows)
    plain, arrays = net.predict_proba(rows), twin.predict_proba(x)
    assert arrays.shape == (len(rows), net.sizes[-1])
    assert largest_difference(plain, arrays) < 1e-12
    assert np.allclose(arrays.sum(1), 1, rtol=1e-12) and (arrays >= 0).all()
    assert [p.index(max(p)) for p in plain] == net.predict(rows)
    assert (arrays.argmax(1) == twin.predict(x)).all()
    outputs = torch.from_numpy(twin.forward(x))
    shares = outputs/outputs.sum(1, keepdim=True)
    expected = outputs.softmax(1) if net.loss_name == "cross_entropy" else shares
    assert largest_difference(arrays, expected) < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_probabilities_of_extreme_outputs(pair, dtype):
    "All sigmoid outputs zero: no class is likelier than another. Softmax: one has it all."
    net, _ = draw(((4, 3, 3), 1, 0, pair))
    net.weights[-1] = [[0.]*3]*3
    net.biases[-1] = [-1e4]*3 if pair[1] == "mse" else [-1e4, 1e4, 0.]
    expected = [1/3]*3 if pair[1] == "mse" else [0., 1., 0.]
    rows = [[1., 0., 2., -1.]]
    with np.errstate(all="raise", under="ignore"):
        assert largest_difference(net.predict_proba(rows)[0], expected) < 1e-12
        twin = numpy_twin(net, dtype)
        assert largest_difference(twin.predict_proba(rows)[0], expected) < 1e-6
    assert net.predict(rows) == twin.predict(rows).tolist() == [expected.index(max(expected))]


# --- what is refused ---

@pytest.mark.parametrize("kind", [Network, MLP])
def test_networks_that_cannot_be_built_are_refused(kind):
    for sizes in (), (784,), (784, 0, 10):
        with pytest.raises(ValueError, match="at least inputs and outputs"): kind(sizes)
    with pytest.raises(ValueError, match="There is no loss 'huber': choose one of"):
        kind((2, 1), loss="huber")
    with pytest.raises(ValueError, match="There is no activation 'step': choose one of"):
        kind((2, 1), activation="step")


def test_batches_that_do_not_fit_are_refused():
    net, twin = Network((2, 3)), MLP((2, 3))
    with pytest.raises(ValueError, match="A row has 1 numbers and the network 2 inputs"):
        net.predict([[1.]])
    for rows, labels in (([[1., 2.]], [0, 1]), ([[1., 2.]], [[0]])):
        with pytest.raises(ValueError, match="(one|give).* each"):
            net.backpropagate(rows, labels)
    with pytest.raises(ValueError, match="Labels run from 3 to 3: give 0 to 2"):
        net.loss([[1., 2.]], [3])
    with pytest.raises(ValueError, match="Labels run from 0 to 3: give 0 to 2"):
        twin.fit([[1., 2.], [2., 1.]], [0, 3])
    with pytest.raises(ValueError, match="weights of layer 1"): twin.weights = [np.zeros((3, 2))]


# --- the recipes ---

def test_few_learns_from_its_first_images_and_is_judged_by_the_first_of_the_others(monkeypatch):
    images, labels = some_images(60)
    asked = []
    few = python_net.few
    monkeypatch.setattr(python_net, "few", lambda i, d, n: asked.append(n) or few(i, d, n))
    trained = fit_few((images, labels), (images[:9], labels[:9]), seed=3, n_images=40)
    assert asked == [40, 2000] and trained.n_valid == 9 and len(trained.accuracy) == 8
    assert isinstance(trained.model, Network) and trained.model.sizes == (784, 112, 16, 10)

    again = fit_few((torch.from_numpy(images[:40]), torch.from_numpy(labels[:40])), seed=3)
    assert again.model.parameters() == trained.model.parameters()    # judging changes nothing
    assert again.accuracy == [] and again.n_valid == 0
    with pytest.raises(ValueError, match="was not judged"): again.final    # noqa: B018
    other = fit_few((images, labels), seed=4, n_images=40)
    assert other.model.parameters() != trained.model.parameters()
    wrong = fit_few((images, labels), seed=3, network=FaultyNetwork, n_images=40)
    assert isinstance(wrong.model, FaultyNetwork)
    assert wrong.model.parameters() != trained.model.parameters()


@pytest.mark.parametrize("n,n_epochs", [(500, 8), (5000, 3), (7500, 2), (49_000, 1)])
def test_few_chooses_its_epochs_by_the_number_of_images(monkeypatch, n, n_epochs):
    found = {}
    monkeypatch.setattr(python_net, "few", lambda images, labels, n: (range(n), range(n)))
    monkeypatch.setattr(Network, "fit", lambda self, x, y, n_epochs, lr, bs, rng, valid, report:
                        found.update(n_epochs=n_epochs, lr=lr, bs=bs, report=report))
    fit_few(([], []), n_images=n, report=7)
    assert found == dict(n_epochs=n_epochs, lr=2., bs=10, report=7)


def test_a_network_trains_and_reports(capsys):
    images, labels = some_images(7, h=2, w=2)
    rows, labels = as_lists(images), (labels % 3).tolist()
    net = Network((4, 5, 3), Random(1))
    trained = net.fit(rows, labels, 2, .1, bs=2, rng=Random(0), valid=(rows, labels), report=3)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said] == ["batch 3"]*2      # of four batches, twice
    assert trained.model is net and len(trained.accuracy) == 2
    assert trained.final == net.evaluate(rows, labels)

    plain, r, order = Network((4, 5, 3), Random(1)), Random(0), list(range(7))
    for _ in range(2):                                  # the same by hand: mixed on and on
        r.shuffle(order)
        for i in range(0, 7, 2):
            plain.update_mini_batch([rows[j] for j in order[i:i + 2]],
                                    [labels[j] for j in order[i:i + 2]], .1)
    assert plain.parameters() == net.parameters()
    net.fit(rows, labels, 1, .1, bs=2, rng=Random(0))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("where", [{}, {"hidden": False}, {"output": False}])
def test_the_twin_trains_as_the_plain_network_does(where):
    "Few images, so sixty epochs; judged after each, and the same whatever kind images are."
    images, labels = some_images(40)
    train, valid = (images, labels), (images[:9], labels[:9])
    trained = fit_twin(train, valid, seed=2, network=FaultyNetwork, **where)
    assert len(trained.accuracy) == len(trained.loss) == 60 and trained.n_valid == 9
    tensors = fit_twin((torch.from_numpy(images), torch.from_numpy(labels)), seed=2,
                       network=FaultyNetwork, **where)
    assert tensors.accuracy == [] and tensors.loss == trained.loss
    layers = [type(layer).__name__ for layer in trained.model.layers[1::2]]
    assert layers == ["FaultySigmoid" if where.get("hidden", True) else "Sigmoid"]*2 + [
        "FaultySigmoid" if where.get("output", True) else "Sigmoid"]
    start = numpy_twin(FaultyNetwork((784, 112, 16, 10), Random(2)), np.float32, **where)
    start.fit(numpy_net.as_rows(images), labels, 60, .5, 32, rng=np.random.default_rng(2))
    for p, q in zip(start.weights, trained.model.weights, strict=True):
        np.testing.assert_allclose(p, q, rtol=0, atol=1e-4)


def test_the_twin_of_many_images_trains_for_ten_epochs(monkeypatch):
    found = []
    monkeypatch.setattr(MLP, "fit", lambda self, x, y, n_epochs, *_, **__: found.append(n_epochs))
    for n in 10_000, 10_001:
        fit_twin((np.zeros((n, 1, 1), np.uint8), np.zeros(n, int)))
    assert found == [60, 10]


def test_digits_are_the_write_ups_network_with_its_settings():
    images, labels = some_images(100)
    trained = fit_digits((images, labels), (images[:50], labels[:50]), seed=5, n_epochs=3)
    assert trained.model.sizes == (784, 128, 64, 10) and trained.n_valid == 50
    assert len(trained.accuracy) == len(trained.loss) == 3
    x = numpy_net.as_rows(images)
    assert trained.final == trained.model.evaluate(x[:50], labels[:50])

    rng = np.random.default_rng(5)                      # the same, epoch by epoch
    net = MLP((784, 128, 64, 10), rng=rng)
    losses = [net.train_epoch(x, labels, .3*.9**epoch, 64, rng) for epoch in range(3)]
    # BLAS may add in another order when an array lies elsewhere in memory
    assert trained.loss == pytest.approx(losses, rel=1e-5)
    np.testing.assert_allclose(net.weights[0], trained.model.weights[0], rtol=0, atol=1e-4)
    slow = fit_digits((images, labels), n_epochs=1, lr=.01, decay=1., activation="sigmoid")
    assert isinstance(slow.model.layers[1], numpy_net.Sigmoid) and slow.accuracy == []


@pytest.mark.parametrize("activation,gain", [("relu", 2), ("sigmoid", 1)])
def test_weights_start_as_wide_as_the_activation_wants_them(activation, gain):
    net = MLP((1000, 800, 10), activation, rng=np.random.default_rng(0))
    for w, n_in in zip(net.weights, (1000, 800), strict=True):
        assert abs(w.std()/(gain/n_in)**.5 - 1) < .05 and abs(w.mean()) < w.std()/10
    alone = numpy_net.Linear(1000, 800, np.random.default_rng(0))
    assert abs(alone.w.std()/(2/1000)**.5 - 1) < .01
    assert not any(b.any() for b in net.biases)


def test_an_epochs_loss_is_the_mean_over_images():
    "At rate zero: the loss of all images at once, though the last batch is smaller."
    r = np.random.default_rng(0)
    net = MLP((6, 5, 4), rng=r, dtype=np.float64)
    x, labels = r.normal(size=(7, 6)), r.integers(4, size=7)
    assert math.isclose(net.train_epoch(x, labels, 0., 3, r), net.loss(x, labels), rel_tol=1e-12)
