"""The pages: templates filled with values, every one of them escaped."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cscbench.publishing.board.records import Bilingual, Board, BoardEntry, RankedTrack, ReportedEntry, RunEntry
from cscbench.publishing.site.entry_summary import EntrySummary
from cscbench.publishing.site.folder import Folder
from cscbench.publishing.site.texts import HERE
from cscbench.runs.results import Results
from cscbench.runs.turns import TurnSummary
from cscbench.values import Estimate, GroupMetrics, StrategySet

PAGES = ("index", "plots", "dialogues", "diff", "method")


class PageRow:
    """A line of a page's table by group: its name in both languages, turns, and a value a column."""

    def __init__(self, words: Bilingual, n: int, values: Sequence[Estimate | None], code: str = "") -> None:
        self.words, self.n, self.values, self.code = words, n, values, code


class Renderer:
    """Fills templates of one board."""

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
            """A text of ours in a span that the language switch rewrites; keyword arguments fill its {places}."""
            filled = texts[key].en.format(**values) if values else texts[key].en
            places = Markup(' data-a="{}"').format(json.dumps(values, ensure_ascii=False)) if values else ""
            return Markup('<span data-t="{}"{}>{}</span>').format(key, places, filled)

        def words(own: Bilingual) -> Markup:
            """A text of the board or the task, both languages at hand."""
            return Markup('<span data-en="{0}" data-zh="{1}">{0}</span>').format(own.en, own.zh)

        self._environment.globals.update(t=text, w=words, board=board, escape=escape, key=lambda key: texts[key].en)
        self._environment.filters.update(number=number, whole=whole, size=size)

    def render(self, name: str, root: str, **values: Any) -> str:
        """A page; `root` leads from it to the site's folder."""
        return self._environment.get_template(f"{name}.html.j2").render(root=root, page=name, **values)

    def write(self, folder: Folder, ranked: Sequence[RankedTrack], has_turns: bool) -> None:
        """The pages of the board that do not belong to one model."""
        for name in PAGES:
            folder.page(f"{name}.html", self.render(name, "", ranked=ranked, has_turns=has_turns))

    def model(
        self, facts: EntrySummary, placed: BoardEntry, siblings: Sequence[EntrySummary], reduced: TurnSummary | None
    ) -> str:
        """The page of one entry."""
        if isinstance(placed.entry, ReportedEntry):
            return self.render("reported", "../", facts=facts, entry=placed.entry, siblings=siblings)
        return self.render(
            "model",
            "../",
            facts=facts,
            entry=placed.entry,
            siblings=siblings,
            reduced=reduced,
            groups=self._groups(placed.entry),
            names={own.code: Bilingual(own.en, own.zh) for own in self._strategies.strategies},
            signatures=_signatures(placed.entry.results),
        )

    def _groups(self, entry: RunEntry) -> list[tuple[str, list[PageRow]]]:
        tables = entry.results.known_tables
        strategies = {own.code: Bilingual(own.en, own.zh) for own in self._strategies.strategies}
        stages = {own.code: Bilingual(own.en, own.zh) for own in self._strategies.stages}
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


def _signatures(results: Results) -> list[tuple[str, list[str]]]:
    """Each signature with the metrics that have it."""
    found: dict[str, list[str]] = {}
    for metric in results.metrics:
        found.setdefault(metric.signature, []).append(metric.name)
    return list(found.items())


def number(value: float | None, digits: int = 1) -> str:
    """A number in print; a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def whole(value: float | None) -> str:
    """A count in print."""
    return "–" if value is None else f"{value:,.0f}"


def size(parameters: float) -> str:
    """Parameters in print: 7.6 B, 135 M; a dash where they are not known."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f} B"
    return f"{parameters / 1e6:.0f} M" if parameters > 0 else "–"
