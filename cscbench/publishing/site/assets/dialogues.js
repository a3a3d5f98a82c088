// The dialogue browser: the reference next to the replies of the chosen models.
"use strict";
(function () {
  const { el, say, text, load, state, setState, turns } = cscbench;
  const MOST = 4, PAGE = 100;
  let data, references, chosen = [], current = "", query = "", matches = null, limit = PAGE, ticket = 0;
  const by = (id) => document.getElementById(id);

  function rows() {
    const wanted = query.trim().toLowerCase();
    return references.dialogues.filter((row) => matches ? matches.has(row[0])
      : !wanted || row[0].toLowerCase().includes(wanted) || row[2].toLowerCase().includes(wanted));
  }
  function drawList() {
    const listed = rows();
    by("list").replaceChildren(...listed.slice(0, limit).map((row) => el("li", {}, el("button", {
      type: "button", "aria-current": row[0] === current ? "true" : null, onclick: () => open(row[0]),
    }, el("span", { class: "id" }, row[0]), el("span", { class: "muted small" }, row[2].replace(/_/g, " "), row[2] ? " · " : "", row[1])))));
    if (!listed.length) by("list").append(el("li", { class: "empty" }, say("search.none")));
    by("more").hidden = listed.length <= limit;
  }
  function drawModels() {
    by("models").replaceChildren(...references.entries.map((slug) => {
      const box = el("input", { type: "checkbox", value: slug });
      box.checked = chosen.includes(slug);
      box.disabled = !box.checked && chosen.length >= MOST;
      box.addEventListener("change", () => {
        chosen = box.checked ? [...chosen, slug] : chosen.filter((other) => other !== slug);
        setState({ m: chosen.join(",") });
        drawModels();
        by("models").querySelector(`[value="${slug}"]`).focus();
        draw();
      });
      return el("label", { class: "choice" }, box, el("span", {}, turns.nameOf(slug)));
    }));
  }

  function open(id) {
    current = id;
    setState({ d: id });
    drawList();
    draw().then(() => {
      if (matchMedia("(max-width: 860px)").matches) by("dialogue").scrollIntoView();
    });
  }
  async function draw() {
    const row = references.dialogues.find((listed) => listed[0] === current), mine = ++ticket;
    if (!row) return by("dialogue").replaceChildren(say("dialogue.choose", null, "p"));
    let dialogue;
    try { dialogue = await turns.dialogue(references, row, chosen); } catch (error) {
      return by("dialogue").replaceChildren(el("p", { class: "note" }, String(error.message)));
    }
    if (mine !== ticket) return;
    const head = el("h2", { class: "name" }, row[0]);
    const about = el("p", { class: "muted" }, row[2].replace(/_/g, " "), row[2] ? " · " : "", say("language." + row[1]));
    const missing = references.customers ? null : say("customers.none", null, "p");
    if (missing) missing.className = "note";
    by("dialogue").replaceChildren(head, about, ...(missing ? [missing] : []), el("ol", { class: "talk" }, ...dialogue.lines.map((line) => turn(line, dialogue.replies))));
  }
  function turn([number, who, said, strategy], replies) {
    if (who === "c") return el("li", { class: "customer" }, el("span", { class: "who" }, say("customer")), turns.marked(said, query));
    const cards = [el("div", { class: "card gold" }, el("span", { class: "who" }, say("reference")), turns.chip(strategy), turns.marked(said, query))];
    for (const slug of chosen) {
      const reply = replies[slug].get(number);
      const head = el("span", { class: "who" }, turns.nameOf(slug));
      if (!reply) cards.push(el("div", { class: "card" }, head, say("turn.none", null, "p")));
      else if (reply.form === "failed") cards.push(el("div", { class: "card failed" }, head, say("turn.failed", null, "p"), el("p", { class: "muted" }, reply.text)));
      else cards.push(el("div", { class: "card" }, head, turns.chip(reply.strategy, strategy), turns.marked(reply.text, query), turns.scores(reply)));
    }
    return el("li", { class: "supporter", "data-cards": cards.length }, el("span", { class: "turn-number muted" }, say("turn", { n: number })), el("div", { class: "cards" }, ...cards));
  }

  // Search chunk by chunk: the references, the customers, and the chosen models.
  async function search() {
    const wanted = query.trim().toLowerCase(), mine = ++ticket, hits = new Set();
    if (!wanted) { matches = null; by("progress").replaceChildren(); drawList(); return draw(); }
    const numbers = [...new Set(references.dialogues.map((row) => row[3]))].sort((a, b) => a - b);
    for (const [done, number] of numbers.entries()) {
      const parts = await Promise.all([load(`t/${references.name}/${number}`), ...chosen.map((slug) => turns.chunkOf(slug, number))]);
      if (mine !== ticket) return;
      for (const part of parts) for (const [id, lines] of Object.entries(part)) {
        if (lines.some((line) => String(line[2]).toLowerCase().includes(wanted))) hits.add(id);
      }
      by("progress").replaceChildren(say("search.progress", { done: done + 1, all: numbers.length, hits: hits.size }));
    }
    matches = hits;
    limit = PAGE;
    const first = rows()[0];
    if (first && !hits.has(current)) open(first[0]);
    else { drawList(); draw(); }
  }

  function useReferences(referenceSet) {
    references = referenceSet;
    matches = null;
    chosen = chosen.filter((slug) => references.entries.includes(slug)).slice(0, MOST);
    if (!chosen.length) chosen = references.entries.slice(0, 2);
    if (!references.dialogues.some((row) => row[0] === current)) current = references.dialogues.length ? references.dialogues[0][0] : "";
    drawList();
    drawModels();
    draw();
  }
  // Ignore anything in the address that the site does not know.
  function fromAddress() {
    const wanted = (state().get("m") || "").split(",").filter((slug) => turns.referenceSetOf(slug));
    chosen = wanted;
    current = state().get("d") || current;
    const match = wanted.length ? turns.referenceSetOf(wanted[0]) : data.shelves.find((set) => set.dialogues.some((row) => row[0] === current));
    by("reference-set").value = (match || data.shelves[0]).name;
    useReferences(match || data.shelves[0]);
  }

  document.addEventListener("DOMContentLoaded", () => {
    data = cscbench.get("dialogues");
    if (!by("list")) return;
    data.shelves.forEach((set, index) => {
      const node = say("reference_set.label", { n: index + 1, dialogues: set.dialogues.length, runs: set.entries.length }, "option");
      node.value = set.name;
      by("reference-set").append(node);
    });
    by("reference-set-label").hidden = data.shelves.length < 2;
    by("reference-set").addEventListener("change", () => useReferences(data.shelves.find((set) => set.name === by("reference-set").value)));
    by("query").addEventListener("input", () => { query = by("query").value; matches = null; limit = PAGE; drawList(); draw(); });
    by("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
    by("more").addEventListener("click", () => { limit += PAGE; drawList(); });
    cscbench.changed(drawModels);
    cscbench.changed(draw);
    addEventListener("hashchange", () => {
      const now = state();
      if ((now.get("d") || current) !== current || (now.get("m") || chosen.join(",")) !== chosen.join(",")) fromAddress();
    });
    fromAddress();
  });
})();
