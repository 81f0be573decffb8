"The fast trainer treats a model it does not know with care."
import copy

import pytest
import torch
from mnist_course.resnet import resnet18
from mnist_course.speed import fast_dtype, predict, shift, small_net, specialised, train
from torch import nn


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
