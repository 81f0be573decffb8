/* The figures that move, in the pages of the lessons. Each fills its place, if the page has one;
   the arithmetic is that of the lesson, and Live gives it out for the tests. */
"use strict";

const Live = (() => {
  const { EXAMPLES, SIGNED, INK, announcer, element, example, largest, paint, percent } = DrawSheet;
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const BLUE = "#1f5fa8", RED = "#d1495b";

  // ---- what figures are made of ----

  function svg(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const signed = text => String(text).replace(/^-/, "−").replace(/e-/, "e−");
  const digits = (x, n = 4) => signed(Number.isFinite(x) ? Number(x.toPrecision(n)) : x);
  const places = (x, n = 6) => signed(Number(x.toFixed(n)) + 0);

  function slider(label, { min, max, step, value }, changed, say = v => signed(v)) {
    const shown = element("output"), input = element("input", { type: "range" });
    Object.assign(input, { min, max, step, value });
    const tell = () => {
      shown.textContent = say(Number(input.value));
      input.setAttribute("aria-valuetext", shown.textContent);
    };
    input.addEventListener("input", () => { tell(); changed(); });
    tell();
    return { row: element("label", { className: "live-slider" }, element("span", {}, label), input, shown),
      get value() { return Number(input.value); },
      set value(v) { input.value = v; tell(); } };
  }

  function button(label, onclick) { return element("button", { type: "button", onclick }, label); }

  const row = (...parts) => element("div", { className: "live-row" }, ...parts);
  const wide = child => element("div", { className: "live-wide", tabIndex: 0 }, child); // keys can scroll it

  // move something step by step; who wants no motion sees the end at once
  function player(label, { first, last, show, pause = 160 }) {
    let timer = null;
    const made = button(label, () => {
      clearInterval(timer);
      if (still.matches) return show(last());
      let at = first();
      show(at);
      timer = setInterval(() => {
        at += 1;
        show(Math.min(at, last()));
        if (at >= last()) clearInterval(timer);
      }, pause);
    });
    return { made, stop: () => clearInterval(timer) };
  }

  // a picture in the units of its axes
  function plane({ x: [x0, x1], y: [y0, y1], width, height, label, names: [across, up], ticks }) {
    const left = 34, bottom = 34, top = 8, right = 8;
    const px = x => left + (x - x0) / (x1 - x0) * (width - left - right);
    const py = y => height - bottom - (y - y0) / (y1 - y0) * (height - top - bottom);
    const name = "live-clip-" + label.length + "-" + width;
    const inside = svg("g", { "clip-path": `url(#${name})` });
    const box = { x: left, y: top, width: width - left - right, height: height - top - bottom };
    const whole = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "live-plane" },
      svg("clipPath", { id: name }, svg("rect", box)), svg("rect", { ...box, class: "live-frame" }), inside,
      ...ticks[0].map(v => svg("text", { x: px(v), y: height - bottom + 14, "text-anchor": "middle" }, signed(v))),
      ...ticks[1].map(v => svg("text", { x: left - 5, y: py(v) + 4, "text-anchor": "end" }, signed(v))),
      svg("text", { x: px((x0 + x1) / 2), y: height - 4, "text-anchor": "middle" }, across),
      svg("text", { x: 11, y: py((y0 + y1) / 2), "text-anchor": "middle", transform: `rotate(-90 11 ${py((y0 + y1) / 2)})` }, up));
    const bounded = v => Math.max(-1e5, Math.min(1e5, v)); // what has left the picture stays a number
    const line = points => points.map(([x, y]) => `${bounded(px(x)).toFixed(2)},${bounded(py(y)).toFixed(2)}`).join(" ");
    return { whole, inside, px, py, line };
  }

  function walk(axes) { // a line with a dot at every place
    const way = svg("polyline", { class: "live-walk" }), dots = svg("g", { class: "live-dots" });
    axes.inside.append(way, dots);
    return points => {
      const seen = points.filter(p => p.every(Number.isFinite)), text = axes.line(seen);
      way.setAttribute("points", text);
      dots.replaceChildren(...text.split(" ").map(place => {
        const [cx, cy] = place.split(",");
        return svg("circle", { cx, cy, r: 3.5 });
      }));
    };
  }

  const FIGURES = {};

  // ---- lesson 02: one weight, two weights ----

  function descend(w, lr, n) {
    const found = [w];
    for (let i = 0; i < n; i++) found.push(found[i] - lr * 2 * (found[i] - 3));
    return found;
  }

  const manner = lr => {
    const factor = Number((1 - 2 * lr).toFixed(9));
    if (factor === 0) return "one step is enough";
    if (factor > 0) return "the walker comes nearer from one side";
    if (factor > -1) return "the walker changes sides each time, but comes nearer";
    return factor === -1 ? "back and forth for ever" : "each step lands higher than the last: training diverges";
  };

  FIGURES.descent = (place, said) => {
    const axes = plane({ x: [-5, 11], y: [-1, 45], width: 480, height: 250, names: ["w", "loss"],
      label: "The loss over one weight, a parabola with its bottom at 3, and the places of the walk", ticks: [[-4, 0, 3, 8], [0, 20, 40]] });
    const valley = Array.from({ length: 161 }, (_, i) => -5 + i / 10).map(w => [w, (w - 3) ** 2]);
    axes.inside.append(svg("polyline", { class: "live-curve", points: axes.line(valley) }));
    const draw = walk(axes), numbers = element("p", { className: "live-numbers" });
    const rate = slider("Learning rate", { min: .01, max: 1.2, step: .01, value: .3 }, moved);
    const steps = slider("Steps", { min: 0, max: 40, step: 1, value: 8 }, moved);
    const play = player("Walk", { first: () => 0, last: () => count, show(n) { steps.value = n; show(); } });
    let count = 8;
    function moved() { play.stop(); count = steps.value; show(); }
    function show() {
      const lr = rate.value, found = descend(0, lr, steps.value), w = found.at(-1);
      draw(found.map(v => [v, (v - 3) ** 2]));
      numbers.textContent = "w: " + found.slice(0, 9).map(v => digits(v)).join(", ") + (found.length > 9 ? ", …" : "");
      said(`After ${steps.value} steps at rate ${digits(lr)}, w is ${digits(w, 5)} and the loss ${digits((w - 3) ** 2)}. `
        + `Each step multiplies the distance from 3 by ${places(1 - 2 * lr)}: ${manner(lr)}.`);
    }
    place.append(wide(axes.whole), rate.row, steps.row, row(play.made,
      ...[.02, .3, .9, 1.1].map(lr => button(`rate ${lr}`, () => { rate.value = lr; moved(); }))), numbers);
    show();
  };

  function descendTwo(w1, w2, lr, n) {
    const found = [[w1, w2]];
    for (let i = 0; i < n; i++) {
      const [a, b] = found[i];
      found.push([a - lr * 2 * (a - 3), b - lr * 2 * (.3 * b - .6) * .3]);
    }
    return found;
  }

  const height = ([w1, w2]) => (w1 - 3) ** 2 + (.3 * w2 - .6) ** 2;

  FIGURES.contour = (place, said) => {
    const axes = plane({ x: [-2, 8], y: [-.5, 6.5], width: 480, height: 352, names: ["w1", "w2"],
      label: "A map of the loss over two weights: a long valley with its lowest point at 3 and 2, and the walk from 0 and 6", ticks: [[0, 3, 6], [0, 2, 4, 6]] });
    for (const level of [9, 4, 1, .1]) {
      axes.inside.append(svg("ellipse", { class: "live-level", cx: axes.px(3), cy: axes.py(2),
        rx: axes.px(Math.sqrt(level)) - axes.px(0), ry: axes.py(0) - axes.py(Math.sqrt(level) / .3) }));
      if (level >= 1) axes.inside.append(svg("text", { x: axes.px(3 + Math.sqrt(level)) + 2, y: axes.py(2) + 4 }, String(level)));
    }
    axes.inside.append(svg("text", { x: axes.px(3), y: axes.py(2) + 6, "text-anchor": "middle", class: "live-goal" }, "+"));
    const draw = walk(axes);
    const rate = slider("Learning rate", { min: .01, max: 1.1, step: .01, value: .1 }, moved);
    const steps = slider("Steps", { min: 0, max: 60, step: 1, value: 16 }, moved);
    const play = player("Walk", { first: () => 0, last: () => count, show(n) { steps.value = n; show(); } });
    let count = 16;
    function moved() { play.stop(); count = steps.value; show(); }
    function show() {
      const lr = rate.value, found = descendTwo(0, 6, lr, steps.value), end = found.at(-1);
      draw(found);
      said(`After ${steps.value} steps at rate ${digits(lr)}, the weights are ${digits(end[0])} and ${digits(end[1])}, and the loss is `
        + `${digits(height(end))}. A step multiplies the distance along w1 by ${places(1 - 2 * lr)}, along w2 by ${places(1 - .18 * lr)}.`);
    }
    place.append(wide(axes.whole), rate.row, steps.row, row(play.made,
      ...[.1, .9, 1.05].map(lr => button(`rate ${lr}`, () => { rate.value = lr; moved(); }))));
    show();
  };

  // ---- lesson 05: the boundary ----

  function scoreOf({ n_hidden: n, w1, b1, w2, b2 }, x, y) {
    let sum = b2[0];
    for (let k = 0; k < n; k++) sum += w2[k] * Math.max(0, w1[2 * k] * x + w1[2 * k + 1] * y + b1[k]);
    return sum;
  }

  function accuracyOf(net) {
    const { points, inside } = LIVE_DATA;
    return inside.filter((kind, i) => (scoreOf(net, points[2 * i], points[2 * i + 1]) > 0) === (kind === 1)).length / inside.length;
  }

  FIGURES.boundary = (place, said) => {
    const side = 360, { points, inside, nets } = LIVE_DATA;
    const canvas = element("canvas", { width: side, height: side, role: "img", className: "live-square" });
    const paper = canvas.getContext("2d"), at = v => (v + 2) / 4 * side;
    const choice = slider("Hidden units", { min: 0, max: nets.length - 1, step: 1, value: 2 }, show, i => String(nets[i].n_hidden));
    const lines = element("input", { type: "checkbox", checked: true, onchange: show });
    function show() {
      const net = nets[choice.value], cell = 3;
      for (let x = 0; x < side; x += cell) for (let y = 0; y < side; y += cell) {
        const score = scoreOf(net, (x + cell / 2) / side * 4 - 2, 2 - (y + cell / 2) / side * 4);
        paper.fillStyle = score > 0 ? "#a9c6e6" : "#f3c3c8";
        paper.fillRect(x, y, cell, cell);
      }
      paper.strokeStyle = "#333";
      if (lines.checked) for (let k = 0; k < net.n_hidden; k++) { // where unit k begins: a·x + b·y + c = 0
        const [a, b, c] = [net.w1[2 * k], net.w1[2 * k + 1], net.b1[k]], long = 9 / Math.hypot(a, b);
        const near = -c / (a * a + b * b);
        paper.beginPath();
        paper.moveTo(at(near * a - b * long), side - at(near * b + a * long));
        paper.lineTo(at(near * a + b * long), side - at(near * b - a * long));
        paper.stroke();
      }
      inside.forEach((kind, i) => {
        paper.fillStyle = kind ? BLUE : RED;
        paper.beginPath();
        paper.arc(at(points[2 * i]), side - at(points[2 * i + 1]), 3, 0, 7);
        paper.fill();
      });
      const n = net.n_hidden, right = percent(accuracyOf(net));
      canvas.setAttribute("aria-label", `The square, coloured by what ${n} hidden units with ReLU make of it, and the points`);
      said(`${n} hidden unit${n > 1 ? "s" : ""}: ${right} of the points are on their side of the boundary.`);
    }
    place.append(canvas, choice.row, element("label", { className: "live-slider" }, lines,
      element("span", {}, "show where each unit begins to rise: there the boundary may bend")));
    show();
  };

  // ---- lesson 06: softmax ----

  const softmax = scores => DrawNet.softmax(scores);

  FIGURES.softmax = (place, said) => {
    let scores = [2.2, 1.4, -3], truth = 0;
    const names = ["first", "second", "third"], body = element("tbody");
    const pulls = names.map((name, i) => slider(`Score of the ${name} class`, { min: -10, max: 10, step: .1, value: scores[i] },
      () => { scores[i] = pulls[i].value; show(); }));
    const cells = names.map((name, i) => {
      const made = ["score", "power", "share", "minus", "sigmoid"].map(() => element("td")), bar = element("i");
      const truly = element("input", { type: "radio", name: "live-truth", checked: i === 0, "aria-label": `the ${name} class is the true one`,
        onchange: () => { truth = i; show(); } });
      body.append(element("tr", {}, element("th", { scope: "row" }, name), ...made, element("td", {}, truly)));
      made[2].append(element("span"), element("b", { className: "live-bar" }, bar));
      return { made, bar };
    });
    const change = (label, f) => button(label, () => {
      scores = scores.map(f);
      pulls.forEach((pull, i) => { pull.value = scores[i]; });
      show();
    });
    function show() {
      const shares = softmax(scores), sigmoids = scores.map(z => 1 / (1 + Math.exp(-z)));
      cells.forEach(({ made, bar }, i) => {
        made[0].textContent = digits(scores[i]);
        made[1].textContent = digits(Math.exp(scores[i]));
        made[2].firstChild.textContent = shares[i].toFixed(4);
        bar.style.width = percent(shares[i], 1);
        made[3].textContent = places(shares[i] - (i === truth), 4);
        made[4].textContent = sigmoids[i].toFixed(4);
      });
      const sum = sigmoids.reduce((a, b) => a + b, 0);
      const most = Math.max(...scores), loss = most - scores[truth] + Math.log(scores.reduce((a, z) => a + Math.exp(z - most), 0));
      said(`The shares are ${shares.map(p => p.toFixed(4)).join(", ")} and add up to 1; the sigmoids add up to ${sum.toFixed(4)}. `
        + `If the ${names[truth]} class is the true one, the cross-entropy is ${digits(Math.abs(loss))}.`);
    }
    place.append(...pulls.map(pull => pull.row), row(change("Add 1 to all", z => z + 1), change("Take 1 from all", z => z - 1),
      change("Double all", z => 2 * z), change("ln 1, ln 2, ln 5", (_, i) => Math.log([1, 2, 5][i])),
      change("As above", (_, i) => [2.2, 1.4, -3][i])),
    said.place, wide(element("table", {}, element("thead", {}, element("tr", {}, ...["Class", "Score z", "Power of e", "Share p", "Gradient p − y", "Sigmoid", "True?"]
      .map(text => element("th", { scope: "col" }, text)))), body)));
    show();
  };

  // ---- lesson 07: backpropagation with a pencil ----

  const PENCIL = { x1: 1, x2: 2, target: 1, w11: .5, w12: -1, w21: .25, w22: .5, b1: Math.log(3) - 1, b2: 0, v1: 2, v2: -3, c: 0 };
  const sigmoid = z => 1 / (1 + Math.exp(-z));

  function pencil(p) { // every number of one pass forward and one back
    const z1 = p.x1 * p.w11 + p.x2 * p.w21 + p.b1, a1 = sigmoid(z1);
    const z2 = p.x1 * p.w12 + p.x2 * p.w22 + p.b2, a2 = sigmoid(z2);
    const z3 = a1 * p.v1 + a2 * p.v2 + p.c, a3 = sigmoid(z3), loss = (a3 - p.target) ** 2 / 2;
    const da3 = a3 - p.target, dz3 = da3 * a3 * (1 - a3);
    const da1 = dz3 * p.v1, da2 = dz3 * p.v2, dz1 = da1 * a1 * (1 - a1), dz2 = da2 * a2 * (1 - a2);
    return { z1, a1, z2, a2, z3, a3, loss, da3, dz3, dv1: dz3 * a1, dv2: dz3 * a2, dc: dz3, da1, da2, dz1, dz2,
      dw11: dz1 * p.x1, dw21: dz1 * p.x2, db1: dz1, dw12: dz2 * p.x1, dw22: dz2 * p.x2, db2: dz2 };
  }

  const LINES = [ // names that a step makes known, and its sentence
    [["z1"], "z1 = x1·w11 + x2·w21 + b1 = {x1}·{w11} + {x2}·{w21} + {b1} = {z1}"],
    [["a1"], "a1 = σ(z1) = σ({z1}) = {a1}"],
    [["z2"], "z2 = x1·w12 + x2·w22 + b2 = {x1}·{w12} + {x2}·{w22} + {b2} = {z2}"],
    [["a2"], "a2 = σ(z2) = σ({z2}) = {a2}"],
    [["z3"], "z3 = a1·v1 + a2·v2 + c = {a1}·{v1} + {a2}·{v2} + {c} = {z3}"],
    [["a3"], "a3 = σ(z3) = σ({z3}) = {a3}"],
    [["loss"], "L = ½(a3 − y)² = ½({a3} − {target})² = {loss}"],
    [["da3"], "Now back. da3 = a3 − y = {a3} − {target} = {da3}"],
    [["dz3"], "dz3 = da3·a3(1 − a3) = {da3}·{a3}·(1 − {a3}) = {dz3}"],
    [["dv1"], "dv1 = dz3·a1 = {dz3}·{a1} = {dv1}: what came in times what comes back"],
    [["dv2", "dc"], "dv2 = dz3·a2 = {dz3}·{a2} = {dv2}, and dc = dz3 = {dc}"],
    [["da1"], "da1 = dz3·v1 = {dz3}·{v1} = {da1}: back through the weight it went through"],
    [["da2"], "da2 = dz3·v2 = {dz3}·{v2} = {da2}"],
    [["dz1"], "dz1 = da1·a1(1 − a1) = {da1}·{a1}·(1 − {a1}) = {dz1}"],
    [["dz2"], "dz2 = da2·a2(1 − a2) = {da2}·{a2}·(1 − {a2}) = {dz2}"],
    [["dw11", "dw21", "db1"], "dw11 = dz1·x1 = {dw11}, dw21 = dz1·x2 = {dw21}, db1 = dz1 = {db1}"],
    [["dw12", "dw22", "db2"], "dw12 = dz2·x1 = {dw12}, dw22 = dz2·x2 = {dw22}, db2 = dz2 = {db2}"],
  ];

  FIGURES.pencil = (place, said) => {
    let at = 0, p = { ...PENCIL };
    const spots = { x1: [60, 60], x2: [60, 230], h1: [290, 60], h2: [290, 230], out: [500, 145] };
    const links = [["x1", "h1", "w11", .36], ["x1", "h2", "w12", .3], ["x2", "h1", "w21", .3], ["x2", "h2", "w22", .36],
      ["h1", "out", "v1", .5], ["h2", "out", "v2", .5]];
    const picture = svg("svg", { viewBox: "0 0 580 290", role: "img", class: "live-net",
      "aria-label": "The network of two inputs, two hidden neurons and one output, with the numbers that are known so far" });
    const line = (x, y, text, kind) => svg("text", { x, y, "text-anchor": "middle", class: kind }, text);
    function known() { return new Set(LINES.slice(0, at).flatMap(([names]) => names)); }
    function draw(found) {
      const has = known(), now = new Set(at ? LINES[at - 1][0] : []), parts = [];
      const value = (name, label = name) => has.has(name) ? `${label} ${places(found[name], 4)}` : "";
      for (const [from, to] of links) parts.push(svg("line", { x1: spots[from][0], y1: spots[from][1], x2: spots[to][0], y2: spots[to][1] }));
      for (const [from, to, name, t] of links) {
        const [x, y] = [0, 1].map(k => spots[from][k] + t * (spots[to][k] - spots[from][k]));
        parts.push(svg("rect", { x: x - 42, y: y - 16, width: 84, height: has.has("d" + name) ? 31 : 18, class: "live-paper" }),
          line(x, y - 2, `${name} ${places(p[name], 4)}`, "live-forward"),
          line(x, y + 12, value("d" + name), now.has("d" + name) ? "live-back live-now" : "live-back"));
      }
      const nodes = { x1: [[places(p.x1)], []], x2: [[places(p.x2)], []],
        h1: [[value("z1"), value("a1")], [value("dz1"), value("da1")], "b1"], h2: [[value("z2"), value("a2")], [value("dz2"), value("da2")], "b2"],
        out: [[value("z3"), value("a3")], [value("dz3"), value("da3")], "c"] };
      for (const [name, [forward, back, bias]] of Object.entries(nodes)) {
        const [x, y] = spots[name], input = name[0] === "x", r = input ? [34, 24] : [62, 56];
        parts.push(svg("rect", { x: x - r[0], y: y - r[1], width: 2 * r[0], height: 2 * r[1], rx: 8,
          class: LINES[at - 1]?.[0].some(n => new RegExp(`^d?[za]${{ h1: 1, h2: 2, out: 3 }[name]}$`).test(n)) ? "live-node live-now" : "live-node" }));
        const texts = input ? [[name, ""], [forward[0], "live-forward"]] : [[`${name}, ${bias} ${places(p[bias], 4)}`, ""],
          ...forward.map(t => [t, "live-forward"]), ...back.map(t => [t, "live-back"]),
          [value("d" + bias), "live-back"]];
        texts.forEach(([text, kind], i) => parts.push(line(x, y - r[1] + 17 + i * 16 + (input ? 2 : 0), text, kind)));
      }
      if (has.has("loss")) parts.push(line(500, 270, `target ${places(p.target)}, loss ${places(found.loss, 4)}`, "live-forward"));
      picture.replaceChildren(...parts);
    }
    function show() {
      const found = pencil(p), all = { ...p, ...found };
      draw(found);
      back.disabled = at === 0;
      next.disabled = at === LINES.length;
      descent.disabled = at < LINES.length;
      said(at ? `${at} of ${LINES.length}: ` + LINES[at - 1][1].replace(/\{(\w+)\}/g, (_, name) => places(all[name]))
        : "The inputs, the weights and the biases are given. Choose Next to work out the first sum.");
    }
    const go = n => () => { at = Math.max(0, Math.min(LINES.length, n())); show(); };
    const back = button("Back", go(() => at - 1)), next = button("Next", go(() => at + 1));
    const descent = button("Step downhill, rate 1", () => {
      const found = pencil(p), before = found.loss;
      for (const name of ["w11", "w12", "w21", "w22", "b1", "b2", "v1", "v2", "c"]) p[name] -= found["d" + name];
      at = 7; // everything forward again
      show();
      said(`Each of the nine numbers went against its derivative. The loss was ${places(before, 4)} and is ${places(pencil(p).loss, 4)}.`);
    });
    const start = button("From the start", () => { p = { ...PENCIL }; at = 0; inputs.forEach(([name, s]) => { s.value = p[name]; }); show(); });
    const inputs = [["x1", -3, 3, .5], ["x2", -3, 3, .5], ["target", 0, 1, .25]].map(([name, min, max, step]) => [name,
      slider(name, { min, max, step, value: p[name] }, () => { inputs.forEach(([n, s]) => { p[n] = s.value; }); show(); })]);
    place.append(wide(picture), row(next, back, button("All", go(() => LINES.length)), descent, start), ...inputs.map(([, s]) => s.row));
    show();
  };

  // ---- lesson 09: a kernel that slides ----

  function convolve(image, side, kernel, k) {
    const n = side - k + 1, found = new Float64Array(n * n);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) for (let u = 0; u < k; u++) for (let v = 0; v < k; v++) {
      found[i * n + j] += image[(i + u) * side + j + v] * kernel[u * k + v];
    }
    return found;
  }

  const KERNELS = { "ink above": [1, 1, 1, 0, 0, 0, -1, -1, -1], "ink below": [-1, -1, -1, 0, 0, 0, 1, 1, 1],
    "ink at the left": [1, 0, -1, 1, 0, -1, 1, 0, -1], "ink at the right": [-1, 0, 1, -1, 0, 1, -1, 0, 1] };
  const seven = () => Float64Array.from(atob(LIVE_DATA.seven), c => c.charCodeAt(0) / 255);

  FIGURES.kernel = (place, said) => {
    const side = 28, k = 3, n = side - k + 1, size = 10;
    let image = seven(), upTo = n * n - 1, playing = false;
    const photo = element("canvas", { role: "img", className: "live-square", "aria-label": "The digit, with the window outlined" });
    const map = element("canvas", { role: "img", className: "live-square", "aria-label": "The feature map, with the number of this window outlined" });
    const lower = slider("Row", { min: 0, max: n - 1, step: 1, value: 5 }, moved), right = slider("Column", { min: 0, max: n - 1, step: 1, value: 12 }, moved);
    const weights = KERNELS["ink above"].map((v, i) => element("input", { type: "number", step: "any", value: v, oninput: moved,
      "aria-label": `weight in row ${Math.floor(i / 3) + 1}, column ${i % 3 + 1}` }));
    const products = Array.from({ length: 9 }, () => element("td"));
    const kernel = () => weights.map(input => Number(input.value) || 0);
    const play = player("Slide", { first: () => 0, last: () => n * n - 1, pause: 12, show(at) {
      playing = at < n * n - 1;
      [lower.value, right.value] = [Math.floor(at / n), at % n];
      upTo = at;
      show();
    } });
    function moved() { play.stop(); playing = false; upTo = n * n - 1; show(); }
    function big(canvas, data, w, colour, most, [r, c, h]) { // with places r, c outlined
      paint(canvas, data, w, colour, most);
      const small = element("canvas"), context = canvas.getContext("2d");
      small.width = small.height = w;
      small.getContext("2d").drawImage(canvas, 0, 0);
      canvas.width = canvas.height = w * size;
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, w * size, w * size);
      context.lineWidth = 3;
      context.strokeStyle = "#c2410c";
      context.strokeRect(c * size, r * size, h * size, h * size);
    }
    function show() {
      const [r, c] = [lower.value, right.value], weight = kernel(), whole = convolve(image, side, weight, k);
      big(photo, image, side, INK, 1, [r, c, k]);
      big(map, whole.map((v, i) => i <= upTo ? v : 0), n, SIGNED, largest(whole), [r, c, 1]);
      products.forEach((cell, i) => {
        const pixel = image[(r + Math.floor(i / 3)) * side + c + i % 3];
        cell.textContent = `${pixel.toFixed(2)} · ${digits(weight[i])}`;
      });
      if (!playing) said(`The window at row ${r} and column ${c}: nine products add up to ${places(whole[r * n + c], 3)}.`);
    }
    photo.addEventListener("pointerdown", event => {
      const { left, top, width } = photo.getBoundingClientRect(), fit = v => Math.max(0, Math.min(n - 1, Math.floor(v / width * side) - 1));
      [lower.value, right.value] = [fit(event.clientY - top), fit(event.clientX - left)];
      moved();
    });
    const canvas = element("canvas", { width: 280, height: 280, className: "draw-canvas live-sheet", role: "img",
      "aria-label": "A small sheet to draw a digit of your own on; without mouse, pen or finger choose a digit below it" });
    const sheet = DrawSheet.sheet(canvas, { changed() { image = sheet.pixels("centred"); moved(); } });
    const choose = element("select", { "aria-label": "which digit", onchange() {
      if (choose.value === "") { image = seven(); moved(); } else sheet.load(example(EXAMPLES[choose.value]));
    } }, element("option", { value: "" }, "the lesson's seven"), ...EXAMPLES.slice(0, -1).map(([name], i) => element("option", { value: i }, name)));
    const three = parts => element("table", { className: "live-three" }, element("tbody", {}, ...[0, 1, 2].map(i =>
      element("tr", {}, ...parts.slice(3 * i, 3 * i + 3)))));
    const part = (name, ...parts) => element("div", {}, element("p", { className: "live-caption" }, name), ...parts);
    place.append(element("div", { className: "live-parts" }, part("The digit: touch it to move the window", photo), part("Its map: blue above 0, orange below", map),
      part("The kernel: change a weight", three(weights.map(input => element("td", {}, input)))), part("Pixel times weight, under the window", three(products)),
      part("Draw your own", canvas)),
    lower.row, right.row, row(play.made, ...Object.entries(KERNELS).map(([name, values]) => button(name, () => {
      weights.forEach((input, i) => { input.value = values[i]; });
      moved();
    })), choose, button("Clear the sheet", () => { choose.value = ""; sheet.clear(); image = seven(); moved(); })));
    show();
  };

  for (const [name, make] of Object.entries(FIGURES)) {
    const place = document.getElementById("live-" + name);
    if (!place) continue;
    const text = element("p", { className: "live-said", role: "status", "aria-live": "polite" });
    const inside = element("div", { className: "draw" });
    make(inside, Object.assign(announcer(text), { place: text }));
    place.append(inside);
    if (!text.parentNode) inside.insertBefore(text, inside.children[1] ?? null);
  }

  return { descend, descendTwo, height, scoreOf, accuracyOf, softmax, pencil, PENCIL, LINES, convolve, KERNELS, seven, digits, places };
})();
