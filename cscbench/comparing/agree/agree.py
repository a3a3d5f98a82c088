"""Two runs of the same turns: where their texts first part, how often, and what that does to each metric.

`agree` is one call; its parts serve alone: `common_turns` finds what both have, `texts` compares replies, `scores`
compares metrics, `facts` lists what else differs.
"""

from cscbench import __version__
from cscbench.asking.store import prompt_key
from cscbench.comparing.agree.common_turns import Common, common
from cscbench.comparing.agree.facts import Fact, facts
from cscbench.comparing.agree.scores import Difference, Strategies, differences, strategies
from cscbench.comparing.agree.texts import Parting, TextGroup, compare, divergences, groups
from cscbench.comparing.agree.units import TextUnit
from cscbench.runs.finished import FinishedRun, RunState, resampling_over
from cscbench.scoring.bootstrap import Resampling
from cscbench.values import Frozen

SCHEMA = "cscbench/agree/1"


class RunSide(Frozen, frozen=True):
    """One of the runs: the name of its folder, its model, how far it has come, and its requests with a reply."""

    name: str
    hash: str
    model: str
    state: RunState
    requests: int


class Scope(Frozen, frozen=True):
    """What was compared: turns and dialogues that both answered, and what was left out of it.

    `failed` requests have no reply in one of the runs; `other_words` counts turns of the same name whose references
    differ; `only_a` and `only_b` requests were asked in one run alone.
    """

    dialogues: int
    turns: int
    requests: int
    failed: int
    other_words: int
    only_a: int
    only_b: int


class Agreement(Frozen, frozen=True):
    """How far two runs agree. `unit` says what texts were counted in, `first` how many units `identical_first` means.

    Differences are B less A; `resampling` says how their intervals were made. `notes` say what was left out and why.
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
    divergences: tuple[Parting, ...]
    resampling: str
    differences: tuple[Difference, ...]
    strategies: Strategies | None
    notes: tuple[str, ...]


def agree(a: FinishedRun, b: FinishedRun, unit: TextUnit, first: int = 16, examples: int = 3) -> Agreement:
    """Compare two runs over what both have: the same inputs give the same value, whatever the engines show.

    Raises:
        UserError: they have no turn in common, or a file of one is damaged.
    """
    both = common(a.read_all(), b.read_all())
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
            notes.append(f"{name} is not finished: only the replies that it has are compared")
        elif run.state is RunState.PARTIAL:
            notes.append(f"{name} is partial: turns that it failed on are left out")
    conditions = (a.record.protocol.condition, b.record.protocol.condition)
    if not both.requests and conditions[0] != conditions[1]:
        notes.append(f"conditions {conditions[0]} and {conditions[1]} ask otherwise: no texts are compared")
    if any(prompt_key(a.replies[one].key) != prompt_key(b.replies[one].key) for one in both.requests):
        notes.append(
            "prompts differ where the history holds a model's own earlier replies (generated context) or the prompt "
            "files do: `same prompt` counts only requests whose messages are equal"
        )
    return notes
