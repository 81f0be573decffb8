/* The sheet on the front page. What the methods have learned is fetched when somebody draws. */
"use strict";

const FrontPage = (() => {
  const { EXAMPLES, element, example } = DrawSheet;
  const byId = name => document.getElementById("front-" + name);
  const described = JSON.parse(document.getElementById("front").dataset.methods);
  const show = DrawSheet.rowsOf(described, byId("answers")), announce = DrawSheet.announcer(byId("said"));
  const sheet = DrawSheet.sheet(byId("canvas"), { changed: update });
  let methods = null, fetching = false;

  function fetchWeights() {
    if (fetching) return;
    fetching = true;
    announce("Fetching what the methods have learned, half a megabyte …");
    document.head.append(element("script", {
      src: "_static/draw-weights.js",
      onload() {
        const known = DrawNet.unpack(DRAW_WEIGHTS);
        methods = described.map(({ name }) => known.find(method => method.name === name));
        update();
      },
      onerror(event) {
        fetching = false; // the next stroke tries again
        event.target.remove();
        announce("What the methods have learned could not be fetched. Draw once more to try again.");
      },
    }));
  }

  function update() {
    const x = sheet.pixels("centred"), empty = !x.some(v => v > 0);
    if (!empty && !methods) return fetchWeights();
    const answers = empty ? [] : methods.map(method => DrawNet.ask(method, x));
    show(answers);
    announce(DrawSheet.spoken(described, answers));
  }

  byId("clear").onclick = sheet.clear;
  for (const name of ["3", "4, open", "7 with a bar"]) {
    const found = EXAMPLES.find(([label]) => label === name);
    byId("buttons").append(element("button", { type: "button", "aria-label": `Example: ${name}`,
      onclick: () => sheet.load(example(found)) }, name));
  }
  update();
  return { sheet, described };
})();
