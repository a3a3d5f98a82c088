"""Where the texts of two runs part, and how often."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from cscbench.asking.store import prompt_key
from cscbench.comparing.agree.common_turns import Common, place
from cscbench.comparing.agree.units import TextUnit
from cscbench.runs.finished import FinishedRun
from cscbench.values import Frozen

# Lower ends of the histogram's bins, in units that are alike before the first that differs.
_BINS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
_SHOWN_BEFORE, _SHOWN_AFTER = 16, 40
_END = object()

ALL, SAME_PROMPT = "all", "same prompt"


class Bin(Frozen, frozen=True):
    """How many replies part after `low` to `high` units that are alike (`high` null: or more)."""

    low: int
    high: int | None
    count: int


class TextGroup(Frozen, frozen=True):
    """The requests of one kind. `identical_first`: alike in the first N units, or wholly where they are shorter.

    `quartiles` (25, 50, 75 %) are of the units that are alike before the first that differs, over the replies that
    part; null where none does.
    """

    name: str
    requests: int
    identical: int
    identical_first: int
    quartiles: tuple[float, float, float] | None
    histogram: tuple[Bin, ...]


class Parting(Frozen, frozen=True):
    """A reply that parts after `common_prefix` units: the last characters that both share, and how each goes on."""

    request: str
    same_prompt: bool
    common_prefix: int
    shared: str
    a: str
    b: str


class TextPair(Frozen, frozen=True):
    """Both texts of one request; `common_prefix` is the number of units before they part, None where they do not."""

    request: str
    same_prompt: bool
    a: str
    b: str
    common_prefix: int | None


def first_difference(left: Sequence[object], right: Sequence[object]) -> int | None:
    """How many items two sequences begin with alike; None where they are equal.

    >>> first_difference("abc", "abd"), first_difference("ab", "abd"), first_difference("ab", "ab")
    (2, 2, None)
    """
    pairs = zip_longest(left, right, fillvalue=_END)
    return next((number for number, (one, other) in enumerate(pairs) if one != other), None)


def compare(a: FinishedRun, b: FinishedRun, both: Common, unit: TextUnit) -> tuple[TextPair, ...]:
    """Every request that both answered, in the first run's order of dialogues and turns."""
    order = {dialogue: number for number, dialogue in enumerate(a.record.dialogues)}
    requests = sorted(both.requests, key=lambda request: (order[place(request)[0]], place(request)[1]))
    texts = [[run.replies[request].reply.text for request in requests] for run in (a, b)]
    split = [unit.split(own) for own in texts]
    found = []
    for number, request in enumerate(requests):
        left, right = texts[0][number], texts[1][number]
        common_prefix = first_difference(split[0][number], split[1][number])
        if common_prefix is None and left != right:  # a tokenizer may know several texts by the same tokens
            common_prefix = len(split[0][number])
        keys = (prompt_key(run.replies[request].key) for run in (a, b))
        found.append(TextPair(request, len(set(keys)) == 1, left, right, common_prefix))
    return tuple(found)


def group(name: str, compared: Sequence[TextPair], first: int) -> TextGroup:
    """The counts of some requests."""
    import numpy as np

    parted = [one.common_prefix for one in compared if one.common_prefix is not None]
    quartiles = tuple(float(value) for value in np.percentile(parted, [25, 50, 75])) if parted else None
    ends = (*(low - 1 for low in _BINS[1:]), None)
    return TextGroup(
        name=name,
        requests=len(compared),
        identical=len(compared) - len(parted),
        identical_first=sum(1 for one in compared if one.common_prefix is None or one.common_prefix >= first),
        quartiles=(quartiles[0], quartiles[1], quartiles[2]) if quartiles else None,
        histogram=tuple(
            Bin(
                low,
                high,
                sum(1 for common_prefix in parted if low <= common_prefix and (high is None or common_prefix <= high)),
            )
            for low, high in zip(_BINS, ends, strict=True)
        ),
    )


def groups(compared: Sequence[TextPair], both: Common, first: int) -> tuple[TextGroup, ...]:
    """All requests; those of equal prompts; and by language and by step where there are several."""

    def by(kind: Callable[[TextPair], str]) -> list[TextGroup]:
        names = sorted({kind(one) for one in compared} - {""})
        of = {name: [one for one in compared if kind(one) == name] for name in names}
        return [group(name, of[name], first) for name in names] if len(names) > 1 else []

    return (
        group(ALL, compared, first),
        group(SAME_PROMPT, [one for one in compared if one.same_prompt], first),
        *by(lambda one: str(both.languages.get(place(one.request)[0], ""))),
        *by(lambda one: one.request.rpartition("/")[2]),
    )


def divergences(compared: Sequence[TextPair], count: int) -> tuple[Parting, ...]:
    """The first few replies that part, those to equal prompts before the others."""
    parted = [one for one in compared if one.common_prefix is not None]
    shown = sorted(parted, key=lambda one: not one.same_prompt)[:count]
    return tuple(_parting(one) for one in shown)


def _parting(one: TextPair) -> Parting:
    shared = first_difference(one.a, one.b) or 0
    return Parting(
        request=one.request,
        same_prompt=one.same_prompt,
        common_prefix=one.common_prefix or 0,
        shared=one.a[max(0, shared - _SHOWN_BEFORE) : shared],
        a=one.a[shared : shared + _SHOWN_AFTER],
        b=one.b[shared : shared + _SHOWN_AFTER],
    )
