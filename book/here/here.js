/* A lesson that runs in its page: the cells become editors, and Python runs them in a worker. */
"use strict";

const Here = (() => {
  const FOLDER = new URL("./", document.currentScript.src).href;
  const box = document.getElementById("here"), said = box.querySelector(".here-said");
  const buttons = box.querySelector(".here-buttons"), size = Number(box.dataset.size);
  const make = (tag, settings, ...inside) => {
    const made = Object.assign(document.createElement(tag), settings);
    made.append(...inside);
    return made;
  };
  const button = (textContent, onclick) => make("button", { type: "button", textContent, onclick });
  const say = text => { said.textContent = text; };
  const state = { ready: false, busy: false };
  let lesson = null, cells = [], worker = null, waiting = null;

  // ---- loading ----

  async function load() {
    loading.disabled = true;
    say("Fetching the lesson …");
    try {
      if (!lesson) {
        const answer = await fetch(FOLDER + "lesson.json");
        if (!answer.ok) throw new Error(`the site answered ${answer.status}`);
        lesson = await answer.json();
      }
      await start();
    } catch (error) {
      stopWorker();
      loading.disabled = false;
      return say(`Python could not be started: ${error.message}. The button tries again.`);
    }
    if (!cells.length) open();
    say(`Python ${state.version} is ready. Change a cell and run it; those above it are run first.`);
  }

  function start() {
    worker = new Worker(FOLDER + "worker.js", { type: "module" });
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = event => hear({ kind: "failed", text: event.message || "the worker did not start" });
    worker.postMessage({ kind: "start", files: lesson.files, driver: lesson.driver });
    say("Fetching Python …");
    return new Promise((resolve, reject) => { waiting = { resolve, reject }; });
  }

  function stopWorker() {
    worker?.terminate();
    worker = null;
    state.ready = false;
  }

  function hear(message) {
    if (message.kind === "bytes") return say(`Fetching Python: ${(message.bytes / 1e6).toFixed(1)} of about ${(size / 1e6).toFixed(1)} MB …`);
    if (message.kind === "printed") return waiting?.print?.(message.text);
    const asked = waiting;
    waiting = null;
    if (message.kind === "failed") return asked?.reject(new Error(message.text));
    if (message.kind === "ready") Object.assign(state, { ready: true, version: message.version });
    asked?.resolve(message);
  }

  // ---- cells ----

  function open() { // editors in the place of the printed code
    cells = [...document.querySelectorAll("article div.cell")].map((place, k) => {
      const { code, kept, changed } = lesson.cells[k];
      const cell = { place, code, kept, ran: Boolean(kept), shown: place.querySelector(".cell_input") };
      if (kept) {
        if (cell.shown) cell.shown.after(make("p", { className: "here-note", textContent: `Not run here: ${kept}.` }));
        return cell;
      }
      cell.out = make("div", { className: "here-out" });
      if (!cell.shown) { place.append(cell.out); return cell; }
      const rows = text => Math.max(1, text.split("\n").length);
      cell.editor = make("textarea", { value: code, rows: rows(code), spellcheck: false, className: "here-editor", wrap: "off" });
      for (const name of ["autocomplete", "autocapitalize", "autocorrect"]) cell.editor.setAttribute(name, "off");
      cell.editor.setAttribute("aria-label", `Code of cell ${k + 1}; Control and Enter runs it`);
      cell.editor.oninput = () => { cell.editor.rows = rows(cell.editor.value); cell.ran = false; };
      cell.editor.onkeydown = event => {
        if (event.key !== "Enter" || event.isComposing) return;
        if (event.ctrlKey || event.metaKey || event.shiftKey) { event.preventDefault(); runTo(k); return; }
        const area = cell.editor, line = area.value.slice(0, area.selectionStart).split("\n").at(-1);
        const indent = line.match(/^ */)[0] + (/:\s*(#.*)?$/.test(line) ? "    " : "");
        if (!indent) return;
        event.preventDefault();
        area.setRangeText("\n" + indent, area.selectionStart, area.selectionEnd, "end");
        area.oninput();
      };
      const again = button("Restore", () => { cell.editor.value = code; cell.editor.oninput(); });
      const run = button("Run", () => runTo(k));
      run.setAttribute("aria-label", `Run cell ${k + 1}`);
      again.setAttribute("aria-label", `Restore the code of cell ${k + 1}`);
      const line = make("p", { className: "here-line" }, run, again);
      if (changed) line.append(make("small", { textContent: "this page's version, without PyTorch and pandas" }));
      cell.shown.hidden = true;
      cell.shown.after(cell.editor, line);
      (cell.shown.closest("details") ?? line).after(cell.out); // seen though the code is folded
      return cell;
    });
    buttons.replaceChildren(button("Run all", () => runTo(cells.length - 1)), button("Stop", stop));
    document.body.classList.add("here-open");
  }

  async function run(k) { // one cell; whether it went through
    const cell = cells[k];
    const printed = make("pre", {});
    cell.out.replaceChildren(printed);
    cell.out.classList.add("here-running");
    const message = await new Promise((resolve, reject) => {
      waiting = { resolve, reject, print: text => { printed.append(text); } };
      worker.postMessage({ kind: "run", cell: k, code: cell.editor ? cell.editor.value : cell.code });
    }).catch(error => ({ error: error.message }));
    cell.out.classList.remove("here-running");
    if (message.html) cell.out.append(Object.assign(make("div", { className: "here-value" }), { innerHTML: message.html }));
    else if (message.text) cell.out.append(make("pre", { textContent: message.text }));
    if (message.error) cell.out.append(make("pre", { className: "here-error", textContent: message.error }));
    if (!printed.textContent) printed.remove();
    for (const old of cell.place.querySelectorAll(":scope > .cell_output")) old.hidden = true;
    cell.ran = !message.error;
    return cell.ran;
  }

  async function runTo(last) { // what has not run above, then this cell
    if (state.busy) return say("Python is busy. Wait, or press Stop.");
    state.busy = true;
    try {
      if (!state.ready) await start();
      cells[last].ran = Boolean(cells[last].kept);
      for (let k = 0; k <= last; k += 1) {
        if (cells[k].ran) continue;
        say(`Running cell ${k + 1} of ${cells.length} …`);
        if (await run(k)) continue;
        if (state.ready) say(`Cell ${k + 1} raised an error; it is shown below the cell.`);
        if (cells[k].out.offsetHeight === 0) cells[last].out.replaceChildren(...cells[k].out.cloneNode(true).childNodes);
        return;
      }
      say(`Cell ${last + 1} has run.`);
    } catch (error) { say(`Python has stopped: ${error.message}.`); } finally { state.busy = false; }
  }

  function stop() { // the only way to end a loop that does not end
    stopWorker();
    waiting?.reject(new Error("stopped"));
    waiting = null;
    for (const cell of cells) cell.ran = Boolean(cell.kept);
    say("Stopped. Python has forgotten everything; the next run begins with the first cell.");
  }

  const loading = button(`Load Python (${(size / 1e6).toFixed(1)} MB)`, load);
  if (location.protocol === "file:") {
    say("This page was opened from the disk, and from there a browser starts no Python. Serve the book and open the page it names: python -m http.server -d _book");
  } else buttons.append(loading);
  return { state, load, runTo, stop, cells: () => cells };
})();
