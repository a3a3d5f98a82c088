"""The command that makes a run again."""

import shlex

from cscbench.asking.record import RunRecord
from cscbench.runs.results import Results


def command_of(run: RunRecord, found: Results) -> str:
    """The command that makes the run again, as far as run.json knows: folders of the machine are named PATH."""
    protocol = run.protocol
    words = ["cscbench", "run", "--model", run.model.name, "--task", run.task.name]
    words += ["--lora", "PATH"] if run.model.lora else []
    words += ["--context", protocol.context.value, "--condition", protocol.condition.value]
    words += ["--language", protocol.language.value] if protocol.language else []
    words += ["--limit", str(protocol.limit)] if protocol.limit else []
    words += ["--seed", str(protocol.seed)] if protocol.seed else []
    further = [name for name in found.scoring.scorers if name not in (*run.task.scorers, "stars")]
    for name in further:
        words += ["--scorer", name]
    encoder = found.scoring.encoder.partition("@")[0] or ("none" if "bertscore" in run.task.scorers else "")
    words += ["--encoder", encoder] if encoder != run.task.encoder and encoder else []
    if found.scoring.judging is not None:
        words += ["--judge", ",".join(judge.label for judge in found.scoring.judging.judges)]
    return shlex.join(words)
