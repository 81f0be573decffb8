"""What only a browser can say about the book: `make test-book`. No part of `make test`.

It needs Chromium (Debian: `apt install chromium`; elsewhere name it: `CHROMIUM=/path/to/chrome`),
to which it speaks through two pipes, in the words of its DevTools protocol, and npm, which fetches
axe-core once. `BOOK=_book` tests a book that is built already.
"""
import base64
import contextlib
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import make
import numpy as np
import pytest
import run_here
import torch
import weights
from conftest import PROJECT, built_book
from mnist_course.data import get_data, load_split

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
         "--disable-background-networking", "--disable-component-update", "--disable-sync")


class Browser:
    "A Chromium without a window, and one page in it."
    def __init__(self, program, folder):
        ours, theirs = os.pipe(), os.pipe() # to the browser, and back
        self.ids, self.events, self.session = itertools.count(1), [], None
        self.write, self.read, self.rest = os.fdopen(ours[1], "wb", 0), theirs[0], b""

        def hand_over(): # it reads from 3 and writes to 4; first out of each other's way
            a, b = os.dup2(ours[0], 200), os.dup2(theirs[1], 201)
            os.dup2(a, 3), os.dup2(b, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={folder}", "--remote-debugging-pipe"],
            preexec_fn=hand_over, close_fds=False, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(ours[0]), os.close(theirs[1])
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network": self(f"{domain}.enable")

    def message(self):
        "The next thing that the browser says."
        while b"\0" not in self.rest:
            found = os.read(self.read, 1 << 20)
            if not found: raise RuntimeError("Chromium has ended: start it by hand to see why.")
            self.rest += found
        text, _, self.rest = self.rest.partition(b"\0")
        return json.loads(text)

    def __call__(self, method, **params):
        "Ask for something, wait for the answer; what happens meanwhile is kept in `events`."
        asked = {"id": next(self.ids), "method": method, "params": params}
        if self.session: asked["sessionId"] = self.session
        self.write.write(json.dumps(asked).encode() + b"\0")
        while True:
            said = self.message()
            if said.get("id") == asked["id"]:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]
            self.events.append(said)

    def run(self, script):
        "The value of an expression of JavaScript."
        done = self("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def open(self, file):
        "Show a file from the disk, or what is at an address."
        self.events.clear()
        self("Page.navigate", url=file if "://" in str(file) else Path(file).as_uri())
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self.message())

    def size(self, width, height, touch=False):
        "As if the screen had so many pixels."
        self("Emulation.setDeviceMetricsOverride", width=width, height=height,
             deviceScaleFactor=1, mobile=touch)
        self("Emulation.setTouchEmulationEnabled", enabled=touch)

    def stroke(self, points, touch=False):
        "Draw through points of the screen, by mouse or by finger."
        if touch:
            for k, (x, y) in enumerate(points):
                self("Input.dispatchTouchEvent", type="touchMove" if k else "touchStart",
                     touchPoints=[{"x": x, "y": y}])
            self("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        kinds = ["mousePressed"] + ["mouseMoved"]*(len(points) - 1)
        for kind, (x, y) in zip(kinds, points, strict=True):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1,
                 clickCount=1)
        self("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left",
             clickCount=1)

    def close(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    known = [os.environ.get("CHROMIUM"), *map(shutil.which, NAMES)]
    program = next((name for name in known if name), None)
    if program is None:
        pytest.fail("These tests need Chromium: apt install chromium, or name it in CHROMIUM.")
    found = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return built_book(tmp_path_factory)


def nothing_wrong(browser, local=("file:", "data:", "blob:")):
    "Neither an error nor a request to elsewhere since the page was opened; what it asked for."
    wrong = [e for e in browser.events
             if e.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert not wrong, wrong
    asked = [e["params"]["request"]["url"] for e in browser.events
             if e.get("method") == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(local) for url in asked), asked
    return asked


def opened(browser, file, width=1200, height=900, touch=False):
    "Open a page from the disk, as by a double click."
    browser.size(width, height, touch)
    browser.open(file)
    return browser


@pytest.fixture
def draw(browser, site):
    "The page to draw on."
    yield opened(browser, site/"draw.html")
    nothing_wrong(browser)


@pytest.fixture
def front(browser, site):
    "The front page."
    yield opened(browser, site/"index.html")
    nothing_wrong(browser)


def at(browser, points, sheet="draw-canvas"):
    "Points in hundredths of the sheet as points of the screen."
    browser.run(f"document.getElementById('{sheet}')"
                ".scrollIntoView({block: 'center', behavior: 'instant'})")
    left, top, width, height = browser.run(
        "(r => [r.left, r.top, r.width, r.height])"
        f"(document.getElementById('{sheet}').getBoundingClientRect())")
    return [(left + x/100*width, top + y/100*height) for x, y in points]


def settled(browser, said="draw-said"):
    "Wait until the page has answered and spoken; what it says."
    browser.run("new Promise(go => requestAnimationFrame(() => setTimeout(go, 400)))")
    return browser.run(f"document.getElementById('{said}').textContent")


ONE = [(52, y) for y in range(20, 82, 4)]
SHOWN = "[...document.querySelectorAll('.draw-digit')].map(cell => cell.textContent)"


def test_scores_are_pythons(draw):
    images, _ = load_split(get_data("full"), "testing")
    images = images[np.linspace(0, len(images) - 1, 200).astype(int)]
    layers = weights.unpacked(weights.read())
    sent = base64.b64encode(images.numpy().tobytes()).decode()
    draw.run(f"globalThis.sent = Uint8Array.from(atob('{sent}'), c => c.charCodeAt(0)); 0")
    for i, name in enumerate(weights.METHODS):
        found = draw.run("[...Array(200).keys()].map(k => DrawNet.ask(DrawPage.methods[%d], "
            "Array.from(sent.slice(784*k, 784*k + 784), v => v/255)))"
            ".map(a => [a.scores, a.probabilities, a.digit])" % i)
        ours, shares, digits = (np.array(part) for part in zip(*found, strict=True))
        python = weights.scores(layers[name], images).double().numpy()
        np.testing.assert_allclose(ours, python, rtol=0, atol=1e-3, err_msg=name)
        assert abs(ours - python).max() > 0 # two computations, not one
        np.testing.assert_allclose(shares, weights.probabilities(layers[name], images),
                                   rtol=0, atol=1e-3, err_msg=name)
        best = python.argmin(1) if name.startswith("nearest") else python.argmax(1)
        assert (digits == best).mean() > .99, name


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_a_stroke_is_answered_by_every_method(draw, touch):
    if touch: draw.size(360, 740, touch=True)
    assert "empty" in settled(draw) and draw.run(SHOWN) == ["–"]*7
    points = at(draw, ONE)
    before = draw.run("scrollY")
    draw.stroke(points, touch)
    said = settled(draw)
    assert abs(draw.run("scrollY") - before) < 3 # the finger draws, the page stays
    assert draw.run(SHOWN).count("1") >= 5, said
    assert "read 1" in said
    draw.run("document.getElementById('draw-undo').click()")
    assert "empty" in settled(draw)


def test_examples_are_read(draw):
    labels = draw.run("DrawPage.EXAMPLES.map(e => e[0])")
    assert len(labels) >= 12
    right = []
    for label in labels:
        draw.run("[...document.querySelectorAll('#draw-examples button')]"
                 f".find(b => b.textContent === {json.dumps(label)}).click()")
        digit = next(c for c in label.removeprefix("a small ") if c.isdigit())
        right.append(draw.run(SHOWN)[-3:].count(digit))
    assert min(right) >= 2, dict(zip(labels, right, strict=True))


def test_centring_matters(draw):
    corner = "DrawPage.load(DrawPage.example(DrawPage.EXAMPLES.at(-1)))"
    draw.run(corner)
    assert draw.run(SHOWN).count("5") >= 5
    draw.run("document.querySelector('[value=raw]').click()")
    assert draw.run(SHOWN).count("5") <= 2


def test_a_drawing_is_prepared_as_mnists_makers_did(draw):
    for k in range(draw.run("DrawPage.EXAMPLES.length")):
        draw.run(f"DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[{k}]))")
        x = np.array(draw.run("[...DrawPage.pixels()]")).reshape(28, 28)
        rows, columns = np.nonzero(x.max(1) > .01)[0], np.nonzero(x.max(0) > .01)[0]
        sides = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 19 <= max(sides) <= 20, (k, sides)
        mass = [(x.sum(axis)*(np.arange(28) + .5)).sum()/x.sum() for axis in (0, 1)]
        assert np.allclose(mass, 14, atol=.51), (k, mass)
        assert ((x > .05) & (x < .95)).any() # grey at the edges


def test_reasons_open(draw):
    draw.run("DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[4]))")
    draw.run("document.querySelectorAll('#draw-reasons details').forEach(d => { d.open = true; })")
    settled(draw)
    pictures = draw.run("[...document.querySelectorAll('#draw-reasons details')]"
                        ".map(d => d.querySelectorAll('canvas').length)")
    assert pictures == [13, 13, 10, 9, 10, 24, 48]
    named = draw.run("[...document.querySelectorAll('canvas')].every(c => c.ariaLabel)")
    assert named
    draw.run("document.querySelectorAll('#draw-reasons details button')[7].click()")
    assert draw.run("document.querySelectorAll('#draw-reasons details button')[7].ariaPressed") \
        == "true"
    assert draw.run("document.activeElement.tagName") in ("BUTTON", "BODY")


def test_gradients_by_the_ink_are_pythons(draw):
    draw.run("DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[4]))")
    x = torch.tensor(draw.run("[...DrawPage.pixels()]")).view(1, 28, 28)
    layers = weights.unpacked(weights.read())
    for i, name in enumerate(weights.METHODS):
        ours = draw.run(f"[...DrawNet.gradient(DrawPage.methods[{i}], DrawPage.pixels(), 8)]")
        ink = (255*x).requires_grad_()
        [python] = torch.autograd.grad(weights.log_shares(layers[name], ink)[0, 8], ink)
        python, ours = 255*python.flatten().double().numpy(), np.array(ours)
        most = abs(python).max()
        assert most > 0
        np.testing.assert_allclose(ours, python, rtol=0, atol=1e-3*most, err_msg=name)


def test_steps_make_it_another_digit(draw):
    draw.run("DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[4]))")
    draw.run("document.getElementById('draw-goal').value = '8'; 0")
    steps = 0
    while draw.run(SHOWN)[3] != "8": # the method that is asked at first
        draw.run("document.getElementById('draw-step').click()")
        steps += 1
        assert steps < 20
    assert steps > 1
    assert "reads 8" in draw.run("document.getElementById('draw-climb').textContent")
    assert draw.run(SHOWN).count("3") >= 3 # others still see what was drawn
    draw.run("document.getElementById('draw-undo').click()")
    assert draw.run(SHOWN) == ["3"]*7 # the drawing is there again


@pytest.mark.parametrize("width", [320, 360, 768])
def test_no_sideways_scroll(draw, width):
    draw.size(width, 740, touch=width < 500)
    draw.run("DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[4]))")
    draw.run("document.querySelectorAll('#draw-reasons details').forEach(d => { d.open = true; })")
    settled(draw)
    assert draw.run("document.documentElement.scrollWidth") <= width


def test_dark_and_light(draw):
    colour = "getComputedStyle(document.querySelector('.draw button')).color"
    seen = []
    for theme in "light", "dark":
        draw.run(f"document.body.dataset.theme = '{theme}'; 0")
        seen.append(draw.run(colour))
        sheet = "getComputedStyle(document.getElementById('draw-canvas')).backgroundColor"
        assert draw.run(sheet) == "rgb(255, 255, 255)" # ink is black in both
    assert seen[0] != seen[1]


# ---- the front page ----

def fetched(browser, name):
    "How often a file of this name was asked for."
    return sum(e["params"]["request"]["url"].endswith(name) for e in browser.events
               if e.get("method") == "Network.requestWillBeSent")


@pytest.mark.parametrize("touch", [False, True], ids=["mouse", "finger"])
def test_front_page_reads_what_is_drawn(front, touch):
    if touch: front.size(360, 740, touch=True)
    assert "empty" in settled(front, "front-said") and front.run(SHOWN) == ["–"]*4
    assert not fetched(front, "draw-weights.js") # nothing is drawn yet
    points = at(front, ONE, "front-canvas")
    before = front.run("scrollY")
    front.stroke(points, touch)
    front.run("new Promise(go => { const wait = () => FrontPage.sheet.drawing() || document"
              ".querySelector('.draw-digit').textContent === '–' ? setTimeout(wait, 50) : go();"
              " wait(); })")
    said = settled(front, "front-said")
    assert abs(front.run("scrollY") - before) < 3
    assert front.run(SHOWN).count("1") >= 3, said
    assert fetched(front, "draw-weights.js") == 1
    front.run("document.getElementById('front-clear').click()")
    assert "empty" in settled(front, "front-said") and front.run(SHOWN) == ["–"]*4


def test_front_page_answers_as_the_whole_page(front, site):
    front.run("document.querySelectorAll('#front-buttons button')[1].click()")
    for _ in range(20):
        if front.run(SHOWN)[0] != "–": break
        settled(front, "front-said")
    names = front.run("FrontPage.described.map(m => m.name)")
    assert front.run(SHOWN) == ["3"]*4 and len(names) == 4
    bars = "[...document.querySelectorAll('[data-method] .draw-bars')].map(b => [b.closest('tr')" \
           ".dataset.method, b.getAttribute('aria-label')])"
    here = dict(front.run(bars))
    nothing_wrong(front)
    opened(front, site/"draw.html").run("DrawPage.load(DrawPage.example(DrawPage.EXAMPLES[4]))")
    there = dict(front.run(bars))
    assert here == {name: there[name] for name in names}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_): pass


@contextlib.contextmanager
def served(folder):
    "The address of a folder, served on this machine."
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever, daemon=True).start()
    try: yield f"http://127.0.0.1:{server.server_port}/"
    finally: server.shutdown()


def test_front_page_is_light(browser, site):
    with served(site) as address:
        browser.size(1200, 900)
        browser.open(address + "index.html")
        settled(browser, "front-said")
        nothing_wrong(browser, (address, "data:"))
        sent = sum(e["params"]["encodedDataLength"] for e in browser.events
                   if e.get("method") == "Network.loadingFinished")
        paint = browser.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        print(f"front page: {sent/1000:.0f} kB, first contentful paint after {paint:.0f} ms")
        assert 50_000 < sent < 300_000


# ---- figures that move ----

FIGURES = {name: page for page, sections in make.LIVE.items() for name, _ in sections.values()}


def live(browser, site, name):
    "Open the page that has this figure, with a little JavaScript to pull its sliders."
    opened(browser, site/FIGURES[name].replace(".ipynb", ".html"))
    browser.run("""globalThis.figure = document.getElementById('live-%s');
        globalThis.pull = (label, value) => { const row = [...figure.querySelectorAll('label')]
            .find(l => l.textContent.startsWith(label)), input = row.querySelector('input');
          input.value = value; input.dispatchEvent(new Event('input')); };
        globalThis.press = label => [...figure.querySelectorAll('button')]
            .find(b => b.textContent === label).click(); 0""" % name)
    return browser


def told(browser):
    "What the figure says, once it has settled."
    browser.run("new Promise(go => setTimeout(go, 400))")
    return browser.run("figure.querySelector('[role=status]').textContent").replace("−", "-")


def printed(nb):
    "All that a notebook's cells have printed."
    book = json.loads((Path(make.NBS)/nb).read_text("utf-8"))
    return "\n".join("".join(o.get("text", "")) + "".join(o.get("data", {}).get("text/plain", ""))
                       for c in book["cells"] for o in c.get("outputs", []))


def test_descent_is_pythons(browser, site):
    live(browser, site, "descent")
    def descend(w, lr, n):
        places = [w]
        for _ in range(n): places.append(places[-1] - lr*2*(places[-1] - 3))
        return places
    for lr in .02, .3, .9, 1.1:
        ours = browser.run(f"Live.descend(0, {lr}, 100)")
        np.testing.assert_allclose(ours, descend(0., lr, 100), rtol=1e-12)
    seen = set()
    for lr, word in (.02, "one side"), (.5, "one step"), (.9, "changes sides"), (1, "ever"), \
                    (1.1, "diverges"):
        browser.run(f"pull('Learning rate', {lr}); pull('Steps', 8)")
        words = told(browser)
        assert word in words, words
        assert f"w is {descend(0., lr, 8)[8]:.5g} " in words, words
        if lr in (.02, .9, 1.1): # the notebook's own table
            assert f"{descend(0., lr, 8)[8]:.5g}" in printed("02_manual_sgd.ipynb")
        seen.add(browser.run("figure.querySelector('polyline.live-walk').getAttribute('points')"))
    assert len(seen) == 5
    browser.run("pull('Steps', 3)")
    assert browser.run("figure.querySelectorAll('circle').length") == 4
    nothing_wrong(browser)


def test_two_weights_are_pythons(browser, site):
    live(browser, site, "contour")
    w = torch.tensor([0., 6.], dtype=torch.float64, requires_grad=True)
    for _ in range(16): # PyTorch's own derivatives
        loss = (w[0] - 3)**2 + (.3*w[1] - .6)**2
        [g] = torch.autograd.grad(loss, w)
        w = (w - 1.05*g).detach().requires_grad_()
    np.testing.assert_allclose(browser.run("Live.descendTwo(0, 6, 1.05, 16).at(-1)"),
                               w.detach(), rtol=1e-9)
    before = told(browser)
    browser.run("press('rate 1.05')")
    after = told(browser)
    assert before != after and f"{w[0]:.4g} and {w[1]:.4g}" in after
    nothing_wrong(browser)


def test_boundary_gains_with_units(browser, site):
    live(browser, site, "boundary")
    said = []
    for i in range(6):
        browser.run(f"pull('Hidden units', {i})")
        said.append(told(browser))
    row = next(line for line in printed("05_relu_net.ipynb").split("\n") if line.startswith("1: "))
    for part, words in zip(row.split("  "), said, strict=True):
        n, accuracy = part.split(": ")
        assert words.startswith(f"{n} hidden unit") and accuracy in words, (part, words)
    nothing_wrong(browser)


def test_softmax_is_pythons(browser, site):
    live(browser, site, "softmax")
    for scores in [2.2, 1.4, -3.], [-7., 9.5, 0.]:
        for name, z in zip(("first", "second", "third"), scores, strict=True):
            browser.run(f"pull('Score of the {name} class', {z})")
        z = torch.tensor([scores], dtype=torch.float64)
        p, words = z.softmax(1)[0], told(browser)
        np.testing.assert_allclose(browser.run(f"Live.softmax({scores})"), p, rtol=1e-12)
        assert ", ".join(f"{v:.4f}" for v in p) in words
        assert f"add up to {z.sigmoid().sum():.4f}" in words
        loss = torch.nn.functional.cross_entropy(z, torch.tensor([0])).item()
        assert f"cross-entropy is {loss:.4g}" in words
    browser.run("press('ln 1, ln 2, ln 5')")
    assert "0.1250, 0.2500, 0.6250" in told(browser)
    browser.run("press('Add 1 to all')")
    assert "0.1250, 0.2500, 0.6250" in told(browser) # only differences count
    nothing_wrong(browser)


def test_pencil_is_autograds(browser, site):
    live(browser, site, "pencil")
    for x1, x2, target in (1, 2, 1), (-1.5, .5, .25):
        p = {**browser.run("Live.PENCIL"), "x1": x1, "x2": x2, "target": target}
        t = {k: torch.tensor(float(v), dtype=torch.float64, requires_grad=True)
             for k, v in p.items()}
        h = [(t["x1"]*t[f"w1{j}"] + t["x2"]*t[f"w2{j}"] + t[f"b{j}"]).sigmoid() for j in (1, 2)]
        loss = ((h[0]*t["v1"] + h[1]*t["v2"] + t["c"]).sigmoid() - t["target"])**2/2
        loss.backward()
        ours = browser.run(f"Live.pencil({json.dumps(p)})")
        assert abs(ours["loss"] - loss.item()) < 1e-12
        for k in ("w11", "w12", "w21", "w22", "b1", "b2", "v1", "v2", "c"):
            assert abs(ours[f"d{k}"] - t[k].grad.item()) < 1e-12, k
    n = browser.run("Live.LINES.length")
    for i in range(n):
        if i in (2, 9): assert told(browser).startswith(f"{i} of {n}: ")
        browser.run("press('Next')")
    assert "dw12 = dz2·x1 = 0.09375" in told(browser) # as the notebook prints it
    assert "0.09375" in printed("07_backprop_python.ipynb")
    browser.run("press('Step downhill, rate 1')")
    assert "was 0.125 and is 0.0528" in told(browser)
    assert "after it 0.0528" in printed("07_backprop_python.ipynb")
    browser.run("pull('x1', -1.5)")
    assert "-1.5" in browser.run("figure.querySelector('svg').textContent").replace("−", "-")
    nothing_wrong(browser)


def test_kernel_slides(browser, site):
    from mnist_course.conv import convolve
    live(browser, site, "kernel")
    seven = np.array(browser.run("[...Live.seven()]")).reshape(28, 28)
    edge = np.array([[1., 1., 1.], [0., 0., 0.], [-1., -1., -1.]])
    kernels = {"ink above": edge, "ink below": -edge, "ink at the left": edge.T,
               "ink at the right": -edge.T} # the lesson's
    for name, kernel in kernels.items():
        ours = browser.run(f"[...Live.convolve(Live.seven(), 28, Live.KERNELS['{name}'], 3)]")
        whole = convolve(seven, kernel)
        np.testing.assert_allclose(np.reshape(ours, (26, 26)), whole, atol=1e-12)
        browser.run(f"press('{name}'); pull('Row', 8); pull('Column', 12)")
        words = told(browser)
        assert "row 8 and column 12" in words
        assert float(words.split()[-1].rstrip(".")) == pytest.approx(whole[8, 12], abs=6e-4)
    browser.run("figure.querySelector('select').value = '3'; "
                "figure.querySelector('select').dispatchEvent(new Event('change'))")
    assert told(browser) != words # another digit lies under the window
    nothing_wrong(browser)


def test_without_motion_the_end_is_shown_at_once(browser, site):
    browser("Emulation.setEmulatedMedia",
            features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    try:
        live(browser, site, "descent")
        browser.run("press('Walk')")
        assert browser.run("figure.querySelectorAll('circle').length") == 9
    finally: browser("Emulation.setEmulatedMedia", features=[])


@pytest.mark.parametrize("name", list(FIGURES))
def test_figures_fit_a_phone_and_have_names(name, browser, site):
    live(browser, site, name)
    browser.size(360, 740, touch=True)
    assert browser.run("document.documentElement.scrollWidth") <= 360
    nameless = browser.run(
        "[...figure.querySelectorAll('input, select, canvas, svg, button')].filter(e => "
        "!(e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent)).length")
    assert nameless == 0


# ---- a lesson that runs in its page ----

@pytest.fixture(scope="module")
def live_site(site, tmp_path_factory):
    "The book as `make book LIVE=1` makes it, with few images, so that training is short."
    folder = tmp_path_factory.mktemp("live")/"book"
    shutil.copytree(site, folder, ignore=shutil.ignore_patterns("here"))
    patch = pytest.MonkeyPatch()
    patch.setattr(run_here, "SIZES", {"train": 30, "valid": 20, "test": 20})
    if not (site/"_static"/"here").exists(): run_here.add(folder)
    else: # BOOK names a book with this in it: its pages stay, its images become fewer
        shutil.copytree(site/"_static"/"here", folder/"_static"/"here")
        (folder/"_static"/"here"/"lesson.json").write_text(json.dumps(run_here.bundle()), "utf-8")
    patch.undo()
    return folder


@pytest.fixture
def lesson_07(browser, live_site):
    "Lesson 07, served, with Python loaded; what page and worker ask for is watched."
    with served(live_site) as address:
        browser.size(1200, 900)
        browser.open(address + "07_backprop_python.html")
        early = nothing_wrong(browser, (address, "data:"))
        assert not any(name in url for url in early for name in ("wasm", "lesson.json", "stdlib"))
        browser("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=True, flatten=True)
        browser.run("globalThis.page = text => Here.cells().findIndex(c => c.code.includes(text));"
                    "globalThis.out = k => Here.cells()[k].out.textContent;"
                    "document.querySelector('.here-buttons button').click()")
        wait_for(browser, "Here.state.ready && Here.cells().length > 0")
        yield browser
        browser("Target.setAutoAttach", autoAttach=False, waitForDebuggerOnStart=False)
        asked = nothing_wrong(browser, (address, "data:", "blob:"))
        assert any(url.endswith(".wasm") for url in asked)


def follow_workers(browser):
    "Listen to the requests of workers that are new, too, and let them begin."
    for event in list(browser.events):
        if event.get("method") != "Target.attachedToTarget" or event.get("followed"): continue
        event["followed"], session = True, browser.session
        browser.session = event["params"]["sessionId"]
        try:
            for method in "Network.enable", "Runtime.runIfWaitingForDebugger": browser(method)
        finally: browser.session = session


def wait_for(browser, condition, seconds=400):
    "Until something is true in the page."
    for _ in range(seconds*2):
        if browser.run(condition): return
        follow_workers(browser)
        browser.run("new Promise(go => setTimeout(go, 500))")
    raise AssertionError(f"{condition} has not come true: "
                         + browser.run("document.querySelector('.here-said').textContent"))


def answered(browser, k, code):
    "What a cell of lesson 07 shows once it holds this code and has run."
    browser.run(f"Here.cells()[{k}].editor.value = {json.dumps(code)};"
                f"Here.cells()[{k}].editor.oninput(); Here.runTo({k}); 0")
    wait_for(browser, "!Here.state.busy")
    return browser.run(f"out({k})")


def test_lesson_07_marks_answers(lesson_07):
    k = lesson_07.run("""page('check("07.2"')""")
    lesson_07.run(f"[...Here.cells()[{k}].place.querySelectorAll('button')]"
                  ".find(b => b.textContent === 'Run').click()")
    wait_for(lesson_07, "!Here.state.busy")
    assert "not attempted" in lesson_07.run(f"out({k})")
    answer = "def sigmoid_grad(a):\n    return {}\n\ncheck('07.2', sigmoid_grad)"
    said = answered(lesson_07, k, answer.format("sigmoid(a)*(1 - sigmoid(a))"))
    assert "The sigmoid is applied once more" in said and "right" not in said
    said = answered(lesson_07, k, answer.format("a*(1 - a)"))
    assert "The derivative at a value: right." in said
    assert "ZeroDivisionError" in answered(lesson_07, k, "print('before')\n1/0")
    assert "cell" in lesson_07.run("document.querySelector('.here-said').textContent")
    lesson_07.run(f"Here.cells()[{k}].editor.value = 'while True: pass'; Here.runTo({k}); 0")
    lesson_07.run("new Promise(go => setTimeout(go, 1500))")
    assert lesson_07.run("Here.state.busy")
    lesson_07.run("Here.stop(); 0")
    wait_for(lesson_07, "!Here.state.busy")
    lesson_07.run(f"Here.cells()[{k}].editor.value = 'a1 = sigmoid(0); a1'; Here.runTo({k}); 0")
    wait_for(lesson_07, "!Here.state.busy")
    assert lesson_07.run(f"out({k})") == "0.5" # from the start: the cells above have run again


def test_lesson_07_runs_all_its_cells(lesson_07, axe):
    lesson_07.run("[...document.querySelectorAll('.here-buttons button')]"
                  ".find(b => b.textContent === 'Run all').click()")
    wait_for(lesson_07, "!Here.state.busy", 1200)
    wrong = lesson_07.run("[...document.querySelectorAll('.here-error')].map(e => e.textContent)")
    assert not wrong and lesson_07.run("Here.cells().every(c => c.ran)")
    shown = lesson_07.run("Here.cells().map(c => c.shown?.querySelector('pre').textContent.trim())")
    for text, cell in zip(shown, run_here.cells(), strict=True): # the same cells, in this order
        if text and not (cell["changed"] or cell["kept"]): assert text == cell["code"].strip()
    assert "89898 numbers" in lesson_07.run("out(page('shapes = '))")
    assert lesson_07.run("document.querySelectorAll('.here-digits img').length") > 0
    lost = lesson_07.run("[...document.querySelectorAll('.here-digits img')]"
                         ".filter(i => i.naturalWidth !== 28).length")
    assert lost == 0
    assert not serious(lesson_07, axe)
    lesson_07.size(360, 740, touch=True)
    assert lesson_07.run("document.documentElement.scrollWidth") <= 360


def test_from_the_disk_it_says_what_to_do(browser, live_site):
    opened(browser, live_site/"07_backprop_python.html")
    assert "http.server" in browser.run("document.querySelector('.here-said').textContent")
    assert browser.run("document.querySelectorAll('.here button').length") == 0
    opened(browser, live_site/"08_backprop_numpy.html")
    links = browser.run("[...document.querySelectorAll('.here-not a')].map(a => a.href)")
    assert len(links) == 1 and links[0].startswith("https://colab.research.google.com/")
    nothing_wrong(browser)


# ---- all pages ----

AXE = "axe-core@4.14.1"
AXE_DIGEST = ("FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASy"
              "FNNtuFooJpZe37OgudVGtQ==") # sha512 of the packed file, as npm lists it


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    "Deque's axe-core, for these tests only: fetched once, held to its digest."
    kept = PROJECT/"_run"/"axe"/f"{AXE}.js"
    if not kept.exists():
        folder, npm = tmp_path_factory.mktemp("npm"), shutil.which("npm")
        if npm is None: pytest.fail("This test fetches axe-core, which needs npm: install Node.js.")
        subprocess.run([npm, "pack", AXE], cwd=folder, check=True, capture_output=True)
        [packed] = folder.glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        assert digest == AXE_DIGEST, f"{AXE} is not what it was: {digest}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packed) as tar:
            kept.write_bytes(tar.extractfile("package/axe.min.js").read())
    return kept.read_text("utf-8")


def serious(browser, axe):
    "What axe-core finds in the page that is open, if it is serious or worse."
    browser.run(axe + "; 0")
    return browser.run("""axe.run(document, {resultTypes: ['violations']}).then(r =>
        r.violations.filter(v => v.impact === 'serious' || v.impact === 'critical').map(v =>
        [v.id, v.nodes.length, v.nodes.slice(0, 3).map(n => n.html.slice(0, 200))]))""")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", ["index", "draw", "02_manual_sgd", "05_relu_net", "06_ten_digits",
    "07_backprop_python", "09_convolution", "reference", "cards/glossary", "404"])
def test_axe_finds_nothing_serious(page, theme, browser, site, axe):
    browser("Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": theme}])
    try:
        opened(browser, site/f"{page}.html")
        browser.run("document.querySelector('.draw') && new Promise(go => setTimeout(go, 400))")
        found = serious(browser, axe)
    finally: browser("Emulation.setEmulatedMedia", features=[])
    assert not found, found


def test_every_page_on_a_phone(browser, site):
    pages, wide, broken = sorted(site.rglob("*.html")), {}, {}
    assert len(pages) > 40
    for file in pages:
        opened(browser, file, 360, 740, touch=True)
        name = file.relative_to(site).as_posix()
        if (width := browser.run("document.documentElement.scrollWidth")) > 360: wide[name] = width
        lost = browser.run("[...document.images].filter(i => !i.naturalWidth).map(i => i.src)")
        if lost: broken[name] = lost
        nothing_wrong(browser)
    assert not wide and not broken, (wide, broken)


def test_search_finds_a_term(browser, site):
    browser.size(1200, 900)
    browser.open((site/"search.html").as_uri() + "?q=softmax")
    for _ in range(50):
        links = browser.run(
            "[...document.querySelectorAll('#search-results li a')].map(a => a.href)")
        if any("06_ten_digits" in link for link in links): break
        browser.run("new Promise(go => setTimeout(go, 200))")
    assert any("06_ten_digits" in link for link in links), links


def test_one_switch_shows_the_checks(browser, site):
    opened(browser, site/"02_manual_sgd.html")
    seen = "[...document.querySelectorAll('.tag_check')].filter(c => c.offsetHeight).length"
    folded = "[...document.querySelectorAll('article details.hide')].filter(d => !d.open).length"
    n = browser.run("document.querySelectorAll('.tag_check').length")
    assert n > 0 == browser.run(seen)
    browser.run("document.getElementById('show-checks').click()")
    assert browser.run(seen) == n and browser.run(folded) == 0
    opened(browser, site/"03_basic_optim.html") # it is remembered
    assert browser.run(seen) == browser.run("document.querySelectorAll('.tag_check').length") > 0
    browser.run("document.getElementById('show-checks').click()")
    assert browser.run(seen) == 0
    nothing_wrong(browser)


def test_code_is_copied(browser, site):
    opened(browser, site/"02_manual_sgd.html")
    browser.run("globalThis.copied = []; document.addEventListener('copy', () => copied.push("
                "document.activeElement.value)); navigator.clipboard && (navigator.clipboard"
                ".writeText = text => { copied.push(text); return Promise.resolve(); }); 0")
    browser.run("document.querySelector('.cell_input .copy').click()")
    browser.run("new Promise(go => setTimeout(go, 100))")
    shown = browser.run("document.querySelector('.cell_input pre').textContent")
    assert browser.run("copied") == [shown.rstrip("\n")] and "Copy" not in shown
    nothing_wrong(browser)


def looked_at(browser, link):
    "Rest the mouse on a link, and wait; what is shown, or nothing."
    browser.run(f"globalThis.link = {link}; link.scrollIntoView({{block: 'center', "
                "behavior: 'instant'}); 0")
    browser.run("new Promise(go => setTimeout(go, 300))") # scrolling has ended
    x, y = browser.run("(r => [r.left + 5, r.top + r.height/2])(link.getClientRects()[0])")
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    for _ in range(20):
        browser.run("new Promise(go => setTimeout(go, 250))")
        shown = browser.run("document.getElementById('preview')?.hidden === false ? "
                            "document.getElementById('preview').textContent : ''")
        if shown: return shown
    return ""


def test_links_show_where_they_lead(browser, site):
    opened(browser, site/"07_backprop_python.html")
    assert not fetched(browser, "previews.js") # before anybody looks
    within = "[...document.querySelectorAll('article a[href]')].find(a => a.href.endsWith('%s'))"
    text = looked_at(browser, within % "/02_manual_sgd.html")
    assert "SGD by hand" in text and "learning in seven steps" in text
    box = browser.run("(r => [r.left, r.top, r.right, r.bottom])"
                      "(document.getElementById('preview').getBoundingClientRect())")
    assert box[0] >= 0 and box[1] >= 0 and box[2] <= 1200 and box[3] <= 900
    assert browser.run("link.getAttribute('aria-describedby')") == "preview"
    browser("Input.dispatchKeyEvent", type="keyDown", key="Escape", code="Escape")
    hidden = "document.getElementById('preview').hidden && !link.hasAttribute('aria-describedby')"
    assert browser.run(hidden)
    text = looked_at(browser, within % "/reference.html#python_net.sigmoid")
    assert text.startswith("sigmoid") and "without overflow for any z" in text
    browser("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=450)
    browser.run("new Promise(go => setTimeout(go, 900))")
    assert browser.run(hidden) # the mouse has left
    assert fetched(browser, "previews.js") == 1
    nothing_wrong(browser)


def test_results_are_sorted_and_filtered(browser, site):
    opened(browser, site/"index.html")
    browser.run("""globalThis.table = document.querySelector('#results table');
        globalThis.column = name => { const i = [...table.tHead.rows[0].cells].findIndex(
            c => c.textContent.startsWith(name));
          return [...table.tBodies[0].rows].map(r => r.cells[i].textContent.trim()); };
        globalThis.sort = name => [...table.querySelectorAll('.sort')].find(
            b => b.textContent.startsWith(name)).click(); 0""")
    before = browser.run("column('ledger')")
    for direction in 1, -1:
        browser.run("sort('ledger')")
        accuracies = [float(text.split("%")[0]) for text in browser.run("column('ledger')")]
        assert accuracies == sorted(accuracies, reverse=direction < 0) and len(accuracies) > 10
    assert browser.run("table.querySelector('[aria-sort]').ariaSort") == "descending"
    assert sorted(browser.run("column('ledger')")) == sorted(before)
    browser.run("const box = document.querySelector('#results .filter input');"
                "box.value = 'resnet'; box.dispatchEvent(new Event('input'))")
    left = browser.run("[...table.tBodies[0].rows].filter(r => !r.hidden).map(r => r.textContent)")
    assert 0 < len(left) < len(before) and all("resnet" in row.lower() for row in left)
    assert f"{len(left)} of {len(before)} rows" in browser.run(
        "document.querySelector('#results .filter').textContent")
    nothing_wrong(browser)
