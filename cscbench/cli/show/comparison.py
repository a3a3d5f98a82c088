"""What `cscbench compare` prints: an aligned table and notes for its reader."""

from cscbench.cli.show.results import table
from cscbench.comparing.compare import Comparison, Verdict
from cscbench.comparing.rows import HEAD, NUMBERS, rows

_METRIC, _RUN, _BOOTSTRAP = 0, 1, HEAD.index("p bootstrap")


def show_comparison(comparison: Comparison) -> None:
    """Print the runs below each metric's name, then the notes."""
    labels = [run.model for run in comparison.runs]
    models = {run.name: run.model if labels.count(run.model) == 1 else run.name for run in comparison.runs}
    keep = [number for number in range(len(HEAD)) if number != _BOOTSTRAP]
    lines, last = [], ""
    for line in rows(comparison):
        name = "" if line[_METRIC] == last else line[_METRIC]
        last = line[_METRIC]
        lines.append([{_METRIC: name, _RUN: models[line[_RUN]]}.get(number, line[number]) for number in keep])
    baseline = f"{models[comparison.baseline]} ({comparison.baseline})"
    title = f"{comparison.turns} turns of {comparison.dialogues} dialogues, against {baseline}"
    table(title, [HEAD[number] for number in keep], lines, [keep.index(number) for number in NUMBERS if number in keep])
    notes = (*comparison.notes, f"intervals: {comparison.resampling}", f"tests: {comparison.tests}")
    for note in (*_words(comparison), *notes):
        print(f"note: {note}")  # noqa: T201 - standard output is this module's purpose


def _words(comparison: Comparison) -> list[str]:
    """Say what a reader may not conclude."""
    unseen = any(row.verdict is Verdict.NOT_SHOWN for metric in comparison.metrics for row in metric.rows)
    if not unseen:
        return []
    miss = "these dialogues miss a true difference below MDE more than 20 times in 100"
    return [f"`no difference shown` does not mean `equal`: {miss}"]
