"""Which runs a report is about, and which of them are held against which."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from cscbench.content import yaml_file as yamlfile
from cscbench.runs.finished import FinishedRun, load
from cscbench.runs.results import Results
from cscbench.runs.turns import ScoredTurn, scored_turns
from cscbench.values import Frozen, UserError


class StudyKind(StrEnum):
    """What a report tells."""

    RUN = "run"
    COMPARISON = "comparison"
    LADDER = "ladder"
    SIZES = "sizes"
    TREND = "trend"


class Member(Frozen, frozen=True):
    """A run under the name that the report gives it."""

    name: str
    run: FinishedRun
    results: Results
    turns: tuple[ScoredTurn, ...]


class StudyPair(Frozen, frozen=True):
    """Two members, by number: `new` is held against `old`."""

    old: int
    new: int


class Study(Frozen, frozen=True):
    """Runs, and the pairs of them that the report compares."""

    kind: StudyKind
    title: str
    members: tuple[Member, ...]
    pairings: tuple[StudyPair, ...]


class LadderStep(Frozen, frozen=True, forbid_unknown_fields=True):
    """A rung of a ladder: its name, and the run's folder, relative to the file."""

    name: str
    run: str


class LadderFile(Frozen, frozen=True, forbid_unknown_fields=True):
    """The content of a ladder's YAML: from the plainest step to the last."""

    title: str
    steps: tuple[LadderStep, ...]


class Size(Frozen, frozen=True, forbid_unknown_fields=True):
    """A model of one size: the run of its base, and of the tuned one where there is one."""

    name: str
    base: str
    tuned: str = ""


class SizesFile(Frozen, frozen=True, forbid_unknown_fields=True):
    """The content of a sizes' YAML: from the smallest to the largest."""

    title: str
    sizes: tuple[Size, ...]


def of_runs(folders: Sequence[Path]) -> Study:
    """One run; or several, the first being the baseline of the others.

    Raises:
        UserError: a run is given twice, is not finished, or is damaged.
    """
    found = [_member("", folder) for folder in folders]
    members = [_named(one, name) for one, name in zip(found, _names(found), strict=True)]
    pairings = tuple(StudyPair(0, number) for number in range(1, len(members)))
    kind = StudyKind.COMPARISON if pairings else StudyKind.RUN
    names = [one.name for one in members]
    others = " and ".join(names[1:]) if len(names) < 4 else f"{len(names) - 1} runs"
    against = f"{others} against {names[0]}"
    return _study(kind, against if pairings else f"{names[0]} on {members[0].results.task.name}", members, pairings)


def ladder(path: Path) -> Study:
    """The steps of a ladder, each against the one before, and the last against the first.

    Raises:
        UserError: the file is wrong, or a run in it.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "ladder"))
    written = yamlfile.to_struct(path, data, lines, LadderFile)
    if len(written.steps) < 2:
        raise UserError(f"{path}: field `steps`: a ladder has two steps or more")
    members = [_member(step.name, path.parent / step.run) for step in written.steps]
    return _study(StudyKind.LADDER, written.title, members, _climb(len(members)))


def sizes(path: Path) -> Study:
    """Models by size: each tuned one against its base, each size against the next smaller one, and the smaller tuned
    one against the larger base.

    Raises:
        UserError: the file is wrong, or a run in it.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "file of sizes"))
    written = yamlfile.to_struct(path, data, lines, SizesFile)
    if len(written.sizes) < 2:
        raise UserError(f"{path}: field `sizes`: two sizes or more are compared")
    members: list[Member] = []
    places: list[tuple[int, int | None]] = []
    for size in written.sizes:
        base, tuned = len(members), None
        members.append(_member(size.name if not size.tuned else f"{size.name} base", path.parent / size.base))
        if size.tuned:
            tuned = len(members)
            members.append(_member(f"{size.name} tuned", path.parent / size.tuned))
        places.append((base, tuned))
    own = [StudyPair(base, tuned) for base, tuned in places if tuned is not None]
    across = []
    for (small, small_tuned), (large, large_tuned) in pairwise(places):
        across.append(StudyPair(small, large))
        if small_tuned is not None:
            across.append(StudyPair(large, small_tuned))
            across += [] if large_tuned is None else [StudyPair(small_tuned, large_tuned)]
    return _study(StudyKind.SIZES, written.title, members, (*own, *across))


def trend(folders: Sequence[Path]) -> Study:
    """Runs of one model in the order of their dates, each against the one before, and the last against the first.

    Raises:
        UserError: fewer than two runs, runs of several models, or one that is not finished.
    """
    found = sorted((_member("", folder) for folder in folders), key=lambda one: one.results.timing.started)
    models = sorted({one.results.model.name for one in found})
    if len(models) > 1:
        raise UserError(f"a trend is of one model: these runs are of {', '.join(models)}")
    if len(found) < 2:
        raise UserError("a trend needs two runs or more of one model")
    dates = [one.results.timing.started for one in found]
    length = next((most for most in (10, 16, 19) if len({date[:most] for date in dates}) == len(dates)), 19)
    names = _unlike([date[:length].replace("T", " ") for date in dates], [one.run.record.hash for one in found])
    members = [_named(one, name) for one, name in zip(found, names, strict=True)]
    return _study(StudyKind.TREND, f"{models[0]} over time", members, _climb(len(members)))


def _climb(count: int) -> tuple[StudyPair, ...]:
    steps = tuple(StudyPair(number - 1, number) for number in range(1, count))
    return steps if count == 2 else (*steps, StudyPair(0, count - 1))


def _member(name: str, folder: Path) -> Member:
    run = load(folder)
    return Member(name, run, run.scored(), tuple(scored_turns(run)))


def _named(member: Member, name: str) -> Member:
    return Member(name, member.run, member.results, member.turns)


def _study(kind: StudyKind, title: str, members: Sequence[Member], pairings: tuple[StudyPair, ...]) -> Study:
    runs = [one.run.record.name for one in members]
    names = [one.name for one in members]
    if twice := {run for run in runs if runs.count(run) > 1}:
        raise UserError(f"{min(twice)} is given twice")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"the name {min(twice)!r} is given to two runs")
    return Study(kind, title, tuple(members), pairings)


def _names(members: Sequence[Member]) -> list[str]:
    """The model's name where it tells the runs apart; else its label, with how it was played, and with the hash."""
    models = [one.results.model.name for one in members]
    labels = [
        one.results.model.label if models.count(model) > 1 else model
        for one, model in zip(members, models, strict=True)
    ]
    played = [f"{one.results.protocol.context}, {one.results.protocol.condition}" for one in members]
    return _unlike(_unlike(labels, played), [one.run.record.hash for one in members])


def _unlike(names: Sequence[str], further: Sequence[str]) -> list[str]:
    both = zip(names, further, strict=True)
    return [f"{name} ({more})" if names.count(name) > 1 else name for name, more in both]
