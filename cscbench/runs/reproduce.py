"""The command that makes a run again."""

import shlex

from cscbench.asking.record import RunRecord
from cscbench.runs.results import Results
from cscbench.values import JudgingRecord, Level


def command_of(run: RunRecord, results: Results) -> str:
    """Return the command that repeats the run, as far as run.json knows: paths of the machine are named PATH."""
    protocol = run.protocol
    words = ["cscbench", "run", "--model", run.model.name, "--task", run.task.name]
    words += ["--lora", "PATH"] if run.model.lora else []
    words += ["--context", protocol.context.value, "--condition", protocol.condition.value]
    words += ["--language", protocol.language.value] if protocol.language else []
    words += ["--limit", str(protocol.limit)] if protocol.limit else []
    words += ["--seed", str(protocol.seed)] if protocol.seed else []
    further = [name for name in results.scoring.scorers if name not in (*run.task.scorers, "stars")]
    for name in further:
        words += ["--scorer", name]
    encoder = results.scoring.encoder.partition("@")[0] or ("none" if "bertscore" in run.task.scorers else "")
    words += ["--encoder", encoder] if encoder != run.task.encoder and encoder else []
    overrides = [text for text in protocol.overrides if not text.startswith(("card.lora=", "judge."))]
    if results.scoring.judging is not None:
        words += ["--judge", ",".join(judge.label for judge in results.scoring.judging.judges)]
        overrides += _judging(results.scoring.judging)
    for override in overrides:
        words += ["--set", override]
    return shlex.join(words)


def _judging(judging: JudgingRecord) -> list[str]:
    level = [] if judging.level is Level.TURN else [f"judge.level={judging.level}"]
    repeats = {judge.score.rpartition(":")[2] for judge in judging.judges}
    usual = all(judge.score in ("expected,repeats:1", "mean,repeats:3") for judge in judging.judges)
    return level if usual or len(repeats) > 1 else [*level, f"judge.repeats={min(repeats)}"]
