"""Find where the replies of two runs diverge, and how often."""

from collections.abc import Callable, Sequence
from itertools import zip_longest

from cscbench.asking.store import prompt_key
from cscbench.comparing.agree.common_turns import Common, turn_of_request
from cscbench.comparing.agree.units import TextUnit
from cscbench.runs.finished import FinishedRun
from cscbench.values import Frozen

# Lower ends of the histogram's bins, in units of the common prefix.
_BINS = (0, 1, 2, 4, 8, 16, 32, 64, 128)
_SHOWN_BEFORE, _SHOWN_AFTER = 16, 40
_END = object()

ALL, SAME_PROMPT = "all", "same prompt"


class Bin(Frozen, frozen=True):
    """The number of replies whose common prefix has `low` to `high` units (`high` null: no upper end)."""

    low: int
    high: int | None
    count: int


class TextGroup(Frozen, frozen=True):
    """Counts over a group of requests. `identical_first` replies are equal in their first N units, or entirely.

    `quartiles` (25, 50, 75%) are of the common prefix in units, over the replies that diverge; null if none does.
    """

    name: str
    requests: int
    identical: int
    identical_first: int
    quartiles: tuple[float, float, float] | None
    histogram: tuple[Bin, ...]


class Divergence(Frozen, frozen=True):
    """A reply that diverges after `common_prefix` units: the last shared characters, and how each text continues."""

    request: str
    same_prompt: bool
    common_prefix: int
    shared: str
    a: str
    b: str


class TextPair(Frozen, frozen=True):
    """Both replies to one request; `common_prefix` is the number of equal leading units, None if they are identical."""

    request: str
    same_prompt: bool
    a: str
    b: str
    common_prefix: int | None


def first_difference(left: Sequence[object], right: Sequence[object]) -> int | None:
    """Return the length of the common prefix of two sequences, or None if they are equal.

    >>> first_difference("abc", "abd"), first_difference("ab", "abd"), first_difference("ab", "ab")
    (2, 2, None)
    """
    pairs = zip_longest(left, right, fillvalue=_END)
    return next((at for at, (in_left, in_right) in enumerate(pairs) if in_left != in_right), None)


def compare(a: FinishedRun, b: FinishedRun, both: Common, unit: TextUnit) -> tuple[TextPair, ...]:
    """Compare every request that both runs answered, in the first run's order of dialogues and turns."""
    order = {dialogue: number for number, dialogue in enumerate(a.record.dialogues)}

    def position(request: str) -> tuple[int, int]:
        dialogue, turn = turn_of_request(request)
        return order[dialogue], turn

    requests = sorted(both.requests, key=position)
    texts = [[run.replies[request].reply.text for request in requests] for run in (a, b)]
    split = [unit.split(replies) for replies in texts]
    pairs = []
    for number, request in enumerate(requests):
        left, right = texts[0][number], texts[1][number]
        common_prefix = first_difference(split[0][number], split[1][number])
        if common_prefix is None and left != right:  # a tokenizer may encode different texts to the same tokens
            common_prefix = len(split[0][number])
        keys = (prompt_key(run.replies[request].key) for run in (a, b))
        pairs.append(TextPair(request, len(set(keys)) == 1, left, right, common_prefix))
    return tuple(pairs)


def text_group(name: str, compared: Sequence[TextPair], first: int) -> TextGroup:
    """Count the replies of a group of requests that are identical, and where the others diverge."""
    import numpy as np

    prefixes = [pair.common_prefix for pair in compared if pair.common_prefix is not None]
    quartiles = tuple(float(value) for value in np.percentile(prefixes, [25, 50, 75])) if prefixes else None
    ends = (*(low - 1 for low in _BINS[1:]), None)
    return TextGroup(
        name=name,
        requests=len(compared),
        identical=len(compared) - len(prefixes),
        identical_first=sum(1 for pair in compared if pair.common_prefix is None or pair.common_prefix >= first),
        quartiles=(quartiles[0], quartiles[1], quartiles[2]) if quartiles else None,
        histogram=tuple(
            Bin(
                low,
                high,
                sum(1 for prefix in prefixes if low <= prefix and (high is None or prefix <= high)),
            )
            for low, high in zip(_BINS, ends, strict=True)
        ),
    )


def groups(compared: Sequence[TextPair], both: Common, first: int) -> tuple[TextGroup, ...]:
    """Return the groups: all requests, those with equal prompts, and each language and step if there are several."""

    def by(key: Callable[[TextPair], str]) -> list[TextGroup]:
        names = sorted({key(pair) for pair in compared} - {""})
        members = {name: [pair for pair in compared if key(pair) == name] for name in names}
        return [text_group(name, members[name], first) for name in names] if len(names) > 1 else []

    return (
        text_group(ALL, compared, first),
        text_group(SAME_PROMPT, [pair for pair in compared if pair.same_prompt], first),
        *by(lambda pair: str(both.languages.get(turn_of_request(pair.request)[0], ""))),
        *by(lambda pair: pair.request.rpartition("/")[2]),
    )


def divergences(compared: Sequence[TextPair], count: int) -> tuple[Divergence, ...]:
    """Return the first replies that diverge, those to equal prompts before the others."""
    divergent = [pair for pair in compared if pair.common_prefix is not None]
    shown = sorted(divergent, key=lambda pair: not pair.same_prompt)[:count]
    return tuple(_divergence(pair) for pair in shown)


def _divergence(pair: TextPair) -> Divergence:
    shared = first_difference(pair.a, pair.b) or 0
    return Divergence(
        request=pair.request,
        same_prompt=pair.same_prompt,
        common_prefix=pair.common_prefix or 0,
        shared=pair.a[max(0, shared - _SHOWN_BEFORE) : shared],
        a=pair.a[shared : shared + _SHOWN_AFTER],
        b=pair.b[shared : shared + _SHOWN_AFTER],
    )
