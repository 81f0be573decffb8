"The fast trainer treats a model it does not know with care."
import copy
import time

import pytest
import torch
from mnist_course import speed
from mnist_course.resnet import normalised, resnet18
from mnist_course.speed import (
    Coloured, MatrixConv, _random_maps, affine, fast_dtype, fit_resnet, fit_small, in_turn, predict,
    shift, small_net, specialised, train)
from mnist_course.trained import Trained
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize, prune


def data(n=96, side=28, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, side, side), dtype=torch.uint8, generator=g)
    return images, torch.randint(0, 10, (n,), generator=g)


def odd_net():
    "Grouped and with biases: nothing here may be replaced."
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2),
        nn.AdaptiveAvgPool2d(2), nn.Conv2d(4, 4, 2, bias=True), nn.Flatten(), nn.Linear(4, 10))


@pytest.mark.parametrize("make", [lambda: resnet18(1, 10), small_net, odd_net,
                                  lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10))])
def test_any_model_comes_back_trained_and_otherwise_as_it_was(make):
    torch.manual_seed(0)
    model = make()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modules = [type(m) for m in model.modules()]
    train(model, *data(), bs=32, device="cpu")
    after = model.state_dict()
    assert [type(m) for m in model.modules()] == modules
    assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in before.items()}
    assert all(v.isfinite().all() for v in after.values() if v.is_floating_point())
    assert any((after[k] != before[k]).any() for k in before)
    assert all(v.dtype == before[k].dtype for k, v in after.items())
    assert not model.training


def test_only_what_is_equal_is_replaced():
    small, large = torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 224, 224)
    for model, image, n in ((odd_net(), small, 0), (resnet18(1, 10), small, 7),
                            (resnet18(1, 10), large, 0)):
        with specialised(model, image) as replaced: assert len(replaced) == n


@pytest.mark.parametrize("side", [28, 32, 20])
def test_specialised_agrees_at_other_sizes(side):
    torch.manual_seed(0)
    model = resnet18(1, 10).double().eval()
    x = torch.randn(4, 1, side, side, dtype=torch.float64)
    usual = model(x)
    with specialised(model, x[:1]): special = model(x)
    assert special.shape == usual.shape
    torch.testing.assert_close(special, usual, rtol=1e-9, atol=1e-9)


def test_an_error_in_the_middle_leaves_the_model_whole():
    model = resnet18(1, 10)
    names = list(model.state_dict())
    with pytest.raises(KeyboardInterrupt), specialised(model, torch.zeros(1, 1, 28, 28)):
        assert model.layer4[0].conv1.weight.shape == (512, 256, 2, 2)
        raise KeyboardInterrupt
    assert list(model.state_dict()) == names
    assert model.layer4[0].conv1.weight.shape == (512, 256, 3, 3)


def test_the_same_seed_gives_the_same_weights():
    torch.manual_seed(0)
    first = small_net()
    second, third = copy.deepcopy(first), copy.deepcopy(first)
    for model, seed in ((first, 1), (second, 1), (third, 2)):
        train(model, *data(), bs=32, augment=shift, seed=seed, device="cpu")
    same = [torch.equal(p, q) for p, q in zip(first.parameters(), second.parameters(), strict=True)]
    other = [torch.equal(p, q) for p, q in zip(first.parameters(), third.parameters(), strict=True)]
    assert all(same) and not any(other)


def test_parts_of_an_epoch_and_what_is_left_over():
    seen = []
    def count(images, g):
        seen.append(len(images))
        return images
    train(small_net(), *data(100), epochs=2.5, bs=32, augment=count, plain=1, device="cpu")
    assert seen == [32]*5 # 3 batches a round, 8 steps in all, the last 3 without


def test_it_learns_and_predict_keeps_the_mode():
    images, labels = data(512)
    images[labels < 5] //= 4 # dark images for the lower half of the digits
    torch.manual_seed(0)
    model = train(small_net(), images, (labels < 5).long(), epochs=4, bs=64, lr=.05, device="cpu")
    for mode in (True, False):
        model.train(mode)
        scores = predict(model, images, bs=100)
        assert model.training is mode
        assert (scores.argmax(1) == (labels < 5).long()).float().mean() > .95
    assert scores.shape == (512, 10) and scores.dtype == torch.float32


def test_bfloat16_and_float32_agree_on_the_whole():
    images, labels = data(256)
    scores = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        model = train(small_net(), images, labels, bs=64, lr=.01, dtype=dtype, device="cpu")
        scores.append(predict(model, images))
    assert (scores[0] - scores[1]).abs().mean() < .1*scores[0].std()
    assert fast_dtype(torch.device("cpu")) in (torch.float32, torch.bfloat16)


def test_bfloat16_is_another_arithmetic_than_float32():
    "So that the test above compares two things; and the fastest is one of the two."
    images, labels = data(64)
    weights = {}
    for dtype in (torch.float32, torch.bfloat16, None):
        torch.manual_seed(0)
        model = train(small_net(), images, labels, bs=32, dtype=dtype, device="cpu")
        weights[dtype] = model[-1].weight.detach()
    assert not torch.equal(weights[torch.float32], weights[torch.bfloat16])
    assert torch.equal(weights[None], weights[fast_dtype(torch.device("cpu"))])


# --- settings that must not be ignored ---

def one_step(**settings):
    "A linear model after one step on one batch, and the model, images and labels before."
    images, labels = data(32)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = copy.deepcopy(model)
    settings = dict(bs=32, lr=.1, warm_up=.5, weight_decay=0., smoothing=0.) | settings
    train(model, images, labels, device="cpu", dtype=torch.float32, **settings)
    return model[1], before, normalised(images), labels


@pytest.mark.parametrize("smoothing", [0., .1, .6])
@pytest.mark.parametrize("decay", [0., .3])
def test_one_step_by_hand(smoothing, decay):
    "With one step half of training is over, the rate is at its highest; momentum counts twice."
    after, before, x, labels = one_step(smoothing=smoothing, weight_decay=decay)
    p = before(x).softmax(1).detach()
    wanted = (1 - smoothing)*F.one_hot(labels, 10) + smoothing/10
    dz = (p - wanted)/len(labels)
    w, b = before[1].weight.detach(), before[1].bias.detach()
    dw = dz.T @ x.flatten(1) + decay*w
    torch.testing.assert_close(after.weight.detach(), w - .1*1.9*dw, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(after.bias.detach(), b - .1*1.9*dz.sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("change", [dict(smoothing=.1), dict(weight_decay=.1), dict(lr=.2),
                                    dict(warm_up=.9), dict(augment=shift)],
                         ids=lambda setting: next(iter(setting)))
def test_each_setting_makes_a_difference(change):
    usual, changed = one_step()[0].weight, one_step(**change)[0].weight
    assert (usual - changed).abs().max() > 1e-4


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.int8])
def test_an_arithmetic_that_would_be_ignored_is_refused(dtype):
    with pytest.raises(ValueError, match=f"cannot compute in {dtype}: give float32, bfloat16"):
        train(small_net(), *data(), bs=32, dtype=dtype, device="cpu")


def test_weights_that_it_cannot_train_are_refused_and_others_predicted():
    model, (images, labels) = small_net(), data()
    model(normalised(images))                        # running averages to predict with
    usual = predict(model, images)
    with pytest.raises(ValueError, match=r"float64: give it float32 weights, model.float\(\)"):
        train(model.double(), images, labels, bs=32, device="cpu")
    exact = predict(model, images)
    assert exact.dtype == torch.float32
    torch.testing.assert_close(exact, usual, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("images", [torch.rand(4, 28, 28), torch.full((4, 28, 28), 256)],
                         ids=["floats", "too large"])
def test_pixels_that_are_not_uint8_are_refused_everywhere(images):
    model, labels = small_net(), torch.zeros(4, dtype=torch.int64)
    before = copy.deepcopy(model.state_dict())
    for job in (lambda: train(model, images, labels, bs=2), lambda: predict(model, images),
                lambda: fit_small((images, labels))):
        with pytest.raises(ValueError, match=r"give uint8 \(n, (h, w|28, 28)\)"): job()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training


# --- where `specialised` must give way ---

def pixel_net():
    "Two convolutions on a map of a single pixel: both would be replaced."
    torch.manual_seed(0)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 8, 3, padding=1, bias=False),
                         nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Flatten(),
                         nn.Linear(8, 10))


class OtherConv(nn.Conv2d):
    def forward(self, x): return 2*super().forward(x)


def other_class(net):
    net[1] = OtherConv(1, 8, 3, padding=1, bias=False).double()


def other_forward(net):
    usual = net[1].forward
    net[1].forward = lambda x: 2*usual(x)


def old_weight_norm(net):
    with pytest.warns(FutureWarning): nn.utils.weight_norm(net[1])


def shared(net):
    net.append(nn.Module())
    net[-1].weight, net[-1].forward = net[1].weight, lambda x: x


def halved(module, given, output): return output/2


WAYS = {
    "frozen": lambda net: net[1].requires_grad_(False),
    "forward hook": lambda net: net[1].register_forward_hook(halved),
    "forward pre-hook": lambda net: net[1].register_forward_pre_hook(lambda m, x: (x[0]/2,)),
    "backward hook": lambda net: net[1].register_full_backward_hook(lambda m, i, o: None),
    "backward pre-hook": lambda net: net[1].register_full_backward_pre_hook(lambda m, o: None),
    "hook of the weight": lambda net: net[1].weight.register_hook(lambda g: g/2),
    "hook after the gradient": lambda net:
        net[1].weight.register_post_accumulate_grad_hook(lambda p: None),
    "weight norm": lambda net: parametrizations.weight_norm(net[1]),
    "old weight norm": old_weight_norm,
    "spectral norm": lambda net: parametrizations.spectral_norm(net[1]),
    "another parametrisation": lambda net:
        parametrize.register_parametrization(net[1], "weight", nn.Softplus()),
    "pruned": lambda net: prune.l1_unstructured(net[1], "weight", .5),
    "another class": other_class, "another forward": other_forward, "shared weight": shared,
}


def test_nothing_in_the_way_both_are_replaced():
    net = pixel_net()
    with specialised(net, torch.zeros(1, 1, 28, 28)) as replaced:
        assert list(replaced) and isinstance(net[1], MatrixConv) and isinstance(net[3], MatrixConv)


def three_steps(model):
    "A loop without weight decay, which also shrinks weights that see nothing but padding."
    images, labels = data(32)
    opt = torch.optim.SGD(model.parameters(), lr=.1, momentum=.9)
    for _ in range(3):
        F.cross_entropy(model(normalised(images).double()), labels).backward()
        opt.step()
        opt.zero_grad()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_specialised_leaves_alone_what_it_would_change(way):
    "The changed layer stays itself, its neighbour is replaced, and training is what it would be."
    usual, special = pixel_net().double(), pixel_net().double()
    for net in (usual, special):
        torch.manual_seed(1)                         # some of the changes draw numbers
        way(net)
    before, kept, neighbour = copy.deepcopy(special.state_dict()), special[1], special[3]
    three_steps(usual)
    with specialised(special, torch.zeros(1, 1, 28, 28, dtype=torch.float64)) as replaced:
        assert list(replaced) == [neighbour] and special[1] is kept
        three_steps(special)
    ours, theirs = special.state_dict(), usual.state_dict()
    assert list(ours) == list(theirs) == list(before)
    for name in ours: torch.testing.assert_close(ours[name], theirs[name], rtol=1e-9, atol=1e-9)
    assert not torch.equal(ours["3.weight"], before["3.weight"])


def test_frozen_weights_stay_as_they_were():
    model = resnet18(1, 10)
    for name in ("layer3", "layer4"): getattr(model, name).requires_grad_(False)
    before = copy.deepcopy(dict(model.named_parameters()))
    train(model, *data(64), bs=32, device="cpu")
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert not [name for name in moved if name.startswith(("layer3", "layer4"))]
    assert "fc.weight" in moved and "conv1.weight" in moved
    assert not any(p.requires_grad for p in model.layer4.parameters())


def test_a_hook_is_called_at_each_step():
    model, calls = resnet18(1, 10), []
    handle = model.layer4[1].conv2.register_forward_hook(lambda m, x, out: calls.append(m.training))
    train(model, *data(64), bs=32, device="cpu")
    handle.remove()
    assert calls.count(True) == 2                    # and once in eval mode, to see the sizes


def test_a_layer_called_on_maps_of_two_sizes_is_left_alone():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        def forward(self, x): return self.conv(x[..., :2, :2]).sum() + self.conv(x[..., :1, :1])
    model, x = Twice(), torch.ones(1, 1, 4, 4)
    usual = model(x)
    with specialised(model, x) as replaced:
        assert not replaced and torch.equal(model(x), usual)


def test_each_module_keeps_its_own_mode():
    "A part that was put into eval mode by hand stays there."
    model = resnet18(1, 10)
    model.layer2.eval()
    modes = [m.training for m in model.modules()]
    predict(model, data(8)[0])
    with specialised(model, torch.zeros(1, 1, 28, 28)): pass
    assert [m.training for m in model.modules()] == modes
    with pytest.raises(ValueError): predict(model, torch.rand(2, 28, 28))
    assert [m.training for m in model.modules()] == modes


# --- distortions ---

@pytest.mark.parametrize("pixels", [0, 1, 3])
def test_shift_reaches_every_place_alike_and_no_other(pixels):
    dots = torch.zeros(9000, 9, 11, dtype=torch.uint8)
    dots[:, 4, 5] = 255
    moved = shift(dots, torch.Generator().manual_seed(0), pixels)
    assert moved.shape == dots.shape and moved.dtype == torch.uint8
    counts, n = (moved == 255).sum(0), 2*pixels + 1
    inside = counts[4 - pixels:5 + pixels, 5 - pixels:6 + pixels]
    assert inside.sum() == counts.sum() == 9000      # nothing lost, nothing outside
    assert (inside > .7*9000/n**2).all() and (inside < 1.3*9000/n**2).all()


def test_shift_moves_empty_border_in():
    full = torch.full((200, 4, 4), 7, dtype=torch.uint8)
    moved = shift(full, torch.Generator().manual_seed(0))
    assert set(moved.flatten().tolist()) == {0, 7}
    assert set((moved > 0).sum((1, 2)).tolist()) == {16, 12, 9}


NOTHING = dict(rotate=0, scale=0, shear=0, dx=0, dy=0)


@pytest.mark.parametrize("change,inside", [
    (dict(rotate=10), lambda m: m[:, 1, 0].asin().rad2deg()/10),
    (dict(scale=.1), lambda m: m[:, 0, 0].log()/.1),
    (dict(scale=.1), lambda m: m[:, 1, 1].log()/.1),
    (dict(shear=.2), lambda m: m[:, 0, 1]/.2),
    (dict(dx=.3), lambda m: m[:, 0, 2]/.3),
    (dict(dy=.4), lambda m: m[:, 1, 2]/.4)],
                         ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_each_distortion_fills_its_range_and_touches_nothing_else(change, inside):
    g = torch.Generator().manual_seed(0)
    maps = _random_maps(2000, g, **NOTHING | change)
    share = inside(maps)                             # of the most that was asked for
    assert .99 < share.max() <= 1.0001 and -1.0001 <= share.min() < -.99 and abs(share.mean()) < .05
    still = torch.eye(2, 3).expand(2000, 2, 3) == maps
    expected = {"rotate": {(0, 0), (0, 1), (1, 0), (1, 1)}, "scale": {(0, 0), (1, 1)},
                "shear": {(0, 1)}, "dx": {(0, 2)}, "dy": {(1, 2)}}[next(iter(change))]
    assert {tuple(i) for i in (~still.all(0)).nonzero().tolist()} == expected


def test_rotation_and_scale_as_matrices():
    turns = _random_maps(100, torch.Generator().manual_seed(0), **NOTHING | dict(rotate=180))
    turns = turns[:, :, :2]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(2).expand(100, 2, 2))
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(100))


def test_affine_moves_by_pixels_and_keeps_grey_values():
    dots = torch.zeros(500, 28, 28, dtype=torch.uint8)
    dots[:, 13:15, 13:15] = 200
    moved = affine(dots, torch.Generator().manual_seed(0), rotate=0, scale=0, shear=0, pixels=3)
    assert moved.dtype == torch.float32 and moved.shape == dots.shape
    assert 0 <= moved.min() and 150 < moved.max() <= 200.001
    torch.testing.assert_close(moved.sum((1, 2)), torch.full((500,), 800.), rtol=1e-4, atol=0)
    places = torch.arange(28.) - 13.5
    for across in (1, 2):                            # the centre of the ink, up and down, sideways
        centre = (moved.sum(3 - across)*places).sum(1)/800
        assert 2.9 < centre.max() < 3.001 and -3.001 < centre.min() < -2.9


def test_a_quarter_turn_is_a_quarter_turn():
    image = torch.zeros(1, 8, 8, dtype=torch.uint8)
    image[0, 1, 2:7] = 100
    g = torch.Generator().manual_seed(0)
    most = 90/(2*torch.rand(1, generator=torch.Generator().manual_seed(0)).item() - 1)
    turned = affine(image, g, rotate=most, scale=0, shear=0, pixels=0).round().byte()
    assert any(torch.equal(turned, image.rot90(k, (1, 2))) for k in (1, 3))


# --- recipes ---

def test_recipes_return_what_every_recipe_returns():
    pair, judge = data(256), data(30, seed=1)
    result = fit_small(pair, judge, seed=1, device="cpu")
    assert isinstance(result, Trained) and isinstance(result.final, float)
    assert (len(result.accuracy), result.n_valid) == (1, 30) and not result.model.training
    right = predict(result.model, judge[0]).argmax(1) == judge[1]
    assert result.final == pytest.approx(right.double().mean().item())
    again, other = fit_small(pair, seed=1, device="cpu"), fit_small(pair, seed=2, device="cpu")
    assert (again.accuracy, again.n_valid) == ([], 0)
    weights = [r.model[-1].weight for r in (result, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def recipe_of(monkeypatch, recipe, *args, **kwargs):
    "The model and the settings that a recipe would train with."
    import mnist_course.speed as speed
    seen = {}
    def watch(model, images, labels, **settings):
        seen.update(settings, model=model, n=len(labels))
        return model.eval()
    monkeypatch.setattr(speed, "train", watch)
    recipe(*args, **kwargs)
    return seen


def test_settings_of_the_recipes(monkeypatch):
    large = (torch.zeros(60_000, 28, 28, dtype=torch.uint8), torch.zeros(60_000).long())
    small = recipe_of(monkeypatch, fit_small, large, seed=3, device="cpu")
    assert small["epochs"] == 1 and (small["seed"], small["device"]) == (3, "cpu")
    assert small["model"][0][0].kernel_size == (5, 5) and "augment" not in small
    fine = recipe_of(monkeypatch, fit_small, large, fine=True)
    assert (fine["epochs"], fine["lr"], fine["augment"]) == (4, .15, affine)
    assert fine["model"][0][0].kernel_size == (3, 3)
    one = recipe_of(monkeypatch, fit_resnet, large, seed=4)
    assert (one["epochs"], one["bs"], one["lr"], one["augment"]) == (1, 64, .05, shift)
    assert one["seed"] == 4 and one["model"].conv1.in_channels == 1
    four = recipe_of(monkeypatch, fit_resnet, large, epochs=4)
    assert (four["epochs"], four["bs"], four["lr"], four["augment"]) == (4, 128, .1, affine)
    assert four["plain"] == 1
    few = recipe_of(monkeypatch, fit_resnet, (large[0][:640], large[1][:640]))
    assert few["epochs"] == 10                       # a hundred steps of 64


def test_coloured_repeats_the_channel():
    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(Coloured(nn.Identity())(x), torch.cat([x, x, x], 1))


def test_in_turn_gives_medians_of_jobs_that_take_turns(monkeypatch):
    clock, seconds = [0.], {"a": iter([9, 1, 5, 2]), "b": iter([9, 4, 4, 7])}
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    calls = []
    def job(name):
        calls.append(name)
        clock[0] += next(seconds[name])
    assert in_turn({n: lambda n=n: job(n) for n in seconds}, rounds=3) == {"a": 2, "b": 4}
    assert calls == ["a", "b"]*4                     # the first round is not counted
    with pytest.raises(ValueError, match="rounds is a whole number"): in_turn({}, rounds=0)


@pytest.mark.parametrize("name", ["shift", "affine"])
def test_batches_are_made_where_the_images_are(name):
    augment = getattr(speed, name)
    images, labels = torch.zeros(20, 6, 6, dtype=torch.uint8), torch.zeros(20, dtype=torch.int64)
    there = speed._batches(images.to("meta"), labels.to("meta"), 8, 2, augment, 1, 0)
    devices = [(xb.device.type, yb.device.type, len(xb)) for _, xb, yb in there]
    assert devices == [("meta", "meta", 8)]*4


def test_a_gpu_is_waited_for_before_and_after_each_job(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: told.append("wait"))
    speed.in_turn({"a": lambda: told.append("a")}, rounds=1)
    assert told == ["a", "wait", "a", "wait"]
