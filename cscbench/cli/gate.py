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
@click.option("--rules", required=True, type=click.Path(path_type=Path), help="The YAML file of rules (docs/gate.md).")
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    help="The run to compare with: a run folder or a results.json.  [default: the one in the rules]",
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
    """Check the run in folder RUN against rules: floors, or margins to a baseline, on confidence bounds.

    Exit codes: 0 passed, 1 regressed, 2 invalid input, 3 the run is broken or partial, 4 too little data to tell.
    """
    from cscbench.publishing import gate_report as report

    verdict = apply_gate(run, read_gate(rules, baseline))
    if junit_file is not None:
        _write(junit_file, report.junit(verdict), "w")
    if summary is not None:
        _write(summary, report.summary(verdict), "a")
    ctx.exit(verdict.code)


def read_gate(rules: Path, baseline: Path | None) -> Gate:
    """Read the rules, and the baseline if a rule compares with one.

    Raises:
        UserError: a file is missing or invalid, or a rule that compares has no baseline.
    """
    from cscbench.comparing.gate.evidence import read_baseline
    from cscbench.comparing.gate.rules import read_rules
    from cscbench.values import UserError

    checked = read_rules(rules)
    path = baseline or checked.baseline
    if path is None and checked.needs_baseline:
        raise UserError(f"{rules}: a rule with `margin` compares with a baseline: add --baseline RUN, or `baseline:`")
    return checked, read_baseline(path) if path is not None and checked.needs_baseline else None


def apply_gate(run: Path, gate: Gate) -> "GateVerdict":
    """Check a run against a gate, and print a line for each rule."""
    from cscbench.comparing.gate.evidence import check_run
    from cscbench.publishing import gate_report as report
    from cscbench.scoring.bootstrap import Resampling

    verdict = check_run(run, *gate, Resampling())
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
