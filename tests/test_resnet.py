"The parts of lesson 10 against PyTorch, on cases worked by hand, and on what must be refused."
import pytest
import torch
import torchvision
from mnist_course.resnet import (
    Block, PlainBlock, enough_epochs, fit_tower, normalise_pixels, normalised, resnet18, tower)
from mnist_course.trained import Trained
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import normalize, to_tensor


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def digits(n=96, seed=0):
    "Images whose brightness tells the label, so that there is something to learn."
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 10, (n,), generator=g)
    noise = torch.randint(0, 30, (n, 28, 28), generator=g)
    return (noise + 22*labels[:, None, None]).byte(), labels


# --- the parts ---

def test_normalised_agrees_with_the_constants_that_everybody_uses():
    "0.1307 and 0.3081 are MNIST's mean and standard deviation in PyTorch's examples."
    grey = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    theirs = normalize(to_tensor(grey[0].numpy()), (.1307,), (.3081,))
    mine = normalised(grey)
    assert mine.shape == (1, 1, 16, 16) and mine.dtype == torch.float32
    torch.testing.assert_close(mine[0], theirs, rtol=0, atol=2e-3)
    assert torch.equal(mine, normalise_pixels(grey.double()))


@pytest.mark.parametrize("images", [
    torch.rand(2, 28, 28), torch.full((2, 28, 28), 256),
    torch.zeros(28, 28, dtype=torch.uint8), torch.zeros(2, 1, 28, 28, dtype=torch.uint8)],
    ids=["floats", "too large", "one image", "with a channel"])
def test_normalised_refuses_what_is_not_grey_values(images):
    with pytest.raises(ValueError, match=r"give uint8 \(n, h, w\)"): normalised(images)


# --- blocks and towers ---

@pytest.mark.parametrize("c_in,c_out,stride", [(4, 4, 1), (4, 8, 2), (4, 8, 1), (4, 4, 2)])
def test_a_block_is_torchvisions(c_in, c_out, stride):
    from torchvision.models.resnet import BasicBlock, conv1x1
    change = None if (c_in, stride) == (c_out, 1) else nn.Sequential(
        conv1x1(c_in, c_out, stride), nn.BatchNorm2d(c_out))
    theirs, mine = BasicBlock(c_in, c_out, stride, change).double(), Block(c_in, c_out, stride)
    mine.double().load_state_dict(theirs.state_dict())
    x = random(3, c_in, 6, 6)
    for training in (True, False):
        mine.train(training), theirs.train(training)
        torch.testing.assert_close(mine(x), theirs(x), rtol=1e-12, atol=1e-12)


def test_only_the_shortcut_tells_the_blocks_apart():
    plain, residual = PlainBlock(4, 4), Block(4, 4)
    residual.load_state_dict(plain.state_dict())
    x = random(3, 4, 6, 6).float()
    torch.testing.assert_close(plain(x), F.relu(plain.layers(x)))
    torch.testing.assert_close(residual(x), F.relu(residual.layers(x) + x))


@pytest.mark.parametrize("c_in,n_out", [(3, 1000), (1, 10)])
def test_resnet18_takes_torchvisions_weights_and_gives_its_outputs(c_in, n_out):
    theirs = torchvision.models.resnet18(num_classes=n_out)
    theirs.conv1 = nn.Conv2d(c_in, 64, 7, stride=2, padding=3, bias=False)
    mine = resnet18(c_in, n_out)
    mine.load_state_dict(theirs.state_dict())       # strict: each name, each shape
    mine.double(), theirs.double()
    x = random(3, c_in, 40, 40)
    for training in (True, False):
        mine.train(training), theirs.train(training)
        torch.testing.assert_close(mine(x), theirs(x), rtol=1e-9, atol=1e-9)


def test_resnet18_starts_as_torchvisions_does():
    torch.manual_seed(0)
    mine, theirs = resnet18(1, 10).state_dict(), torchvision.models.resnet18().state_dict()
    for name in mine:
        if mine[name].ndim == 4 and mine[name].shape == theirs[name].shape:
            assert abs(mine[name].std()/theirs[name].std() - 1) < .05, name


def test_layers_of_a_tower():
    for n, block in ((0, Block), (5, PlainBlock)):
        model = tower(n, block, c=8)
        assert [type(m) for m in model].count(block) == n
        assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
        assert model[:4](torch.zeros(2, 1, 28, 28)).shape == (2, 8, 7, 7)


# --- training ---

@pytest.mark.parametrize("n,bs,epochs", [(60_000, 64, 1), (6_400, 64, 1), (6_399, 64, 2),
                                         (1_200, 64, 6), (64, 64, 100)])
def test_enough_epochs(n, bs, epochs):
    assert enough_epochs(n, bs) == epochs
    assert epochs*n >= 100*bs and (epochs == 1 or (epochs - 1)*n < 100*bs)


def test_fit_tower_returns_what_every_recipe_returns():
    torch.manual_seed(0)
    model, (images, labels) = tower(1, c=4), digits(640)
    result = fit_tower((images, labels), (images[:50], labels[:50]), model, n_epochs=2)
    assert isinstance(result, Trained) and result.model is model and result.n_valid == 50
    n = 2*enough_epochs(640, 64)
    assert len(result.accuracy) == len(result.loss) == len(result.valid_loss) == n
    assert all(isinstance(a, float) and 0 <= a <= 1 for a in result.accuracy)
    assert result.loss[-1] < result.loss[0] and result.final > .3
    right = model(normalised(images[:50])).argmax(1) == labels[:50]
    assert not model.training and result.final == pytest.approx(right.double().mean().item())


def test_fit_tower_by_one_seed_and_without_a_judge():
    weights = []
    for seed, valid in ((1, None), (1, digits(20, seed=1)), (2, None)):
        torch.manual_seed(0)
        result = fit_tower(digits(), valid, tower(1, c=4), seed)
        assert (result.n_valid, bool(result.accuracy)) == ((20, True) if valid else (0, False))
        weights.append(result.model[0].weight.detach())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    with pytest.raises(ValueError, match="was not judged"): print(result.final)


def test_the_rate_falls_from_a_tenth_and_callbacks_are_called():
    class Rates(list):
        def after_batch(self, learn): self.append(learn.opt.lr)
    rates = Rates()
    fit_tower(digits(6400), None, tower(1, c=4), callbacks=[rates])
    assert len(rates) == 100
    assert rates == pytest.approx([.1*(1 - i/100) for i in range(100)])


def test_floats_are_refused_before_anything_is_trained():
    images, labels = digits()
    with pytest.raises(ValueError, match="give uint8"):
        fit_tower((images/255, labels), None, tower(1, c=4))
