// Two models side by side: metric differences on top, then turn by turn with changed words marked.
"use strict";
(function () {
  const { el, say, text, number, state, setState, turns } = cscbench;
  const by = (id) => document.getElementById(id);
  let data, metrics, references, left, right, current = "", ticket = 0;

  // Split Chinese by character, other scripts by word; white space forms pieces of its own.
  function pieces(reply) { return reply.match(/[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+|\s+/gu) || []; }
  // Mark the pieces that are in the longest common subsequence
  function common(a, b) {
    const keepA = new Array(a.length).fill(false), keepB = new Array(b.length).fill(false);
    if (a.length * b.length > 4e6) return [keepA, keepB];
    const width = b.length + 1, best = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) for (let j = b.length - 1; j >= 0; j--) {
      best[i * width + j] = a[i] === b[j] ? best[(i + 1) * width + j + 1] + 1 : Math.max(best[(i + 1) * width + j], best[i * width + j + 1]);
    }
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      if (a[i] === b[j]) { keepA[i++] = true; keepB[j++] = true; }
      else if (best[(i + 1) * width + j] >= best[i * width + j + 1]) i++;
      else j++;
    }
    return [keepA, keepB];
  }
  function marked(parts, keep, tag) {
    const node = el("p", { class: "said" });
    for (let from = 0; from < parts.length;) {
      let to = from;
      while (to < parts.length && keep[to] === keep[from]) to++;
      const run = parts.slice(from, to).join("");
      node.append(keep[from] || !run.trim() ? run : el(tag, {}, run));
      from = to;
    }
    if (!parts.length) node.append("–");
    return node;
  }

  function drawMetrics() {
    const a = metrics.entries[left], b = metrics.entries[right];
    const shared = Object.keys(a).filter((name) => name in b);
    const cell = (metric) => el("td", { class: "num" }, el("span", { class: "v" }, number(metric[0], 2)),
      metric[1] === null ? null : el("span", { class: "iv" }, number(metric[1]) + "–" + number(metric[2])));
    const rows = shared.map((name) => {
      const comparable = a[name][3] === b[name][3], difference = b[name][0] - a[name][0];
      const better = difference && (difference > 0) !== a[name][4];
      return el("tr", {}, el("th", { scope: "row" }, say("metric." + name)), cell(a[name]), cell(b[name]), comparable
        ? el("td", { class: "num difference" }, (difference > 0 ? "+" : difference < 0 ? "−" : "±") + number(Math.abs(difference), 2),
          difference ? el("span", { class: "iv" }, say(better ? "diff.b" : "diff.a")) : null)
        : el("td", { class: "num muted" }, say("diff.otherwise")));
    });
    const head = el("tr", {}, ...[say("metric"), "A · " + turns.nameOf(left), "B · " + turns.nameOf(right), "B − A"].map((title, index) => el("th", { scope: "col", class: index ? "num" : "" }, title)));
    by("metrics").replaceChildren(el("div", { class: "scroll narrow" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))),
      el("p", { class: "muted" }, say("diff.about")));
  }

  async function drawTurns() {
    const row = references && references.dialogues.find((listed) => listed[0] === current), mine = ++ticket;
    by("turns-form").hidden = !row;
    if (!row) return by("turns").replaceChildren(el("p", { class: "empty" }, say(left === right ? "diff.same" : "diff.nothing")));
    const dialogue = await turns.dialogue(references, row, [left, right]);
    if (mine !== ticket) return;
    const items = dialogue.lines.filter((line) => line[1] === "s").map((line) => turn(line, dialogue.replies[left].get(line[0]), dialogue.replies[right].get(line[0])));
    const kept = items.filter((item) => !by("only").checked || item.dataset.differs);
    by("turns").replaceChildren(el("h2", { class: "name" }, current), kept.length ? el("ol", { class: "talk" }, ...kept) : el("p", { class: "empty" }, say("diff.equal")));
  }
  function turn([index, , reference, strategy], a, b) {
    const texts = [a, b].map((reply) => (reply && reply.form !== "failed" ? reply.text : ""));
    const parts = texts.map(pieces);
    const keep = common(parts[0], parts[1]);
    const cards = [a, b].map((reply, side) => {
      const head = el("span", { class: "who" }, "AB"[side] + " · " + turns.nameOf(side ? right : left));
      if (!reply) return el("div", { class: "card" }, head, say("turn.none", null, "p"));
      if (reply.form === "failed") return el("div", { class: "card failed" }, head, say("turn.failed", null, "p"), el("p", { class: "muted" }, reply.text));
      return el("div", { class: "card" }, head, turns.chip(reply.strategy, strategy), marked(parts[side], keep[side], side ? "ins" : "del"), turns.scores(reply));
    });
    const differs = !a || !b || texts[0] !== texts[1] || a.strategy !== b.strategy;
    return el("li", { class: "supporter", "data-differs": differs ? "yes" : null }, el("span", { class: "turn-number muted" }, say("turn", { n: index })),
      el("div", { class: "card gold slim" }, el("span", { class: "who" }, say("reference")), turns.chip(strategy), el("p", { class: "said" }, reference)),
      el("div", { class: "cards" }, ...cards));
  }

  function draw() {
    left = by("left").value;
    right = by("right").value;
    const ofLeft = turns.referenceSetOf(left), ofRight = turns.referenceSetOf(right);
    references = ofLeft && ofLeft === ofRight && left !== right ? ofLeft : null;
    const ids = references ? references.dialogues.map((row) => row[0]) : [];
    if (!ids.includes(current)) current = ids[0] || "";
    by("dialogue-id").replaceChildren(...ids.map((id) => el("option", { value: id }, id)));
    by("dialogue-id").value = current;
    setState({ a: left, b: right, d: current });
    drawMetrics();
    drawTurns();
  }
  function go(step) {
    const ids = references.dialogues.map((row) => row[0]);
    current = ids[(ids.indexOf(current) + step + ids.length) % ids.length];
    by("dialogue-id").value = current;
    setState({ d: current });
    drawTurns();
  }
  function fill() {
    const slugs = data.shelves.flatMap((set) => set.entries);
    for (const name of ["left", "right"]) {
      const value = by(name).value;
      by(name).replaceChildren(...slugs.map((slug) => el("option", { value: slug }, turns.nameOf(slug))));
      if (value) by(name).value = value;
    }
    return slugs;
  }

  document.addEventListener("DOMContentLoaded", () => {
    if (!by("left")) return;
    data = cscbench.get("dialogues");
    metrics = cscbench.get("metrics");
    const slugs = fill();
    const a = state().get("a"), b = state().get("b");
    by("left").value = slugs.includes(a) ? a : slugs[0];
    const rest = (turns.referenceSetOf(by("left").value).entries).filter((slug) => slug !== by("left").value);
    by("right").value = slugs.includes(b) ? b : rest[0] || slugs[0];
    current = state().get("d") || "";
    for (const name of ["left", "right"]) by(name).addEventListener("change", draw);
    by("dialogue-id").addEventListener("change", () => { current = by("dialogue-id").value; setState({ d: current }); drawTurns(); });
    by("before").addEventListener("click", () => go(-1));
    by("after").addEventListener("click", () => go(1));
    by("only").addEventListener("change", drawTurns);
    cscbench.changed(() => { fill(); drawMetrics(); drawTurns(); });
    draw();
  });
})();
