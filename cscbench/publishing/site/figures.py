"""Build the plots with plotly, as JSON.

Texts of the site appear as `@@key` and are translated in the browser, which also sets the colors, so that one figure
serves light and dark mode. Texts from entries are escaped, because plotly interprets some HTML in every text.
"""

import json
from collections.abc import Sequence
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

from cscbench.publishing.site.entry_summary import EntrySummary, Value
from cscbench.publishing.site.points import ContextGap, Point, lora_pairs
from cscbench.values import Confusion, Frozen

if TYPE_CHECKING:
    import plotly.graph_objects as go

Figure = dict[str, Any]
# The largest number of models in a bar chart.
MOST_BARS = 8
# Runs that took less time were not timed.
_LEAST_SECONDS = 1e-6
# The largest number of points with labels.
MOST_LABELS = 12


class StageValues(Frozen, frozen=True):
    """A model's values by stage: (stage code, value) in the order of the task."""

    name: str
    values: tuple[tuple[str, Value], ...]


def plotly_text(text: str) -> str:
    """Return the text escaped for plotly."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, most: int = 34) -> str:
    """Return a name for an axis or a label, truncated if it is long."""
    flat = " ".join(text.split())
    return plotly_text(flat if len(flat) <= most else flat[: most - 1] + "…")


def against_size(points: Sequence[Point], metric: str) -> Figure | None:
    """Plot quality against parameters; None if no entry's size is known."""
    shown = [point for point in points if point.summary.parameters > 0]
    if not shown:
        return None
    sizes = [point.summary.parameters / 1e9 for point in shown]
    figure = _scatter(shown, sizes)
    _axes(figure, "@@axis.parameters", metric)
    _logarithmic(figure, sizes)
    return _json(figure)


def against_time(points: Sequence[Point], metric: str) -> Figure | None:
    """Plot quality against seconds per turn; None if no run was timed."""
    shown = [point for point in points if (point.summary.seconds or 0) > _LEAST_SECONDS and point.summary.turns]
    if not shown:
        return None
    seconds = [(point.summary.seconds or 0) / point.summary.turns for point in shown]
    figure = _scatter(shown, seconds)
    _axes(figure, "@@axis.seconds", metric)
    _logarithmic(figure, seconds)
    return _json(figure)


def against_cost(points: Sequence[Point], metric: str) -> Figure | None:
    """Plot quality against the cost of 1,000 turns, in the most common currency; None if no run has a price."""
    priced = [point for point in points if point.summary.amount is not None and point.summary.turns]
    if not priced:
        return None
    currencies = sorted({point.summary.currency for point in priced})
    most = max(currencies, key=lambda name: sum(point.summary.currency == name for point in priced))
    shown = [point for point in priced if point.summary.currency == most]
    figure = _scatter(shown, [1000 * (point.summary.amount or 0) / point.summary.turns for point in shown])
    _axes(figure, "@@axis.cost", metric)
    figure.update_xaxes(ticksuffix=f" {shorten(most, 8)}")
    return _json(figure)


def sizes(points: Sequence[Point], metric: str) -> Figure | None:
    """Plot families by size, with an arrow from each base model to its tuned one; None if there is neither."""
    by_family: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        if point.summary.family and point.summary.parameters > 0:
            by_family.setdefault((point.summary.family, point.block), []).append(point)
    pairs = lora_pairs(points)
    several = {
        name: members for name, members in by_family.items() if len({point.summary.parameters for point in members}) > 1
    }
    shown = [point for name, members in by_family.items() for point in members if name in several]
    shown += [point for pair in pairs for point in pair if point not in shown]
    if not shown:
        return None
    sizes_in_billions = [point.summary.parameters / 1e9 for point in shown]
    figure = _scatter(shown, sizes_in_billions)
    _axes(figure, "@@axis.parameters", metric)
    _logarithmic(figure, sizes_in_billions)
    for base, tuned in pairs:
        figure.add_annotation(_arrow(base, tuned))
    return _json(figure)


def _arrow(base: Point, tuned: Point) -> Figure:
    """Return a vertical arrow, as both have the same size. Annotations on a log axis use the logarithm."""
    x = log10(base.summary.parameters / 1e9)
    coordinates = {"x": x, "ax": x, "y": tuned.value.value, "ay": base.value.value}
    refs = {"xref": "x", "yref": "y", "axref": "x", "ayref": "y"}
    return {**coordinates, **refs, "text": "", "showarrow": True, "arrowhead": 2, "arrowwidth": 1.5, "standoff": 6}


def stages(models: Sequence[StageValues], metric: str) -> Figure | None:
    """Plot bars by stage for the first models of the table; None if no run has values by stage."""
    import plotly.graph_objects as go

    if not models:
        return None
    figure = go.Figure()
    for model in models[:MOST_BARS]:
        values = [value for _, value in model.values]
        figure.add_bar(
            name=shorten(model.name),
            x=[f"@@stage.{code}" for code, _ in model.values],
            y=[round(value.value, 2) for value in values],
            error_y=_errors(values),
            hovertemplate="%{x}: %{y:.1f}",
        )
    figure.update_layout(barmode="group")
    _axes(figure, "", metric)
    figure.update_xaxes(showgrid=False)
    return _json(figure)


def confusion(table: Confusion | None, names: dict[str, str]) -> Figure | None:
    """Plot a confusion matrix, each row in percent of its turns; None if the run has no such table."""
    import plotly.graph_objects as go

    if table is None or not table.rows:
        return None
    shares = [[round(100 * count / (sum(row) or 1), 1) for count in row] for row in table.counts]
    codes = [plotly_text(code) for code in table.rows]
    columns = ["@@unparsed" if code == "unparsed" else plotly_text(code) for code in table.columns]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=columns,
            y=codes,
            text=[[str(count) if count else "" for count in row] for row in table.counts],
            customdata=[[names.get(code, code) for _ in columns] for code in codes],
            zmin=0,
            zmax=100,
            xgap=1,
            ygap=1,
            texttemplate="%{text}",
            hovertemplate="%{customdata} → %{x}: %{z:.0f}%<extra></extra>",
            colorbar={"title": {"text": "%"}, "thickness": 10},
        )
    )
    figure.update_xaxes(title_text="@@axis.predicted", side="bottom", type="category")
    figure.update_yaxes(title_text="@@axis.reference", autorange="reversed", type="category")
    return _json(figure)


def drift(gaps: Sequence[ContextGap], metric: str) -> Figure | None:
    """Plot a line per model from its value in gold context to generated context; None if no model has both."""
    import plotly.graph_objects as go

    if not gaps:
        return None
    names = [f"{shorten(gap.name)}{' °' if gap.reported else ''}" for gap in gaps]
    figure = go.Figure()
    for name, gap in zip(names, gaps, strict=True):
        ends = [gap.gold.value, gap.generated.value]
        figure.add_scatter(x=ends, y=[name, name], mode="lines", line={"width": 2}, showlegend=False, hoverinfo="skip")
    for context in ("gold", "generated"):
        values = [gap.gold if context == "gold" else gap.generated for gap in gaps]
        figure.add_scatter(
            x=[round(value.value, 2) for value in values],
            y=names,
            error_x=_errors(values),
            mode="markers",
            name=f"@@context.{context}",
            marker={"size": 9, "symbol": "circle" if context == "gold" else "diamond"},
            hovertemplate="%{y}: %{x:.1f}",
        )
    figure.update_xaxes(title_text=plotly_text(metric))
    figure.update_yaxes(autorange="reversed", type="category", automargin=True)
    figure.update_layout(height=140 + 26 * len(gaps))
    return _json(figure)


def stars(rated: Sequence[tuple[str, Sequence[int]]]) -> Figure | None:
    """Plot the distribution of stars in percent of a model's rated turns; None if there are no ratings."""
    import plotly.graph_objects as go

    if not rated:
        return None
    figure = go.Figure()
    for name, counts in rated[:MOST_BARS]:
        shares = [round(100 * count / sum(counts), 1) for count in counts]
        halves = [1 + number / 2 for number in range(len(counts))]
        figure.add_bar(name=shorten(name), x=halves, y=shares, hovertemplate="%{x}: %{y}%")
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text="@@axis.stars", dtick=1, showgrid=False)
    figure.update_yaxes(title_text="@@axis.share")
    return _json(figure)


def _scatter(points: Sequence[Point], x: Sequence[float]) -> "go.Figure":
    """Plot runs as filled markers with intervals, and reported entries as hollow ones."""
    import plotly.graph_objects as go

    figure = go.Figure()
    sides = label_sides(x, [point.value.value for point in points])
    for reported in (False, True):
        shown = [drawn for drawn in zip(points, x, sides, strict=True) if drawn[0].summary.reported is reported]
        if shown:
            figure.add_scatter(
                x=[round(position, 6) for _, position, _ in shown],
                y=[round(point.value.value, 2) for point, _, _ in shown],
                error_y=_errors([point.value for point, _, _ in shown]),
                mode="markers+text" if len(points) <= MOST_LABELS else "markers",
                textposition=[side for _, _, side in shown],
                name="@@legend.reported" if reported else "@@legend.run",
                showlegend=True,
                text=[_label(point.summary) for point, _, _ in shown],
                marker={"size": 10, "symbol": "circle-open" if reported else "circle"},
                hovertemplate="%{text}<br>%{x:.3~g} → %{y:.1f}<extra></extra>",
            )
    return figure


def label_sides(x: Sequence[float], y: Sequence[float]) -> list[str]:
    """Return the side of each point's label: inwards, and below or above the label of a nearby point."""
    middle, spread = (min(x) * max(x)) ** 0.5, (max(y) - min(y)) or 1
    sides: dict[int, str] = {}
    for number in sorted(range(len(x)), key=lambda index: -y[index]):
        position, value = x[number], y[number]
        taken = {
            side.split()[0]
            for labeled, side in sides.items()
            if abs(position - x[labeled]) <= 0.3 * max(position, x[labeled])
            and abs(value - y[labeled]) <= 0.06 * spread
        }
        height = next((height for height in ("middle", "bottom", "top") if height not in taken), "middle")
        sides[number] = f"{height} {'right' if position < middle else 'left'}"
    return [sides[number] for number in range(len(x))]


def _label(summary: EntrySummary) -> str:
    return shorten(summary.name, 40)


def _errors(values: Sequence[Value]) -> Figure:
    if all(value.low is None for value in values):
        return {"visible": False}
    above = [None if value.high is None else round(value.high - value.value, 3) for value in values]
    below = [None if value.low is None else round(value.value - value.low, 3) for value in values]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1, "width": 3}


def _axes(figure: "go.Figure", x: str, metric: str) -> None:
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=plotly_text(metric))


def _logarithmic(figure: "go.Figure", values: Sequence[float]) -> None:
    """Set a logarithmic axis that covers the values and at least half a decade.

    Ticks are at 1, 2 and 5, or on a long axis at powers of ten.
    """
    low, high = log10(min(values)) - 0.12, log10(max(values)) + 0.12
    padding = max(0.0, 0.7 - (high - low)) / 2
    low, high = low - padding, high + padding
    exponents = range(floor(low), ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps if low <= log10(step) + exponent <= high]
    figure.update_xaxes(type="log", range=[low, high], tickvals=ticks, ticktext=[_plain(tick) for tick in ticks])


def _plain(tick: float) -> str:
    """Format a tick without an exponent."""
    return f"{tick:.9f}".rstrip("0").rstrip(".")


def _json(figure: "go.Figure") -> Figure:
    """Return the figure as JSON values, without plotly's template: the page sets colors and fonts."""
    figure.update_layout(template="none", margin={"l": 64, "r": 24, "t": 16, "b": 56})
    values: Figure = json.loads(figure.to_json())
    values["layout"].pop("template", None)
    return values
