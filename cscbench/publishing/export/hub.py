"""Export a model card with `model-index`, and `.eval_results`, for the Hugging Face Hub."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from cscbench.content.extras import require_extra
from cscbench.publishing.export import ExportedRun, Files
from cscbench.publishing.export.tables import PRINTED_HEAD, printed_rows
from cscbench.publishing.formats import markdown
from cscbench.values import UserError


def files(runs: Sequence[ExportedRun], dataset: str) -> Files:
    """Return README.md, and with `dataset` also `.eval_results/cscbench.yaml`, where the Hub looks up the dataset id.

    Raises:
        UserError: the runs have different models, or `dataset` is not a Hub id.
    """
    require_extra("hf", ["huggingface_hub"], "writing a model card")
    labels = sorted({run.results.model.label for run in runs})
    if len(labels) > 1:
        raise UserError(
            f"a model card describes one model; these runs are from {', '.join(labels)}. Export each model separately"
        )
    contents = {PurePosixPath("README.md"): _card(labels[0], runs)}
    if dataset:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
            raise UserError(f"--dataset {dataset!r}: a Hub dataset id has the form OWNER/NAME")
        contents[PurePosixPath(".eval_results/cscbench.yaml")] = _eval_results(runs, dataset)
    return contents


def _card(label: str, runs: Sequence[ExportedRun]) -> bytes:
    from huggingface_hub import ModelCardData
    from huggingface_hub.repocard_data import EvalResult

    values = [
        EvalResult(
            task_type="text-generation",
            task_name="Customer-support conversation",
            dataset_type=results.task.name,
            dataset_name=results.task.title,
            dataset_config=f"{results.protocol.context.value}, {results.protocol.condition.value}",
            dataset_split="test",
            metric_type=metric.name,
            metric_name=metric.name,
            metric_value=metric.value,
            metric_args={"low": metric.low, "high": metric.high, "n": metric.n, "signature": metric.signature},
        )
        for results in (run.results for run in runs)
        for metric in results.metrics
    ]
    languages = sorted({language.value for run in runs for language in run.results.task.languages})
    data = ModelCardData(language=languages, model_name=label, eval_results=values, tags=["cscbench"])
    return f"---\n{data.to_yaml()}\n---\n\n{_table(runs)}".encode()


def _table(runs: Sequence[ExportedRun]) -> str:
    rows = [row[1:] for row in printed_rows(runs)]  # the card names the model
    return f"## Customer-support conversation, by cscbench\n\n{markdown(PRINTED_HEAD[1:], rows)}"


def _eval_results(runs: Sequence[ExportedRun], dataset: str) -> bytes:
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=dataset,
            task_id=f"{metric.name}_{results.protocol.context.value}_{results.protocol.condition.value}",
            value=metric.value,
            date=results.timing.finished,
            notes=metric.signature,
        )
        for results in (run.results for run in runs)
        for metric in results.metrics
    ]
    text: str = yaml.safe_dump(eval_result_entries_to_yaml(entries), allow_unicode=True, sort_keys=False)
    return text.encode()
