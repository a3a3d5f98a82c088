"""Files of a run's results: pairs that are its own, ratings that are whole, counts, and the columns of scores."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from cscbench.asking import store
from cscbench.asking.record import EngineRecord
from cscbench.content.csconv import Fault
from cscbench.runs import results
from cscbench.runs.finished import load
from cscbench.scoring.plan import plan_scoring
from cscbench.scoring.score import Measured, Scored
from cscbench.scoring.scorer import ScoringContext
from cscbench.scoring.scorers.rouge import RougeScorer
from cscbench.values import CSC, Condition, Language, ParseForm, Rating, UserError

RUN = load(sorted((Path(__file__).parents[1] / "data/77eb998/runs").iterdir())[0])
PAIRS = list(RUN.pairs.values())
PLAN = plan_scoring(RUN.record, "none", ())
FOLDER = Path("run")


def with_change(row: int, **fields):
    """The run's pairs, one of them changed."""
    pairs = list(PAIRS)
    pairs[row] = msgspec.structs.replace(pairs[row], **fields)
    return pairs


def test_a_runs_own_pairs_pass():
    results.check_pairs(FOLDER, PAIRS, RUN.record, PLAN)
    results.check_pairs(FOLDER, with_change(1, strategy=None), RUN.record, PLAN)
    results.check_pairs(FOLDER, with_change(1, strategy="GT", reference_strategy="OT"), RUN.record, PLAN)


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (with_change(1, dialogue="elsewhere"), "row 1.*'elsewhere'"),
        (with_change(2, turn=PAIRS[0].turn, dialogue=PAIRS[0].dialogue), f"row 2.*{PAIRS[0].dialogue}"),
        (with_change(3, strategy="XX"), "row 3.*'XX'"),
        (with_change(3, reference_strategy="XX"), "row 3.*'XX'"),
        ([pair for pair in PAIRS if pair.dialogue != PAIRS[0].dialogue], f"1 of .*'{PAIRS[0].dialogue}'"),
        ([], f"{len(RUN.record.dialogues)} of .*'{min(RUN.record.dialogues)}'"),
    ],
)
def test_pairs_of_another_run_are_named(pairs, named):
    with pytest.raises(UserError, match=f"(?s){named}"):
        results.check_pairs(FOLDER, pairs, RUN.record, PLAN)


def test_a_pair_in_a_language_that_was_not_played_is_named():
    english = msgspec.structs.replace(PLAN, languages=(Language.EN,))
    zh = next(number for number, pair in enumerate(PAIRS) if pair.language is Language.ZH)
    with pytest.raises(UserError, match="language"):
        results.check_pairs(FOLDER, PAIRS, RUN.record, english)
    assert PAIRS[zh].language in PLAN.languages


def test_the_last_fault_is_named_before_what_is_absent():
    pairs = [pair for pair in PAIRS if pair.dialogue == PAIRS[0].dialogue]
    pairs[0] = msgspec.structs.replace(pairs[0], strategy="XX")
    with pytest.raises(UserError, match="'XX'"):
        results.check_pairs(FOLDER, pairs, RUN.record, PLAN)


def test_pairs_and_ratings_are_read_as_they_were_written():
    FOLDER.mkdir()
    results.write_pairs(FOLDER, PAIRS)
    assert results.read_pairs(FOLDER) == PAIRS
    ratings = [Rating("j", "d", 0, 4.5, (4.0,), (4, 5), 2), Rating("j", "d", 2, None, error="退款")]
    results.write_ratings(FOLDER, ratings)
    assert results.read_ratings(FOLDER) == tuple(ratings)


@pytest.mark.parametrize("content", [None, b"", b"{}\n", b'{"judge":"j","dialogue":"d","turn":0,"score":4}\n{"torn'])
def test_ratings_that_are_missing_or_damaged_are_refused(content):
    FOLDER.mkdir()
    if content is not None:
        (FOLDER / store.RATINGS).write_bytes(content)
    with pytest.raises(UserError, match=store.RATINGS):
        results.read_ratings(FOLDER)


def test_scores_have_a_row_an_answered_turn_and_a_column_a_statistic():
    FOLDER.mkdir()
    pairs = with_change(1, form=ParseForm.FAILED)
    scorer = RougeScorer(ScoringContext((Language.ZH, Language.EN), Condition.JOINT, CSC))
    rows = np.arange((len(pairs) - 1) * len(scorer.columns), dtype=float).reshape(len(pairs) - 1, -1)
    content = results.scores_file(pairs, [Measured("rouge", scorer, rows)])
    (FOLDER / store.SCORES).write_bytes(content)
    table = results.read_scores(FOLDER)
    assert table.turns == tuple((pair.dialogue, pair.turn) for pair in pairs if pair.form is not ParseForm.FAILED)
    assert list(table.columns) == [f"rouge.{name}" for name in scorer.columns]
    for number, name in enumerate(scorer.columns):
        assert table.columns[f"rouge.{name}"].tolist() == rows[:, number].tolist()


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_results_count_what_became_of_each_turn(failed):
    pairs = list(PAIRS)
    for row in range(failed):
        pairs[row] = msgspec.structs.replace(pairs[row], form=ParseForm.FAILED)
    for row in range(5, 8):
        pairs[row] = msgspec.structs.replace(pairs[row], form=ParseForm.UNPARSED)
    data = msgspec.structs.replace(RUN.record.data, faults=(Fault("f", 1, "text", "x"),), notes=("of the data",))
    engine = EngineRecord({"device": "cpu"}, ("of the engine",))
    record = msgspec.structs.replace(RUN.record, data=data, engine=engine)
    scored = Scored(RUN.results.metrics, {}, ())
    built = results.build(
        record, pairs, scored, RUN.results.scoring, None, RUN.results.timing, notes=("of the judges",)
    )
    counts = built.counts
    assert counts.dialogues == len(RUN.record.dialogues)
    assert (counts.turns, counts.answered, counts.failed) == (len(pairs), len(pairs) - failed, failed)
    assert (counts.unparsed, counts.faults) == (3, 1)
    assert built.run.complete is (failed == 0)
    assert built.parse.get(ParseForm.FAILED, 0) == failed
    assert built.notes == ("of the data", "of the engine", "of the judges")
    assert (built.engine.facts, built.engine.key) == ({"device": "cpu"}, store.engine_key(record))


def test_a_run_whose_model_never_loaded_has_no_engine():
    record = msgspec.structs.replace(RUN.record, engine=None)
    scored = Scored((), {}, ())
    assert results.build(record, PAIRS, scored, RUN.results.scoring, None, RUN.results.timing).engine is None
