/* What every page with a sheet to draw on shares: the sheet, the examples, the table of answers,
   and pictures of numbers. "Draw a digit", the front page and the figures of the lessons use it. */
"use strict";

const DrawSheet = (() => {
  const { SIDE, raw, centred } = DrawNet;
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

  /* A canvas becomes a sheet. `pen` gives the width of a new stroke, in pixels of a sheet 280 wide;
     `changed` is called when something else is drawn, and with true while a pointer is drawing. */
  function sheet(canvas, { pen = () => 22, changed = () => {} } = {}) {
    const paper = canvas.getContext("2d", { willReadFrequently: true }), scale = canvas.width / 280;
    let strokes = [], picture = null; // what is drawn; or an image in its place
    let pointer = null;               // the pointer that draws

    function line({ points, width }) {
      paper.lineWidth = width * scale;
      paper.beginPath();
      const [first, ...rest] = points.map(([x, y]) => [x * scale, y * scale]);
      paper.moveTo(...first);
      if (!rest.length) paper.lineTo(first[0] + .01, first[1]);
      for (const point of rest) paper.lineTo(...point);
      paper.stroke();
    }

    function redraw() {
      paper.fillStyle = "#fff";
      paper.fillRect(0, 0, canvas.width, canvas.height);
      paper.strokeStyle = "#000";
      paper.lineCap = paper.lineJoin = "round";
      if (!picture) strokes.forEach(line);
      else for (let i = 0; i < picture.length; i++) {
        paper.fillStyle = `rgb(${INK(picture[i])})`;
        const size = canvas.width / SIDE;
        paper.fillRect(i % SIDE * size, Math.floor(i / SIDE) * size, size, size);
      }
    }

    function ink() { // what is on the sheet, from 0 (paper) to 1
      const { width: w, height: h } = canvas, seen = paper.getImageData(0, 0, w, h).data;
      return { w, h, data: Float32Array.from({ length: w * h }, (_, i) => 1 - seen[4 * i] / 255) };
    }

    function load(newStrokes, newPicture = null) {
      [strokes, picture, pointer] = [newStrokes, newPicture, null];
      redraw();
      changed();
    }

    let asked = false;
    function soon() { // at most once for each frame that the screen shows
      if (asked) return;
      asked = true;
      requestAnimationFrame(() => { asked = false; changed(); });
    }

    function place(event) {
      const { left, top, width, height } = canvas.getBoundingClientRect();
      return [(event.clientX - left) * 280 / width, (event.clientY - top) * 280 / height];
    }

    canvas.addEventListener("pointerdown", event => {
      if (pointer !== null || event.button > 0) return;
      event.preventDefault();
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      if (picture) { picture = null; strokes = []; }
      strokes.push({ width: pen(), points: [place(event)] });
      redraw();
      soon();
    });
    canvas.addEventListener("pointermove", event => {
      if (event.pointerId !== pointer) return;
      const met = event.getCoalescedEvents?.() ?? [];
      strokes.at(-1).points.push(...(met.length ? met : [event]).map(place));
      redraw();
      soon();
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, event => {
      if (event.pointerId === pointer) { pointer = null; soon(); }
    });

    redraw();
    return {
      load,
      clear: () => load([]),
      undo: () => load(picture ? strokes : strokes.slice(0, -1)), // first the drawing again
      change: newPicture => load(strokes, newPicture),
      drawing: () => pointer !== null,
      pixels: how => picture ? Float64Array.from(picture) : how === "raw" ? raw(ink()) : centred(ink()),
    };
  }

  // ---- answers ----

  function spoken(methods, answers) {
    if (!answers.length) return "The sheet is empty. Draw a digit, large or small, anywhere on it, "
      + "or choose an example.";
    const votes = digits.map(d => methods.filter((_, i) => answers[i].digit === d));
    const order = digits.filter(d => votes[d].length).sort((a, b) => votes[b].length - votes[a].length);
    const [first, ...rest] = order;
    if (!rest.length) return `All ${methods.length} methods read ${first}.`;
    return `${votes[first].length} of ${methods.length} methods read ${first}; `
      + rest.map(d => `${votes[d].map(m => m.title).join(" and ")}: ${d}`).join("; ") + ".";
  }

  // a row of a table for each method; what it gives back writes answers into them, or, without, dashes
  function rowsOf(methods, body) {
    const rows = methods.map(method => {
      const answer = element("td", { className: "draw-digit" }), bars = element("div", { className: "draw-bars", role: "img" });
      const parts = digits.map(d => {
        const bar = element("i");
        bars.append(element("span", {}, element("b", {}, bar), String(d)));
        return bar;
      });
      body.append(element("tr", { "data-method": method.name },
        element("th", { scope: "row" }, element("a", { href: method.lesson + ".html" }, method.title),
          element("small", {}, percent(method.accuracy.packed, 1), element("span", {}, `, ${method.what}`))),
        answer, element("td", {}, bars)));
      return { answer, bars, parts };
    });
    return answers => rows.forEach(({ answer, bars, parts }, i) => {
      const found = answers[i];
      answer.textContent = found ? found.digit : "–";
      parts.forEach((bar, d) => { bar.style.height = found ? percent(found.probabilities[d], 2) : "0"; });
      const likely = found && digits.filter(d => found.probabilities[d] >= .01)
        .sort((a, b) => found.probabilities[b] - found.probabilities[a]);
      bars.setAttribute("aria-label", found ? likely.map(d => `${d}: ${percent(found.probabilities[d])}`).join(", ")
        : "no answer yet");
    });
  }

  // says the newest text in a place, once nothing newer has come for a moment
  function announcer(place) { // a screen reader is not interrupted at every move of the pen
    let waiting;
    return text => {
      clearTimeout(waiting);
      waiting = setTimeout(() => { place.textContent = text; }, 250);
    };
  }

  return { digits, EXAMPLES, element, percent, number, INK, SIGNED, paint, figure, largest,
    example, sheet, spoken, rowsOf, announcer };
})();
