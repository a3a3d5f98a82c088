"""Write a board as CSV, JSON, LaTeX and BibTeX, with all texts escaped."""

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
    entries: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    summaries: Mapping[str, EntrySummary],
) -> None:
    """Write `data/board.csv`, `.json`, `.tex` and `.bib`."""
    folder.page("data/board.csv", _csv(ranked, summaries))
    folder.page("data/board.json", _json(board, ranked, summaries))
    folder.page("data/board.tex", "\n".join(_latex(track, summaries) for track in ranked))
    folder.page("data/board.bib", _bibtex(entries, summaries))


def _cells(block: Block) -> Iterator[tuple[str, bool, Cell]]:
    for row in block.rows:
        yield from ((row.entry, row.partial, cell) for cell in row.cells if cell is not None)


def _csv(ranked: Sequence[RankedTrack], summaries: Mapping[str, EntrySummary]) -> str:
    """Return RFC 4180 CSV with a line per value; texts that a spreadsheet would run get an apostrophe."""
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(CSV_HEAD)
    for track in ranked:
        for block in track.blocks:
            for name, partial, cell in _cells(block):
                entry = summaries[name]
                row = (track.track.id, block.title.en, entry.id, entry.name)
                model = (entry.reported, entry.family, entry.parameters or "", entry.lora, entry.adapter, entry.context)
                ends = (cell.rank, cell.tie_group, cell.not_ranked_because, cell.signature, entry.source)
                values = (cell.metric, cell.value, cell.low, cell.high)
                line = (*row, *model, entry.condition or "", partial, *values, *ends)
                writer.writerow([csv_safe(value) if isinstance(value, str) else value for value in line])
    return safe_text(sink.getvalue())


def _json(board: Board, ranked: Sequence[RankedTrack], summaries: Mapping[str, EntrySummary]) -> str:
    import json

    value: dict[str, Any] = {
        "schema": SCHEMA,
        "board": msgspec.to_builtins(board),
        "entries": [msgspec.to_builtins(summary) for summary in summaries.values()],
        "tracks": [msgspec.to_builtins(track) for track in ranked],
    }
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _latex(ranked: RankedTrack, summaries: Mapping[str, EntrySummary]) -> str:
    """Return the LaTeX table of a track, with a group of rows per block."""
    head = ["model", *(column.title.en for column in ranked.columns)]
    groups = [
        (block.title.en, [[summaries[row.entry].name, *map(_value, row.cells)] for row in block.rows])
        for block in ranked.blocks
    ]
    title = latex_text(f"{ranked.track.title.en}: {ranked.track.context}, {ranked.track.condition}")
    return f"% {title}\n" + latex_table(head, groups, range(1, len(head)))


def _value(cell: Cell | None) -> str:
    if cell is None:
        return ""
    bounds = "" if cell.low is None or cell.high is None else f" ({cell.low:.1f} to {cell.high:.1f})"
    return f"{cell.value:.1f}{bounds}{'*' if cell.not_ranked_because else ''}"


def _bibtex(entries: Sequence[BoardEntry], summaries: Mapping[str, EntrySummary]) -> str:
    """Return an entry for each run and each source of reported rows."""
    items: dict[str, str] = {}
    for entry in (listed.entry for listed in entries):
        summary = summaries[entry.id]
        if isinstance(entry, RunEntry):
            title = f"{summary.name} on {summary.task}, {summary.context} context"
            note = f"cscbench {entry.results.cscbench}, run {entry.results.run.hash}, added {entry.added}"
            items.setdefault(summary.slug, _misc(summary.slug, title, note, ""))
        else:
            key = re.sub(r"[^a-z0-9]+", "-", summary.source.lower()).strip("-")[:60] or summary.slug
            items.setdefault(key, _misc(key, summary.source, "reported values, not run here", summary.url))
    return "\n".join(items.values())


def _misc(key: str, title: str, note: str, url: str) -> str:
    lines = [f"@misc{{{key},", f"  title = {{{_braced(title)}}},", f"  note = {{{_braced(note)}}},"]
    if url:
        lines.append(f"  howpublished = {{\\url{{{re.sub(r'[%#&]', lambda match: chr(92) + match[0], url)}}}}},")
    return "\n".join([*lines, "}"]) + "\n"


def _braced(text: str) -> str:
    """Return the text for a BibTeX field, braces replaced by parentheses: BibTeX counts escaped ones too."""
    return latex_text(text.translate(str.maketrans("{}", "()")))
