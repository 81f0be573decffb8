"""Answers to the workbooks of 02, 05, 07 and 09, thought up from their statements alone.

They were written before their author had seen the mistakes that 05, 07 and 09 name; of those 66,
53 were named at the first try. The 12 of lesson 02 were chosen to be none of its named mistakes as
far as the author knew them; 1 was named. All 78 were judged wrong, and 54 right ones right.
Names for what pupils do write have been added since.
"""
# ruff: noqa: F811 - pupils use the names of the starter cells, again and again
import math

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import nn

from mnist_course import exercises
from mnist_course.exercises import exercise, judge

WRONG = []   # exercise, what the learner thought, how the mistake's name begins, the answer
RIGHT = []   # exercise, an answer in another style


def wrong(key, thought, name, *answer):
    if answer: WRONG.append((key, thought, name, *answer))
    def keep(f):
        WRONG.append((key, thought, name, f))
        return f
    return keep


def right(key, *answer):
    if answer: RIGHT.append((key, *answer))
    def keep(f):
        RIGHT.append((key, f))
        return f
    return keep


# ---- 02
@wrong("02.1", "softmax makes probabilities", "The softmax of")
def mnist_loss(scores, targets):
    p = scores.softmax(1)
    return torch.where(targets == 1, 1 - p, p).mean()

@wrong("02.1", "asks what the model says, not what is true", "The condition asks")
def mnist_loss(scores, targets):
    p = torch.sigmoid(scores)
    return torch.where(p > .5, 1 - p, p).mean()

@wrong("02.1", "counts the errors: one minus the accuracy", "This counts the")
def mnist_loss(scores, targets):
    return ((scores > 0).float() != targets).float().mean()

@wrong("02.1", "distance, but signed the other way round", "Errors on threes")
def mnist_loss(scores, targets):
    return (torch.sigmoid(scores) - targets).mean()

@wrong("02.2", "the last line has slipped out of the loop", "Only the last")
def sgd_step(params, lr):
    for p in params:
        p.data -= lr*p.grad
    p.grad.zero_()

@wrong("02.2", "empties the parameter instead of its gradient", "The parameter is")
def sgd_step(params, lr):
    for p in params:
        p.data -= lr*p.grad
        p.data.zero_()

@wrong("02.2", "a new name for a new tensor: nothing moves", "Nothing moves: the")
def sgd_step(params, lr):
    for p in params:
        g = p.grad
        p = p.data - lr*g
        g.zero_()

@wrong("02.2", "sets instead of subtracts", "The parameter becomes")
def sgd_step(params, lr):
    for p in params:
        p.data = -lr*p.grad
        p.grad = None

@wrong("02.3", "forgets the square below", "The outer derivative")
def sigmoid_grad(z): return torch.exp(-z)/(1 + torch.exp(-z))

@wrong("02.3", "the rule for a power, and no inner derivative",
      "The inner derivative is missing: du/dz")
def sigmoid_grad(z): return -1/(1 + torch.exp(-z))**2

wrong("02.4", "the error in place of the gradient", "The step takes the gradient, 2·5·3", 1.95)
wrong("02.4", "the loss in place of the gradient", "The step takes the gradient, not", 1.75)

# ---- 05
@wrong("05.1", "the first bias is forgotten", "The first bias goes")
def as_one(w1, b1, w2, b2): return w1 @ w2, b2

@wrong("05.1", "the second bias is forgotten", "The second bias")
def as_one(w1, b1, w2, b2): return w1 @ w2, b1 @ w2

@wrong("05.1", "biases are simply added", "The first bias is")
def as_one(w1, b1, w2, b2): return w1 @ w2, b1 + b2

@wrong("05.1", "the weights transposed, as nn.Linear keeps them", "The weights are transposed")
def as_one(w1, b1, w2, b2): return (w1 @ w2).T, b1 @ w2 + b2

@wrong("05.1", "the pair the other way round", "The pair is")
def as_one(w1, b1, w2, b2): return b1 @ w2 + b2, w1 @ w2

@wrong("05.2", "ReLU at the end instead of between", "The ReLU comes")
def simple_net(n_in, n_hidden, n_out):
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out), nn.ReLU())

@wrong("05.2", "the lesson's own sizes, whatever is asked", "The sizes are")
def simple_net(n_in, n_hidden, n_out):
    return nn.Sequential(nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 1))

@wrong("05.2", "the second layer begins from n_in again", "The second layer")
def simple_net(n_in, n_hidden, n_out):
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Linear(n_in, n_out))

@wrong("05.2", "ends in a sigmoid, since it is to give probabilities", "There is a sigmoid")
def simple_net(n_in, n_hidden, n_out):
    return nn.Sequential(nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_out),
                         nn.Sigmoid())

wrong("05.3", "it is a bump, so it must be zero outside", "0 would need", 0)
wrong("05.3", "the factor 2 is overlooked", "The factor 2", 1)
wrong("05.3", "the 1 is overlooked: relu(3) - 2*relu(3)", "The second unit", -3)
wrong("05.4", "weights only", "All 31 biases", 784*30 + 30)
wrong("05.4", "the output has no bias", "The bias of", 784*30 + 30 + 30)
wrong("05.4", "the output's weights are forgotten", "The biases of", 784*30 + 30 + 1)
wrong("05.4", "counts neurons", "Those are the", 784 + 30 + 1)
wrong("05.5", "the gradient goes through unchanged", "The gradient is", 2.5)
wrong("05.5", "times the weighted sum", "ReLU's derivative is", -1.75)

# ---- 07
@wrong("07.1", "the bias is added at each input", "The bias is added")
def weighted_sums(x, w, b):
    z = [0.]*len(b)
    for j in range(len(b)):
        for i in range(len(x)): z[j] += x[i]*w[i][j] + b[j]
    return z

@wrong("07.1", "rows and columns exchanged", "Row and column")
def weighted_sums(x, w, b):
    return [b[j] + sum(x[i]*w[j][i] for i in range(len(x))) for j in range(len(b))]

@wrong("07.1", "the bias is forgotten", "The bias is missing")
def weighted_sums(x, w, b):
    return [sum(xi*row[j] for xi, row in zip(x, w, strict=True)) for j in range(len(b))]

@wrong("07.1", "returns from within the loop", "Only the first")
def weighted_sums(x, w, b):
    z = []
    for j in range(len(b)):
        z.append(b[j] + sum(x[i]*w[i][j] for i in range(len(x))))
        return z

@wrong("07.2", "the sigmoid once more", "The sigmoid is")
def sigmoid_grad(a):
    s = 1/(1 + math.exp(-a))
    return s*(1 - s)

@wrong("07.2", "minus and plus", None)
def sigmoid_grad(a): return a*(1 + a)

@wrong("07.2", "half of the product", "This is 1")
def sigmoid_grad(a): return 1 - a

@wrong("07.3", "sums over the wrong index", "You sum over the inputs")
def backward(w, dz):
    return [sum(w[i][j]*dz[j] for i in range(len(w))) for j in range(len(dz))]

@wrong("07.3", "the gradient is not multiplied by the weights, only added up", "The weights are")
def backward(w, dz): return [sum(dz) for _ in w]

@wrong("07.3", "overwrites instead of adding up", "Each output overwrites")
def backward(w, dz):
    dx = [0.]*len(w)
    for i in range(len(w)):
        for j in range(len(dz)): dx[i] = w[i][j]*dz[j]
    return dx

@wrong("07.4", "all rows are one and the same list", "All rows are")
def weight_grads(inputs, dzs):
    dw = [[0.]*len(dzs[0])]*len(inputs[0])
    for x, dz in zip(inputs, dzs, strict=True):
        for i in range(len(x)):
            for j in range(len(dz)): dw[i][j] += x[i]*dz[j]
    return dw

@wrong("07.4", "the last image alone", "Only the last")
def weight_grads(inputs, dzs):
    dw = [[0.]*len(dzs[0]) for _ in inputs[0]]
    for x, dz in zip(inputs, dzs, strict=True):
        for i in range(len(x)):
            for j in range(len(dz)): dw[i][j] = x[i]*dz[j]
    return dw

@wrong("07.4", "the mean once more", "You divide by")
def weight_grads(inputs, dzs):
    return [[sum(x[i]*dz[j] for x, dz in zip(inputs, dzs, strict=True))/len(inputs)
             for j in range(len(dzs[0]))] for i in range(len(inputs[0]))]

def _two_neurons(): # h, a, and the factors of the derivative
    s = lambda z: 1/(1 + math.exp(-z))
    h = s(.5); a = s(2*h)
    return h, a
_h, _a = _two_neurons()
wrong("07.5", "the second weight is forgotten",
      "The weight 2", round((_a - 1)*_a*(1 - _a)*_h*(1 - _h), 4))
wrong("07.5", "the derivative by the second weight",
      "This is the", round((_a - 1)*_a*(1 - _a)*_h, 4))
wrong("07.5", "the sign: 1 - a", "The sign is", round((1 - _a)*_a*(1 - _a)*2*_h*(1 - _h), 4))
wrong("07.5", "the first sigmoid's derivative is forgotten",
      "The derivative of the first", round((_a - 1)*_a*(1 - _a)*2, 4))
wrong("07.6", "no biases", "The biases are", 784*112 + 112*16 + 16*10)
wrong("07.6", "one for each neuron", "Those are the biases", 112 + 16 + 10)
wrong("07.6", "a bias for the inputs too",
      "The inputs have", 784*112 + 112*16 + 16*10 + 784 + 112 + 16 + 10)

# ---- 09
@wrong("09.1", "one place too few", "The last row")
def convolve(image, kernel):
    (h, w), (kh, kw) = image.shape, kernel.shape
    return np.array([[(image[i:i+kh, j:j+kw]*kernel).sum() for j in range(w - kw)]
                     for i in range(h - kh)]).reshape(h - kh, w - kw)

@wrong("09.1", "a square kernel is taken for granted", "The kernel is taken")
def convolve(image, kernel):
    k = len(kernel)
    h, w = image.shape
    out = np.zeros((h - k + 1, w - k + 1))
    for i in range(h - k + 1):
        for j in range(w - k + 1): out[i, j] = (image[i:i+k, j:j+k]*kernel).sum()
    return out

@wrong("09.1", "the mathematicians' convolution, flipped", "The kernel is turned")
def convolve(image, kernel):
    (h, w), (kh, kw) = image.shape, kernel.shape
    k = np.flip(kernel)
    return np.array([[np.vdot(image[i:i+kh, j:j+kw], k) for j in range(w - kw + 1)]
                     for i in range(h - kh + 1)])

@wrong("09.1", "the result has the image's type", "The result's array")
def convolve(image, kernel):
    (h, w), (kh, kw) = image.shape, kernel.shape
    out = np.zeros((h - kh + 1, w - kw + 1), dtype=image.dtype)
    for i in range(h - kh + 1):
        for j in range(w - kw + 1): out[i, j] = (image[i:i+kh, j:j+kw]*kernel).sum()
    return out

@wrong("09.1", "the window jumps by its own size", "Zeros are left")
def convolve(image, kernel):
    (h, w), (kh, kw) = image.shape, kernel.shape
    out = np.zeros((h - kh + 1, w - kw + 1))
    for i in range(0, h - kh + 1, kh):
        for j in range(0, w - kw + 1, kw): out[i, j] = (image[i:i+kh, j:j+kw]*kernel).sum()
    return out

wrong("09.2", "padding at one end only",
      "The padding counts", lambda n, k, stride, padding: (n + padding - k)//stride + 1)
wrong("09.2", "the first place is forgotten",
      "The first place", lambda n, k, stride, padding: (n + 2*padding - k)//stride)
wrong("09.2", "a true division",
      "A number of", lambda n, k, stride, padding: (n + 2*padding - k)/stride + 1)
wrong("09.2", "the one is divided, too",
      "The 1 is", lambda n, k, stride, padding: (n + 2*padding - k + 1)//stride)

class _Pool:
    def forward(self, x):
        self.x = x
        bs, h, w, c = x.shape
        self.cut = x[:, :h//2*2, :w//2*2].reshape(bs, h//2, 2, w//2, 2, c)
        self.out = self.cut.max((2, 4))
        return self.out
    def _spread(self, dz, share):
        dx = np.zeros(self.x.shape)
        bs, h, w, c = dz.shape
        dx[:, :2*h, :2*w] = (share*dz[:, :, None, :, None]).reshape(bs, 2*h, 2*w, c)
        return dx

@wrong("09.3", "the gradient goes to all four", "All four get")
class MaxPool(_Pool):
    def backward(self, dz): return self._spread(dz, np.ones((1, 1, 2, 1, 2, 1)))

@wrong("09.3", "the gradient is shared by the four", "The gradient is divided")
class MaxPool(_Pool):
    def backward(self, dz): return self._spread(dz, np.full((1, 1, 2, 1, 2, 1), .25))

@wrong("09.3", "the mean in place of the largest", "This is the")
class MaxPool(_Pool):
    def forward(self, x):
        super().forward(x)
        return self.cut.mean((2, 4))
    def backward(self, dz): return self._spread(dz, np.full((1, 1, 2, 1, 2, 1), .25))

@wrong("09.3", "a mask without the gradient", "The mask alone")
class MaxPool(_Pool):
    def backward(self, dz):
        return self._spread(np.ones_like(dz), self.cut == self.out[:, :, None, :, None])

@wrong("09.4", "statistics of each image by itself", "Each image has")
def batch_norm(x, scale, shift, eps):
    m, v = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
    return (x - m)/np.sqrt(v + eps)*scale + shift

@wrong("09.4", "eps outside the root", "eps is added")
def batch_norm(x, scale, shift, eps):
    return (x - x.mean((0, 1, 2)))/(x.std((0, 1, 2)) + eps)*scale + shift

@wrong("09.4", "divides by the variance", "The root is")
def batch_norm(x, scale, shift, eps):
    return (x - x.mean((0, 1, 2)))/(x.var((0, 1, 2)) + eps)*scale + shift

@wrong("09.4", "over the maps of one place", "Mean and variance are over the maps")
def batch_norm(x, scale, shift, eps):
    return (x - x.mean(-1, keepdims=True))/np.sqrt(x.var(-1, keepdims=True) + eps)*scale + shift

class _Norm:
    eps = .1
    def __init__(self, scale, shift): self.scale, self.shift = scale, shift
    def forward(self, x):
        self.inverse = 1/np.sqrt(x.var(0) + self.eps)
        self.standard = (x - x.mean(0))*self.inverse
        return self.standard*self.scale + self.shift
    def _own(self, dy): self.dscale, self.dshift = (dy*self.standard).sum(0), dy.sum(0)

@wrong("09.5", "mean and variance are taken for constants", "Mean and variance")
class BatchNorm(_Norm):
    def backward(self, dy):
        self._own(dy)
        return dy*self.scale*self.inverse

@wrong("09.5", "scale is forgotten on the way to x", "dx lacks the")
class BatchNorm(_Norm):
    def backward(self, dy):
        self._own(dy)
        return self.inverse*(dy - dy.mean(0) - self.standard*(dy*self.standard).mean(0))

@wrong("09.5", "sums where there should be means", "The sums over")
class BatchNorm(_Norm):
    def backward(self, dy):
        self._own(dy)
        d = dy*self.scale
        return self.inverse*(d - d.sum(0) - self.standard*(d*self.standard).sum(0))

@wrong("09.5", "means for scale and shift", "dscale and dshift are averaged")
class BatchNorm(_Norm):
    def backward(self, dy):
        self.dscale, self.dshift = (dy*self.standard).mean(0), dy.mean(0)
        d = dy*self.scale
        return self.inverse*(d - d.mean(0) - self.standard*(d*self.standard).mean(0))

wrong("09.6", "no root", "The root is", 5.)
wrong("09.6", "the rate is forgotten", "The rate is", 3.162)
wrong("09.6", "with the corrections", "That is the", .1)
wrong("09.6", "the rate times the mean", "That is lr·m", .02)
wrong("09.7", "where it stops", "That is where", 7)
wrong("09.7", "pads, so here", "Line 2 gives", 2)
wrong("09.7", "the window", "Line 6 cuts", 6)

# ---- right, in other styles
right("02.1", lambda scores, targets: torch.abs(targets - torch.sigmoid(scores)).mean())
right("02.1", lambda s, t: (t*(1 - s.sigmoid()) + (1 - t)*s.sigmoid()).sum()/len(s))
right("02.1", lambda s, t: nn.functional.l1_loss(s.sigmoid(), t))
@right("02.1")
def loop_loss(scores, targets):
    total = 0
    for s, t in zip(scores.flatten(), targets.flatten(), strict=True):
        p = 1/(1 + math.exp(-s))
        total += 1 - p if t == 1 else p
    return total/len(scores)
@right("02.2")
def step_a(params, lr):
    with torch.no_grad():
        for p in params: p.sub_(p.grad, alpha=lr)
    for p in params: p.grad = torch.zeros_like(p)
@right("02.2")
def step_b(params, lr):
    for p in params:
        p.data = p.data - lr*p.grad.data
        p.grad.data = torch.zeros(p.shape, dtype=p.dtype)
right("02.3", lambda z: torch.exp(-z)/(1 + torch.exp(-z))**2)
right("02.3", lambda z: 1/(2 + torch.exp(z) + torch.exp(-z)))
right("02.3", lambda z: torch.sigmoid(z)*torch.sigmoid(-z))
right("02.4", 2 - .01*2*(2*3 - 1)*3)
right("02.4", torch.tensor(1.7))
right("05.1", lambda w1, b1, w2, b2: [torch.mm(w1, w2), torch.matmul(b1, w2) + b2])
right("05.1", lambda a, p, b, q: (torch.einsum("ih,ho->io", a, b), (p[:, None]*b).sum(0) + q))
@right("05.2")
def net_named(n_in, n_hidden, n_out):
    net = nn.Sequential()
    net.add_module("first", nn.Linear(n_in, n_hidden))
    net.add_module("relu", nn.ReLU(inplace=True))
    net.add_module("second", nn.Linear(n_hidden, n_out))
    return net
@right("05.2")
def net_list(n_in, n_hidden, n_out):
    return nn.Sequential(*[nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Linear(n_hidden, n_out)])
right("05.3", -1); right("05.3", 3. - 2*2)
right("05.4", 23581); right("05.4", 785*30 + 31)
right("05.5", 0); right("05.5", 2.5*0.); right("05.5", -0.)
right("07.1", lambda x, w, b: [bias + sum(map(lambda p, q: p*q, x, column))
                               for bias, *column in zip(b, *w, strict=True)])
@right("07.1")
def sums_rows(x, w, b):
    z = list(b)
    for xi, row in zip(x, w, strict=True):
        for j, wij in enumerate(row): z[j] = z[j] + xi*wij
    return z
right("07.1", lambda x, w, b: tuple(np.array(x) @ np.array(w) + np.array(b)))
right("07.2", lambda a: a - a**2)
right("07.2", lambda a: .25 - (a - .5)**2)
@right("07.2")
def by_z(a):
    z = math.log(a/(1 - a))
    return math.exp(-z)/(1 + math.exp(-z))**2
@right("07.3")
def back_loop(w, dz):
    dx = []
    for row in w:
        s = 0
        for j in range(len(dz)): s += row[j]*dz[j]
        dx.append(s)
    return dx
right("07.3", lambda w, dz: (np.array(w) @ np.array(dz)).tolist())
right("07.4", lambda inputs, dzs: (np.array(inputs).T @ np.array(dzs)).tolist())
@right("07.4")
def grads_loop(inputs, dzs):
    dw = [[0 for _ in dzs[0]] for _ in inputs[0]]
    for n in range(len(inputs)):
        for i, x in enumerate(inputs[n]):
            for j, d in enumerate(dzs[n]): dw[i][j] += x*d
    return dw
_full = (_a - 1)*_a*(1 - _a)*2*_h*(1 - _h)
right("07.5", round(_full, 4)); right("07.5", _full)
right("07.6", 89898); right("07.6", 785*112 + 113*16 + 17*10)
right("09.1", lambda image, kernel: (sliding_window_view(image, kernel.shape)*kernel).sum((2, 3)))
right("09.1", lambda image, kernel: np.einsum(
    "ijkl,kl", sliding_window_view(image, kernel.shape), kernel))
@right("09.1")
def by_kernel(image, kernel):
    h, w = image.shape[0] - kernel.shape[0] + 1, image.shape[1] - kernel.shape[1] + 1
    out = np.zeros((h, w))
    for i in range(kernel.shape[0]):
        for j in range(kernel.shape[1]): out += image[i:i+h, j:j+w]*kernel[i, j]
    return out
right("09.1", lambda image, kernel: nn.functional.conv2d(
    torch.tensor(image)[None, None].double(), torch.tensor(kernel)[None, None].double())[0, 0])
right("09.2", lambda n, k, stride, padding: len(range(0, n + 2*padding - k + 1, stride)))
right("09.2", lambda n, k, stride, padding: 1 + int((n - k + 2*padding)/stride))
right("09.2", lambda n, k, s, p: (n + 2*p - k + s)//s)
@right("09.3")
class PoolLoop:
    def forward(self, x):
        self.x = x; bs, h, w, c = x.shape
        out = np.empty((bs, h//2, w//2, c))
        for i in range(h//2):
            for j in range(w//2): out[:, i, j] = x[:, 2*i:2*i+2, 2*j:2*j+2].max((1, 2))
        self.out = out
        return out
    def backward(self, dz):
        dx = np.zeros(self.x.shape)
        for i in range(dz.shape[1]):
            for j in range(dz.shape[2]):
                s = self.x[:, 2*i:2*i+2, 2*j:2*j+2]
                dx[:, 2*i:2*i+2, 2*j:2*j+2] = (s == self.out[:, i:i+1, j:j+1])*dz[:, i:i+1, j:j+1]
        return dx
@right("09.3")
class PoolMask(_Pool):
    def backward(self, dz): return self._spread(dz, self.cut == self.out[:, :, None, :, None])
@right("09.3")
class PoolTorch:
    def forward(self, x):
        self.x = torch.tensor(x.transpose(0, 3, 1, 2), dtype=torch.float64, requires_grad=True)
        self.y = nn.functional.max_pool2d(self.x, 2)
        return self.y.detach().numpy().transpose(0, 2, 3, 1)
    def backward(self, dz):
        self.y.backward(torch.tensor(dz.transpose(0, 3, 1, 2).copy(), dtype=torch.float64))
        return self.x.grad.numpy().transpose(0, 2, 3, 1)
@right("09.4")
def norm_rows(x, scale, shift, eps):
    rows = x.reshape(-1, x.shape[-1])
    centred = rows - rows.mean(0)
    return (centred/((centred**2).mean(0) + eps)**.5*scale + shift).reshape(x.shape)
@right("09.4")
def norm_map(x, scale, shift, eps):
    y = np.empty(x.shape)
    for k in range(x.shape[3]):
        m = x[..., k]
        variance = np.mean(m**2) - np.mean(m)**2
        y[..., k] = scale[k]*(m - np.mean(m))/math.sqrt(variance + eps) + shift[k]
    return y
@right("09.5")
class NormBack(_Norm):
    def backward(self, dy):
        self._own(dy)
        n = len(dy)
        return self.scale*self.inverse/n*(n*dy - self.dshift - self.standard*self.dscale)
@right("09.5")
class NormSteps(_Norm):
    def forward(self, x):
        self.x = x
        return super().forward(x)
    def backward(self, dy):
        self.dshift = np.sum(dy, axis=0)
        self.dscale = np.einsum("nc,nc->c", dy, self.standard)
        n, centred = len(dy), self.x - self.x.mean(0)
        dstandard = dy*self.scale
        dvar = (dstandard*centred).sum(0)*-.5*self.inverse**3
        dmean = -(dstandard*self.inverse).sum(0)
        return dstandard*self.inverse + dvar*2*centred/n + dmean/n
right("09.6", .316); right("09.6", .1*.2/math.sqrt(.004)); right("09.6", .3162)
right("09.7", 3)


@pytest.mark.parametrize("key, thought, name, answer", WRONG,
                         ids=[f"{key} {thought}" for key, thought, *_ in WRONG])
def test_a_wrong_answer_is_wrong_and_named(key, thought, name, answer):
    found = judge(exercise(key), answer)
    assert found.attempted and not found.passed
    if name is None: assert found.mistake is None
    else: assert found.mistake and found.mistake.startswith(name), found


@pytest.mark.parametrize("key, answer", RIGHT, ids=[f"{k}-{i}" for i, (k, _) in enumerate(RIGHT)])
def test_a_right_answer_in_another_style_is_right(key, answer):
    found = judge(exercise(key), answer)
    assert found.passed, found


def test_each_exercise_of_the_four_workbooks_was_answered_both_ways():
    keys = {key for lesson in ("02", "05", "07", "09") for key in exercises._load(lesson)}
    keys -= {key for key in keys if exercises.exercise(key).after} # measurements have bands
    assert keys == {key for key, *_ in WRONG} == {key for key, _ in RIGHT}
    assert len(WRONG) >= 20 and sum(name is not None for _, _, name, _ in WRONG) >= .9*len(WRONG)
