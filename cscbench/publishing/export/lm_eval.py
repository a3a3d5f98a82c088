"""Export results_DATE.json and samples_TASK_DATE.jsonl of lm-evaluation-harness, in the format of its version 0.4.13.

Values stay on cscbench's scale of 0 to 100. A standard error is half the width of the 95% interval, divided by 1.96.
"""

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from cscbench.publishing.export import ExportedRun, Files
from cscbench.values import Metric, ParseForm, ScoredPair

_Z = 1.959964
_FILTER = "none"
# Per-turn values, if the run was scored with them, and the statistic that holds each.
_PER_TURN = {"rouge_l": "rouge.f1", "rouge_l_ascii": "rouge.f1_ascii", "bertscore_f1": "bertscore.f1"}


def files(runs: Sequence[ExportedRun]) -> Files:
    """Return two files per run, in a folder named after the model as lm-eval names it."""
    contents: dict[PurePosixPath, bytes] = {}
    for run in runs:
        folder = PurePosixPath(model_folder(run.results.model.label))
        date = run.results.timing.finished.replace(":", "-")
        name = task_name(run)
        results = json.dumps(results_of(run), indent=2, ensure_ascii=False, allow_nan=False)
        samples = [json.dumps(sample, ensure_ascii=False, allow_nan=False) for sample in samples_of(run)]
        contents[folder / f"results_{name}_{date}.json"] = results.encode() + b"\n"
        contents[folder / f"samples_{name}_{date}.jsonl"] = "".join(line + "\n" for line in samples).encode()
    return contents


def model_folder(label: str) -> str:
    """Return a folder name for a model, with lm-eval's replacements; it is never a path to another folder."""
    safe = re.sub(r'[\x00-\x1f"<>:/|\\?*\[\]]+', "__", label)[:120]
    return safe if safe.strip(". ") else "__"


def task_name(run: ExportedRun) -> str:
    """Return one lm-eval task name for task, context and condition."""
    results = run.results
    return re.sub(r"\W", "_", f"{results.task.name}_{results.protocol.context}_{results.protocol.condition}")


def results_of(run: ExportedRun) -> dict[str, Any]:
    """Return the contents of results_DATE.json."""
    results, name = run.results, task_name(run)
    signatures = {metric.name: metric.signature for metric in results.metrics}
    config = {
        "task": name,
        "dataset_name": results.task.name,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "metadata": {"version": results.cscbench, "scale": "0-100", "signatures": signatures},
    }
    return {
        "results": {name: {"alias": name, "sample_len": results.counts.turns, **_values(results.metrics)}},
        "group_subtasks": {name: []},
        "configs": {name: config},
        "versions": {name: results.cscbench},
        "n-shot": {name: 0},
        "higher_is_better": {name: {metric.name: metric.higher_is_better for metric in results.metrics}},
        "n-samples": {name: {"original": results.counts.turns, "effective": results.counts.answered}},
        "config": {
            "model": results.model.adapter,
            "model_args": {"pretrained": results.model.weights, "peft": results.model.lora},
            "random_seed": results.protocol.seed,
        },
        "git_hash": None,
        "date": None,
        "task_hashes": {name: _hash("".join(file.sha256 for file in results.data.files))},
        "model_source": results.model.adapter,
        "model_name": results.model.label,
        "model_name_sanitized": model_folder(results.model.label),
        "start_time": results.timing.started,
        "end_time": results.timing.finished,
        "cscbench": {"run": results.run.name, "hash": results.run.hash},
    }


def _values(metrics: Sequence[Metric]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for metric in metrics:
        known = metric.low is not None and metric.high is not None
        error = (metric.high - metric.low) / 2 / _Z if known else "N/A"  # type: ignore[operator]
        values[f"{metric.name},{_FILTER}"] = metric.value
        values[f"{metric.name}_stderr,{_FILTER}"] = error
    return values


def samples_of(run: ExportedRun) -> list[dict[str, Any]]:
    """Return a sample per turn. Predictions do not hold the prompt, so `arguments` is empty."""
    rows = {turn: number for number, turn in enumerate(run.scores.turns)}
    return [_sample(run, number, pair, rows.get((pair.dialogue, pair.turn))) for number, pair in enumerate(run.pairs)]


def _sample(run: ExportedRun, number: int, pair: ScoredPair, row: int | None) -> dict[str, Any]:
    doc = {
        "dialogue": pair.dialogue,
        "turn": pair.turn,
        "language": pair.language.value,
        "topic": pair.topic,
        "reference_strategy": pair.reference_strategy,
        "strategy": pair.strategy,
    }
    values: dict[str, float] = {}
    if pair.form is not ParseForm.FAILED:
        names = {metric.name for metric in run.results.metrics}
        if "strategy_accuracy" in names:
            values["strategy_accuracy"] = 100.0 * (pair.strategy == pair.reference_strategy)
        if row is not None:
            columns = {name: key for name, key in _PER_TURN.items() if key in run.scores.columns}
            values.update({name: 100.0 * float(run.scores.columns[key][row]) for name, key in columns.items()})
    return {
        "doc_id": number,
        "doc": doc,
        "target": pair.reference,
        "arguments": {},
        "resps": [[pair.text]],
        "filtered_resps": [pair.text],
        "filter": _FILTER,
        "metrics": list(values),
        "doc_hash": _hash(json.dumps(doc, ensure_ascii=False)),
        "prompt_hash": _hash(""),
        "target_hash": _hash(pair.reference),
        **values,
    }


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
