"""Lesson 09 by itself: convolution, pooling, batch normalisation and the optimisers against PyTorch
and finite differences in float64; planted faults that the check must see; what must be refused.
"""
import inspect
import subprocess
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from mnist_course import conv
from mnist_course.conv import (
    CNN, Adam, BatchNorm, Conv, Flatten, MaxPool, Momentum, as_maps, column_means, convolve,
    convolve_maps, fit_cnn, he_kernels, input_gradient, output_size, pad, patches, receptive_fields)
from mnist_course.gradcheck import check_gradients
from mnist_course.numpy_net import as_rows
from torch.nn import functional as F


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def to_torch(maps): return torch.from_numpy(np.ascontiguousarray(maps.transpose(0, 3, 1, 2)))
def kernels_to_torch(w): return torch.from_numpy(np.ascontiguousarray(w.transpose(3, 2, 0, 1)))
def from_torch(maps): return maps.detach().numpy().transpose(0, 2, 3, 1)


def close(ours, theirs, atol=1e-12):
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=atol)


# --- convolution ---

@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (1, 4), (5, 2), (6, 1), (6, 7)], ids=str)
def test_convolve_is_pytorchs_for_kernels_of_any_shape(kernel):
    image, kernel = random(6, 7), random(*kernel, seed=1)
    theirs = F.conv2d(torch.from_numpy(image)[None, None], torch.from_numpy(kernel)[None, None])
    close(convolve(image, kernel), theirs[0, 0].numpy())


@pytest.mark.parametrize("kernel", [(1, 8), (7, 1), (7, 8)], ids=str)
def test_a_kernel_that_does_not_fit_is_refused(kernel):
    sides = "×".join(map(str, kernel))
    with pytest.raises(ValueError, match=f"A {sides} kernel does not fit into a 6×7 image"):
        convolve(random(6, 7), random(*kernel))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_whole_pixels_do_not_overflow(dtype):
    result = convolve(np.full((3, 3), 255, np.uint8), np.full((3, 2), 100, dtype))
    assert result.dtype.kind == "f" and result.shape == (1, 2) and (result == 6*255*100).all()


@pytest.mark.parametrize("n, k, stride, padding", [
    (n, k, s, p) for n in (5, 6, 9) for k in (1, 2, 3, 5) for s in (1, 2, 3) for p in (0, 1, 2)])
def test_output_size_is_pytorchs(n, k, stride, padding):
    theirs = F.conv2d(torch.zeros(1, 1, n, n), torch.zeros(1, 1, k, k), None, stride, padding)
    assert output_size(n, k, stride, padding) == theirs.shape[2]


def test_windows_that_cannot_be_are_refused():
    for wrong in (dict(stride=0), dict(stride=-1), dict(padding=-1)):
        with pytest.raises(ValueError, match="is a whole number of [01] or more"):
            output_size(5, 3, **wrong)
    with pytest.raises(ValueError, match="A window of 7 does not fit into 5 pixels"):
        output_size(5, 7)
    assert output_size(5, 7, padding=1) == 1
    for f in (lambda x: convolve_maps(x, random(7, 7, 2, 1)), lambda x: patches(x, 7),
              lambda x: Conv(random(7, 7, 2, 1)).forward(x)):
        with pytest.raises(ValueError, match="does not fit into 5 pixels"): f(random(1, 5, 9, 2))


CASES = [(h, w, k, s, p) for h, w in ((6, 6), (9, 7)) for k in (1, 2, 3, 5) for s in (1, 2, 3)
         for p in (0, 1, 2)]


@pytest.mark.parametrize("h, w, k, stride, padding", CASES)
def test_layer_loops_and_pytorch_agree_forward_and_back(h, w, k, stride, padding):
    x, kernels = random(3, h, w, 2), random(k, k, 2, 4, seed=1)
    layer = Conv(kernels, stride, padding)
    z = layer.forward(x)
    close(z, convolve_maps(x, kernels, stride, padding))
    xt, wt = to_torch(x).requires_grad_(), kernels_to_torch(kernels).requires_grad_()
    zt = F.conv2d(xt, wt, None, stride, padding)
    close(z, from_torch(zt))
    dz = random(*z.shape, seed=2)
    zt.backward(to_torch(dz))
    close(layer.backward(dz), from_torch(xt.grad))
    close(layer.dw, wt.grad.numpy().transpose(2, 3, 1, 0))


def test_patches_are_the_windows_and_a_fresh_copy():
    x = random(2, 5, 6, 3)
    rows = patches(x, 3, 2)
    assert rows.shape == (2, 2, 2, 27)
    for i, j in np.ndindex(2, 2):
        assert (rows[1, i, j] == x[1, 2*i:2*i + 3, 2*j:2*j + 3].ravel()).all()
    rows[:] = 0
    assert np.count_nonzero(x) == x.size
    assert np.array_equal(pad(x, 1)[:, 1:-1, 1:-1], x) and np.count_nonzero(pad(x, 1)) == x.size


def test_the_way_back_is_a_convolution_with_the_kernel_turned_round():
    dz, w = random(2, 4, 5, 3), random(3, 3, 2, 3, seed=1)
    turned = w[::-1, ::-1].transpose(0, 1, 3, 2)
    close(input_gradient(dz, w, (2, 6, 7, 2)), convolve_maps(pad(dz, 2), turned))


def test_he_kernels():
    w = he_kernels(5, 8, 300, np.random.default_rng(0))
    assert w.shape == (5, 5, 8, 300) and w.dtype == np.float32
    assert abs(w.std()/np.sqrt(2/200) - 1) < .02 and abs(w.mean()) < .01


# --- pooling and batch normalisation ---

@pytest.mark.parametrize("shape", [(6, 6), (7, 5), (4, 9)], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3])
def test_max_pool_is_pytorchs_ties_included(shape, size):
    x = np.maximum(random(3, *shape, 2) - 5, -5)    # below zero, and half of it one great tie
    layer, xt = MaxPool(size), to_torch(x).requires_grad_()
    z, zt = layer.forward(x), F.max_pool2d(xt, size)
    assert np.array_equal(z, from_torch(zt))
    dz = random(*z.shape, seed=1)
    zt.backward(to_torch(dz))
    assert np.array_equal(layer.backward(dz), from_torch(xt.grad))


@pytest.mark.parametrize("training", [True, False], ids=["training", "in use"])
def test_batch_norm_is_pytorchs(training):
    ours, theirs = BatchNorm(3, np.float64), torch.nn.BatchNorm2d(3).double()
    ours.scale[:], ours.shift[:] = random(2, 3)
    theirs.weight.data, theirs.bias.data = torch.tensor(ours.scale), torch.tensor(ours.shift)
    for seed in 1, 2, 3:                            # the running averages move
        ours.forward(random(4, 2, 5, 3, seed=seed) + 3)
        theirs(to_torch(random(4, 2, 5, 3, seed=seed) + 3))
    close(ours.mean, theirs.running_mean.numpy())
    close(ours.var, theirs.running_var.numpy())
    ours.training = theirs.training = training
    x, dy = random(4, 2, 5, 3), random(4, 2, 5, 3, seed=9)
    xt = to_torch(x).requires_grad_()
    y, yt = ours.forward(x), theirs(xt)
    yt.backward(to_torch(dy))
    close(y, from_torch(yt))
    close(ours.backward(dy), from_torch(xt.grad))
    close(ours.dscale, theirs.weight.grad.numpy())
    close(ours.dshift, theirs.bias.grad.numpy())
    close(ours.mean, theirs.running_mean.numpy())


def test_batch_norm_takes_any_constant_and_any_factor_out_of_the_gradient():
    layer, x = BatchNorm(1, np.float64), random(6, 1, 1, 1)
    layer.eps = 0.
    layer.forward(x)
    dx = layer.backward(random(6, 1, 1, 1, seed=1)).ravel()
    assert abs(dx.sum()) < 1e-12 and abs(dx @ x.ravel()) < 1e-12 and abs(dx).max() > .01
    layer.forward(x[:2])
    assert abs(layer.backward(random(2, 1, 1, 1, seed=1))).max() < 1e-12   # two are -1 and 1


def test_batch_norm_of_a_blank_map_and_of_a_single_number():
    assert (BatchNorm(2).forward(np.ones((2, 3, 3, 2), np.float32)) == 0).all()
    layer = BatchNorm(2)
    with pytest.raises(ValueError, match="One number has no variance"):
        layer.forward(np.ones((1, 1, 1, 2), np.float32))
    layer.training = False
    assert np.allclose(layer.forward(np.ones((1, 1, 1, 2), np.float32)), 1)


def test_column_means():
    rows = random(1000, 3)
    close(column_means(rows), rows.mean(0))
    assert column_means(rows.astype(np.float32)).dtype == np.float32


# --- the network ---

def small(module=conv, seed=0):
    rng = np.random.default_rng(seed)
    net = module.CNN((3, 3), (3, 3), size=8, n_out=4, rng=rng, dtype=np.float64)
    for name, p in net.parameters().items():
        if "norm" in name: p[...] = rng.normal(size=p.shape) + 1
    return net, rng.normal(size=(5, 8, 8, 1)), rng.integers(4, size=5)


def report_of(module):
    net, x, labels = small(module)
    net.loss(x, labels)
    grads = {name: d.copy() for name, d in net.backward().items()}
    return check_gradients(lambda: net.loss(x, labels), net.parameters(), grads, n_entries=30)


def test_the_networks_gradient_is_the_measured_one():
    report = report_of(conv)
    assert report.ok, report
    assert {e.name for e in report.entries} == set(small()[0].parameters())


FAULTS = { # in the text of the module: what was there, and what stands there instead
    "kernel not turned": ("@ w[u, v].T)", "@ w[u, v])"),
    "kernel upside down": ("@ w[u, v].T)", "@ w[-1-u, v].T)"),
    "gradient kept, not added": ("met += (dz", "met[...] = (dz"),
    "every largest wins": ("open_ &= ~wins", "pass"),
    "pooling hands back to all": ("wins = open_ & (corner == self.largest)", "wins = open_"),
    "mean not taken out": ("rows = rows - mean - self", "rows = rows - self"),
    "variance not taken out": ("- self.standard*mean_standard", ""),
    "scale forgotten": ("rows*(self.scale*self.inverse)", "rows*self.inverse"),
    "deviation forgotten": ("rows*(self.scale*self.inverse)", "rows*self.scale"),
    "mean for a sum": ("mean*len(rows), mean_standard*len(rows)", "mean, mean_standard*len(rows)"),
    "weights by the wrong rows": ("(self.rows.T @ dz", "(self.rows[::-1].T @ dz"),
    "padding cut off at one side": ("dx[:, p:-p, p:-p] if p", "dx[:, :-2*p, p:-p] if p")}


@pytest.mark.parametrize("fault", FAULTS)
def test_gradcheck_catches_a_planted_fault(fault):
    old, new = FAULTS[fault]
    text = inspect.getsource(conv)
    assert old in text, f"{fault}: the code has changed, plant it anew"
    module = ModuleType("mnist_course.faulty")
    module.__package__ = "mnist_course"
    exec(compile(text.replace(old, new), "faulty", "exec"), module.__dict__)
    if fault == "every largest wins":               # shows only where there is a tie
        dx = [m.MaxPool(2) for m in (conv, module)]
        for layer in dx: layer.forward(np.ones((1, 2, 2, 1)))
        backs = [layer.backward(np.ones((1, 1, 1, 1))) for layer in dx]
        assert backs[0].sum() == 1 and backs[1].sum() == 4
        return
    report = report_of(module)
    assert not report.ok, f"unseen:\n{report}"


def test_fifty_steps_beside_pytorch():
    "The course's own network, weight for weight, in both optimisers."
    from torch import nn
    rng = np.random.default_rng(3)
    x, labels = rng.random((40, 28, 28, 1)), rng.integers(10, size=40)
    for ours, theirs, settings in ((Momentum, torch.optim.SGD, dict(lr=.03, momentum=.9)),
                                   (Adam, torch.optim.Adam, dict(lr=.001))):
        net = CNN((2, 3), rng=np.random.default_rng(0), dtype=np.float64)
        c1, b1, c2, b2, fc = twin = nn.ModuleList([
            nn.Conv2d(1, 2, 5, padding=2, bias=False), nn.BatchNorm2d(2),
            nn.Conv2d(2, 3, 5, padding=2, bias=False), nn.BatchNorm2d(3), nn.Linear(147, 10)])
        twin.double()
        p = net.parameters()
        pairs = [(p["conv1.w"], c1.weight), (p["norm1.scale"], b1.weight),
                 (p["norm1.shift"], b1.bias), (p["conv2.w"], c2.weight),
                 (p["norm2.scale"], b2.weight), (p["norm2.shift"], b2.bias),
                 (p["linear.w"], fc.weight), (p["linear.b"], fc.bias)]

        def in_their_order(q):
            if q.ndim == 4: q = q.transpose(3, 2, 0, 1)
            return q.T if q.ndim == 2 else q
        for q, t in pairs: t.data = torch.tensor(in_their_order(q).copy())
        step, optimizer = ours(p), theirs(twin.parameters(), **settings)
        for k in range(50):
            batch = np.arange(8) + 8*(k % 5)
            net.loss(x[batch], labels[batch])
            step.step(net.backward(), settings["lr"])
            a = F.relu(b1(F.max_pool2d(c1(to_torch(x[batch])), 2)))
            a = F.relu(b2(F.max_pool2d(c2(a), 2)))
            scores = fc(a.permute(0, 2, 3, 1).flatten(1))
            optimizer.zero_grad()
            F.cross_entropy(scores, torch.from_numpy(labels[batch])).backward()
            optimizer.step()
        for q, t in pairs: close(in_their_order(q), t.detach().numpy(), atol=1e-9)
        close(net.layers["norm2"].var, b2.running_var.numpy(), atol=1e-9)


@pytest.mark.parametrize("factor", [0., .5, .9])
def test_momentum_is_pytorchs(factor):
    w = random(4, 3)
    wt = torch.tensor(w.copy()).requires_grad_()
    ours, theirs = Momentum({"w": w}, factor), torch.optim.SGD([wt], .1, momentum=factor)
    for seed in range(20):
        g = random(4, 3, seed=seed)
        ours.step({"w": g}, .1)
        wt.grad = torch.tensor(g)
        theirs.step()
        assert np.array_equal(g, random(4, 3, seed=seed))     # gradients are left alone
    close(w, wt.detach().numpy())


def test_receptive_fields_are_what_the_gradient_reaches():
    net = CNN((2, 2), (5, 3), size=20, rng=np.random.default_rng(0), dtype=np.float64)
    net.set_training(False)
    net.layers["conv1"].is_first = False
    layers, fields = list(net.layers), receptive_fields(net)
    assert list(fields) == ["conv1", "pool1", "conv2", "pool2"]
    for name, (side, distance, start) in fields.items():
        reached, i = np.zeros((20, 20)), 2
        x = random(50, 20, 20, 1)
        for layer in layers[:layers.index(name) + 1]: x = net.layers[layer].forward(x)
        grad = np.zeros_like(x)
        grad[:, i, i] = 1
        for layer in reversed(layers[:layers.index(name) + 1]):
            grad = net.layers[layer].backward(grad)
        reached = abs(grad).sum((0, 3)) > 0
        first = start + i*distance
        expected = np.zeros((20, 20), bool)
        expected[max(first, 0):first + side, max(first, 0):first + side] = True
        assert not reached[~expected].any()
        assert reached[expected].mean() > .9, name


# --- training ---

def digits(n=120, seed=0):
    "A bright column whose place is the label."
    r = np.random.default_rng(seed)
    images, labels = r.integers(0, 60, (n, 28, 28), dtype=np.uint8), r.integers(0, 10, n)
    for image, label in zip(images, labels, strict=True): image[4:24, 3 + 2*label] = 255
    return images, labels


def test_it_learns_and_a_seed_fixes_it():
    train, valid = digits(300), digits(100, seed=1)
    run = fit_cnn(train, valid, seed=1, n_epochs=6, shift=0)
    assert run.final > .8 and len(run.accuracy) == len(run.loss) == 6 and run.n_valid == 100
    again = fit_cnn(tuple(map(torch.from_numpy, train)), valid, seed=1, n_epochs=6, shift=0)
    np.testing.assert_allclose(again.loss, run.loss, rtol=1e-3)
    assert fit_cnn(train, seed=2, n_epochs=1).loss != fit_cnn(train, seed=1, n_epochs=1).loss
    assert fit_cnn(train, n_epochs=1).accuracy == []


def test_few_images_get_more_epochs():
    assert len(fit_cnn(digits(40)).loss) == 20 and len(fit_cnn(digits(40), n_epochs=2).loss) == 2


def test_the_rate_falls_to_zero_in_a_straight_line():
    net, seen = CNN(rng=np.random.default_rng(0)), []

    class Note(Momentum):
        def step(self, grads, lr): seen.append(lr)
    net.fit(as_maps(digits(50)[0]), digits(50)[1], 2, lr=.8, bs=15, optimizer=Note)
    np.testing.assert_allclose(seen, np.arange(8, 0, -1)/10)


def test_every_image_comes_once_and_a_moved_one_keeps_its_ink():
    net, seen = CNN(rng=np.random.default_rng(0)), []

    def note(x, labels):
        seen.extend(zip(x.sum((1, 2, 3)).round(3).tolist(), labels.tolist(), strict=True))
        return 1.
    net.loss, net.backward = note, dict
    images, labels = digits(50)
    x = as_maps(images)
    mean = net.train_epoch(x, labels, [.1]*4, Momentum({}), 15, np.random.default_rng(0), shift=3)
    pairs = list(zip(x.sum((1, 2, 3)).round(3).tolist(), labels.tolist(), strict=True))
    np.testing.assert_allclose(sorted(seen), sorted(pairs), atol=2e-3)
    assert mean == 1. and seen != pairs


def test_prediction_does_not_depend_on_company_and_leaves_the_mode_alone():
    net = fit_cnn(digits(100), n_epochs=1).model
    x = as_maps(digits(30)[0])
    together = net.predict_proba(x)
    alone = np.concatenate([net.predict_proba(x[i:i + 1]) for i in range(len(x))])
    np.testing.assert_allclose(alone, together, atol=1e-5)
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-5)
    assert np.array_equal(net.predict(x), together.argmax(1))
    for mode in True, False:
        net.set_training(mode)
        net.predict(x)
        assert all(net.layers[f"norm{k}"].training == mode for k in (1, 2))
    with pytest.raises(ValueError): net.predict(x[..., 0])


def test_images_become_maps():
    images = digits(4)[0]
    maps = as_maps(images, np.float64)
    assert maps.shape == (4, 28, 28, 1) and maps.dtype == np.float64
    assert np.array_equal(maps.reshape(4, -1), as_rows(images, np.float64))
    assert np.array_equal(as_maps(torch.from_numpy(images)), as_maps(images))
    with pytest.raises(ValueError, match=r"give uint8 \(n, h, w\)"): as_maps(images[0])
    with pytest.raises(ValueError, match="grey values from 0 to 255"): as_maps(images/255)
    back = Flatten()
    assert np.array_equal(back.backward(back.forward(maps)), maps)


@pytest.mark.parametrize("change, words", [
    (lambda x, y: (x[..., 0], y), r"\(n, 28, 28, 1\)"),
    (lambda x, y: (x[:, :14], y), r"\(n, 28, 28, 1\)"),
    (lambda x, y: (x, y[:-1]), "50 images and 49 labels"),
    (lambda x, y: (x[:0], y[:0]), "none of the sizes 0"),
    (lambda x, y: (x, y + 1), "Labels run from"),
    (lambda x, y: (x, y - 1), "Labels run from -1")])
def test_unfit_data_is_refused(change, words):
    images, labels = digits(50)
    labels[:2] = 0, 9
    with pytest.raises(ValueError, match=words):
        CNN(rng=np.random.default_rng(0)).fit(*change(as_maps(images), labels))


def test_a_rate_that_is_too_high_is_named():
    images, labels = digits(60)
    with pytest.raises(FloatingPointError, match="Lower the rate of 1e"):
        CNN(rng=np.random.default_rng(0)).fit(as_maps(images)*3e38, labels, 3, lr=1e6)


def test_it_needs_no_pytorch():
    code = """
import sys
import numpy as np
from mnist_course import conv
images = np.random.default_rng(0).integers(0, 256, (20, 28, 28), dtype=np.uint8)
run = conv.fit_cnn((images, np.arange(20) % 10), (images, np.arange(20) % 10), n_epochs=1)
assert 0 <= run.final <= 1
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "False"
