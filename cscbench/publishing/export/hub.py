"""A model card with `model-index`, and `.eval_results`, as the Hugging Face Hub reads them; made by huggingface_hub."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from cscbench.content.extras import require_extra
from cscbench.publishing.export import ExportedRun, Files
from cscbench.publishing.formats import markdown
from cscbench.values import UserError

_HEAD = ("task", "context", "condition", "metric", "value", "95 %", "turns")


def files(runs: Sequence[ExportedRun], dataset: str) -> Files:
    """README.md; with `dataset`, `.eval_results/cscbench.yaml` too: the Hub knows a result by its dataset's id there.

    Raises:
        UserError: runs of several models: a card is of one; or the id is none.
    """
    require_extra("hf", ["huggingface_hub"], "model cards of the Hub")
    labels = sorted({run.results.model.label for run in runs})
    if len(labels) > 1:
        raise UserError(f"a model card is of one model, the runs are of {', '.join(labels)}: export each by itself")
    found = {PurePosixPath("README.md"): _card(labels[0], runs)}
    if dataset:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
            raise UserError(f"--dataset {dataset!r}: an id of the Hub is OWNER/NAME")
        found[PurePosixPath(".eval_results/cscbench.yaml")] = _eval_results(runs, dataset)
    return found


def _card(label: str, runs: Sequence[ExportedRun]) -> bytes:
    from huggingface_hub import ModelCardData
    from huggingface_hub.repocard_data import EvalResult

    results = [
        EvalResult(
            task_type="text-generation",
            task_name="Customer-support conversation",
            dataset_type=found.task.name,
            dataset_name=found.task.title,
            dataset_config=f"{found.protocol.context.value}, {found.protocol.condition.value}",
            dataset_split="test",
            metric_type=metric.name,
            metric_name=metric.name,
            metric_value=metric.value,
            metric_args={"low": metric.low, "high": metric.high, "n": metric.n, "signature": metric.signature},
        )
        for found in (run.results for run in runs)
        for metric in found.metrics
    ]
    languages = sorted({language.value for run in runs for language in run.results.task.languages})
    data = ModelCardData(language=languages, model_name=label, eval_results=results, tags=["cscbench"])
    return f"---\n{data.to_yaml()}\n---\n\n{_table(runs)}".encode()


def _table(runs: Sequence[ExportedRun]) -> str:
    rows = []
    for found in (run.results for run in runs):
        played = (found.task.name, found.protocol.context.value, found.protocol.condition.value)
        for m in found.metrics:
            interval = "" if m.low is None or m.high is None else f"{m.low:.2f} to {m.high:.2f}"
            rows.append((*played, m.name, f"{m.value:.2f}", interval, str(m.n)))
    return f"## Customer-support conversation, by cscbench\n\n{markdown(_HEAD, rows)}"


def _eval_results(runs: Sequence[ExportedRun], dataset: str) -> bytes:
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=dataset,
            task_id=f"{metric.name}_{found.protocol.context.value}_{found.protocol.condition.value}",
            value=metric.value,
            date=found.timing.finished,
            notes=metric.signature,
        )
        for found in (run.results for run in runs)
        for metric in found.metrics
    ]
    text: str = yaml.safe_dump(eval_result_entries_to_yaml(entries), allow_unicode=True, sort_keys=False)
    return text.encode()
