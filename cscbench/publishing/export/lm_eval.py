"""lm-evaluation-harness's results_DATE.json and samples_TASK_DATE.jsonl (as its version 0.4.13 writes and reads them).

Values keep cscbench's scale of 0 to 100. A standard error is what the 95 % interval implies: half its width / 1.96.
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
# A turn's own values, where the run was scored with them: the statistic, and what to divide it by.
_PER_TURN = {"rouge_l": "rouge.f1", "rouge_l_ascii": "rouge.f1_ascii", "bertscore_f1": "bertscore.f1"}


def files(runs: Sequence[ExportedRun]) -> Files:
    """Two files a run, in a folder named by its model as lm-eval names it."""
    found: dict[PurePosixPath, bytes] = {}
    for run in runs:
        folder = PurePosixPath(model_folder(run.results.model.label))
        date = run.results.timing.finished.replace(":", "-")
        name = task_name(run)
        results = json.dumps(results_of(run), indent=2, ensure_ascii=False, allow_nan=False)
        samples = [json.dumps(one, ensure_ascii=False, allow_nan=False) for one in samples_of(run)]
        found[folder / f"results_{name}_{date}.json"] = results.encode() + b"\n"
        found[folder / f"samples_{name}_{date}.jsonl"] = "".join(line + "\n" for line in samples).encode()
    return found


def model_folder(label: str) -> str:
    """A model's name as the name of a folder: lm-eval's replacements, and no dots or separators that lead elsewhere."""
    safe = re.sub(r'[\x00-\x1f"<>:/|\\?*\[\]]+', "__", label)[:120]
    return safe if safe.strip(". ") else "__"


def task_name(run: ExportedRun) -> str:
    """Task, context and condition as one task of lm-eval's, which has no contexts."""
    found = run.results
    return re.sub(r"\W", "_", f"{found.task.name}_{found.protocol.context}_{found.protocol.condition}")


def results_of(run: ExportedRun) -> dict[str, Any]:
    """The content of results_DATE.json."""
    found, name = run.results, task_name(run)
    signatures = {metric.name: metric.signature for metric in found.metrics}
    config = {
        "task": name,
        "dataset_name": found.task.name,
        "output_type": "generate_until",
        "num_fewshot": 0,
        "metadata": {"version": found.cscbench, "scale": "0-100", "signatures": signatures},
    }
    return {
        "results": {name: {"alias": name, "sample_len": found.counts.turns, **_values(found.metrics)}},
        "group_subtasks": {name: []},
        "configs": {name: config},
        "versions": {name: found.cscbench},
        "n-shot": {name: 0},
        "higher_is_better": {name: {metric.name: metric.higher_is_better for metric in found.metrics}},
        "n-samples": {name: {"original": found.counts.turns, "effective": found.counts.answered}},
        "config": {
            "model": found.model.adapter,
            "model_args": {"pretrained": found.model.weights, "peft": found.model.lora},
            "random_seed": found.protocol.seed,
        },
        "git_hash": None,
        "date": None,
        "task_hashes": {name: _hash("".join(file.sha256 for file in found.data.files))},
        "model_source": found.model.adapter,
        "model_name": found.model.label,
        "model_name_sanitized": model_folder(found.model.label),
        "start_time": found.timing.started,
        "end_time": found.timing.finished,
        "cscbench": {"run": found.run.name, "hash": found.run.hash},
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
    """A line a turn, as lm-eval logs samples. The prompt is not in a run's predictions, so `arguments` is empty."""
    rows = {place: number for number, place in enumerate(run.scores.turns)}
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
            columns = {name: own for name, own in _PER_TURN.items() if own in run.scores.columns}
            values.update({name: 100.0 * float(run.scores.columns[own][row]) for name, own in columns.items()})
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
