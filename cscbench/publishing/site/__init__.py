"""Build the static site of a board: pages that open from a file without network access, down to single replies.

`entry_summary` summarizes each entry, `reference_sets` writes replies in chunks, `payloads` and `figures` produce the
data of tables and plots, `pages` fills the templates, and `folder` writes the site and moves it into place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cscbench.content.extras import require_extra
from cscbench.publishing.board.boards import finished_run, run_entries
from cscbench.publishing.board.records import Bilingual, Board, BoardEntry, RankedTrack
from cscbench.publishing.site import payloads
from cscbench.publishing.site.downloads import write_downloads
from cscbench.publishing.site.entry_summary import EntrySummary, entry_summaries
from cscbench.publishing.site.folder import Folder, script, staged
from cscbench.publishing.site.pages import Renderer
from cscbench.publishing.site.reference_sets import ReferenceSets
from cscbench.publishing.site.texts import HERE, read_texts
from cscbench.runs.turns import SCORES, TaskText, TurnSummary, read_task_text, scored_turns, summarise_turns
from cscbench.values import Frozen


class Built(Frozen, frozen=True):
    """The size of a site: its pages, and the bytes of all files."""

    pages: int
    bytes: int


def build_site(board: Board, entries: Sequence[BoardEntry], ranked: Sequence[RankedTrack], out: Path) -> Built:
    """Write the site of a board to `out`, replacing an older one. The same inputs produce the same bytes.

    Raises:
        UserError: a package of the extra `report` is missing, an entry's turns cannot be read, or `out` exists and is
            not a cscbench site.
    """
    require_extra("report", ["pandas", "plotly", "pyarrow"], "building the pages of a leaderboard")
    task_text = read_task_text(board.task, any(listed.folder is not None for listed in entries))
    entries = _by_rank(entries, ranked)
    summaries = entry_summaries(entries)
    with staged(out) as folder:
        turns = _write_turns(folder, entries, summaries, task_text)
        folder.chunk("board", payloads.board_payload(board, ranked, summaries))
        folder.chunk("metrics", payloads.metrics_payload(summaries))
        folder.chunk("plots", payloads.plots_payload(board, entries, ranked, summaries, turns, task_text.strategies))
        write_downloads(folder, board, entries, ranked, summaries)
        _write_pages(folder, board, entries, ranked, summaries, turns, task_text)
        _write_assets(folder, read_texts())
        return Built(folder.pages, folder.bytes)


def _by_rank(entries: Sequence[BoardEntry], ranked: Sequence[RankedTrack]) -> list[BoardEntry]:
    """Return the entries in the order of the tables, then the others, so that menus start with the best."""
    order = [row.entry for track in ranked for block in track.blocks for row in block.rows]
    positions = {name: number for number, name in reversed(list(enumerate(order)))}
    return sorted(entries, key=lambda listed: (positions.get(listed.entry.id, len(order)), listed.entry.id))


def _write_turns(
    folder: Folder, entries: Sequence[BoardEntry], summaries: Mapping[str, EntrySummary], task_text: TaskText
) -> dict[str, TurnSummary]:
    """Write the chunks of all runs, with one run's turns in memory at a time."""
    reference_sets, turn_summaries = ReferenceSets(task_text), {}
    for entry, run_folder in run_entries(entries):
        summary, turns = summaries[entry.id], scored_turns(finished_run(entry, run_folder))
        predicts = summary.condition is not None and summary.condition.predicts_strategy
        turn_summaries[entry.id] = summarise_turns(turns, predicts)
        reference_sets.add_run(summary.slug, summary.data, turns, folder)
        if figure := payloads.confusion_payload(entry, task_text.strategies):
            folder.chunk(f"c/{summary.slug}", figure)
    strategies = {
        strategy.code: {"en": strategy.en, "zh": strategy.zh, "stage": strategy.stage}
        for strategy in task_text.strategies.strategies
    }
    dialogues = {
        "shelves": reference_sets.write(folder),
        "scores": SCORES,
        "strategies": strategies,
        "trouble": task_text.trouble,
    }
    folder.chunk("dialogues", dialogues)
    return turn_summaries


def _write_pages(
    folder: Folder,
    board: Board,
    entries: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    summaries: Mapping[str, EntrySummary],
    turns: Mapping[str, TurnSummary],
    task_text: TaskText,
) -> None:
    renderer = Renderer(board, read_texts(), task_text.strategies)
    renderer.write(folder, ranked, bool(turns))
    by_model: dict[tuple[str, str], list[EntrySummary]] = {}
    for summary in summaries.values():
        by_model.setdefault((summary.name, summary.source), []).append(summary)
    for listed in entries:
        summary = summaries[listed.entry.id]
        siblings = [other for other in by_model[summary.name, summary.source] if other is not summary]
        folder.page(f"models/{summary.slug}.html", renderer.model(summary, listed, siblings, turns.get(summary.id)))


def _write_assets(folder: Folder, texts: Mapping[str, Bilingual]) -> None:
    from plotly.offline import get_plotlyjs

    for path in sorted((HERE / "assets").iterdir()):
        folder.write(f"assets/{path.name}", path.read_bytes())
    folder.write("assets/texts.js", script("texts", texts))
    # One copy serves all pages with plots; the package contains no smaller bundle.
    folder.page("assets/plotly.min.js", get_plotlyjs())
