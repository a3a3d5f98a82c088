// Figures from data/plots.js, with the page's colours and the reader's language.
"use strict";
(function () {
  const { el, text, words, say, load, state, setState } = cscbench;
  const by = (id) => document.getElementById(id);
  const COLOURS = {
    light: ["#1f5fbf", "#c4511b", "#1b7f5c", "#8a4fb0", "#a07400", "#b3325f", "#23808f", "#5d6570"],
    dark: ["#7fb0ff", "#f2955f", "#5cc9a0", "#c79be6", "#e0b94a", "#ef86ab", "#6fc7d6", "#aab3bd"],
  };
  const HEAT = { light: [[0, "#f4f6f9"], [0.5, "#7ba6e0"], [1, "#1a4a94"]], dark: [[0, "#1b2026"], [0.5, "#34619f"], [1, "#a8caff"]] };
  let data;

  // `@@key` is a text of ours; anything else stays as it is.
  function localise(value) {
    if (typeof value === "string") return value.startsWith("@@") ? text(value.slice(2)) : value;
    if (Array.isArray(value)) return value.map(localise);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, own]) => [key, localise(own)]));
    return value;
  }
  function themed(figure) {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
    const own = localise(figure), mode = cscbench.dark() ? "dark" : "light", narrow = innerWidth < 700;
    const axis = { gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"), automargin: true };
    const layout = own.layout;
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: COLOURS[mode],
      font: { color: colour("--ink"), family: style.getPropertyValue("--font"), size: 13 }, autosize: true,
      height: layout.height || 420, legend: { orientation: "h", y: -0.2, yanchor: "top" },
      hoverlabel: { bgcolor: colour("--raised"), font: { color: colour("--ink") }, bordercolor: colour("--line") } });
    if (narrow) layout.margin = { l: 48, r: 8, t: 8, b: 48 };
    for (const name of ["xaxis", "yaxis"]) layout[name] = { ...layout[name], ...axis };
    for (const arrow of layout.annotations || []) arrow.arrowcolor = colour("--muted");
    for (const trace of own.data) {
      if (trace.type === "heatmap") { trace.colorscale = HEAT[mode]; trace.showscale = !narrow; trace.textfont = { size: narrow ? 9 : 12 }; }
      if (narrow && trace.mode === "markers+text") trace.mode = "markers";
      if (trace.type === "bar" && trace.error_y) trace.error_y.color = colour("--ink");
      if (trace.mode === "lines") trace.line.color = colour("--muted");
    }
    return own;
  }
  function draw(name, figure) {
    const place = by("plot-" + name);
    by("none-" + name).hidden = Boolean(figure);
    place.hidden = !figure;
    if (!figure) return Plotly.purge(place);
    const own = themed(figure);
    // Of its own height, or plotly's answer to a resized window collapses it.
    place.style.height = own.layout.height + 16 + "px";
    Plotly.react(place, own.data, own.layout, { displayModeBar: false, responsive: true });
  }
  function drawAll() {
    const track = data.tracks.find((own) => own.id === by("track").value);
    for (const name of ["size", "cost", "time", "stages", "sizes", "drift", "stars"]) draw(name, track ? track.figures[name] : null);
    drawConfusion();
  }
  async function drawConfusion() {
    const slug = by("confusion-model").value;
    if (!data.confusion.some((own) => own.slug === slug)) return draw("confusion", null);
    const figure = await load("c/" + slug);
    if (by("confusion-model").value === slug) draw("confusion", figure);
  }
  function fill() {
    const track = by("track").value, model = by("confusion-model").value;
    by("track").replaceChildren(...data.tracks.map((own) => { const node = words(own.title, "option"); node.value = own.id; return node; }));
    by("confusion-model").replaceChildren(...data.confusion.map((own) => el("option", { value: own.slug },
      `${own.name} · ${text("context." + own.context)}${own.condition === "joint" ? "" : " · " + text("condition." + own.condition)}`)));
    if (track) by("track").value = track;
    if (model) by("confusion-model").value = model;
  }

  document.addEventListener("DOMContentLoaded", () => {
    data = cscbench.get("plots");
    cscbench.extend(data.words);
    fill();
    const wanted = state().get("track");
    if (data.tracks.some((own) => own.id === wanted)) by("track").value = wanted;
    by("confusion-model").closest("form").hidden = !data.confusion.length;
    by("track").addEventListener("change", () => { setState({ track: by("track").value }); drawAll(); });
    by("confusion-model").addEventListener("change", drawConfusion);
    cscbench.changed(() => { fill(); drawAll(); });
    drawAll();
  });
})();
