"""What `cscbench compare` prints: one aligned table, and what a reader must know beside it."""

from cscbench.cli.show.results import table
from cscbench.comparing.compare import Comparison, Verdict
from cscbench.publishing.formats import HEAD, NUMBERS, rows

_METRIC, _RUN, _BOOTSTRAP = 0, 1, HEAD.index("p bootstrap")


def show_comparison(found: Comparison) -> None:
    """Each metric's name once, the runs below it; then the notes."""
    labels = [run.model for run in found.runs]
    models = {run.name: run.model if labels.count(run.model) == 1 else run.name for run in found.runs}
    keep = [number for number in range(len(HEAD)) if number != _BOOTSTRAP]
    lines, last = [], ""
    for line in rows(found):
        name = "" if line[_METRIC] == last else line[_METRIC]
        last = line[_METRIC]
        lines.append([{_METRIC: name, _RUN: models[line[_RUN]]}.get(number, line[number]) for number in keep])
    title = f"{found.turns} turns of {found.dialogues} dialogues, against {models[found.baseline]} ({found.baseline})"
    table(title, [HEAD[number] for number in keep], lines, [keep.index(number) for number in NUMBERS if number in keep])
    for note in (*_words(found), *found.notes, f"intervals: {found.resampling}", f"tests: {found.tests}"):
        print(f"note: {note}")  # noqa: T201 - standard output is this module's purpose


def _words(found: Comparison) -> list[str]:
    """What a reader may not conclude."""
    unseen = any(row.verdict is Verdict.NOT_SHOWN for metric in found.metrics for row in metric.rows)
    if not unseen:
        return []
    return ["`no difference shown` is not `equal`: true differences below MDE go unseen more than 20 times in 100"]
