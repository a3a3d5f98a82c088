"""Metrics of the evaluate library as scorers, and our scores as one of its metrics; without a network."""

import json
import re
from pathlib import Path

import evaluate
import pytest
from sklearn.metrics import accuracy_score, f1_score

from cscbench.evaluate_metrics import CSC_STRATEGY
from cscbench.scoring.registry import find_scorer
from cscbench.scoring.scorer import ScoringContext
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair, UserError

SETTING = ScoringContext((Language.EN,), Condition.JOINT, CSC)
SCRIPT = """
import datasets
import evaluate


class Overlap(evaluate.Metric):
    def _info(self):
        features = datasets.Features({{"predictions": datasets.Value("string"), "references": {references}}})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        {compute}
"""


@pytest.fixture
def script(tmp_path):
    def write(compute: str, references: str = 'datasets.Value("string")') -> str:
        folder = tmp_path / "overlap"
        folder.mkdir(exist_ok=True)
        (folder / "overlap.py").write_text(SCRIPT.format(compute=compute, references=references), encoding="utf-8")
        return str(folder)

    return write


SAME = 'return {"overlap": float(predictions == references), "length": float(len(predictions[0])), "words": ["x", "y"]}'


def scored_pair(text: str, reference: str) -> ScoredPair:
    return ScoredPair("d", 0, Language.EN, "", "GT", reference, "GT", text, ParseForm.BRACKET)


def test_a_metric_is_its_mean_over_turns(script):
    scorer = find_scorer(f"evaluate:{script(SAME)}")(SETTING)
    assert [spec.name for spec in scorer.metrics] == ["overlap", "overlap_length"]
    sums = scorer.measure([scored_pair("a", "a"), scored_pair("bbb", "a")]).sum(axis=0, keepdims=True)
    assert scorer.summarise(sums)[0] == pytest.approx([0.5, 2.0])


def test_one_with_lists_of_references_gets_lists(script):
    nested = 'datasets.Sequence(datasets.Value("string"))'
    name = script('return {"count": float(len(references[0]))}', nested)
    scorer = find_scorer(f"evaluate:{name}")(SETTING)
    assert scorer.summarise(scorer.measure([scored_pair("a", "b")])) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("compute", "said"),
    [
        ('return {"label": "good"}', "returns no number for two texts"),
        ("raise RuntimeError('needs a GPU')", "cannot compare two texts: RuntimeError: needs a GPU"),
    ],
)
def test_one_that_cannot_score_is_told(script, compute, said):
    with pytest.raises(UserError, match=said):
        find_scorer(f"evaluate:{script(compute)}")(SETTING)


def test_a_metric_that_cannot_be_loaded_is_reported_with_a_fix(cscbench, script):
    done = cscbench("run", "--model", "gold", "--limit", "1", "--encoder", "none", "--scorer", "evaluate:nowhere")
    assert done.returncode == 2
    assert "cannot load evaluate:nowhere" in done.stderr
    assert "or a folder that contains its script" in done.stderr
    name = f"evaluate:{script(SAME)}"
    done = cscbench("run", "--model", "gold", "--limit", "1", "--encoder", "none", "--scorer", name)
    assert done.returncode == 0, done.stderr
    (results_file,) = Path("reports").glob("*/results.json")
    metrics = {metric["name"]: metric for metric in json.loads(results_file.read_text(encoding="utf-8"))["metrics"]}
    assert metrics["overlap"]["value"] == 1.0
    assert metrics["overlap"]["signature"].startswith("evaluate:overlap|evaluate:")


def test_our_strategy_scores_open_offline_and_equal_scikit_learns():
    predictions = ["Greeting", "策略5 情感管理", "no idea", "GT"]
    references = ["GT", "EM", "EM", "ID"]
    computed = evaluate.load(CSC_STRATEGY).compute(predictions=predictions, references=references)
    said = ["GT", "EM", "?", "GT"]
    assert computed["strategy_accuracy"] == pytest.approx(100 * accuracy_score(references, said))
    macro = f1_score(references, said, labels=sorted(set(references)), average="macro", zero_division=0)
    assert computed["strategy_macro_f1"] == pytest.approx(100 * macro)
    assert computed["parse_rate"] == 75


def test_the_page_shows_what_comes_out():
    page = (Path(__file__).parents[2] / "docs/extending.md").read_text(encoding="utf-8")
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "CSC_STRATEGY" in block]
    code, _, shown = block.rpartition("\n# ")
    *before, last = code.strip().splitlines()
    space: dict = {}
    exec("\n".join(before), space)  # noqa: S102 - the page's own example
    assert str(eval(last, space)) == shown.strip()  # noqa: S307
