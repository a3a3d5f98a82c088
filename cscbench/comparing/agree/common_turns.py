"""The turns and requests that two runs have in common."""

from collections.abc import Mapping

from cscbench.comparing.pairing import reference_of, why_apart
from cscbench.runs.finished import FinishedRun, RunState, TurnKey
from cscbench.values import Frozen, Language, UserError


class Common(Frozen, frozen=True):
    """What both runs have, in the first one's order.

    `turns` are answered in both, `requests` have a good reply in both; `failed` counts requests with a failure in
    either. `languages` are of dialogues, as far as one of the runs is scored. `other_words` counts turns of the same
    place in a dialogue of the same name whose references differ: they are left out.
    """

    turns: tuple[TurnKey, ...]
    requests: tuple[str, ...]
    failed: int
    languages: Mapping[str, Language]
    other_words: int


def place(request: str) -> TurnKey:
    """Dialogue and turn of a request id (`cscbench.asking.plays` makes it: dialogue/turn/step)."""
    dialogue, turn, _ = request.rsplit("/", 2)
    return dialogue, int(turn)


def common(a: FinishedRun, b: FinishedRun) -> Common:
    """The turns and requests of both.

    Raises:
        UserError: there are none, or it cannot be told.
    """
    if RunState.UNFINISHED in (a.state, b.state):
        return _of_replies(a, b)
    both = [turn for turn in a.pairs if turn in b.pairs]
    same = [turn for turn in both if reference_of(a.pairs[turn]) == reference_of(b.pairs[turn])]
    if not same:
        raise UserError(
            f"{_names(a, b)} have no turn in common: {why_apart(a, b)}. Run both models on the same task and data"
        )
    places = set(same)
    asked = [request for request in a.replies if request in b.replies and place(request) in places]
    return Common(
        turns=tuple(turn for turn in same if not a.pairs[turn].error and not b.pairs[turn].error),
        requests=tuple(request for request in asked if _answered(a, b, request)),
        failed=sum(1 for request in asked if not _answered(a, b, request)),
        languages={dialogue: a.pairs[dialogue, turn].language for dialogue, turn in same},
        other_words=len(both) - len(same),
    )


def _of_replies(a: FinishedRun, b: FinishedRun) -> Common:
    """Without the predictions of both, only their data files can say that turns of one name are the same turns."""
    if a.record.identity.get("data") != b.record.identity.get("data"):
        raise UserError(
            f"{_names(a, b)} have other data, and whether their turns coincide is known only when both are scored: "
            "the same `cscbench run` finishes each"
        )
    asked = [request for request in a.replies if request in b.replies]
    if not asked:
        raise UserError(f"{_names(a, b)} have no request in common: {why_apart(a, b)}")
    scored = [pair for run in (a, b) for pair in run.pairs.values()]
    return Common(
        turns=(),
        requests=tuple(request for request in asked if _answered(a, b, request)),
        failed=sum(1 for request in asked if not _answered(a, b, request)),
        languages={pair.dialogue: pair.language for pair in scored},
        other_words=0,
    )


def _answered(a: FinishedRun, b: FinishedRun, request: str) -> bool:
    return not a.replies[request].reply.error and not b.replies[request].reply.error


def _names(a: FinishedRun, b: FinishedRun) -> str:
    return f"{a.name} and {b.name}"
