"""The static site of a board: pages that open from a file, ask no network, and go down to the sentence.

One straight line: `facts` says what each entry is, `turns` puts replies in chunks, `payloads` and `figures` make the
data of the tables and plots, `pages` fills the templates, `folder` writes all of it and moves it to its place.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cscbench.content.extras import require_extra
from cscbench.publishing.board.boards import finished_run
from cscbench.publishing.board.records import Bilingual, Board, BoardEntry, RankedTrack, RunEntry
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
    """What was written: pages, and bytes in all files."""

    pages: int
    bytes: int


def build_site(board: Board, placed: Sequence[BoardEntry], ranked: Sequence[RankedTrack], out: Path) -> Built:
    """Write the site of a board to `out`, in the place of an older one. The same inputs give the same bytes.

    Raises:
        UserError: a package of the extra `report` is missing, an entry's turns cannot be read, or `out` is something
            else than a site of ours.
    """
    require_extra("report", ["pandas", "plotly", "pyarrow"], "building the pages of a leaderboard")
    source = read_task_text(board.task, any(own.folder is not None for own in placed))
    placed = _by_rank(placed, ranked)
    facts = entry_summaries(placed)
    with staged(out) as folder:
        reduced = _write_turns(folder, placed, facts, source)
        folder.chunk("board", payloads.board_payload(board, ranked, facts))
        folder.chunk("metrics", payloads.metrics_payload(facts))
        folder.chunk("plots", payloads.plots_payload(board, placed, ranked, facts, reduced, source.strategies))
        write_downloads(folder, board, placed, ranked, facts)
        _write_pages(folder, board, placed, ranked, facts, reduced, source)
        _write_assets(folder, read_texts())
        return Built(folder.pages, folder.bytes)


def _by_rank(placed: Sequence[BoardEntry], ranked: Sequence[RankedTrack]) -> list[BoardEntry]:
    """The entries in the order of the tables, then those that are in none: menus begin with the best."""
    order = [row.entry for own in ranked for block in own.blocks for row in block.rows]
    places = {name: number for number, name in reversed(list(enumerate(order)))}
    return sorted(placed, key=lambda own: (places.get(own.entry.id, len(order)), own.entry.id))


def _write_turns(
    folder: Folder, placed: Sequence[BoardEntry], facts: Mapping[str, EntrySummary], source: TaskText
) -> dict[str, TurnSummary]:
    """Chunks of all runs; one run's turns are in memory at a time."""
    reference_sets, reduced = ReferenceSets(source), {}
    for one in placed:
        if isinstance(one.entry, RunEntry) and one.folder is not None:
            own, turns = facts[one.entry.id], scored_turns(finished_run(one.entry, one.folder))
            reduced[own.id] = summarise_turns(turns, own.condition is not None and own.condition.predicts_strategy)
            reference_sets.place(own.slug, own.data, turns, folder)
            if figure := payloads.confusion_payload(one.entry, source.strategies):
                folder.chunk(f"c/{own.slug}", figure)
    strategies = {own.code: {"en": own.en, "zh": own.zh, "stage": own.stage} for own in source.strategies.strategies}
    reference_set = {
        "shelves": reference_sets.write(folder),
        "scores": SCORES,
        "strategies": strategies,
        "trouble": source.trouble,
    }
    folder.chunk("dialogues", reference_set)
    return reduced


def _write_pages(
    folder: Folder,
    board: Board,
    placed: Sequence[BoardEntry],
    ranked: Sequence[RankedTrack],
    facts: Mapping[str, EntrySummary],
    reduced: Mapping[str, TurnSummary],
    source: TaskText,
) -> None:
    renderer = Renderer(board, read_texts(), source.strategies)
    renderer.write(folder, ranked, bool(reduced))
    for one in placed:
        own = facts[one.entry.id]
        alike = [it for it in facts.values() if (it.name, it.source) == (own.name, own.source) and it.id != own.id]
        page = renderer.model(own, one, alike, reduced.get(own.id))
        folder.page(f"models/{own.slug}.html", page)


def _write_assets(folder: Folder, texts: Mapping[str, Bilingual]) -> None:
    from plotly.offline import get_plotlyjs

    for path in sorted((HERE / "assets").iterdir()):
        folder.write(f"assets/{path.name}", path.read_bytes())
    folder.write("assets/texts.js", script("texts", texts))
    # One copy for all pages with plots; the package ships no smaller bundle.
    folder.page("assets/plotly.min.js", get_plotlyjs())
