// Draw the figures of data/plots.js in the page's colors and language.
"use strict";
(function () {
  const { el, text, words, say, load, state, setState } = cscbench;
  const by = (id) => document.getElementById(id);
  const COLORS = {
    light: ["#1f5fbf", "#c4511b", "#1b7f5c", "#8a4fb0", "#a07400", "#b3325f", "#23808f", "#5d6570"],
    dark: ["#7fb0ff", "#f2955f", "#5cc9a0", "#c79be6", "#e0b94a", "#ef86ab", "#6fc7d6", "#aab3bd"],
  };
  const HEAT = { light: [[0, "#f4f6f9"], [0.5, "#7ba6e0"], [1, "#1a4a94"]], dark: [[0, "#1b2026"], [0.5, "#34619f"], [1, "#a8caff"]] };
  let data;

  // Replace `@@key` by the text with this key; keep anything else.
  function localize(value) {
    if (typeof value === "string") return value.startsWith("@@") ? text(value.slice(2)) : value;
    if (Array.isArray(value)) return value.map(localize);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, localize(child)]));
    return value;
  }
  function themed(figure) {
    const style = getComputedStyle(document.documentElement), color = (name) => style.getPropertyValue(name).trim();
    const drawn = localize(figure), mode = cscbench.dark() ? "dark" : "light", narrow = innerWidth < 700;
    const axis = { gridcolor: color("--line"), zerolinecolor: color("--line"), linecolor: color("--line"), automargin: true };
    const layout = drawn.layout;
    Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: COLORS[mode],
      font: { color: color("--ink"), family: style.getPropertyValue("--font"), size: 13 }, autosize: true,
      height: layout.height || 420, legend: { orientation: "h", y: -0.2, yanchor: "top" },
      hoverlabel: { bgcolor: color("--raised"), font: { color: color("--ink") }, bordercolor: color("--line") } });
    if (narrow) layout.margin = { l: 48, r: 8, t: 8, b: 48 };
    for (const name of ["xaxis", "yaxis"]) layout[name] = { ...layout[name], ...axis };
    for (const arrow of layout.annotations || []) arrow.arrowcolor = color("--muted");
    for (const trace of drawn.data) {
      if (trace.type === "heatmap") { trace.colorscale = HEAT[mode]; trace.showscale = !narrow; trace.textfont = { size: narrow ? 9 : 12 }; }
      if (narrow && trace.mode === "markers+text") trace.mode = "markers";
      if (trace.type === "bar" && trace.error_y) trace.error_y.color = color("--ink");
      if (trace.mode === "lines") trace.line.color = color("--muted");
    }
    return drawn;
  }
  function draw(name, figure) {
    const node = by("plot-" + name);
    by("none-" + name).hidden = Boolean(figure);
    node.hidden = !figure;
    if (!figure) return Plotly.purge(node);
    const drawn = themed(figure);
    // Without a fixed height, plotly collapses the plot when the window is resized.
    node.style.height = drawn.layout.height + 16 + "px";
    Plotly.react(node, drawn.data, drawn.layout, { displayModeBar: false, responsive: true });
  }
  function drawAll() {
    const track = data.tracks.find((candidate) => candidate.id === by("track").value);
    for (const name of ["size", "cost", "time", "stages", "sizes", "drift", "stars"]) draw(name, track ? track.figures[name] : null);
    drawConfusion();
  }
  async function drawConfusion() {
    const slug = by("confusion-model").value;
    if (!data.confusion.some((run) => run.slug === slug)) return draw("confusion", null);
    const figure = await load("c/" + slug);
    if (by("confusion-model").value === slug) draw("confusion", figure);
  }
  function fill() {
    const track = by("track").value, model = by("confusion-model").value;
    by("track").replaceChildren(...data.tracks.map((option) => { const node = words(option.title, "option"); node.value = option.id; return node; }));
    by("confusion-model").replaceChildren(...data.confusion.map((run) => el("option", { value: run.slug },
      `${run.name} · ${text("context." + run.context)}${run.condition === "joint" ? "" : " · " + text("condition." + run.condition)}`)));
    if (track) by("track").value = track;
    if (model) by("confusion-model").value = model;
  }

  document.addEventListener("DOMContentLoaded", () => {
    data = cscbench.get("plots");
    cscbench.extend(data.words);
    fill();
    const wanted = state().get("track");
    if (data.tracks.some((option) => option.id === wanted)) by("track").value = wanted;
    by("confusion-model").closest("form").hidden = !data.confusion.length;
    by("track").addEventListener("change", () => { setState({ track: by("track").value }); drawAll(); });
    by("confusion-model").addEventListener("change", drawConfusion);
    cscbench.changed(() => { fill(); drawAll(); });
    drawAll();
  });
})();
