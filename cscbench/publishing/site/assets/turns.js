// Turns of dialogues, shared by the browser and the diff: which chunk has them, chips, scores, marks.
"use strict";
(function () {
  const { el, say, text, number, load, get } = cscbench;
  const NAMES = { rouge_l: "ROUGE-L", bertscore_f1: "BERTScore" };

  function shelfOf(slug) { return get("dialogues").shelves.find((shelf) => shelf.entries.includes(slug)); }

  // The reference and each model's turns of one dialogue: {lines, replies: {slug: Map(turn -> reply)}}
  async function dialogue(shelf, row, slugs) {
    const parts = await Promise.all([load(`t/${shelf.name}/${row[3]}`), ...slugs.map((slug) => chunkOf(slug, row[3]))]);
    const replies = {};
    slugs.forEach((slug, place) => {
      const found = parts[place + 1][row[0]] || [];
      replies[slug] = new Map(found.map((own) => [own[0], { strategy: own[1], text: own[2], form: own[3], scores: own[4] }]));
    });
    return { lines: parts[0][row[0]], replies };
  }
  // A run over some dialogues has no chunk where it has none of its dialogues.
  function chunkOf(slug, number) { return load(`m/${slug}/${number}`).catch(() => ({})); }

  function chip(code, reference) {
    if (code === null) return el("span", { class: "chip miss" }, "? ", say("unparsed"));
    const own = get("dialogues").strategies[code];
    const node = el("span", { class: "chip" + (reference === undefined ? "" : code === reference ? " hit" : " miss") }, code);
    if (own) node.append(" ", cscbench.words(own));
    if (reference !== undefined) node.prepend(el("span", { "aria-hidden": "true" }, code === reference ? "✓ " : "✗ "));
    if (reference !== undefined) node.append(el("span", { class: "hidden" }, " ", say(code === reference ? "right" : "wrong")));
    return node;
  }
  function scores(reply) {
    const names = get("dialogues").scores;
    const found = names.map((name, place) => [name, reply.scores[place]]).filter((own) => own[1] !== null && own[1] !== undefined);
    return el("p", { class: "scores muted" }, ...found.flatMap(([name, value], place) =>
      [place ? " · " : "", NAMES[name] || say("metric." + name), " ", el("b", {}, number(value))]));
  }
  // The text with what was searched for marked
  function marked(textOf, query) {
    const node = el("p", { class: "said" });
    const wanted = (query || "").trim().toLowerCase(), low = textOf.toLowerCase();
    let from = 0;
    if (wanted && low.length === textOf.length) {
      for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
        node.append(textOf.slice(from, at), el("mark", {}, textOf.slice(at, at + wanted.length)));
        from = at + wanted.length;
      }
    }
    node.append(textOf.slice(from) || (from ? "" : "–"));
    return node;
  }
  function nameOf(slug) {
    const own = get("board").entries[slug];
    return own.name + " · " + text("context." + own.context) + (own.condition && own.condition !== "joint" ? " · " + text("condition." + own.condition) : "");
  }
  cscbench.turns = { shelfOf, dialogue, chunkOf, chip, scores, marked, nameOf };
})();
