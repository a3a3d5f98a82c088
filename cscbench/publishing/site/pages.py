"""Render the pages from templates; every value is escaped."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cscbench.publishing.board.records import Bilingual, Board, BoardEntry, RankedTrack, ReportedEntry, RunEntry
from cscbench.publishing.site.entry_summary import EntrySummary
from cscbench.publishing.site.folder import Folder
from cscbench.publishing.site.texts import HERE
from cscbench.runs.results import Results
from cscbench.runs.turns import TurnSummary
from cscbench.values import Estimate, GroupMetrics, Stage, Strategy, StrategySet

PAGES = ("index", "plots", "dialogues", "diff", "method")


class PageRow:
    """A row of a table by group: its name in both languages, its turns, and a value per column."""

    def __init__(self, words: Bilingual, n: int, values: Sequence[Estimate | None], code: str = "") -> None:
        self.words, self.n, self.values, self.code = words, n, values, code


class Renderer:
    """Renders the templates of one board."""

    def __init__(self, board: Board, texts: Mapping[str, Bilingual], strategies: StrategySet) -> None:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
        from markupsafe import Markup, escape

        self._board, self._strategies = board, strategies
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

        def text(key: str, **values: Any) -> Markup:
            """Return a text of the site in a span that the language switch updates; `values` fill its fields."""
            filled = texts[key].en.format(**values) if values else texts[key].en
            fields = Markup(' data-a="{}"').format(json.dumps(values, ensure_ascii=False)) if values else ""
            return Markup('<span data-t="{}"{}>{}</span>').format(key, fields, filled)

        def words(bilingual: Bilingual) -> Markup:
            """Return a text of the board or the task, in a span with both languages."""
            return Markup('<span data-en="{0}" data-zh="{1}">{0}</span>').format(bilingual.en, bilingual.zh)

        self._environment.globals.update(t=text, w=words, board=board, escape=escape, key=lambda key: texts[key].en)
        self._environment.filters.update(number=format_number, whole=format_count, size=format_size)

    def render(self, name: str, root: str, **values: Any) -> str:
        """Render a page; `root` is the relative path from it to the site's folder."""
        return self._environment.get_template(f"{name}.html.j2").render(root=root, page=name, **values)

    def write(self, folder: Folder, ranked: Sequence[RankedTrack], has_turns: bool) -> None:
        """Write the pages of the board, apart from those of single models."""
        for name in PAGES:
            folder.page(f"{name}.html", self.render(name, "", ranked=ranked, has_turns=has_turns))

    def model(
        self, summary: EntrySummary, listed: BoardEntry, siblings: Sequence[EntrySummary], turns: TurnSummary | None
    ) -> str:
        """Render the page of one entry."""
        entry = listed.entry
        if isinstance(entry, ReportedEntry):
            return self.render("reported", "../", summary=summary, entry=entry, siblings=siblings)
        return self.render(
            "model",
            "../",
            summary=summary,
            entry=entry,
            siblings=siblings,
            turns=turns,
            groups=self._groups(entry),
            names=_names(self._strategies.strategies),
            signatures=_signatures(entry.results),
        )

    def _groups(self, entry: RunEntry) -> list[tuple[str, list[PageRow]]]:
        tables = entry.results.known_tables
        strategies, stages = _names(self._strategies.strategies), _names(self._strategies.stages)
        languages = {"zh": Bilingual("Chinese", "中文"), "en": Bilingual("English", "英文")}
        named: tuple[tuple[str, dict[str, Bilingual]], ...]
        named = (("strategy", strategies), ("stage", stages), ("topic", {}), ("language", languages))
        return [(name, [self._row(row, words) for row in tables.groups(name)]) for name, words in named]

    def _row(self, row: GroupMetrics, known: Mapping[str, Bilingual]) -> PageRow:
        values = [row.metrics.get(column.metric) for column in self._board.columns]
        plain = row.name.replace("_", " ")
        return PageRow(
            known.get(row.name, Bilingual(plain, plain)), row.n, values, row.name if row.name.isupper() else ""
        )


def _names(labels: Iterable[Strategy | Stage]) -> dict[str, Bilingual]:
    return {label.code: Bilingual(label.en, label.zh) for label in labels}


def _signatures(results: Results) -> list[tuple[str, list[str]]]:
    """Return each signature with its metrics."""
    by_signature: dict[str, list[str]] = {}
    for metric in results.metrics:
        by_signature.setdefault(metric.signature, []).append(metric.name)
    return list(by_signature.items())


def format_number(value: float | None, digits: int = 1) -> str:
    """Format a number; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def format_count(value: float | None) -> str:
    """Format a count; a dash for None."""
    return "–" if value is None else f"{value:,.0f}"


def format_size(parameters: float) -> str:
    """Format parameters as 7.6 B or 135 M; a dash if unknown."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M" if parameters > 0 else "–"
