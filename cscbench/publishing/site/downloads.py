"""A board as files to take away: CSV, JSON, LaTeX, BibTeX. What others wrote stays inert in each."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from cscbench.publishing.board.records import Block, Board, BoardEntry, Cell, RankedTrack, RunEntry
from cscbench.publishing.export.latex import latex_table, latex_text
from cscbench.publishing.formats import csv_safe
from cscbench.publishing.site.entry_summary import EntrySummary, safe_text
from cscbench.publishing.site.folder import Folder

SCHEMA = "cscbench/board-data/1"
CSV_HEAD = (
    *("track", "block", "entry", "model", "reported", "family", "parameters", "lora", "adapter", "context"),
    *("condition", "partial", "metric", "value", "low", "high", "rank", "tie_group", "apart", "signature", "source"),
)


def write_downloads(
    folder: Folder,
    board: Board,
    placed: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    facts: Mapping[str, EntrySummary],
) -> None:
    """`data/board.csv`, `.json`, `.tex` and `.bib`."""
    folder.page("data/board.csv", _csv(ranked, facts))
    folder.page("data/board.json", _json(board, ranked, facts))
    folder.page("data/board.tex", "\n".join(_latex(own, facts) for own in ranked))
    folder.page("data/board.bib", _bibtex(placed, facts))


def _cells(ranked: RankedTrack, block: Block) -> Iterator[tuple[str, bool, Cell]]:
    for row in block.rows:
        yield from ((row.entry, row.partial, cell) for cell in row.cells if cell is not None)


def _csv(ranked: Sequence[RankedTrack], facts: Mapping[str, EntrySummary]) -> str:
    """RFC 4180, a line a value; a text that a spreadsheet would run begins with an apostrophe."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(CSV_HEAD)
    for own in ranked:
        for block in own.blocks:
            for name, partial, cell in _cells(own, block):
                entry = facts[name]
                places = (own.track.id, block.title.en, entry.id, entry.name)
                what = (entry.reported, entry.family, entry.parameters or "", entry.lora, entry.adapter, entry.context)
                ends = (cell.rank, cell.tie_group, cell.not_ranked_because, cell.signature, entry.source)
                values = (cell.metric, cell.value, cell.low, cell.high)
                line = (*places, *what, entry.condition or "", partial, *values, *ends)
                writer.writerow([csv_safe(value) if isinstance(value, str) else value for value in line])
    return safe_text(sink.getvalue())


def _json(board: Board, ranked: Sequence[RankedTrack], facts: Mapping[str, EntrySummary]) -> str:
    import json

    value: dict[str, Any] = {
        "schema": SCHEMA,
        "board": msgspec.to_builtins(board),
        "entries": [msgspec.to_builtins(own) for own in facts.values()],
        "tracks": [msgspec.to_builtins(own) for own in ranked],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _latex(ranked: RankedTrack, facts: Mapping[str, EntrySummary]) -> str:
    """Return the LaTeX table of a track, with a group of rows per block."""
    head = ["model", *(column.title.en for column in ranked.columns)]
    groups = [
        (block.title.en, [[facts[row.entry].name, *map(_value, row.cells)] for row in block.rows])
        for block in ranked.blocks
    ]
    title = latex_text(f"{ranked.track.title.en}: {ranked.track.context}, {ranked.track.condition}")
    return f"% {title}\n" + latex_table(head, groups, range(1, len(head)))


def _value(cell: Cell | None) -> str:
    if cell is None:
        return ""
    bounds = "" if cell.low is None or cell.high is None else f" ({cell.low:.1f} to {cell.high:.1f})"
    return f"{cell.value:.1f}{bounds}{'*' if cell.not_ranked_because else ''}"


def _bibtex(placed: Sequence[BoardEntry], facts: Mapping[str, EntrySummary]) -> str:
    """An entry for each source of reported rows, and for each run."""
    found: dict[str, str] = {}
    for one in placed:
        own = facts[one.entry.id]
        if isinstance(one.entry, RunEntry):
            note = f"cscbench {one.entry.results.cscbench}, run {one.entry.results.run.hash}, added {one.entry.added}"
            found.setdefault(own.slug, _misc(own.slug, f"{own.name} on {own.task}, {own.context} context", note, ""))
        else:
            key = re.sub(r"[^a-z0-9]+", "-", own.source.lower()).strip("-")[:60] or own.slug
            found.setdefault(key, _misc(key, own.source, "reported values, not run here", own.url))
    return "\n".join(found.values())


def _misc(key: str, title: str, note: str, url: str) -> str:
    lines = [f"@misc{{{key},", f"  title = {{{_braced(title)}}},", f"  note = {{{_braced(note)}}},"]
    if url:
        lines.append(f"  howpublished = {{\\url{{{re.sub(r'[%#&]', lambda found: chr(92) + found[0], url)}}}}},")
    return "\n".join([*lines, "}"]) + "\n"


def _braced(text: str) -> str:
    """BibTeX counts braces, escaped or not: theirs become round."""
    return latex_text(text.translate(str.maketrans("{}", "()")))
