"""The plots, built with plotly and handed over as JSON.

Texts of ours stand in them as `@@key` and get their language in the browser; colours come from the page, so that light
and dark need no second figure. What others wrote is escaped: plotly reads a little HTML in every text.
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
# Bars of so many models are told apart; more are in the table.
MOST_BARS = 8
# A run that took less was not timed.
_LEAST_SECONDS = 1e-6
# So many marks have room for their names beside them.
MOST_LABELS = 12


class Groups(Frozen, frozen=True):
    """A model's values by stage: (stage code, value) in the task's order."""

    name: str
    values: tuple[tuple[str, Value], ...]


def plotly_text(text: str) -> str:
    """A text that plotly shows as it is."""
    return " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def shorten(text: str, most: int = 34) -> str:
    """A name for an axis or a label, cut where it is long."""
    flat = " ".join(text.split())
    return plotly_text(flat if len(flat) <= most else flat[: most - 1] + "…")


def against_size(found: Sequence[Point], metric: str) -> Figure | None:
    """Quality against parameters; None where no entry's size is known."""
    own = [point for point in found if point.facts.parameters > 0]
    if not own:
        return None
    sizes = [point.facts.parameters / 1e9 for point in own]
    figure = _scatter(own, sizes)
    _axes(figure, "@@axis.parameters", metric)
    _logarithmic(figure, sizes)
    return _json(figure)


def against_time(found: Sequence[Point], metric: str) -> Figure | None:
    """Quality against seconds a turn; None where no run was timed."""
    own = [point for point in found if (point.facts.seconds or 0) > _LEAST_SECONDS and point.facts.turns]
    if not own:
        return None
    seconds = [(point.facts.seconds or 0) / point.facts.turns for point in own]
    figure = _scatter(own, seconds)
    _axes(figure, "@@axis.seconds", metric)
    _logarithmic(figure, seconds)
    return _json(figure)


def against_cost(found: Sequence[Point], metric: str) -> Figure | None:
    """Quality against what 1,000 turns cost, in the currency that most runs are priced in; None where none is."""
    priced = [point for point in found if point.facts.amount is not None and point.facts.turns]
    if not priced:
        return None
    currencies = sorted({point.facts.currency for point in priced})
    most = max(currencies, key=lambda name: sum(point.facts.currency == name for point in priced))
    own = [point for point in priced if point.facts.currency == most]
    figure = _scatter(own, [1000 * (point.facts.amount or 0) / point.facts.turns for point in own])
    _axes(figure, "@@axis.cost", metric)
    figure.update_xaxes(ticksuffix=f" {shorten(most, 8)}")
    return _json(figure)


def sizes(found: Sequence[Point], metric: str) -> Figure | None:
    """Families over their sizes, with an arrow from each base model to its tuned one; None where there is neither."""
    by_family: dict[tuple[str, int], list[Point]] = {}
    for point in found:
        if point.facts.family and point.facts.parameters > 0:
            by_family.setdefault((point.facts.family, point.block), []).append(point)
    pairs = lora_pairs(found)
    several = {name: points for name, points in by_family.items() if len({own.facts.parameters for own in points}) > 1}
    own = [point for name, points in by_family.items() for point in points if name in several]
    own += [point for pair in pairs for point in pair if point not in own]
    if not own:
        return None
    places = [point.facts.parameters / 1e9 for point in own]
    figure = _scatter(own, places)
    _axes(figure, "@@axis.parameters", metric)
    _logarithmic(figure, places)
    for base, tuned in pairs:
        figure.add_annotation(_arrow(base, tuned))
    return _json(figure)


def _arrow(base: Point, tuned: Point) -> Figure:
    """Straight up or down: both stand at one size. On a log axis an annotation stands at the logarithm."""
    x = log10(base.facts.parameters / 1e9)
    places = {"x": x, "ax": x, "y": tuned.value.value, "ay": base.value.value}
    refs = {"xref": "x", "yref": "y", "axref": "x", "ayref": "y"}
    return {**places, **refs, "text": "", "showarrow": True, "arrowhead": 2, "arrowwidth": 1.5, "standoff": 6}


def stages(found: Sequence[Groups], metric: str) -> Figure | None:
    """Bars a stage, for the first models of the table; None where no run has a table by stage."""
    import plotly.graph_objects as go

    if not found:
        return None
    figure = go.Figure()
    for own in found[:MOST_BARS]:
        values = [value for _, value in own.values]
        figure.add_bar(
            name=shorten(own.name),
            x=[f"@@stage.{code}" for code, _ in own.values],
            y=[round(value.value, 2) for value in values],
            error_y=_errors(values),
            hovertemplate="%{x}: %{y:.1f}",
        )
    figure.update_layout(barmode="group")
    _axes(figure, "", metric)
    figure.update_xaxes(showgrid=False)
    return _json(figure)


def confusion(table: Confusion | None, names: dict[str, str]) -> Figure | None:
    """Reference against prediction, each row in per cent of its turns; None where the run has no such table."""
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
            hovertemplate="%{customdata} → %{x}: %{z:.0f} %<extra></extra>",
            colorbar={"title": {"text": "%"}, "thickness": 10},
        )
    )
    figure.update_xaxes(title_text="@@axis.predicted", side="bottom", type="category")
    figure.update_yaxes(title_text="@@axis.reference", autorange="reversed", type="category")
    return _json(figure)


def drift(found: Sequence[ContextGap], metric: str) -> Figure | None:
    """A line a model from its value with the gold history to the one with its own; None where no model has both."""
    import plotly.graph_objects as go

    if not found:
        return None
    names = [f"{shorten(own.name)}{' °' if own.reported else ''}" for own in found]
    figure = go.Figure()
    for name, own in zip(names, found, strict=True):
        ends = [own.gold.value, own.generated.value]
        figure.add_scatter(x=ends, y=[name, name], mode="lines", line={"width": 2}, showlegend=False, hoverinfo="skip")
    for context in ("gold", "generated"):
        values = [own.gold if context == "gold" else own.generated for own in found]
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
    figure.update_layout(height=140 + 26 * len(found))
    return _json(figure)


def stars(found: Sequence[tuple[str, Sequence[int]]]) -> Figure | None:
    """How often each star was given, in per cent of a model's rated turns; None where nothing was judged."""
    import plotly.graph_objects as go

    if not found:
        return None
    figure = go.Figure()
    for name, counts in found[:MOST_BARS]:
        shares = [round(100 * count / sum(counts), 1) for count in counts]
        halves = [1 + number / 2 for number in range(len(counts))]
        figure.add_bar(name=shorten(name), x=halves, y=shares, hovertemplate="%{x}: %{y} %")
    figure.update_layout(barmode="group")
    figure.update_xaxes(title_text="@@axis.stars", dtick=1, showgrid=False)
    figure.update_yaxes(title_text="@@axis.share")
    return _json(figure)


def _scatter(found: Sequence[Point], x: Sequence[float]) -> "go.Figure":
    """Runs as full marks with intervals, what was only reported as hollow ones."""
    import plotly.graph_objects as go

    figure = go.Figure()
    sides = label_sides(x, [point.value.value for point in found])
    for reported in (False, True):
        own = [one for one in zip(found, x, sides, strict=True) if one[0].facts.reported is reported]
        if own:
            figure.add_scatter(
                x=[round(place, 6) for _, place, _ in own],
                y=[round(point.value.value, 2) for point, _, _ in own],
                error_y=_errors([point.value for point, _, _ in own]),
                mode="markers+text" if len(found) <= MOST_LABELS else "markers",
                textposition=[side for _, _, side in own],
                name="@@legend.reported" if reported else "@@legend.run",
                showlegend=True,
                text=[_label(point.facts) for point, _, _ in own],
                marker={"size": 10, "symbol": "circle-open" if reported else "circle"},
                hovertemplate="%{text}<br>%{x:.3~g} → %{y:.1f}<extra></extra>",
            )
    return figure


def label_sides(x: Sequence[float], y: Sequence[float]) -> list[str]:
    """Where the name of each mark stands: inwards, and lower or higher than that of a mark which is nearly the same."""
    middle, up = (min(x) * max(x)) ** 0.5, (max(y) - min(y)) or 1
    sides: dict[int, str] = {}
    for number in sorted(range(len(x)), key=lambda own: -y[own]):
        place, value = x[number], y[number]
        taken = {
            side.split()[0]
            for other, side in sides.items()
            if abs(place - x[other]) <= 0.3 * max(place, x[other]) and abs(value - y[other]) <= 0.06 * up
        }
        height = next((own for own in ("middle", "bottom", "top") if own not in taken), "middle")
        sides[number] = f"{height} {'right' if place < middle else 'left'}"
    return [sides[number] for number in range(len(x))]


def _label(facts: EntrySummary) -> str:
    return shorten(facts.name, 40)


def _errors(values: Sequence[Value]) -> Figure:
    if all(own.low is None for own in values):
        return {"visible": False}
    above = [None if own.high is None else round(own.high - own.value, 3) for own in values]
    below = [None if own.low is None else round(own.value - own.low, 3) for own in values]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1, "width": 3}


def _axes(figure: "go.Figure", x: str, metric: str) -> None:
    figure.update_xaxes(title_text=x)
    figure.update_yaxes(title_text=plotly_text(metric))


def _logarithmic(figure: "go.Figure", values: Sequence[float]) -> None:
    """A logarithmic axis from just below the values to just above: half a decade at least, with ticks at 1, 2 and 5, or
    at powers of ten where there are many."""
    low, high = log10(min(values)) - 0.12, log10(max(values)) + 0.12
    short_of = max(0.0, 0.7 - (high - low)) / 2
    low, high = low - short_of, high + short_of
    places = range(floor(low), ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    ticks = [step * 10.0**place for place in places for step in steps if low <= log10(step) + place <= high]
    figure.update_xaxes(type="log", range=[low, high], tickvals=ticks, ticktext=[_plain(tick) for tick in ticks])


def _plain(tick: float) -> str:
    """A tick without an exponent."""
    return f"{tick:.9f}".rstrip("0").rstrip(".")


def _json(figure: "go.Figure") -> Figure:
    """The figure as JSON values, without plotly's own template: the page brings colours and fonts."""
    figure.update_layout(template="none", margin={"l": 64, "r": 24, "t": 16, "b": 56})
    found: Figure = json.loads(figure.to_json())
    found["layout"].pop("template", None)
    return found
