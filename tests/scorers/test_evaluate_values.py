"""What becomes of the values that a metric of the evaluate library returns; the metric is made on the spot."""

from types import SimpleNamespace

import numpy as np
import pytest

from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers import evaluate_library
from cscbench.scoring.scorers.evaluate_library import EvaluateScorer
from cscbench.values import CSC, Condition, Language, ParseForm, ScoredPair, UserError

CONTEXT = ScoringContext((Language.EN,), Condition.JOINT, CSC)
TEXT, TEXTS = SimpleNamespace(dtype="string"), SimpleNamespace(dtype="list")


class Metric:
    """Returns what `compute` makes of a text and its reference, and keeps the references that it was given."""

    def __init__(self, compute, references=TEXT, *, several_signatures=False) -> None:
        features = {"predictions": TEXT, "references": references}
        self.features = [features, {"references": TEXTS}] if several_signatures else features
        self.references = []
        self._compute = compute

    def compute(self, predictions, references):
        self.references.append(references)
        return self._compute(predictions[0], references[0])


@pytest.fixture
def scorer(monkeypatch):
    def make(metric, name="some/overlap") -> EvaluateScorer:
        monkeypatch.setattr(evaluate_library, "_load", lambda name: metric)
        return EvaluateScorer(name, CONTEXT)

    return make


def pair(text: str, reference: str = "r") -> ScoredPair:
    return ScoredPair("d", 0, Language.EN, "", "", reference, None, text, ParseForm.GIVEN)


def test_each_number_is_a_mean_over_the_turns_that_have_it(scorer):
    def compute(text, reference):
        values = {"overlap": len(text), "words": [text.count("a") * 10.0]}
        return values if text != "no" else {"words": [1]}

    means = scorer(Metric(compute))
    assert [spec.name for spec in means.metrics] == ["overlap", "overlap_words"]
    assert means.columns == ("overlap", "overlap_turns", "words", "words_turns")
    rows = means.measure([pair("aaaa"), pair("no"), pair("b")])
    assert rows.tolist() == [[4, 1, 40, 1], [0, 0, 1, 1], [1, 1, 0, 1]]
    assert means.summarise(rows.sum(axis=0, keepdims=True))[0] == pytest.approx([2.5, 41 / 3])
    assert np.isnan(means.summarise(np.zeros((1, 4)))).all()
    assert all(spec.signature.startswith("evaluate:overlap|evaluate:") for spec in means.metrics)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (3, 3.0),
        (0.5, 0.5),
        (np.float64(2.0), 2.0),
        ([7.0], 7.0),
        ([1.0, 2.0], None),
        ([], None),
        ("4", None),
        (True, None),
        (None, None),
        (float("nan"), None),
        (float("inf"), None),
        ("text", None),
        ("x", None),
    ],
)
def test_finite_numbers_alone_are_values(scorer, value, kept):
    metric = Metric(lambda text, reference: {"always": 1.0, "sometimes": value})
    row = scorer(metric).measure([pair("t")])[0].tolist()
    assert row == ([1.0, 1, kept, 1] if kept is not None else [1.0, 1])


@pytest.mark.parametrize("result", [None, {}, {"label": "good"}])
def test_a_metric_without_a_number_cannot_score(scorer, result):
    with pytest.raises(UserError, match="overlap"):
        scorer(Metric(lambda text, reference: result))


@pytest.mark.parametrize(
    ("references", "several", "expected"),
    [(TEXT, False, "r"), (TEXTS, False, ["r"]), (object(), False, ["r"]), (TEXT, True, "r")],
)
def test_a_metric_gets_references_as_it_takes_them(scorer, references, several, expected):
    metric = Metric(lambda text, reference: {"overlap": 1.0}, references, several_signatures=several)
    scorer(metric).measure([pair("t")])
    assert metric.references[-1] == [expected]


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("overlap", ["overlap", "overlap_n"]),
        ("a/my-metric/", ["my_metric_overlap", "my_metric_n"]),
        ("..", ["__overlap", "__n"]),
    ],
)
def test_values_are_named_after_the_metric(scorer, name, metrics):
    made = scorer(Metric(lambda text, reference: {"overlap": 1.0, "n": 2.0}), name)
    assert [spec.name for spec in made.metrics] == metrics


def test_a_name_of_nothing_but_marks_is_a_metric_all_the_same(scorer):
    made = scorer(Metric(lambda text, reference: {"n": 2.0}), "")
    assert [spec.name for spec in made.metrics] == ["metric_n"]


def test_a_metric_that_raises_is_told(scorer):
    def compute(text, reference):
        raise RuntimeError("needs a GPU")

    with pytest.raises(UserError, match="RuntimeError: needs a GPU"):
        scorer(Metric(compute))
