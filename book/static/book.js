/* Small services of every page: the switch for checks, copying, tables that can be sorted. */
"use strict";

(() => {
  const make = (tag, settings) => Object.assign(document.createElement(tag), settings);

  // ---- one switch for hidden checks and folded code ----

  const kept = { // a page opened from the disk may not be allowed to keep anything
    read() { try { return localStorage.getItem("show-checks") === "yes"; } catch { return false; } },
    write(on) { try { localStorage.setItem("show-checks", on ? "yes" : "no"); } catch { /* no matter */ } },
  };
  const change = document.getElementById("show-checks");
  function showChecks(on) {
    document.body.classList.toggle("show-checks", on);
    change.setAttribute("aria-pressed", on);
    change.textContent = on ? "Hide checks" : "Show checks";
    for (const folded of document.querySelectorAll("article details.hide")) folded.open = on;
  }
  if (change) {
    change.hidden = false;
    if (kept.read()) showChecks(true);
    change.onclick = () => {
      const on = change.getAttribute("aria-pressed") !== "true";
      showChecks(on);
      kept.write(on);
    };
  }

  // ---- copy buttons ----

  async function copy(text) {
    try { await navigator.clipboard.writeText(text); return true; } catch { /* not allowed: the old way */ }
    const area = make("textarea", { value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
  for (const code of document.querySelectorAll("article .cell_input .highlight, article div[class*=highlight-] > .highlight")) {
    const button = make("button", { type: "button", className: "copy", textContent: "Copy" });
    button.setAttribute("aria-label", "Copy this code");
    button.onclick = async () => {
      button.textContent = await copy(code.querySelector("pre").textContent.replace(/\n$/, "")) ? "Copied" : "Not allowed";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
    code.append(button);
  }

  // ---- tables of results: sorted by a column, filtered by a word ----

  const UNITS = { "µs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600 };
  function worth(text) { // what a cell counts as; times in seconds
    const [, number, unit] = text.replace(/(\d),(?=\d{3})/g, "$1").match(/^\D{0,2}?([-−]?\d*\.?\d+)\s*(µs|ms|s|min|h)?/) ?? [];
    return number === undefined ? null : Number(number.replace("−", "-")) * (UNITS[unit] ?? 1);
  }
  function sortable(table) {
    const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
    const text = (row, i) => row.cells[i].textContent.trim();
    heads.forEach((head, i) => {
      if (!head.textContent.trim()) return;
      const button = make("button", { type: "button", className: "sort", textContent: head.textContent.trim() });
      head.replaceChildren(button);
      button.onclick = () => {
        const down = head.getAttribute("aria-sort") === "ascending", full = rows.filter(row => text(row, i));
        const numbers = full.every(row => worth(text(row, i)) !== null), sign = down ? -1 : 1;
        heads.forEach(h => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        full.sort((a, b) => sign * (numbers ? worth(text(a, i)) - worth(text(b, i)) : text(a, i).localeCompare(text(b, i))));
        body.append(...full, ...rows.filter(row => !text(row, i))); // empty cells stay last
      };
    });
    const box = make("input", { type: "search", placeholder: "Filter the rows" }), left = make("span", {});
    box.setAttribute("aria-label", "Filter the rows of the table");
    left.setAttribute("role", "status");
    box.oninput = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
      left.textContent = words.length ? `${rows.filter(row => !row.hidden).length} of ${rows.length} rows` : "";
    };
    const line = make("p", { className: "filter" });
    line.append(box, left);
    (table.closest(".table-wrapper, .output") ?? table).before(line);
  }
  for (const table of document.querySelectorAll("#results table, #side-by-side table")) {
    if (table.tHead?.rows.length === 1 && table.tBodies[0]?.rows.length >= 5) sortable(table);
  }
  for (const scroller of document.querySelectorAll("article .cell_output, article .table-wrapper, article pre")) {
    if (scroller.scrollWidth > scroller.clientWidth) scroller.tabIndex = 0; // keys can scroll it
  }

  // ---- what a link leads to, shown while the mouse or the focus rests on it ----

  const root = new URL(document.documentElement.dataset.content_root ?? "./", location.href).href;
  const notes = new URL("_static/previews.js", root).href;
  const tip = make("div", { id: "preview", className: "preview", hidden: true });
  tip.setAttribute("role", "tooltip");
  let known = null, at = null, showing = 0, hiding = 0;

  function places() { // fetched once, when the first link is looked at
    known ??= new Promise((resolve, reject) => document.head.append(
      make("script", { src: notes, onload: () => resolve(PREVIEWS), onerror: reject })));
    return known;
  }
  function hideTip() {
    clearTimeout(showing);
    clearTimeout(hiding);
    at?.removeAttribute("aria-describedby");
    at = null;
    tip.hidden = true;
  }
  async function showTip(link) {
    const [page, place] = link.href.slice(root.length).split("#");
    const found = (await places().catch(() => ({})))[page];
    if (!found || at !== link) return;
    const [title, words] = found[decodeURIComponent(place ?? "")] ?? found[""] ?? [];
    if (!title) return;
    tip.replaceChildren(make("strong", { textContent: title }));
    if (words) tip.append(make("p", { textContent: words }));
    if (!tip.isConnected) document.body.append(tip);
    tip.hidden = false;
    link.setAttribute("aria-describedby", "preview");
    const { left, top, bottom } = link.getBoundingClientRect(), gap = 6;
    const below = bottom + gap + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(gap, Math.min(left, innerWidth - tip.offsetWidth - gap))}px`;
    tip.style.top = `${below ? bottom + gap : Math.max(gap, top - gap - tip.offsetHeight)}px`;
  }
  function rest(event) { // on a link within the book
    const link = event.target.closest?.("article a[href]");
    if (tip.contains(event.target)) return clearTimeout(hiding);
    if (!link || !link.href.startsWith(root) || !/\.html(#|$)/.test(link.href) || link.classList.contains("headerlink")) return leave();
    if (link === at) return clearTimeout(hiding);
    hideTip();
    at = link;
    showing = setTimeout(showTip, 250, link);
  }
  function leave() { // time enough to reach the preview itself
    clearTimeout(hiding);
    if (at) hiding = setTimeout(hideTip, 200);
  }
  document.addEventListener("pointerover", event => { if (event.pointerType === "mouse") rest(event); });
  document.addEventListener("focusin", event => { if (event.target.matches?.(":focus-visible")) rest(event); });
  document.addEventListener("keydown", event => { if (event.key === "Escape") hideTip(); });
  addEventListener("scroll", hideTip, { passive: true });
})();
