"""Select the runs of a report and the pairs of them to compare."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from pathlib import Path

from cscbench.content import yaml_file as yamlfile
from cscbench.runs.finished import FinishedRun, load
from cscbench.runs.results import Results
from cscbench.runs.turns import ScoredTurn, scored_turns
from cscbench.values import Frozen, Metric, UserError


class StudyKind(StrEnum):
    """The kind of a report."""

    RUN = "run"
    COMPARISON = "comparison"
    LADDER = "ladder"
    SIZES = "sizes"
    TREND = "trend"


class Member(Frozen, frozen=True):
    """A run and its name in the report."""

    name: str
    run: FinishedRun
    results: Results
    turns: tuple[ScoredTurn, ...]

    def metric(self, name: str) -> Metric | None:
        """Return a metric of the run's results, or None if they do not have it."""
        return next((metric for metric in self.results.metrics if metric.name == name), None)


class StudyPair(Frozen, frozen=True):
    """Two members, by number: `new` is compared with `old`."""

    old: int
    new: int


class Study(Frozen, frozen=True):
    """Runs and the pairs of them that the report compares."""

    kind: StudyKind
    title: str
    members: tuple[Member, ...]
    pairings: tuple[StudyPair, ...]


class LadderStep(Frozen, frozen=True, forbid_unknown_fields=True):
    """A step of a ladder: its name and run folder, relative to the file."""

    name: str
    run: str


class LadderFile(Frozen, frozen=True, forbid_unknown_fields=True):
    """The contents of a ladder file, from the simplest step to the last."""

    title: str
    steps: tuple[LadderStep, ...]


class Size(Frozen, frozen=True, forbid_unknown_fields=True):
    """A model of one size: the runs of its base and, if any, its tuned model."""

    name: str
    base: str
    tuned: str = ""


class SizesFile(Frozen, frozen=True, forbid_unknown_fields=True):
    """The contents of a sizes file, from the smallest to the largest."""

    title: str
    sizes: tuple[Size, ...]


def of_runs(folders: Sequence[Path]) -> Study:
    """Return a study of one run, or of several with the first as their baseline.

    Raises:
        UserError: a run is listed twice, unfinished, or damaged.
    """
    unnamed = [_member("", folder) for folder in folders]
    members = [_named(member, name) for member, name in zip(unnamed, _names(unnamed), strict=True)]
    pairings = tuple(StudyPair(0, number) for number in range(1, len(members)))
    kind = StudyKind.COMPARISON if pairings else StudyKind.RUN
    names = [member.name for member in members]
    others = " and ".join(names[1:]) if len(names) < 4 else f"{len(names) - 1} runs"
    against = f"{others} against {names[0]}"
    return _study(kind, against if pairings else f"{names[0]} on {members[0].results.task.name}", members, pairings)


def ladder(path: Path) -> Study:
    """Return a study of a ladder: each step compared with the previous one, and the last with the first.

    Raises:
        UserError: the file or a run is invalid.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "ladder"))
    file = yamlfile.to_struct(path, data, lines, LadderFile)
    if len(file.steps) < 2:
        raise UserError(f"{path}: `steps` needs at least two steps")
    members = [_member(step.name, path.parent / step.run) for step in file.steps]
    return _study(StudyKind.LADDER, file.title, members, _successive_pairs(len(members)))


def sizes(path: Path) -> Study:
    """Return a study of sizes: each tuned model compared with its base, each size with the next smaller one, and the
    smaller tuned model with the larger base.

    Raises:
        UserError: the file or a run is invalid.
    """
    data, lines = yamlfile.parse(path, yamlfile.read_text(path, "sizes file"))
    file = yamlfile.to_struct(path, data, lines, SizesFile)
    if len(file.sizes) < 2:
        raise UserError(f"{path}: `sizes` needs at least two sizes")
    members: list[Member] = []
    numbers: list[tuple[int, int | None]] = []
    for size in file.sizes:
        base, tuned = len(members), None
        members.append(_member(size.name if not size.tuned else f"{size.name} base", path.parent / size.base))
        if size.tuned:
            tuned = len(members)
            members.append(_member(f"{size.name} tuned", path.parent / size.tuned))
        numbers.append((base, tuned))
    within = [StudyPair(base, tuned) for base, tuned in numbers if tuned is not None]
    across = []
    for (small, small_tuned), (large, large_tuned) in pairwise(numbers):
        across.append(StudyPair(small, large))
        if small_tuned is not None:
            across.append(StudyPair(large, small_tuned))
            across += [] if large_tuned is None else [StudyPair(small_tuned, large_tuned)]
    return _study(StudyKind.SIZES, file.title, members, (*within, *across))


def trend(folders: Sequence[Path]) -> Study:
    """Return a study of one model's runs by date, each compared with the previous one, and the last with the first.

    Raises:
        UserError: fewer than two runs, runs of several models, or an unfinished run.
    """
    unnamed = sorted((_member("", folder) for folder in folders), key=lambda member: member.results.timing.started)
    models = sorted({member.results.model.name for member in unnamed})
    if len(models) > 1:
        raise UserError(f"--trend needs runs of one model; these are from {', '.join(models)}")
    if len(unnamed) < 2:
        raise UserError("--trend needs at least two runs")
    dates = [member.results.timing.started for member in unnamed]
    length = next((length for length in (10, 16, 19) if len({date[:length] for date in dates}) == len(dates)), 19)
    shortened = [date[:length].replace("T", " ") for date in dates]
    names = _made_unique(shortened, [member.run.record.hash for member in unnamed])
    members = [_named(member, name) for member, name in zip(unnamed, names, strict=True)]
    return _study(StudyKind.TREND, f"{models[0]} over time", members, _successive_pairs(len(members)))


def _successive_pairs(count: int) -> tuple[StudyPair, ...]:
    steps = tuple(StudyPair(number - 1, number) for number in range(1, count))
    return steps if count == 2 else (*steps, StudyPair(0, count - 1))


def _member(name: str, folder: Path) -> Member:
    run = load(folder)
    return Member(name, run, run.scored(), tuple(scored_turns(run)))


def _named(member: Member, name: str) -> Member:
    return Member(name, member.run, member.results, member.turns)


def _study(kind: StudyKind, title: str, members: Sequence[Member], pairings: tuple[StudyPair, ...]) -> Study:
    runs = [member.run.record.name for member in members]
    names = [member.name for member in members]
    if twice := {run for run in runs if runs.count(run) > 1}:
        raise UserError(f"{min(twice)} is listed twice")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"two runs have the name {min(twice)!r}: rename one")
    return Study(kind, title, tuple(members), pairings)


def _names(members: Sequence[Member]) -> list[str]:
    """Name each run by its model, adding its label, its protocol and its hash as far as needed to make names unique."""
    results = [member.results for member in members]
    models = [result.model.name for result in results]
    labels = [result.model.label if models.count(result.model.name) > 1 else result.model.name for result in results]
    protocols = [f"{result.protocol.context}, {result.protocol.condition}" for result in results]
    return _made_unique(_made_unique(labels, protocols), [member.run.record.hash for member in members])


def _made_unique(names: Sequence[str], details: Sequence[str]) -> list[str]:
    pairs = zip(names, details, strict=True)
    return [f"{name} ({detail})" if names.count(name) > 1 else name for name, detail in pairs]
