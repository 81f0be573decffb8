"""The held-out part of the zoo: no check was changed on account of what these showed.

Nothing here may decide how a check is made. Who mends a check because of a training in this file
moves that training to zoo.py, among those that were tuned on, and writes others.
"""
import torch
from torch import nn
from torch.nn import functional as F
from zoo import (Detach, HalvedModule, Training, adam, alike, broken_step, change, images, in_order,
                 labels_apart, lean, leak, loop, loss, mlp, rate, replace, scheduled, swap, targets,
                 turned, unshuffled, used, valid, without, wrapped)

# ---- models ----


class Gru(nn.Module):
    "Reads an image row by row, in both directions."
    def __init__(self):
        super().__init__()
        self.body = nn.GRU(8, 24, 1, batch_first=True, bidirectional=True)
        self.head = nn.Linear(48, 10)

    def forward(self, xb): return self.head(self.body(xb.view(-1, 8, 8))[0].mean(1))


class Tokens(nn.Module):
    "Pixels as words of a vocabulary of 17; attention written by hand."
    def __init__(self, width=24):
        super().__init__()
        self.words, self.places = nn.Embedding(17, width), nn.Embedding(16, width)
        self.q, self.k, self.v = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 48), nn.SiLU(), nn.Linear(48, width))
        self.head = nn.Linear(width, 10)

    def forward(self, xb): # whole numbers, (bs, 16)
        h = self.words(xb) + self.places.weight
        z = self.norm1(h)
        a = (self.q(z) @ self.k(z).transpose(1, 2)/5).softmax(-1)
        h = h + self.out(a @ self.v(z))
        return self.head((h + self.mix(self.norm2(h))).mean(1))


class Separable(nn.Module):
    "Depthwise and pointwise convolutions, with a bottleneck that is meant to be linear."
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, 1, 1), nn.GroupNorm(4, 16), nn.ReLU6())
        self.wide, self.depth = nn.Conv2d(16, 32, 1), nn.Conv2d(32, 32, 3, 1, 1, groups=32)
        self.narrow, self.norm = nn.Conv2d(32, 16, 1), nn.GroupNorm(4, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, xb):
        h = self.stem(xb)
        h = h + self.norm(self.narrow(F.relu(self.depth(F.relu(self.wide(h))))))
        return self.head(h.mean((2, 3)))


class Cosine(nn.Module):
    "Scores are cosines with a learned row for each digit, times 16."
    def __init__(self):
        super().__init__()
        self.body, self.rows = mlp(16), nn.Parameter(torch.randn(10, 16))

    def forward(self, xb):
        return 16*F.normalize(self.body(xb), dim=1) @ F.normalize(self.rows, dim=1).T


class ConvAutoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1), nn.ELU(), nn.Conv2d(8, 16, 3, 2, 1),
                                  nn.ELU())
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, 2), nn.ELU(),
                                nn.ConvTranspose2d(8, 1, 2, 2))

    def forward(self, xb): return self.up(self.down(xb))


class Gated(nn.Module):
    "Gated linear units, and a residual stream."
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 32), nn.Linear(32, 10)
        self.gate, self.value, self.norm = nn.Linear(32, 48), nn.Linear(32, 48), nn.LayerNorm(32)
        self.back = nn.Linear(48, 32)

    def forward(self, xb):
        h = self.first(xb.flatten(1))
        z = self.norm(h)
        return self.last(h + self.back(self.value(z)*self.gate(z).sigmoid()))


class LowRank(nn.Module):
    "A fixed layer, and a learned correction of it of rank 4 that starts at zero."
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU())
        self.fixed = nn.Linear(48, 48)
        self.a, self.b = nn.Linear(48, 4, bias=False), nn.Linear(4, 48)
        nn.init.zeros_(self.b.weight)
        for p in self.fixed.parameters(): p.requires_grad_(False)
        self.head = nn.Linear(48, 10)

    def forward(self, xb):
        h = self.body(xb)
        return self.head(F.relu(self.fixed(h) + self.b(self.a(h))))


# ---- losses, targets, loops ----

def focal(scores, y):
    logs = F.log_softmax(scores, 1).gather(1, y[:, None])
    return -((1 - logs.exp())**2*logs).mean()


def quantile(scores, y):
    off = y - scores
    return torch.maximum(.8*off, -.2*off).mean()


def soft(x, y): return .9*F.one_hot(y, 10).float() + .01
def ink(x, y): return x.sum((1, 2, 3))[:, None]
def few(x, y): return (x > .5).sum((1, 2, 3))[:, None].float() # counts
def as_tokens(t):
    def words(x): return (16*x).long().view(-1, 8, 8)[:, ::2, ::2].flatten(1)
    return replace(t, x=words(t.x), xv=words(t.xv))


def clipped(t, opt):
    def step(model, xb, yb):
        model.train()
        opt.zero_grad(set_to_none=False)
        t.loss_func(model(xb), yb).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        opt.step()
    return step


def two_optimizers(t, opt): # the head has one of its own
    head = torch.optim.SGD(list(t.model.parameters())[-2:], .02)
    body = torch.optim.Adam(list(t.model.parameters())[:-2], .003)
    def step(model, xb, yb):
        t.loss_func(model.train()(xb), yb).backward()
        for one in body, head:
            one.step()
            one.zero_grad()
    return step


def sharpness_aware(t, opt): # two gradients a step, the second from uphill
    def step(model, xb, yb):
        model.train()
        t.loss_func(model(xb), yb).backward()
        with torch.no_grad():
            up = [.05*p.grad/(p.grad.norm() + 1e-9) for p in model.parameters()]
            for p, d in zip(model.parameters(), up, strict=True): p.add_(d)
        opt.zero_grad()
        t.loss_func(model(xb), yb).backward()
        with torch.no_grad():
            for p, d in zip(model.parameters(), up, strict=True): p.sub_(d)
        opt.step()
        opt.zero_grad()
    return step


def warm_up_then_cosine(opt):
    from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR
    return SequentialLR(opt, [LinearLR(opt, 1e-8, 1., 20), CosineAnnealingLR(opt, 2000)], [20])


class Shifting:
    "A loader that shifts each image by a pixel at random, and mirrors nothing."
    def __init__(self, t, x, y):
        self.x, self.y, self.bs = x, y, t.bs
        self.generator = torch.Generator().manual_seed(t.seed)

    def __iter__(self):
        for some in torch.randperm(len(self.x), generator=self.generator).split(self.bs):
            by = torch.randint(-1, 2, (2,), generator=self.generator).tolist()
            yield self.x[some].roll(by, (2, 3)), self.y[some]


SOUND = {
    "GRU both ways": lambda: Training(Gru(), lr=.01, opt_func=adam),
    "tokens": lambda: as_tokens(Training(Tokens(), lr=.005, opt_func=adam)),
    "separable": lambda: Training(Separable(), lr=.005, opt_func=adam, make_step=clipped),
    "cosine scores": lambda: Training(Cosine(), lr=.003, opt_func=adam),
    "convolutional autoencoder": lambda: targets(
        Training(ConvAutoencoder(), F.smooth_l1_loss, lr=.005, opt_func=adam), lambda x, y: x),
    "gated": lambda: Training(Gated(), lr=.003, opt_func=adam),
    "low rank": lambda: Training(LowRank(), lr=.003, opt_func=adam),
    "focal loss": lambda: Training(mlp(), focal, lr=.1),
    "quantile": lambda: targets(Training(mlp(1), quantile, lr=.01, opt_func=adam), ink),
    "counts": lambda: targets(Training(mlp(1), F.poisson_nll_loss, lr=.003, opt_func=adam), few),
    "soft targets": lambda: targets(Training(mlp()), soft),
    "Huber": lambda: targets(Training(mlp(2, nn.SiLU), F.huber_loss, lr=.003, opt_func=adam),
                             lambda x, y: lean(x)),
    "two optimisers": lambda: Training(mlp(), make_step=two_optimizers),
    "sharpness-aware": lambda: Training(mlp(), lr=.03, make_step=sharpness_aware),
    "warm-up, then cosine": lambda: Training(mlp(), lr=.1,
                                             make_step=scheduled(warm_up_then_cosine)),
    "shifting loader": lambda: Training(mlp(), loader=Shifting),
    "leaky, small batches": lambda: Training(mlp(act=nn.LeakyReLU), bs=16),
    "RMSprop on sums": lambda: Training(mlp(), nn.CrossEntropyLoss(reduction="sum"), lr=.001,
                                        opt_func=torch.optim.RMSprop),
}


# ---- bugs ----

def backwards_loss(t): return replace(t, loss_func=lambda s, y, f=t.loss_func: -f(s, y))
def in_order_soft(t):
    order = t.y.argmax(1).argsort(stable=True)
    return replace(t, x=t.x[order], y=t.y[order], loader=unshuffled)


def sorted_by_ink(t):
    order = t.x.sum((1, 2, 3)).argsort()
    return replace(t, x=t.x[order], y=t.y[order], loader=unshuffled)


def half_apart(t): # every other label belongs to another image
    y = t.y.clone()
    y[::2] = y[::2].roll(1, 0)
    return replace(t, y=y)


def twice_in_both(t): # images doubled before the split
    return replace(t, xv=torch.cat([t.xv[:200], t.x[:200]]), yv=torch.cat([t.yv[:200], t.y[:200]]))


def contrast(x): return .8*x + .1
def noisy_leak(t):
    g = torch.Generator().manual_seed(3)
    return leak(t, lambda x: x + .01*torch.randn(x.shape, generator=g))


def swapped_inputs(t): # labels of the training images in another encoding
    return replace(t, y=9 - t.y)


def flat(t): return replace(t, y=t.y[:, 0], yv=t.yv[:, 0])
def soft_twice(t): return wrapped(nn.Softmax(1))(t)


class SoftmaxOverBatch(nn.Module):
    def forward(self, scores): return scores.log_softmax(0)


def unstable(scores, y):
    return (scores.exp().sum(1).log() - scores.gather(1, y[:, None])[:, 0]).mean()


def no_update_of_body(t, opt): # the graph is cut between body and head, in the step
    def step(model, xb, yb):
        with torch.no_grad(): h = model[:-1](xb)
        t.loss_func(model[-1](h), yb).backward()
        opt.step()
        opt.zero_grad()
    return step


def step_before_backward(t, opt):
    def step(model, xb, yb):
        loss = t.loss_func(model.train()(xb), yb)
        opt.zero_grad()
        opt.step()
        loss.backward()
        opt.zero_grad()
    return step


def zero_only_head(t, opt):
    def step(model, xb, yb):
        t.loss_func(model.train()(xb), yb).backward()
        opt.step()
        model.head.zero_grad()
    return step


def stuck_schedule(opt): return torch.optim.lr_scheduler.LambdaLR(opt, lambda k: 0.)


class StraightSign(torch.autograd.Function):
    "A SiLU whose derivative forgot its second term."
    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z*z.sigmoid()

    @staticmethod
    def backward(ctx, da): return da*ctx.saved_tensors[0].sigmoid()


class WrongSilu(nn.Module):
    def forward(self, z): return StraightSign.apply(z)


def per_batch(t): # in use, images are scaled by the largest value of their batch
    def predict(xb):
        t.model.eval()
        with torch.no_grad(): return t.model(xb*(1 + xb.sum((1, 2, 3)).max()/50))
    return replace(t, predict=predict)


def dropout_in_use(t):
    return replace(t, model=nn.Sequential(nn.Dropout(.3), t.model), eval_first=False)


def negative(layer): nn.init.constant_(layer.weight, -1.)
def huge(layer): layer.weight.data.mul_(300)


BUGS = {
    "in order, GRU": ("GRU both ways", in_order, "order"),
    "in order, soft targets": ("soft targets", in_order_soft, "order"),
    "sorted by ink, quantile": ("quantile", sorted_by_ink, "order"),
    "shuffled once, tokens": ("tokens", lambda t: replace(t, loader=unshuffled), "reshuffling"),
    "shuffled once, two optimisers": ("two optimisers", lambda t: replace(t, loader=unshuffled),
                                      "reshuffling"),
    "labels apart, GRU": ("GRU both ways", labels_apart, "labels"),
    "labels apart, tokens": ("tokens", labels_apart, "labels"),
    "labels apart, counts": ("counts", labels_apart, "labels"),
    "half of the labels apart": ("separable", half_apart, "labels"),
    "labels in another code": ("gated", swapped_inputs, "labels"),
    "doubled before the split": ("shifting loader", twice_in_both, "overlap"),
    "leaked, other contrast": ("low rank", lambda t: leak(t, contrast), "overlap"),
    "leaked, tokens": ("tokens", leak, "overlap"),
    "leaked with noise": ("Huber", noisy_leak, "overlap"),
    "turned, cosine": ("cosine scores", images(turned), "orientation"),
    "turned by 180°, autoencoder": ("convolutional autoencoder", valid(lambda x: x.flip(-1, -2)),
                                    "orientation"),
    "validation inverted": ("GRU both ways", valid(lambda x: 1 - x), "scale in validation"),
    "validation in bytes": ("quantile", valid(lambda x: 255*x), "scale in validation"),
    "in use in bytes": ("separable", used(lambda x: 255*x), "scale in use"),
    "in use from −1 to 1": ("gated", used(lambda x: 2*x - 1), "scale in use"),
    "broadcast, quantile": ("quantile", flat, "pairing"),
    "broadcast, counts": ("counts", flat, "pairing"),
    "softmax twice, focal": ("focal loss", soft_twice, "squashing"),
    "softmax twice, GRU": ("GRU both ways", soft_twice, "squashing"),
    "softmax twice, soft targets": ("soft targets", soft_twice, "squashing"),
    "sigmoid on the scores": ("separable", wrapped(nn.Sigmoid()), "squashing"),
    "ReLU on the scores, gated": ("gated", wrapped(nn.ReLU()), "squashing"),
    "softmax over the batch, log": ("cosine scores", lambda t: replace(
        wrapped(SoftmaxOverBatch())(t), loss_func=F.nll_loss), "squashing"),
    "log of a sum of powers": ("two optimisers", loss(unstable), "extremes"),
    "head huge, GRU": ("GRU both ways", change("head", huge), "start"),
    "bytes from the start": ("sharpness-aware", lambda t: replace(
        t, x=255*t.x, xv=255*t.xv), "start"),
    "detached, separable": ("separable", swap("stem.2", nn.Sequential(nn.ReLU6(), Detach())),
                            "reach"),
    "detached, tokens": ("tokens", swap("mix.1", Detach()), "reach"),
    "all alike, gated": ("gated", lambda t: alike(t, .05), "symmetry"),
    "all alike, two optimisers": ("two optimisers", lambda t: alike(t, .05), "symmetry"),
    "half a derivative, sharpness": ("sharpness-aware", swap("2", HalvedModule()), "backward"),
    "SiLU's derivative, tokens": ("tokens", swap("mix.1", WrongSilu()), "backward"),
    "SiLU missing, tokens": ("tokens", swap("mix.1", nn.Identity()), "nonlinearity"),
    "ReLU missing, low rank": ("low rank", swap("body.2", nn.Identity()), "nonlinearity"),
    "ELU missing, autoencoder": ("convolutional autoencoder", swap("down.3", nn.Identity()),
                                 "nonlinearity"),
    "dead, low rank": ("low rank", change("body.1", negative), "alive"),
    "step before backward": ("warm-up, then cosine", loop(step_before_backward), "update"),
    "body under no_grad": ("shifting loader", loop(no_update_of_body), "update"),
    "schedule stays at 0": ("focal loss", loop(scheduled(stuck_schedule)), "update"),
    "optimiser without the first": ("separable", without(2), "update"),
    "only the head is zeroed": ("GRU both ways", loop(zero_only_head), "zeroing"),
    "never zeroed, quantile": ("quantile", broken_step(zero=False), "zeroing"),
    "rate far too high, GRU": ("GRU both ways", rate(300), "learning rate"),
    "sums at the rate of means": ("RMSprop on sums", rate(300), "learning rate"),
    "rate far too low, autoencoder": ("convolutional autoencoder", rate(1e-5), "learning rate"),
    "loss upside down": ("gated", backwards_loss, "overfit"),
    "scaled by the batch in use": ("gated", per_batch, "alone"),
    "dropout in use": ("Huber", dropout_in_use, "alone"),
}
