// The ranked tables, one per block of comparable rows; the page sorts and filters them.
"use strict";
(function () {
  const { el, say, words, text, label, number, size, state, setState } = cscbench;
  const SIZES = [["4", 0, 4e9], ["15", 4e9, 15e9], ["40", 15e9, 40e9], ["more", 40e9, Infinity]];
  const filters = ["text", "size", "family", "adapter", "language"];
  let board, panel, tip, track = 0, sort = null, counted = [0, 0];

  const field = (name) => document.getElementById("f-" + name);
  const letter = (group) => (group > 26 ? letter(Math.floor((group - 1) / 26)) : "") + String.fromCharCode(65 + (group - 1) % 26);

  function option(value, ...children) { return el("option", { value }, ...children); }
  function translated(value, key) { const node = say(key, null, "option"); node.value = value; return node; }

  function fillFilters() {
    const entries = Object.values(board.entries);
    const known = (values) => [...new Set(entries.flatMap(values))].filter(Boolean).sort();
    field("size").append(translated("", "any"), ...SIZES.map(([name]) => translated(name, "size." + name)), translated("unknown", "unknown"));
    field("family").append(translated("", "any"), ...known((entry) => entry.family).map((family) => option("=" + family, family)));
    field("adapter").append(translated("", "any"), ...known((entry) => entry.adapter).map((adapter) => option("=" + adapter, adapter)));
    field("adapter").append(translated("reported", "reported.badge"));
    field("language").append(translated("", "any"), ...known((entry) => entry.languages).map((language) => translated(language, "language." + language)));
  }

  function shown(entry) {
    const wanted = Object.fromEntries(filters.map((name) => [name, field(name).value]));
    const range = SIZES.find(([name]) => name === wanted.size);
    return (!wanted.text || entry.name.toLowerCase().includes(wanted.text.trim().toLowerCase()))
      && (!range || (entry.parameters > range[1] && entry.parameters <= range[2]))
      && (wanted.size !== "unknown" || !entry.parameters)
      && (!wanted.family || entry.family === wanted.family.slice(1))
      && (!wanted.adapter || (wanted.adapter === "reported" ? entry.reported : entry.adapter === wanted.adapter.slice(1)))
      && (!wanted.language || entry.languages.includes(wanted.language));
  }

  // -- sorting by name, size, or a column; the first click puts the best first
  function key(row, by) {
    const entry = board.entries[row.entry];
    if (by === "name") return entry.name.toLowerCase();
    if (by === "size") return entry.parameters || null;
    const cell = row.cells[by];
    return cell ? cell[0] : null;
  }
  function ordered(rows) {
    const by = sort.by;
    return rows.map((row, index) => [key(row, by), index, row]).sort((a, b) => {
      if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null) || a[1] - b[1];
      const order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
      return (sort.down ? -order : order) || a[1] - b[1];
    }).map((keyed) => keyed[2]);
  }
  function firstSort({ columns, rank_by }) {
    const by = columns.findIndex((column) => column.metric === rank_by);
    return by < 0 ? { by: "name", down: false } : { by, down: !columns[by].lower };
  }
  function sortBy(by) {
    const columns = board.tracks[track].columns;
    const best = by === "name" ? false : by === "size" ? true : !columns[by].lower;
    sort = sort.by === by ? { by, down: !sort.down } : { by, down: best };
    draw();
    const button = panel.querySelector(`[data-by="${by}"]`);
    if (button) button.focus();
  }

  function heading(by, node, numeric) {
    const active = sort.by === by;
    const button = el("button", { type: "button", "data-by": by, onclick: () => sortBy(by) }, node,
      el("span", { class: "arrow", "aria-hidden": "true" }, active ? (sort.down ? " ↓" : " ↑") : ""));
    return el("th", { scope: "col", class: numeric ? "num" : "model", "aria-sort": active ? (sort.down ? "descending" : "ascending") : "none" }, button);
  }

  // -- cells
  function scale(rows, column) {
    let low = Infinity, high = -Infinity;
    for (const row of rows) {
      const cell = row.cells[column];
      if (!cell) continue;
      low = Math.min(low, cell[1] ?? cell[0]);
      high = Math.max(high, cell[2] ?? cell[0]);
    }
    return high > low ? [low, high - low] : [low - 0.5, 1];
  }
  function bar(cell, [low, width]) {
    if (cell[1] === null) return null;
    const at = (value) => 100 * (value - low) / width;
    const band = el("span", { class: "band" }), tick = el("span", { class: "tick" });
    band.style.left = at(cell[1]) + "%";
    band.style.width = Math.max(1, at(cell[2]) - at(cell[1])) + "%";
    tick.style.left = at(cell[0]) + "%";
    return el("span", { class: "bar", "aria-hidden": "true" }, band, tick);
  }
  function value(row, column, range) {
    const cell = row.cells[column];
    if (!cell) return el("td", { class: "num muted", tabindex: -1 }, "–");
    const node = el("td", { class: "num value" + (cell[6] ? " apart" : ""), tabindex: -1 },
      el("span", { class: "v" }, number(cell[0]), cell[6] ? el("sup", {}, "†") : null),
      bar(cell, range),
      cell[1] === null ? null : el("span", { class: "iv" }, number(cell[1]) + "–" + number(cell[2])));
    node.cell = cell;
    return node;
  }
  function rank(row, shared) {
    const cell = typeof sort.by === "number" ? row.cells[sort.by] : null;
    const ranked = cell && cell[4] !== null, tied = ranked && shared.has(cell[5]);
    return el("td", { class: "rank" + (tied ? " g" + cell[5] % 2 : "") }, ranked ? String(cell[4]) : "–",
      tied ? el("span", { class: "group" }, letter(cell[5])) : null);
  }
  // Tie groups with at least two rows, in the column that the table is sorted by
  function ties(rows) {
    const groups = rows.map((row) => typeof sort.by === "number" && row.cells[sort.by] ? row.cells[sort.by][5] : null).filter(Boolean);
    return new Set(groups.filter((group, index) => groups.indexOf(group) !== index));
  }
  function name(row) {
    const entry = board.entries[row.entry];
    const link = el("a", { href: "models/" + row.entry + ".html" }, entry.name);
    const chips = [
      entry.adapter && entry.adapter !== entry.name ? el("span", { class: "chip" }, entry.adapter) : null,
      entry.lora ? el("span", { class: "chip" }, "LoRA") : null,
      row.partial ? say("partial") : null,
      board.baseline && entry.name === board.baseline && !entry.reported ? say("baseline") : null,
    ].filter(Boolean);
    if (entry.parameters) chips.unshift(el("span", { class: "narrow" }, size(entry.parameters)));
    for (const chip of chips) chip.classList.add("chip", ...(chip.dataset.t === "partial" ? ["warn"] : []));
    return el("th", { scope: "row", class: "model" }, link, chips.length ? el("span", { class: "chips" }, ...chips) : null);
  }

  function table(block, columns, number) {
    const rows = ordered(block.rows.filter((row) => shown(board.entries[row.entry])));
    counted[0] += rows.length;
    counted[1] += block.rows.length;
    const shared = ties(block.rows);
    const ranges = columns.map((_, column) => scale(block.rows, column));
    const body = el("tbody", {}, ...rows.map((row) => el("tr", {}, rank(row, shared), name(row),
      el("td", { class: "num params" }, size(board.entries[row.entry].parameters)),
      ...columns.map((_, column) => value(row, column, ranges[column])))));
    const first = body.querySelector("td[tabindex]");
    if (first) first.tabIndex = 0;
    const head = el("tr", {}, say("rank", null, "th"), heading("name", say("model")), heading("size", say("parameters"), true),
      ...columns.map((column, index) => heading(index, words(column.title), true)));
    head.firstChild.scope = "col";
    head.firstChild.className = "rank";
    head.children[2].classList.add("params");
    const grid = el("table", { class: "board" }, el("thead", {}, head), body);
    grid.style.minWidth = 270 + 100 * columns.length + "px";
    const id = "block-" + number;
    grid.setAttribute("aria-labelledby", id);
    return el("section", { class: "block" + (block.reported ? " reported" : "") },
      el("h2", { id }, words(block.title), block.reported ? say("reported.badge", null, "span") : null),
      block.reported ? say("reported.about", null, "p") : null,
      rows.length ? label(el("div", { class: "scroll", role: "region", tabindex: 0 }, grid), "table.scroll") : say(block.rows.length ? "filter.none" : "block.empty", null, "p"));
  }

  function draw() {
    const { blocks, columns, notes } = board.tracks[track];
    if (!sort) sort = firstSort(board.tracks[track]);
    counted = [0, 0];
    hide();
    panel.replaceChildren(...blocks.map((block, number) => table(block, columns, number)));
    if (!blocks.some((block) => block.rows.length)) panel.append(say("track.empty", null, "p"));
    for (const note of notes) panel.append(el("p", { class: "note" }, note));
    for (const badge of panel.querySelectorAll("h2 [data-t]")) badge.className = "chip warn";
    for (const para of panel.querySelectorAll("section > p")) para.className = "muted";
    document.getElementById("count").replaceChildren(say("count", { shown: counted[0], all: counted[1] }));
  }

  // -- the signature of a number, shown on hover, focus, or tap
  function showTip(node) {
    const cell = node.cell;
    const lines = [];
    if (cell[6]) lines.push(el("p", { class: "why" }, say("apart"), " ", cell[6]));
    if (cell[1] !== null) lines.push(el("p", {}, say("interval"), ` ${number(cell[1], 2)}–${number(cell[2], 2)}`));
    if (cell[4] !== null) lines.push(el("p", {}, say("rank.in", { rank: cell[4], group: cell[5] ? letter(cell[5]) : "–" })));
    lines.push(cell[3] < 0 ? el("p", {}, say("no.signature"))
      : el("p", { class: "signature" }, say("signature"), " ", el("code", {}, board.signatures[cell[3]])));
    tip.replaceChildren(...lines);
    tip.hidden = false;
    const box = node.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const below = box.bottom + size.height + 8 < innerHeight || box.top < size.height + 8;
    tip.style.top = scrollY + (below ? box.bottom + 4 : box.top - size.height - 4) + "px";
    tip.style.left = scrollX + Math.max(8, Math.min(box.left, document.documentElement.clientWidth - size.width - 8)) + "px";
    panel.querySelectorAll("[aria-describedby]").forEach((described) => described.removeAttribute("aria-describedby"));
    node.setAttribute("aria-describedby", "tip");
  }
  function hide() { tip.hidden = true; }
  function over(event) {
    const cell = event.target.closest("td.value");
    cell && cell.cell ? showTip(cell) : hide();
  }
  const STEPS = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] };
  function walk(event) {
    if (event.key === "Escape") return hide();
    const cell = event.target.closest("td[tabindex]"), step = STEPS[event.key];
    if (!cell || !step) return;
    event.preventDefault();
    const row = step[0] > 0 ? cell.parentNode.nextSibling : step[0] < 0 ? cell.parentNode.previousSibling : cell.parentNode;
    const next = row && row.children[cell.cellIndex + step[1]];
    if (!next || !next.hasAttribute("tabindex")) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }

  // -- tracks as tabs
  function choose(number, focus) {
    const tabs = [...document.querySelectorAll("[role=tab]")];
    track = number;
    sort = null;
    tabs.forEach((tab, index) => {
      tab.setAttribute("aria-selected", String(index === number));
      tab.tabIndex = index === number ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", "tab-" + number);
    if (focus) tabs[number].focus();
    setState({ track: number ? board.tracks[number].id : "" });
    draw();
  }

  document.addEventListener("DOMContentLoaded", () => {
    panel = document.getElementById("panel");
    tip = document.getElementById("tip");
    board = cscbench.get("board");
    if (!panel) return;
    const tabs = [...document.querySelectorAll("[role=tab]")];
    tabs.forEach((tab, index) => tab.addEventListener("click", () => choose(index)));
    tabs[0].parentNode.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) choose((track + step + tabs.length) % tabs.length, true);
    });
    fillFilters();
    const form = document.getElementById("filters");
    form.addEventListener("input", draw);
    form.addEventListener("reset", () => setTimeout(draw));
    form.addEventListener("submit", (event) => event.preventDefault());
    panel.addEventListener("mouseover", over);
    panel.addEventListener("focusin", over);
    panel.addEventListener("mouseleave", hide);
    panel.addEventListener("focusout", hide);
    panel.addEventListener("keydown", walk);
    panel.addEventListener("click", over);
    choose(Math.max(0, board.tracks.findIndex((candidate) => candidate.id === state().get("track"))));
  });
})();
