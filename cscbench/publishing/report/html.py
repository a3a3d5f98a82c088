"""Render a document as one self-contained HTML file without scripts; the template escapes every text."""

from collections.abc import Sequence
from pathlib import Path

from cscbench.publishing.report.blocks import Block, Document, Dots, TimeSeries, printable


def html(document: Document) -> str:
    """Return the page. Style attributes contain only numbers."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and type(value) is str else value,
    )
    environment.tests["of_type"] = _has_type
    environment.globals.update(axis_ends=axis_ends, axis_position=axis_position, share=share)
    return environment.get_template("report.html.j2").render(document=document)


def _has_type(block: Block, name: str) -> bool:
    return type(block).__name__ == name


def axis_ends(drawing: Dots | TimeSeries) -> tuple[float, float]:
    """Return the ends of an axis that fits all values, intervals and the mark, with a margin."""
    values = [dot.value for dot in drawing.dots]
    values += [end for dot in drawing.dots for end in dot.interval or ()]
    if isinstance(drawing, Dots) and drawing.mark is not None:
        values.append(drawing.mark)
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def axis_position(value: float, ends: Sequence[float]) -> str:
    """Return a value's position on the axis, as a percentage of its length."""
    return f"{100 * (value - ends[0]) / (ends[1] - ends[0]):.2f}"


def share(count: int, row: Sequence[int]) -> str:
    """Return a count as a percentage of its row."""
    return f"{100 * count / (sum(row) or 1):.0f}"
