/* The page "Draw a digit": its sheet, its buttons, the answers and what is behind them. */
"use strict";

const DrawPage = (() => {
  const { SIDE, unpack, ask, gradient, raw, centred } = DrawNet;
  const methods = unpack(DRAW_WEIGHTS), means = methods[0].layers[0].means;
  const byId = name => document.getElementById("draw-" + name);
  const sheet = byId("canvas"), pen = byId("pen");
  const paper = sheet.getContext("2d", { willReadFrequently: true });
  const digits = [...Array(10).keys()];

  // Strokes of our own, each a line through points from 0 to 100, right and down.
  const EXAMPLES = [
    ["0", [[[50,5],[25,15],[15,45],[22,80],[48,95],[75,82],[85,50],[76,17],[50,5]]]],
    ["1", [[[57,5],[50,50],[43,95]]]],
    ["1 with a foot", [[[28,26],[52,5]], [[52,5],[52,95]], [[28,95],[76,95]]]],
    ["2", [[[20,25],[35,6],[62,6],[74,26],[60,52],[35,75],[15,92]], [[15,92],[45,88],[85,93]]]],
    ["3", [[[20,15],[45,4],[72,15],[66,38],[42,48]], [[42,48],[72,56],[78,78],[52,96],[18,86]]]],
    ["4, open", [[[30,5],[22,35],[18,55]], [[18,55],[78,52]], [[72,8],[68,50],[62,97]]]],
    ["4, closed", [[[62,5],[35,38],[14,65]], [[14,65],[86,65]], [[62,5],[62,97]]]],
    ["5", [[[78,6],[32,8]], [[32,8],[26,45]], [[26,45],[55,38],[78,58],[68,86],[40,96],[15,84]]]],
    ["6", [[[66,4],[38,28],[22,60],[30,90],[58,94],[72,72],[56,54],[30,64],[24,74]]]],
    ["7", [[[15,8],[82,8]], [[82,8],[58,50],[44,96]]]],
    ["7 with a bar", [[[15,8],[82,8]], [[82,8],[58,50],[44,96]], [[32,50],[80,50]]]],
    ["8", [[[72,18],[50,5],[28,18],[38,40],[60,55],[76,76],[52,96],[26,78],[40,55],[62,38],[72,18]]]],
    ["9", [[[74,22],[52,5],[26,18],[26,42],[50,50],[72,34],[74,22]], [[74,22],[70,60],[62,96]]]],
    ["a small 5 in a corner", [[[78,6],[32,8]], [[32,8],[26,45]],
      [[26,45],[55,38],[78,58],[68,86],[40,96],[15,84]]], { left: 16, top: 12, size: 90, width: 11 }],
  ];

  let strokes = [], picture = null;  // what is drawn; or a mean image in its place
  let drawing = null;                // the pointer that draws
  let answers = [], chosen = {};     // the last answers; what a reader asked to see, by method

  // ---- small helpers ----

  function element(tag, settings = {}, ...children) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(settings)) {
      if (key in made) made[key] = value; else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  const percent = (p, places = 0) => (100 * p).toFixed(places) + "%";
  const number = x => (x < 0 ? "−" : "") + Math.abs(x).toFixed(2);

  const INK = v => Array(3).fill(255 * (1 - v));                            // 0 white, 1 black
  const SIGNED = v => v < 0 ? [255, 255 + v * 130, 255 + v * 255]           // −1 orange
                            : [255 - v * 255, 255 - v * 130, 255 - v * 35]; // 1 blue

  function paint(canvas, data, w, colour, most = 1) { // most: what gets the full colour
    canvas.width = w;
    canvas.height = data.length / w;
    const context = canvas.getContext("2d"), image = context.createImageData(w, canvas.height);
    data.forEach((v, i) => {
      const bounded = Math.max(-1, Math.min(1, most ? v / most : 0));
      image.data.set([...colour(bounded), 255], 4 * i);
    });
    context.putImageData(image, 0, 0);
  }

  function figure(label, data, w, colour, most, caption = label) {
    const canvas = element("canvas", { className: "draw-picture", role: "img", "aria-label": label });
    paint(canvas, data, w, colour, most);
    return element("figure", {}, canvas, element("figcaption", {}, caption));
  }

  const largest = data => data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

  // ---- the sheet ----

  function line({ points, width }) {
    paper.lineWidth = width;
    paper.beginPath();
    paper.moveTo(...points[0]);
    if (points.length === 1) paper.lineTo(points[0][0] + .01, points[0][1]);
    for (let i = 1; i < points.length; i++) paper.lineTo(...points[i]);
    paper.stroke();
  }

  function redraw() {
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, sheet.width, sheet.height);
    paper.strokeStyle = "#000";
    paper.lineCap = paper.lineJoin = "round";
    if (!picture) strokes.forEach(line);
    else for (let i = 0; i < picture.length; i++) {
      paper.fillStyle = `rgb(${INK(picture[i])})`;
      const size = sheet.width / SIDE;
      paper.fillRect(i % SIDE * size, Math.floor(i / SIDE) * size, size, size);
    }
  }

  function ink() { // what is on the sheet, from 0 (paper) to 1
    const { width: w, height: h } = sheet, seen = paper.getImageData(0, 0, w, h).data;
    return { w, h, data: Float32Array.from({ length: w * h }, (_, i) => 1 - seen[4 * i] / 255) };
  }

  function pixels() {
    if (picture) return Float64Array.from(picture);
    return document.querySelector("[name=draw-how]:checked").value === "raw" ? raw(ink()) : centred(ink());
  }

  // a curve through points (Catmull and Rom's), as points close together
  function smooth(points) {
    const at = i => points[Math.max(0, Math.min(points.length - 1, i))], found = [];
    for (let i = 0; i < points.length - 1; i++) for (let step = 0; step < 12; step++) {
      const t = step / 12, [a, b, c, d] = [at(i - 1), at(i), at(i + 1), at(i + 2)];
      found.push([0, 1].map(k => b[k] + t / 2 * (c[k] - a[k]
        + t * (2 * a[k] - 5 * b[k] + 4 * c[k] - d[k] + t * (3 * (b[k] - c[k]) + d[k] - a[k])))));
    }
    return [...found, at(points.length - 1)];
  }

  function example([, lines, { left = 50, top = 40, size = 200, width = 22 } = {}]) {
    return lines.map(points => ({ width, points: smooth(points)
      .map(([x, y]) => [left + x * size * .9 / 100, top + y * size / 100]) }));
  }

  // ---- answers ----

  function spoken() {
    if (!answers.length) return "The sheet is empty. Draw a digit, large or small, anywhere on it, "
      + "or choose an example.";
    const votes = digits.map(d => methods.filter((_, i) => answers[i].digit === d));
    const order = digits.filter(d => votes[d].length).sort((a, b) => votes[b].length - votes[a].length);
    const [first, ...rest] = order;
    if (!rest.length) return `All ${methods.length} methods read ${first}.`;
    return `${votes[first].length} of ${methods.length} methods read ${first}; `
      + rest.map(d => `${votes[d].map(m => m.title).join(" and ")}: ${d}`).join("; ") + ".";
  }

  let announcing;
  function announce() { // a screen reader is not interrupted at every move of the pen
    clearTimeout(announcing);
    announcing = setTimeout(() => { byId("said").textContent = spoken(); }, 250);
  }

  const rows = methods.map(method => {
    const answer = element("td", { className: "draw-digit" }), bars = element("div", { className: "draw-bars", role: "img" });
    const parts = digits.map(d => {
      const bar = element("i");
      bars.append(element("span", {}, element("b", {}, bar), String(d)));
      return bar;
    });
    byId("answers").append(element("tr", { "data-method": method.name },
      element("th", { scope: "row" }, element("a", { href: method.lesson + ".html" }, method.title),
        element("small", {}, percent(method.accuracy.packed, 1), element("span", {}, `, ${method.what}`))),
      answer, element("td", {}, bars)));
    return { answer, bars, parts };
  });

  function show(i) {
    const { answer, bars, parts } = rows[i], found = answers[i];
    answer.textContent = found ? found.digit : "–";
    parts.forEach((bar, d) => { bar.style.height = found ? percent(found.probabilities[d], 2) : "0"; });
    const likely = found && digits.filter(d => found.probabilities[d] >= .01)
      .sort((a, b) => found.probabilities[b] - found.probabilities[a]);
    bars.setAttribute("aria-label", found ? likely.map(d => `${d}: ${percent(found.probabilities[d])}`).join(", ")
      : "no answer yet");
  }

  function update() {
    const x = pixels(), empty = !x.some(v => v > 0), began = performance.now();
    answers = empty ? [] : methods.map(method => ask(method, x));
    const took = performance.now() - began;
    paint(byId("seen"), x, SIDE, INK);
    methods.forEach((_, i) => show(i));
    byId("time").textContent = empty ? "" : `All ${methods.length} answers took ${took.toFixed(0)} ms in this browser.`;
    reasons.forEach(reason => reason.refresh(x));
    wishes(x);
    announce();
  }

  let asked = false;
  function soon() { // at most once for each frame that the screen shows
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; update(); });
  }

  // ---- reasons ----

  const REASONS = {
    nearest(method, { scores, digit }, x, again) {
      const wanted = chosen[method.name] ?? digit, mean = d => means.subarray(d * x.length, (d + 1) * x.length);
      const gap = Array.from(x, (v, i) => mean(wanted)[i] - v);
      const all = digits.map(d => {
        const button = element("button", { type: "button", "aria-pressed": d === wanted }, figure(
          `Mean of every ${d}`, mean(d), SIDE, INK, 1, `${d}: ${scores[d].toFixed(3)}`));
        button.onclick = () => { chosen[method.name] = d; again(); };
        return button;
      });
      return [element("p", {}, `The smallest distance is that to the ${digit}. Choose another mean to compare with.`),
        element("div", { className: "draw-figures" },
          figure("What the methods get", x, SIDE, INK), figure(`The mean of every ${wanted}`, mean(wanted), SIDE, INK),
          figure(`Mean less drawing: blue where the mean has ink that you have not, orange where you have ink and it has none`,
            gap, SIDE, SIGNED, 1, "the difference: blue is missing ink, orange is ink too much")),
        element("div", { className: "draw-figures draw-ten" }, ...all)];
    },

    linear({ layers: [{ w, b }] }, { scores, digit }, x) {
      const parts = digits.map(d => Array.from(x, (v, i) => v * w[d * x.length + i]));
      const most = Math.max(...parts.map(largest));
      return [element("p", {}, `Each picture is the ink times one digit's 784 weights; below it, their sum `
        + `with the bias, the score. The largest is that of the ${digit}.`),
        element("div", { className: "draw-figures draw-ten" }, ...digits.map(d => figure(
          `Ink for and against ${d}, score ${number(scores[d])}`, parts[d], SIDE, SIGNED, most,
          `${d}: ${number(scores[d])}`)))];
    },

    hidden(method, { outputs }, x, again) {
      const places = method.layers.flatMap((layer, i) => layer.kind === "relu" ? [i] : []);
      const first = method.layers[0], lit = outputs[places[0]].data, next = method.layers[places[0] + 1];
      const order = [...lit.keys()].sort((a, b) => lit[b] - lit[a]);
      const wanted = chosen[method.name], units = order.slice(0, 8);
      if (wanted !== undefined && !units.includes(wanted)) units.unshift(wanted);
      const grids = places.map((place, k) => {
        const data = outputs[place].data, on = data.filter(v => v > 0).length;
        const made = figure(`${on} of ${data.length} units of hidden layer ${k + 1} light up`, data, 16, INK,
          largest(data), `hidden layer ${k + 1}: ${on} of ${data.length} units light up`);
        made.className = "draw-grid";
        if (k === 0) made.firstChild.onclick = event => {
          const { left, top, width, height } = event.target.getBoundingClientRect();
          const column = Math.floor((event.clientX - left) / width * 16);
          chosen[method.name] = Math.floor((event.clientY - top) / height * data.length / 16) * 16 + column;
          again();
        };
        return made;
      });
      const pushes = unit => { // of the layer that follows, if it is the last: which digit it favours
        if (next.b.length !== 10) return "";
        const w = digits.map(d => next.w[d * lit.length + unit]);
        return `, for ${w.indexOf(Math.max(...w))}, against ${w.indexOf(Math.min(...w))}`;
      };
      return [element("p", {}, "Dark units are active. Touch one of the first layer to see its weights; "
        + "the eight that are most active are below, by number."),
        element("div", { className: "draw-figures" }, ...grids),
        element("div", { className: "draw-figures draw-units" }, ...units.map(unit => {
          const w = first.w.subarray(unit * x.length, (unit + 1) * x.length);
          return figure(`Weights of unit ${unit + 1}, active by ${number(lit[unit])}${pushes(unit)}`, w, SIDE, SIGNED,
            largest(w), `unit ${unit + 1}: ${number(lit[unit])}${pushes(unit)}`);
        }))];
    },

    maps(method, { outputs }) {
      const places = method.layers.flatMap((layer, i) => layer.kind === "relu" ? [i] : []).slice(0, 2);
      return places.flatMap((place, k) => {
        const { c, h, w, data } = outputs[place], most = largest(data);
        return [element("p", {}, `Round ${k + 1}: ${c} feature maps of ${h}×${w}, dark where a map has found its pattern.`),
          element("div", { className: "draw-figures draw-maps" }, ...Array.from({ length: c }, (_, i) => figure(
            `Map ${i + 1} of round ${k + 1}`, data.subarray(i * h * w, (i + 1) * h * w), w, INK, most, "")))];
      });
    },
  };

  function reasonOf({ layers }) {
    if (layers[0].kind === "nearest") return REASONS.nearest;
    if (layers.some(layer => layer.kind === "conv")) return REASONS.maps;
    return layers.length === 1 ? REASONS.linear : REASONS.hidden;
  }

  const reasons = methods.map((method, i) => {
    const inside = element("div"), name = element("summary", {}, method.title);
    const details = element("details", { "data-method": method.name }, name, inside);
    let last;
    function refresh(x = last) {
      last = x;
      name.textContent = answers[i] ? `${method.title}: ${answers[i].digit}` : method.title;
      if (!details.open) return;
      const refocus = inside.contains(document.activeElement);
      inside.replaceChildren(...answers[i] ? reasonOf(method)(method, answers[i], x, () => refresh())
        : [element("p", {}, "Nothing is drawn yet.")]);
      if (refocus) inside.querySelector("[aria-pressed=true]")?.focus();
    }
    details.addEventListener("toggle", () => refresh());
    byId("reasons").append(details);
    return { refresh };
  });

  // ---- make it another digit: the gradient by the ink ----

  const who = byId("who"), goal = byId("goal");
  methods.forEach((method, i) => who.append(element("option", { value: i, selected: i === 3 }, method.title)));
  digits.forEach(d => goal.append(element("option", { value: d, selected: d === 4 }, String(d))));

  function wishes(x) {
    const method = methods[who.value], found = answers[who.value], wanted = Number(goal.value);
    byId("step").disabled = !found;
    byId("climb").textContent = found ? `${method.title} reads ${found.digit}, and gives `
      + `${percent(found.probabilities[wanted], 2)} to ${wanted}.` : "Nothing is drawn yet.";
    if (drawing !== null) return; // not at every move of the pen: it is the dearest picture here
    const wish = found ? gradient(method, x, wanted) : [];
    byId("wish").replaceChildren(...found ? [figure("What the methods get", x, SIDE, INK),
      figure(`Blue where more ink would speak for ${wanted}, orange where less would`, wish, SIDE, SIGNED, largest(wish))] : []);
  }

  function step() { // the pixel with the most to gain moves a tenth of the way from paper to ink
    const x = pixels(), wish = gradient(methods[who.value], x, Number(goal.value)), most = largest(wish);
    load(strokes, x.map((v, i) => Math.max(0, Math.min(1, v + (most && .1 * wish[i] / most)))));
  }

  who.onchange = goal.onchange = () => wishes(pixels());
  byId("step").onclick = step;

  // ---- what a reader does ----

  function place(event) {
    const { left, top, width, height } = sheet.getBoundingClientRect();
    return [(event.clientX - left) * sheet.width / width, (event.clientY - top) * sheet.height / height];
  }

  sheet.addEventListener("pointerdown", event => {
    if (drawing !== null || event.button > 0) return;
    event.preventDefault();
    drawing = event.pointerId;
    sheet.setPointerCapture(drawing);
    if (picture) { picture = null; strokes = []; }
    strokes.push({ width: Number(pen.value), points: [place(event)] });
    redraw();
    soon();
  });
  sheet.addEventListener("pointermove", event => {
    if (event.pointerId !== drawing) return;
    const met = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).points.push(...(met.length ? met : [event]).map(place));
    redraw();
    soon();
  });
  for (const end of ["pointerup", "pointercancel"]) sheet.addEventListener(end, event => {
    if (event.pointerId === drawing) { drawing = null; soon(); }
  });

  function load(newStrokes, newPicture = null) {
    [strokes, picture, drawing] = [newStrokes, newPicture, null];
    redraw();
    update();
  }

  byId("clear").onclick = () => load([]);
  byId("undo").onclick = () => load(picture ? strokes : strokes.slice(0, -1)); // first the drawing again
  for (const choice of document.querySelectorAll("[name=draw-how]")) choice.onchange = update;
  for (const made of EXAMPLES) byId("examples").append(element("button",
    { type: "button", onclick: () => load(example(made)) }, made[0]));
  for (const d of digits) byId("means").append(element("button", { type: "button", "aria-label": `mean image of every ${d}`,
    onclick: () => load([], means.slice(d * SIDE * SIDE, (d + 1) * SIDE * SIDE)) }, String(d)));

  byId("packing").append(element("table", {}, element("thead", {}, element("tr", {},
    ...["Method", "float32", "packed"].map(text => element("th", { scope: "col" }, text)))),
  element("tbody", {}, ...methods.map(({ title, accuracy }) => element("tr", {}, element("th", { scope: "row" }, title),
    element("td", {}, percent(accuracy.float32, 2)), element("td", {}, percent(accuracy.packed, 2)))))));
  byId("early").remove();
  load([]);
  return { methods, load, example, EXAMPLES, pixels, answers: () => answers };
})();
