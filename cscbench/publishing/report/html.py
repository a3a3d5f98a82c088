"""A document as one HTML file: no script, no font, no picture from elsewhere. Everything is escaped by the template."""

from collections.abc import Sequence
from pathlib import Path

from cscbench.publishing.report.blocks import Block, Document, Dots, TimeSeries, printable


def html(document: Document) -> str:
    """The page. Only numbers reach its style attributes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if isinstance(value, str) and type(value) is str else value,
    )
    environment.tests["kind"] = _is_kind
    environment.globals.update(scale=scale, place=place, share=share)
    return environment.get_template("report.html.j2").render(document=document)


def _is_kind(block: Block, name: str) -> bool:
    return type(block).__name__ == name


def scale(drawing: Dots | TimeSeries) -> tuple[float, float]:
    """The ends of a drawing's axis: all values, intervals and the mark, with a little room."""
    values = [dot.value for dot in drawing.dots]
    values += [end for dot in drawing.dots for end in dot.interval or ()]
    if isinstance(drawing, Dots) and drawing.mark is not None:
        values.append(drawing.mark)
    low, high = min(values), max(values)
    room = 0.04 * (high - low) or 1.0
    return low - room, high + room


def place(value: float, ends: Sequence[float]) -> str:
    """Where on the axis a value stands, in per cent of its length."""
    return f"{100 * (value - ends[0]) / (ends[1] - ends[0]):.2f}"


def share(count: int, row: Sequence[int]) -> str:
    """A count in per cent of its row."""
    return f"{100 * count / (sum(row) or 1):.0f}"
