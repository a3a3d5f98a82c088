"""Export finished runs in the formats of other tools: files by their path in the export folder."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePosixPath

from cscbench.asking.files import write_set
from cscbench.runs.finished import load
from cscbench.runs.results import Results, ScoreTable
from cscbench.values import Frozen, ScoredPair, UserError

Files = Mapping[PurePosixPath, bytes]


class Target(StrEnum):
    """The format of an export."""

    LM_EVAL = "lm-eval"
    HF = "hf"
    CSV = "csv"
    PARQUET = "parquet"
    LATEX = "latex"


class ExportedRun(Frozen, frozen=True):
    """A finished run to export: its results, its turns, and each turn's statistics."""

    results: Results
    pairs: tuple[ScoredPair, ...]
    scores: ScoreTable


def exported(folder: Path) -> ExportedRun:
    """Read a run folder.

    Raises:
        UserError: the run is not finished, or a file is missing or damaged.
    """
    run = load(folder)
    return ExportedRun(run.scored(), tuple(run.pairs.values()), run.statistics)


def export(runs: Sequence[ExportedRun], target: Target, dataset: str = "") -> Files:
    """Return the files of an export; `dataset` is the dataset's Hugging Face Hub id, for `.eval_results`.

    Raises:
        UserError: a run is listed twice, a package is missing, or an export to `hf` has runs of several models.
    """
    from cscbench.publishing.export import hub, lm_eval, tables

    names = [run.results.run.name for run in runs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{min(twice)} is listed twice")
    match target:
        case Target.LM_EVAL:
            return lm_eval.files(runs)
        case Target.HF:
            return hub.files(runs, dataset)
        case Target.CSV:
            return tables.csv_files(runs)
        case Target.PARQUET:
            return tables.parquet_files(runs)
        case Target.LATEX:
            return tables.latex_files(runs)


def write(files: Files, out: Path) -> tuple[Path, ...]:
    """Write all files of an export to `out`, or none, and return their paths. Other files in `out` are not changed.

    Raises:
        UserError: a file cannot be written.
    """
    write_set(out, {str(relative): content for relative, content in files.items()})
    return tuple(out / relative for relative in files)
