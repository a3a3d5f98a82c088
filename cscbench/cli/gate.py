"""`cscbench gate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cscbench.comparing.gate.evidence import Baseline
    from cscbench.comparing.gate.rules import Rules
    from cscbench.comparing.gate.verdict import GateVerdict

Gate = tuple["Rules", "Baseline | None"]


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--rules", required=True, type=click.Path(path_type=Path), help="A YAML file of rules (docs/gate.md).")
@click.option(
    "--baseline", type=click.Path(path_type=Path), help="A run folder, or a results.json.  [default: the rules']"
)
@click.option("--junit", "junit_file", type=click.Path(path_type=Path), help="Write JUnit XML here.")
@click.option("--summary", type=click.Path(path_type=Path), help="Append a Markdown summary here.")
@click.pass_context
def gate(
    ctx: click.Context,
    run: Path,
    rules: Path,
    baseline: Path | None,
    junit_file: Path | None,
    summary: Path | None,
) -> None:
    """Judge the run in folder RUN by rules, against a baseline or fixed values, on confidence bounds.

    Exit codes: 0 passed, 1 regressed, 2 a mistake in what was given, 3 the run is broken or partial, 4 too little data
    to tell.
    """
    from cscbench.publishing import gate_report as report

    verdict = judge_run(run, read_gate(rules, baseline))
    if junit_file is not None:
        _write(junit_file, report.junit(verdict), "w")
    if summary is not None:
        _write(summary, report.summary(verdict), "a")
    ctx.exit(verdict.code)


def read_gate(rules: Path, baseline: Path | None) -> Gate:
    """Rules and the baseline that they compare with, if they do.

    Raises:
        UserError: either is not to be had, or a rule that compares has no baseline.
    """
    from cscbench.comparing.gate.evidence import read_baseline
    from cscbench.comparing.gate.rules import read_rules
    from cscbench.values import UserError

    read = read_rules(rules)
    where = baseline or read.baseline
    if where is None and read.needs_baseline:
        raise UserError(f"{rules}: a rule with `margin` compares with a baseline: give --baseline RUN, or `baseline:`")
    return read, read_baseline(where) if where is not None and read.needs_baseline else None


def judge_run(run: Path, read: Gate) -> "GateVerdict":
    """Judge a run, and print a line a rule."""
    from cscbench.comparing.gate.evidence import check_run
    from cscbench.publishing import gate_report as report
    from cscbench.scoring.bootstrap import Resampling

    verdict = check_run(run, *read, Resampling())
    click.echo("\n".join(report.lines(verdict)))
    return verdict


def _write(path: Path, text: str, mode: str) -> None:
    from cscbench.values import UserError

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UserError(f"{path}: cannot write: {error.strerror}") from None
