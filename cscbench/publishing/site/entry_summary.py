"""Summarize entries, both runs and reported ones, for the pages."""

import math
import re
from collections.abc import Sequence

from cscbench.content.hashes import digest
from cscbench.publishing.board.records import BoardEntry, ReportedEntry, RunEntry
from cscbench.runs.results import Results
from cscbench.values import Condition, Context, Frozen, Language

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


class Value(Frozen, frozen=True):
    """A metric of an entry; reported values have no interval and no signature."""

    value: float
    low: float | None = None
    high: float | None = None
    signature: str = ""
    n: int | None = None
    higher_is_better: bool = True


class EntrySummary(Frozen, frozen=True):
    """An entry as pages show it. `slug` names its files; `parameters` is 0 if unknown.

    `data` contains the hashes of a run's data files. `seconds` and `amount` cover all turns of a run; None if unknown.
    """

    id: str
    slug: str
    name: str
    reported: bool
    family: str
    parameters: float
    lora: bool
    adapter: str
    languages: tuple[Language, ...]
    context: Context
    condition: Condition | None
    task: str
    data: tuple[str, ...]
    turns: int
    values: dict[str, Value]
    seconds: float | None = None
    amount: float | None = None
    currency: str = ""
    source: str = ""
    url: str = ""


def safe_text(text: str) -> str:
    """Return the text without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode("utf-8")


def entry_summaries(entries: Sequence[BoardEntry]) -> dict[str, EntrySummary]:
    """Summarize each entry, by id in the given order."""
    return {listed.entry.id: _summary(listed.entry) for listed in entries}


def _summary(entry: RunEntry | ReportedEntry) -> EntrySummary:
    if isinstance(entry, RunEntry):
        return _run_summary(entry.id, entry.results)
    return EntrySummary(
        id=entry.id,
        slug=slug(entry.id),
        name=safe_text(entry.label),
        reported=True,
        family=safe_text(entry.family),
        parameters=_parameters(entry.parameters),
        lora=entry.lora,
        adapter="",
        languages=(),
        context=entry.context,
        condition=None,
        task=safe_text(entry.task),
        data=(),
        turns=0,
        values={row.metric: Value(row.value) for row in entry.values if math.isfinite(row.value)},
        source=safe_text(entry.source),
        url=web_address(entry.url),
    )


def _run_summary(name: str, results: Results) -> EntrySummary:
    model, cost = results.model, results.timing.cost
    return EntrySummary(
        id=name,
        slug=slug(name),
        name=safe_text(model.label),
        reported=False,
        family=safe_text(model.family),
        parameters=_parameters(model.parameters),
        lora=bool(model.lora),
        adapter=safe_text(model.adapter),
        languages=results.task.languages,
        context=results.protocol.context,
        condition=results.protocol.condition,
        task=safe_text(results.task.name),
        data=tuple(file.sha256 for file in results.data.files),
        turns=results.counts.answered,
        values={
            m.name: Value(m.value, m.low, m.high, safe_text(m.signature), m.n, m.higher_is_better)
            for m in results.metrics
            if math.isfinite(m.value)
        },
        seconds=cost.wall_seconds if cost else None,
        amount=cost.amount if cost else None,
        currency=safe_text(cost.currency or "") if cost else "",
    )


def _parameters(count: float) -> float:
    """Return the number of parameters, or 0 (unknown) if it is invalid: pages take its logarithm."""
    return count if math.isfinite(count) and count >= 1 else 0


def slug(name: str) -> str:
    """Return a file name for an entry: its id if that is a lowercase file name, else derived from it with a hash."""
    if _SLUG.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:60]
    return f"{plain or 'entry'}-{digest(safe_text(name))[:8]}"


def web_address(url: str) -> str:
    """Return the URL if it is a plain web address, else an empty string: no page links to a script."""
    return url if re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+", url) else ""
