"""What pages say of an entry, run here or only reported: one value for both."""

import math
import re
from collections.abc import Sequence

from cscbench.content.hashes import digest
from cscbench.publishing.board.records import BoardEntry, ReportedEntry, RunEntry
from cscbench.runs.results import Results
from cscbench.values import Condition, Context, Frozen, Language

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


class Value(Frozen, frozen=True):
    """A metric of an entry; no interval and no signature where it was only reported."""

    value: float
    low: float | None = None
    high: float | None = None
    signature: str = ""
    n: int | None = None
    higher_is_better: bool = True


class EntrySummary(Frozen, frozen=True):
    """An entry as pages show it. `slug` names its files; `parameters` is 0 where not known.

    `data` are the hashes of a run's data files. Seconds and amount are a run's, for all its turns; None where unknown.
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
    """The text without lone surrogates, which no UTF-8 file can hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def entry_summaries(placed: Sequence[BoardEntry]) -> dict[str, EntrySummary]:
    """Each entry by its id, in the given order."""
    return {one.entry.id: _facts(one.entry) for one in placed}


def _facts(entry: RunEntry | ReportedEntry) -> EntrySummary:
    if isinstance(entry, RunEntry):
        return _run(entry.id, entry.results)
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
        values={own.metric: Value(own.value) for own in entry.values if math.isfinite(own.value)},
        source=safe_text(entry.source),
        url=web_address(entry.url),
    )


def _run(name: str, results: Results) -> EntrySummary:
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
            own.name: Value(own.value, own.low, own.high, safe_text(own.signature), own.n, own.higher_is_better)
            for own in results.metrics
            if math.isfinite(own.value)
        },
        seconds=cost.wall_seconds if cost else None,
        amount=cost.amount if cost else None,
        currency=safe_text(cost.currency or "") if cost else "",
    )


def _parameters(number: float) -> float:
    """How many; 0, not known, where it is no number of parameters: pages take its logarithm."""
    return number if math.isfinite(number) and number >= 1 else 0


def slug(name: str) -> str:
    """A file name for an entry: its id where that is one in small letters, else made of it and a hash."""
    if _SLUG.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")[:60]
    return f"{plain or 'entry'}-{digest(safe_text(name))[:8]}"


def web_address(url: str) -> str:
    """The address where it is one of the web and plain; else nothing: no page links to a script."""
    return url if re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&()*+,;=%\[\]-]+", url) else ""
