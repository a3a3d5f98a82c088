// Turns of dialogues, shared by the dialogue browser and the diff: chunks, chips, scores, highlights.
"use strict";
(function () {
  const { el, say, text, number, load, get } = cscbench;
  const NAMES = { rouge_l: "ROUGE-L", bertscore_f1: "BERTScore" };

  function referenceSetOf(slug) { return get("dialogues").shelves.find((set) => set.entries.includes(slug)); }

  // Load the reference and each model's turns of a dialogue: {lines, replies: {slug: Map(turn -> reply)}}
  async function dialogue(references, row, slugs) {
    const parts = await Promise.all([load(`t/${references.name}/${row[3]}`), ...slugs.map((slug) => chunkOf(slug, row[3]))]);
    const replies = {};
    slugs.forEach((slug, index) => {
      const stored = parts[index + 1][row[0]] || [];
      replies[slug] = new Map(stored.map(([turn, strategy, text, form, scores]) => [turn, { strategy, text, form, scores }]));
    });
    return { lines: parts[0][row[0]], replies };
  }
  // A run over only some dialogues lacks the chunks that contain none of them.
  function chunkOf(slug, number) { return load(`m/${slug}/${number}`).catch(() => ({})); }

  function chip(code, reference) {
    if (code === null) return el("span", { class: "chip miss" }, "? ", say("unparsed"));
    const name = get("dialogues").strategies[code];
    const node = el("span", { class: "chip" + (reference === undefined ? "" : code === reference ? " hit" : " miss") }, code);
    if (name) node.append(" ", cscbench.words(name));
    if (reference !== undefined) node.prepend(el("span", { "aria-hidden": "true" }, code === reference ? "✓ " : "✗ "));
    if (reference !== undefined) node.append(el("span", { class: "hidden" }, " ", say(code === reference ? "right" : "wrong")));
    return node;
  }
  function scores(reply) {
    const names = get("dialogues").scores;
    const known = names.map((name, index) => [name, reply.scores[index]]).filter(([, value]) => value !== null && value !== undefined);
    return el("p", { class: "scores muted" }, ...known.flatMap(([name, value], index) =>
      [index ? " · " : "", NAMES[name] || say("metric." + name), " ", el("b", {}, number(value))]));
  }
  // Return the text with the search term highlighted
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
    const { name, context, condition } = get("board").entries[slug];
    return name + " · " + text("context." + context) + (condition && condition !== "joint" ? " · " + text("condition." + condition) : "");
  }
  cscbench.turns = { referenceSetOf, dialogue, chunkOf, chip, scores, marked, nameOf };
})();
