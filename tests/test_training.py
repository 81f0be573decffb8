"""The nearest mean, and training from SGD by hand to the Learner, on cases a lesson leaves open.

Data is drawn here and small, so that nothing is fetched. Referees are torch.distributions,
torch.optim, finite differences and the step written out.
"""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist_course.data import as_rows
from mnist_course.learner import (EVENTS, Learner, LinearDecay, Progress, StopFit, as_trained,
                                  fit_learner, make_dls)
from mnist_course.optim import BasicOptim, fit_basic_optim, train_epoch_with
from mnist_course.pixel_similarity import PixelSimilarity, accuracy
from mnist_course.sgd import (batch_accuracy, batch_size, binary_cross_entropy, fit_epochs,
                              fit_linear, init_params, linear, mnist_loss, rows_and_targets,
                              sgd_step, train_epoch, validate_epoch)
from torch import nn
from torch.nn import functional as F

many = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 10**6)


def rng(seed): return torch.Generator().manual_seed(seed)


def two_digits(n=60, seed=0, digits=(3, 7), size=4):
    "Images of two digits, mixed: the first darker above, the second darker below."
    g = rng(seed)
    images = torch.randint(0, 120, (n, size, size), generator=g)
    first = torch.rand(n, generator=g) < .5
    first[:2] = torch.tensor([True, False])          # both are there
    images[first, :size//2] += 120
    images[~first, size//2:] += 120
    return images.to(torch.uint8), torch.where(first, *digits)


def pairs(n=60, seed=0): return (rows_and_targets(*two_digits(n, s), 3) for s in (seed, seed + 1))


# --- the nearest mean ---

@many
@given(seeds, st.sampled_from(["l1", "l2"]), st.integers(2, 5))
def test_probabilities_are_those_of_independent_noise(seed, norm, c):
    "By Bayes' rule from torch's own densities, with the most probable scale."
    g = rng(seed)
    images = torch.randint(0, 256, (8*c, 2, 3), generator=g).to(torch.uint8)
    labels = torch.arange(8*c) % c + 2
    model = PixelSimilarity(norm).fit(images, labels)
    rows, means = as_rows(images, torch.float64), model.means.double()
    off = rows - means[labels - 2]
    if norm == "l1": noise = torch.distributions.Laplace(0., off.abs().mean())
    else: noise = torch.distributions.Normal(0., off.pow(2).mean().sqrt())
    assert math.isclose(model.scale, noise.scale, rel_tol=1e-5)
    new = torch.randint(0, 256, (20, 2, 3), generator=g).to(torch.uint8)
    log_p = noise.log_prob(as_rows(new, torch.float64)[:, None] - means).sum(2)
    p = model.predict_proba(new)
    assert p.shape == (20, c)
    torch.testing.assert_close(p, log_p.softmax(1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(p.sum(1), torch.ones(20, dtype=torch.float64))
    assert torch.equal(model.digits[p.argmax(1)], model.predict(new))


def test_probabilities_by_hand():
    "(0, 0) and (0.4, 0) against (0.6, 1) and (1, 1): the new image is (0.4, 0.4)."
    images = torch.tensor([[[0, 0]], [[153, 255]], [[102, 0]], [[255, 255]]]).to(torch.uint8)
    new = torch.tensor([[[102, 102]]], dtype=torch.uint8)
    for norm, scale, odds in ("l1", .1, 4), ("l2", .02**.5, 8):
        model = PixelSimilarity(norm).fit(images, torch.tensor([1, 8, 1, 8]))
        assert model.digits.tolist() == [1, 8] and math.isclose(model.scale, scale, rel_tol=1e-5)
        p = model.predict_proba(new)
        assert p.shape == (1, 2)
        assert math.isclose(p[0, 0], 1/(1 + math.exp(-odds)), rel_tol=1e-5)


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_equal_images_leave_no_spread_and_still_a_probability(norm):
    images = torch.tensor([[[0, 0]], [[255, 255]]], dtype=torch.uint8)
    model = PixelSimilarity(norm).fit(images, torch.tensor([0, 1]))
    assert model.scale == 0
    assert model.predict_proba(images).tolist() == [[1, 0], [0, 1]]
    half = torch.tensor([[[255, 0]]], dtype=torch.uint8)
    assert model.predict_proba(half).tolist() == [[.5, .5]]


def test_nearest_mean_refuses_what_it_cannot_do():
    images, labels = two_digits()
    with pytest.raises(RuntimeError, match="call fit first"): PixelSimilarity().predict(images)
    with pytest.raises(RuntimeError, match="call fit first"):
        PixelSimilarity().predict_proba(images)
    with pytest.raises(ValueError, match="choose 'l1' or 'l2'"): PixelSimilarity("L2")
    with pytest.raises(ValueError, match="one label for each"):
        PixelSimilarity().fit(images, labels[1:])
    with pytest.raises(ValueError, match="at least 1 of them"):
        PixelSimilarity().fit(images[:0], labels[:0])


def test_accuracy_of_digits_and_of_scores():
    labels = torch.tensor([2, 0, 1, 1])
    assert accuracy(torch.tensor([2, 0, 1, 0]), labels) == .75
    scores = torch.eye(3)[torch.tensor([2, 0, 0, 0])]
    assert accuracy(scores, labels) == .5 and isinstance(accuracy(scores, labels), float)
    assert accuracy(labels, labels) == 1
    for wrong in (labels[:, None], labels[:3], labels[:0]):
        with pytest.raises(ValueError, match="one prediction for each label"):
            accuracy(wrong, labels if wrong.ndim == 1 else wrong)
    with pytest.raises(ValueError): accuracy(labels[:0], labels[:0])


# --- rows and targets ---

@many
@given(seeds, st.permutations(range(10)))
def test_the_smaller_digit_comes_first_each_in_its_order(seed, digits):
    images, labels = two_digits(23, seed, digits[:2])
    small, large = sorted(digits[:2])
    expected = torch.cat([images[labels == small], images[labels == large]])
    for digit in (small, large):
        x, y = rows_and_targets(images, labels, digit, torch.float64)
        assert x.dtype == y.dtype == torch.float64 and y.shape == (23, 1)
        assert torch.equal(x, as_rows(expected, torch.float64))
        assert y[:, 0].tolist() == [float(d == digit) for d in sorted(labels.tolist())]


# --- loss, step, epoch ---

@many
@given(seeds)
def test_the_gradient_is_the_finite_difference(seed):
    g = rng(seed)
    x, w = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((7, 5), (5, 1)))
    y = (torch.rand(7, 1, generator=g) < .5).double()
    b = torch.randn(1, generator=g, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda w, b: mnist_loss(linear(x, w, b), y),
                                    (w.requires_grad_(), b.requires_grad_()))


@many
@given(seeds, st.sampled_from([.1, 3., 1000.]))
def test_cross_entropy_is_torchs_and_its_gradient_prediction_minus_truth(seed, scale):
    g = rng(seed)
    scores = (torch.randn(6, 1, generator=g).double()*scale).requires_grad_()
    targets = (torch.rand(6, 1, generator=g) < .5).double()
    loss = binary_cross_entropy(scores, targets)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(scores, targets))
    loss.backward()
    torch.testing.assert_close(scores.grad*6, scores.detach().sigmoid() - targets)


def test_cross_entropy_by_hand():
    "Probabilities of 3/4 for a three and for a seven: -(ln 3/4 + ln 1/4)/2."
    scores = torch.full((2, 1), math.log(3), dtype=torch.float64)
    loss = binary_cross_entropy(scores, torch.tensor([[1.], [0.]]).double())
    assert loss.item() == pytest.approx(-(math.log(.75) + math.log(.25))/2)
    far = torch.tensor([[-1e4]], requires_grad=True)             # its sigmoid is exactly 0
    loss = binary_cross_entropy(far, torch.ones(1, 1))
    loss.backward()
    assert loss.item() == 1e4 and far.grad.item() == -1


@many
@given(seeds, st.sampled_from([.01, 100.]))
def test_no_loss_minds_the_order_of_the_images(seed, scale):
    g = rng(seed)
    scores, order = torch.randn(9, 1, generator=g).double()*scale, torch.randperm(9, generator=g)
    targets = (torch.rand(9, 1, generator=g) < .5).double()
    for loss_func in (mnist_loss, binary_cross_entropy, batch_accuracy):
        torch.testing.assert_close(loss_func(scores[order], targets[order]),
                                   loss_func(scores, targets))
        flipped = loss_func(-scores, 1 - targets)                # the digits change their names
        torch.testing.assert_close(flipped, loss_func(scores, targets))


# --- what does not fit is refused in a sentence ---

COLUMN, ROW = torch.zeros(4, 1), torch.zeros(4)


@pytest.mark.parametrize("measure", [mnist_loss, binary_cross_entropy, batch_accuracy])
@pytest.mark.parametrize("scores, targets, says", [
    (COLUMN, ROW, "same shape"), (ROW, COLUMN, "same shape"), (COLUMN, COLUMN[:3], "same shape"),
    (COLUMN[:0], COLUMN[:0], "same shape"), (COLUMN, COLUMN + 7, "1 or 0"),
    (COLUMN, COLUMN - 1, "1 or 0"), (COLUMN, COLUMN*math.nan, "1 or 0")])
def test_scores_and_targets_that_do_not_fit(measure, scores, targets, says):
    with pytest.raises(ValueError, match=says): measure(scores, targets)


def test_scores_that_are_no_numbers_are_not_counted_as_a_class():
    for targets in (COLUMN, COLUMN + 1):
        with pytest.raises(ValueError, match="nan"): batch_accuracy(COLUMN*math.nan, targets)
    assert mnist_loss(COLUMN*math.nan, COLUMN).isnan()           # a loss shows it by itself


def _ready():
    p = torch.ones(2, 1, requires_grad=True)
    p.grad = torch.ones(2, 1)
    return p


@pytest.mark.parametrize("lr", [-1., math.nan, math.inf, 1e7, "1", None, True])
def test_rates_that_are_none(lr):
    p, (train, _) = _ready(), pairs()
    for call in (lambda: sgd_step([p], lr), lambda: fit_linear(train, n_epochs=1, lr=lr),
                 lambda: train_epoch(lambda x: x @ p, lr, [p], [(torch.ones(1, 2), COLUMN[:1])])):
        with pytest.raises(ValueError, match="learning rate"): call()
    assert p.tolist() == [[1], [1]]                              # nothing was moved


def test_parameters_that_are_none():
    p = _ready()
    for params in ([], (), p, iter(())):
        with pytest.raises(ValueError, match="no parameters"): sgd_step(params, 1.)
        with pytest.raises(ValueError, match="no parameters"): train_epoch(None, 1., params, [])
    with pytest.raises(ValueError, match="backward"): sgd_step([torch.ones(1)], 1.)


def test_loaders_without_batches():
    p, spent = _ready(), iter(())
    for dl in ([], spent):
        with pytest.raises(ValueError, match="no batches"): validate_epoch(lambda x: x, dl)
        with pytest.raises(ValueError, match="no batches"): train_epoch(None, 1., [p], dl)


@pytest.mark.parametrize("n", [-1, 1.5, "2", None, True])
def test_counts_that_are_none(n):
    train, _ = pairs()
    for call in (lambda: fit_linear(train, n_epochs=n), lambda: batch_size(n),
                 lambda: fit_epochs(None, lambda: 0., n_epochs=n), lambda: init_params((3, n))):
        with pytest.raises(ValueError, match="whole number"): call()


@pytest.mark.parametrize("wrong, says", [
    ({"bs": 0}, "at least one|1 or more"), ({"bs": -3}, "at least one|1 or more"),
    *[({"std": std}, "0 or more") for std in (-1., math.nan, math.inf)]])
def test_settings_that_are_none(wrong, says):
    train, _ = pairs()
    with pytest.raises(ValueError, match=says): fit_linear(train, n_epochs=1, **wrong)


def test_rows_and_targets_that_do_not_fit():
    (x, y), _ = pairs()
    images, labels = two_digits()
    for train, says in (((x, y[:9]), r"Inputs are \(60, 16\) and targets \(9, 1\)"),
                        ((x, y[:, 0]), "same shape"), ((x, 3*y), "1 or 0")):
        with pytest.raises(ValueError, match=says): fit_linear(train, n_epochs=1)
    for a, b in ((images, labels[:9]), (images, labels[:, None]), (images/255, labels),
                 (images[0], labels), (images[:0], labels[:0]), (images, labels.float())):
        with pytest.raises(ValueError, match="Images|Labels|images"): rows_and_targets(a, b, 3)
    arrays = rows_and_targets(images.numpy(), labels.tolist(), 3)
    assert all(torch.equal(p, q) for p, q in zip(arrays, (x, y), strict=True))


def test_a_step_by_hand():
    p = torch.tensor([1., 2.], requires_grad=True)
    p.grad = torch.tensor([.5, -1.])
    sgd_step([p], .1)
    torch.testing.assert_close(p.detach(), torch.tensor([.95, 2.1]))
    assert p.requires_grad and p.grad.tolist() == [0, 0]


UNEQUAL = (2, 5, 1)     # images in each batch


def unequal_batches(seed=0):
    g = rng(seed)
    return [(torch.randn(n, 3, generator=g).double(),
             (torch.rand(n, 1, generator=g) < .5).double()) for n in UNEQUAL]


def all_of(batches): return (torch.cat(column) for column in zip(*batches, strict=True))


def test_every_mean_counts_each_image_once():
    "Batches of 2, 5 and 1: a mean over batches would weigh the single image five times."
    batches, torch_model = unequal_batches(), nn.Linear(3, 1).double()
    x, y = all_of(batches)
    with torch.no_grad():
        loss, right = mnist_loss(torch_model(x), y).item(), batch_accuracy(torch_model(x), y).item()
        by_batch = [mnist_loss(torch_model(xb), yb).item() for xb, yb in batches]
    assert abs(sum(by_batch)/3 - loss) > 1e-3                    # the two can be told apart
    close = pytest.approx
    assert train_epoch(torch_model, 0., torch_model.parameters(), batches) == close(loss)
    frozen = BasicOptim(torch_model.parameters(), 0.)
    assert train_epoch_with(torch_model, frozen, batches) == close(loss)
    assert validate_epoch(torch_model, batches, mnist_loss) == close(loss)
    assert validate_epoch(torch_model, batches) == close(right, rel=1e-6)
    learn = Learner((batches, batches), torch_model, mnist_loss, lr=0., metrics=[batch_accuracy])
    row = learn.fit(1).rows[0]
    assert row["train_loss"] == close(loss) and row["valid_loss"] == close(loss)
    assert row["batch_accuracy"] == close(right, rel=1e-6)


@many
@given(seeds, st.floats(0, 2), st.integers(1, 4))
def test_four_ways_to_train_end_at_the_same_weights(seed, lr, n_epochs):
    "By hand, with BasicOptim, with torch's SGD, and by the Learner."
    batches, models = unequal_batches(seed), []
    for way in range(4):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()
        models.append(net)
        opt = (BasicOptim if way == 1 else torch.optim.SGD)(net.parameters(), lr)
        if way == 3: Learner((batches, None), net, mnist_loss, lr=lr).fit(n_epochs)
        else:
            for _ in range(n_epochs):
                if way == 0: train_epoch(net, lr, net.parameters(), batches)
                else: train_epoch_with(net, opt, batches)
    for params in zip(*(m.parameters() for m in models), strict=True):
        for p in params[1:]: torch.testing.assert_close(p, params[0], rtol=0, atol=1e-12)
    torch.manual_seed(seed)
    start = nn.Linear(3, 4).weight.double()
    assert lr < 1e-3 or not torch.equal(models[0][0].weight, start)


def test_a_parameter_without_gradient_stays_where_it_is():
    used, idle = (torch.ones(1, requires_grad=True) for _ in range(2))
    opt = BasicOptim([used, idle], .5)
    (used*3).sum().backward()
    opt.step()
    assert (used.item(), idle.item()) == (-.5, 1.)
    opt.zero_grad()
    assert used.grad is None


# --- the recipes ---

RECIPES = {
    "linear": lambda train, valid, seed, n: fit_linear(train, valid, seed, n),
    "basic_optim": lambda train, valid, seed, n: fit_basic_optim(train, valid, seed, n),
    "learner": lambda train, valid, seed, n: fit_learner(train, valid, start(seed), n, 1., seed),
}


def start(seed):
    torch.manual_seed(seed)
    return nn.Linear(16, 1)


recipe = pytest.mark.parametrize("fit", RECIPES.values(), ids=RECIPES)


@recipe
def test_a_recipe_gives_back_what_it_trained(fit):
    train, valid = pairs()
    run = fit(train, valid, 0, 6)
    assert len(run.accuracy) == len(run.loss) == len(run.valid_loss) == 6 and run.n_valid == 60
    assert run.final > .9 and run.loss[-1] < run.loss[0]
    assert run.final == pytest.approx(validate_epoch(run.model, [valid]))
    assert run.valid_loss[-1] == pytest.approx(validate_epoch(run.model, [valid], mnist_loss))


@recipe
def test_a_recipe_that_is_not_judged_trains_alike(fit):
    train, valid = pairs()
    judged, unjudged = fit(train, valid, 3, 2), fit(train, None, 3, 2)
    assert unjudged.loss == judged.loss
    assert (unjudged.accuracy, unjudged.valid_loss, unjudged.n_valid) == ([], [], 0)
    assert torch.equal(unjudged.model(valid[0]), judged.model(valid[0]))
    with pytest.raises(ValueError, match="not judged"): unjudged.final  # noqa: B018


@recipe
def test_a_seed_decides_everything(fit):
    train, valid = pairs()
    once, again, other = (fit(train, valid, seed, 2).loss for seed in (5, 5, 6))
    assert once == again != other


def test_linear_by_hand_from_its_own_draws():
    "Weights, then bias, then an order for each epoch, all from one generator."
    (x, y), _ = pairs()
    g = rng(4)
    w = (torch.randn(16, 1, generator=g)*.01).requires_grad_()
    b = (torch.randn(1, generator=g)*.01).requires_grad_()
    for _ in range(2):
        for i in torch.randperm(60, generator=g).split(batch_size(60)):
            mnist_loss(x[i] @ w + b, y[i]).backward()
            sgd_step((w, b), 1.)
    run = fit_linear((x, y), seed=4, n_epochs=2)
    torch.testing.assert_close(run.params[0], w.detach())
    torch.testing.assert_close(run.params[1], b.detach())
    assert not run.params[0].requires_grad


def test_linear_takes_its_settings():
    train, valid = pairs()
    losses = [fit_linear(train, valid, n_epochs=1, **kw).loss[0]
              for kw in ({}, {"lr": .5}, {"std": 1.}, {"bs": 60}, {"shuffle": False})]
    assert len(set(losses)) == 5
    (w, b), big = (fit_linear(train, n_epochs=0, std=std).params for std in (.01, 1.))
    torch.testing.assert_close(w*100, big[0])


def test_the_learner_walks_in_the_footsteps_of_lesson_03():
    train, valid = pairs()
    with_opt = fit_basic_optim(train, valid, 2, 4)
    by_learner = fit_learner(train, valid, start(2), 4, 1., 2)
    assert with_opt.loss == pytest.approx(by_learner.loss)
    assert with_opt.accuracy == pytest.approx(by_learner.accuracy)
    torch.testing.assert_close(with_opt.model.weight, by_learner.model.weight)


def test_another_optimiser_is_used():
    class Still(BasicOptim):
        def step(self): pass
    train, _ = pairs()
    run = fit_basic_optim(train, n_epochs=2, opt_func=Still)
    assert torch.equal(run.model.weight, start(0).weight)


# --- the Learner ---

class Diary:
    "Writes down each event, and does something at one of them."
    def __init__(self, at=None, do=None): self.events, self.at, self.do = [], at, do

    def __getattr__(self, event):
        if event not in EVENTS: raise AttributeError(event)
        def note(learn):
            self.events.append(event)
            if event == self.at: self.do(learn)
        return note


def small_learner(callbacks=(), metrics=(batch_accuracy,), valid=True, model=None):
    batches = unequal_batches()
    return Learner((batches, batches if valid else None), model or nn.Linear(3, 1).double(),
                   mnist_loss, lr=.5, metrics=metrics, callbacks=callbacks)


def test_events_come_in_their_order():
    diary = Diary()
    small_learner([diary]).fit(2)
    batch = list(EVENTS[2:6])
    epoch = ["before_epoch", *batch*3, "after_epoch"]
    assert diary.events == ["before_fit", *epoch*2, "after_fit"]


def test_callbacks_are_run_in_their_order_and_only_where_they_want():
    heard = []
    class First:
        def after_loss(self, learn): heard.append("first")
    class Second:
        def after_loss(self, learn): heard.append("second")
    learn = small_learner([First(), object(), Second()])
    learn.run_callbacks("after_loss")
    learn.run_callbacks("after_fit")
    assert heard == ["first", "second"]


@pytest.mark.parametrize("event", EVENTS[:-1])
def test_training_can_be_stopped_at_any_event(event):
    def stop(learn): raise StopFit
    diary = Diary(event, stop)
    learn = small_learner([diary])
    assert learn.fit(3) is learn
    assert diary.events.count(event) == 1 and diary.events[-1] == "after_fit"
    assert len(learn.rows) == (1 if event == "after_epoch" else 0)


def test_an_interruption_goes_through():
    def interrupt(learn): raise KeyboardInterrupt
    learn = small_learner([Diary("after_epoch", interrupt)])
    with pytest.raises(KeyboardInterrupt): learn.fit(3)
    assert len(learn.rows) == 1


def test_a_callback_can_change_the_batch():
    learn = small_learner([Diary("before_batch", lambda learn: learn.xb.zero_())])
    weight = learn.model.weight.detach().clone()
    learn.fit(1)
    assert torch.equal(learn.model.weight, weight) and learn.model.bias.grad is None


def test_metrics_may_be_floats_or_tensors():
    def half(scores, targets): return .5
    learn = small_learner(metrics=[half, batch_accuracy]).fit(1)
    assert list(learn.rows[0]) == ["epoch", "train_loss", "valid_loss", "half", "batch_accuracy",
                                   "seconds"]
    assert learn.rows[0]["half"] == .5 and isinstance(learn.rows[0]["batch_accuracy"], float)


def test_layers_are_told_when_they_train():
    seen = []
    class Watch(nn.Linear):
        def forward(self, x):
            seen.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)
    small_learner(model=Watch(3, 1).double()).fit(2)
    assert seen == ([(True, True)]*3 + [(False, False)]*3)*2


def test_empty_batches_are_refused():
    for dls, what in (([], []), "train on"), ((unequal_batches(), []), "validate on"):
        with pytest.raises(ValueError, match=f"nothing to {what}"):
            Learner(dls, nn.Linear(3, 1).double(), mnist_loss).fit(1)


def test_the_rate_is_the_fits_or_the_learners():
    learn = small_learner()
    assert learn.fit(1).opt.lr == .5 and learn.fit(1, lr=.25).opt.lr == .25


@many
@given(st.integers(1, 6), st.floats(.01, 2))
def test_the_rate_falls_linearly_to_zero(n_epochs, lr):
    used, decay = [], LinearDecay()
    watch = Diary("after_backward", lambda learn: used.append(learn.opt.lr))
    learn = small_learner([decay, watch])
    learn.fit(n_epochs, lr=lr)
    n = 3*n_epochs
    assert used == decay.rates == pytest.approx([lr*(n - k)/n for k in range(n)])


def test_progress_prints_names_once_and_a_line_for_each_epoch(capsys):
    learn = small_learner([Progress()]).fit(2)
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == list(learn.rows[0]) and len(lines) == 2
    for line, row in zip(lines, learn.rows, strict=True):
        assert line.split() == [str(row["epoch"]), *(f"{v:.4f}" for v in list(row.values())[1:])]
    learn.fit(1)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["epoch", "2"]


def test_progress_without_validation(capsys):
    small_learner([Progress()], valid=False).fit(1)
    assert capsys.readouterr().out.splitlines()[0].split() == ["epoch", "train_loss", "seconds"]


def test_progress_shows_a_bar_and_leaves_the_batches_alone():
    learn = small_learner([Progress(), Diary("before_batch", lambda learn: seen.append(learn.dl))])
    seen = []
    learn.fit(1)
    assert seen[0].desc.startswith("epoch 0") and seen[0] is not learn.train_dl
    assert isinstance(learn.train_dl, list)


def test_the_record_of_a_learner():
    learn = small_learner().fit(2)
    learn.valid_dl = make_dls(tuple(all_of(unequal_batches())), None, 8)[0]
    run = as_trained(learn)
    assert run.model is learn.model and run.n_valid == 8
    for name, figures in (("train_loss", run.loss), ("valid_loss", run.valid_loss),
                          ("batch_accuracy", run.accuracy)):
        assert figures == [row[name] for row in learn.rows] and len(figures) == 2


def test_a_model_comes_back_ready_to_be_asked():
    train, _ = pairs()
    assert not fit_learner(train, None, start(0), 1, 1.).model.training


def test_batches_for_a_learner():
    train, valid = pairs()
    train_dl, valid_dl = make_dls(train, valid, 7, seed=9)
    assert [len(xb) for xb, _ in train_dl] == [7]*8 + [4]
    g = rng(9)
    torch.randperm(60, generator=g)                          # the first epoch, just seen
    second = torch.cat([xb for xb, _ in train_dl])
    assert torch.equal(second, train[0][torch.randperm(60, generator=g)])
    assert torch.equal(torch.cat([yb for _, yb in valid_dl]), valid[1])   # in its own order
    assert make_dls(train, None, 7)[1] is None
