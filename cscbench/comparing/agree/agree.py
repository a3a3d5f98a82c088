"""Compare two runs of the same turns: where the replies first diverge, how often, and how that changes each metric.

`agree` does all of it; its parts can be used alone: `common_turns` finds what both runs have, `texts` compares replies,
`scores` compares metrics, `facts` lists other differences.
"""

from cscbench import __version__
from cscbench.asking.store import prompt_key
from cscbench.comparing.agree.common_turns import Common, common_turns
from cscbench.comparing.agree.facts import Fact, facts
from cscbench.comparing.agree.scores import Difference, Strategies, differences, strategies
from cscbench.comparing.agree.texts import Divergence, TextGroup, compare, divergences, groups
from cscbench.comparing.agree.units import TextUnit
from cscbench.runs.finished import FinishedRun, RunState, resampling_over
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Frozen

SCHEMA = "cscbench/agree/1"


class RunSide(Frozen, frozen=True):
    """One of the runs: its folder name, hash, model, state, and number of requests with a reply."""

    name: str
    hash: str
    model: str
    state: RunState
    requests: int


class Scope(Frozen, frozen=True):
    """What was compared (turns and dialogues that both runs answered) and what was left out.

    `failed` requests have no reply in one of the runs; `other_words` counts turns at the same position whose references
    differ; `only_a` and `only_b` count the requests of one run only.
    """

    dialogues: int
    turns: int
    requests: int
    failed: int
    other_words: int
    only_a: int
    only_b: int


class Agreement(Frozen, frozen=True):
    """How far two runs agree. `unit` is the unit of text; `first` is the number of units `identical_first` compares.

    Differences are B minus A; `resampling` describes their intervals. `notes` say what was left out and why.
    """

    schema: str
    cscbench: str
    a: RunSide
    b: RunSide
    scope: Scope
    facts: tuple[Fact, ...]
    unit: str
    first: int
    groups: tuple[TextGroup, ...]
    divergences: tuple[Divergence, ...]
    resampling: str
    differences: tuple[Difference, ...]
    strategies: Strategies | None
    notes: tuple[str, ...]


def agree(a: FinishedRun, b: FinishedRun, unit: TextUnit, first: int = 16, examples: int = 3) -> Agreement:
    """Compare two runs over the turns and requests that both have; the result depends on nothing else.

    Raises:
        UserError: the runs have no turn in common, or a file is damaged.
    """
    both = common_turns(a.read_all(), b.read_all())
    compared = compare(a, b, both, unit)
    resampling = resampling_over((a, b), Resampling())
    metrics, left_out = differences(a, b, both, resampling)
    return Agreement(
        schema=SCHEMA,
        cscbench=__version__,
        a=_run_side(a),
        b=_run_side(b),
        scope=Scope(
            dialogues=len({dialogue for dialogue, _ in both.turns}),
            turns=len(both.turns),
            requests=len(both.requests),
            failed=both.failed,
            other_words=both.other_words,
            only_a=len(set(a.replies) - set(b.replies)),
            only_b=len(set(b.replies) - set(a.replies)),
        ),
        facts=facts(a, b),
        unit=unit.name,
        first=first,
        groups=groups(compared, both, first),
        divergences=divergences(compared, examples),
        resampling=resampling.signature(),
        differences=metrics,
        strategies=strategies(a, b, both),
        notes=(*_notes(a, b, both), *([unit.note] if unit.note else []), *left_out),
    )


def _run_side(run: FinishedRun) -> RunSide:
    answered = sum(1 for line in run.replies.values() if not line.reply.error)
    return RunSide(run.name, run.record.hash, run.record.model.label, run.state, answered)


def _notes(a: FinishedRun, b: FinishedRun, both: Common) -> list[str]:
    notes = []
    for name, run in (("A", a), ("B", b)):
        if run.state is RunState.UNFINISHED:
            notes.append(f"{name} is not finished: only its replies so far are compared")
        elif run.state is RunState.PARTIAL:
            notes.append(f"{name} is partial: the turns it failed on are excluded")
    conditions = (a.record.protocol.condition, b.record.protocol.condition)
    if not both.requests and conditions[0] != conditions[1]:
        notes.append(f"conditions {conditions[0]} and {conditions[1]} send different requests: no texts are compared")
    if any(prompt_key(a.replies[request].key) != prompt_key(b.replies[request].key) for request in both.requests):
        notes.append(
            "some prompts differ (in generated context the history holds the model's earlier replies; prompt files may "
            "differ): `same prompt` counts only requests whose messages are equal"
        )
    return notes
