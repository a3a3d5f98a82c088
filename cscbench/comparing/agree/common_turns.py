"""The turns and requests that two runs have in common."""

from collections.abc import Mapping

from cscbench.comparing.pairing import describe_difference, reference_of
from cscbench.runs.finished import FinishedRun, RunState, TurnKey
from cscbench.values import Frozen, Language, UserError


class Common(Frozen, frozen=True):
    """What both runs have, in the order of the first one.

    Both runs answered `turns` and have a reply to `requests`; `failed` counts requests that failed in either.
    `languages` maps dialogues to languages, as far as a run is scored. `other_words` counts turns at the same position
    of a dialogue of the same name whose references differ: they are excluded.
    """

    turns: tuple[TurnKey, ...]
    requests: tuple[str, ...]
    failed: int
    languages: Mapping[str, Language]
    other_words: int


def turn_of_request(request: str) -> TurnKey:
    """Return dialogue and turn of a request id, which has the form dialogue/turn/step (see `cscbench.asking.plays`)."""
    dialogue, turn, _ = request.rsplit("/", 2)
    return dialogue, int(turn)


def common_turns(a: FinishedRun, b: FinishedRun) -> Common:
    """Return the turns and requests of both runs.

    Raises:
        UserError: there are none, or an unscored run makes it impossible to tell.
    """
    if RunState.UNFINISHED in (a.state, b.state):
        return _common_requests(a, b)
    both = [turn for turn in a.pairs if turn in b.pairs]
    same = [turn for turn in both if reference_of(a.pairs[turn]) == reference_of(b.pairs[turn])]
    if not same:
        raise UserError(
            f"{_names(a, b)} have no turn in common: {describe_difference(a, b)}. "
            "Run both models on the same task and data"
        )
    shared = set(same)
    asked = [request for request in a.replies if request in b.replies and turn_of_request(request) in shared]
    return Common(
        turns=tuple(turn for turn in same if not a.pairs[turn].error and not b.pairs[turn].error),
        requests=tuple(request for request in asked if _answered(a, b, request)),
        failed=sum(1 for request in asked if not _answered(a, b, request)),
        languages={dialogue: a.pairs[dialogue, turn].language for dialogue, turn in same},
        other_words=len(both) - len(same),
    )


def _common_requests(a: FinishedRun, b: FinishedRun) -> Common:
    """Return the common requests of runs that are not both scored; equal data files show that their turns coincide."""
    if a.record.identity.get("data") != b.record.identity.get("data"):
        raise UserError(
            f"{_names(a, b)} use different data; their turns can be matched only if both runs are scored. "
            "Repeat their `cscbench run` commands to finish them"
        )
    asked = [request for request in a.replies if request in b.replies]
    if not asked:
        raise UserError(f"{_names(a, b)} have no request in common: {describe_difference(a, b)}")
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
