"""Write reports on one run, runs compared with a baseline, a ladder, model sizes, or a trend.

`study` reads the runs, `findings` tests pairs of them, `document` puts the results into words and tables, and `html`
and `markdown` render the document.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cscbench.asking.files import write_set
from cscbench.publishing.report.blocks import Document
from cscbench.publishing.report.document import document
from cscbench.publishing.report.findings import findings
from cscbench.publishing.report.html import html
from cscbench.publishing.report.markdown import markdown
from cscbench.publishing.report.study import Study
from cscbench.runs.turns import TaskText, read_task_text
from cscbench.scoring.bootstrap import Resampling


class ReportFormat(StrEnum):
    """The format of a report; the value is its file extension."""

    HTML = "html"
    MARKDOWN = "md"


def report(study: Study, resampling: Resampling) -> Document:
    """Return a study as a document. Customers' texts come from the task, if its data are those of the runs.

    Raises:
        UserError: two runs to compare have no turn in common.
    """
    first = study.members[0].results
    task_text = read_task_text(first.task.name, with_dialogues=True)
    if task_text.data != tuple(file.sha256 for file in first.data.files):
        task_text = TaskText(task_text.strategies, {}, (), "")
    return document(study, findings(study, resampling), task_text)


def write(report: Document, formats: Sequence[ReportFormat], out: Path) -> tuple[Path, ...]:
    """Write a report in these formats to a folder, all files or none, and return their paths.

    Raises:
        UserError: the folder cannot be written.
    """
    render = {ReportFormat.HTML: html, ReportFormat.MARKDOWN: markdown}
    contents = {f"report.{chosen}": render[chosen](report).encode("utf-8", "replace") for chosen in formats}
    write_set(out, contents)
    return tuple(out / name for name in contents)
