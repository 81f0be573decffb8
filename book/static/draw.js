/* The page "Draw a digit": its buttons, the answers and what is behind them. */
"use strict";

const DrawPage = (() => {
  const { SIDE, unpack, ask, gradient } = DrawNet;
  const { digits, EXAMPLES, element, percent, number, INK, SIGNED, paint, figure, largest, example } = DrawSheet;
  const methods = unpack(DRAW_WEIGHTS), means = methods[0].layers[0].means;
  const byId = name => document.getElementById("draw-" + name);
  let answers = [], chosen = {};     // the last answers; what a reader asked to see, by method

  const sheet = DrawSheet.sheet(byId("canvas"), { pen: () => Number(byId("pen").value), changed: update });
  const { load } = sheet;
  const pixels = () => sheet.pixels(document.querySelector("[name=draw-how]:checked").value);

  // ---- answers ----

  const show = DrawSheet.rowsOf(methods, byId("answers")), announce = DrawSheet.announcer(byId("said"));

  function update() {
    const x = pixels(), empty = !x.some(v => v > 0), began = performance.now();
    answers = empty ? [] : methods.map(method => ask(method, x));
    const took = performance.now() - began;
    paint(byId("seen"), x, SIDE, INK);
    show(answers);
    byId("time").textContent = empty ? "" : `All ${methods.length} answers took ${took.toFixed(0)} ms in this browser.`;
    reasons.forEach(reason => reason.refresh(x));
    wishes(x);
    announce(DrawSheet.spoken(methods, answers));
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
    if (sheet.drawing()) return; // not at every move of the pen: it is the dearest picture here
    const wish = found ? gradient(method, x, wanted) : [];
    byId("wish").replaceChildren(...found ? [figure("What the methods get", x, SIDE, INK),
      figure(`Blue where more ink would speak for ${wanted}, orange where less would`, wish, SIDE, SIGNED, largest(wish))] : []);
  }

  function step() { // the pixel with the most to gain moves a tenth of the way from paper to ink
    const x = pixels(), wish = gradient(methods[who.value], x, Number(goal.value)), most = largest(wish);
    sheet.change(x.map((v, i) => Math.max(0, Math.min(1, v + (most && .1 * wish[i] / most)))));
  }

  who.onchange = goal.onchange = () => wishes(pixels());
  byId("step").onclick = step;

  // ---- what a reader does ----

  byId("clear").onclick = sheet.clear;
  byId("undo").onclick = sheet.undo;
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
