"""Reports: one run, runs against a baseline, a ladder, sizes, a trend; each as HTML, Markdown and LaTeX.

One straight line: `study` reads the runs, `findings` tests pairs of them, `document` says it in words and tables,
`html`, `markdown` and `latex` render that.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

from cscbench.asking.files import write_set
from cscbench.publishing.report.blocks import Document
from cscbench.publishing.report.document import document
from cscbench.publishing.report.findings import findings
from cscbench.publishing.report.html import html
from cscbench.publishing.report.latex import latex
from cscbench.publishing.report.markdown import markdown
from cscbench.publishing.report.study import Study
from cscbench.runs.turns import TaskText, read_task_text
from cscbench.scoring.bootstrap import Resampling


class ReportFormat(StrEnum):
    """A form of a report, and how its file's name ends."""

    HTML = "html"
    MARKDOWN = "md"
    LATEX = "tex"


def report(study: Study, resampling: Resampling) -> Document:
    """A study as a document. Customers' words come from the task, where its data are those of the runs.

    Raises:
        UserError: two runs to compare have no turn in common.
    """
    first = study.members[0].results
    source = read_task_text(first.task.name, with_dialogues=True)
    if source.data != tuple(file.sha256 for file in first.data.files):
        source = TaskText(source.strategies, {}, (), "")
    return document(study, findings(study, resampling), source)


def write(found: Document, forms: Sequence[ReportFormat], out: Path) -> tuple[Path, ...]:
    """Write `report.html` and its like into a folder, all or none; gives their paths.

    Raises:
        UserError: the folder cannot be written.
    """
    render = {ReportFormat.HTML: html, ReportFormat.MARKDOWN: markdown, ReportFormat.LATEX: latex}
    contents = {f"report.{form}": render[form](found).encode("utf-8", "replace") for form in forms}
    write_set(out, contents)
    return tuple(out / name for name in contents)
