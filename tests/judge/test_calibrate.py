"""`cscbench calibrate judge`: who is fit, who is not, and who has drifted; its numbers by the libraries' own."""

import csv
import json
from functools import partial
from pathlib import Path

import krippendorff
import pytest
from fault_server import FaultServer
from judge_help import judge_card, replied, says, verdict
from scipy.stats import kendalltau, spearmanr
from sklearn.metrics import cohen_kappa_score

from cscbench.judging.bias import alpha, kappa, kendall, spearman
from cscbench.judging.calibrate import ordered
from cscbench.scoring import bootstrap

ANCHORS = Path(__file__).parents[2] / "tasks" / "csconv_sample" / "anchors.csv"
ROWS = list(csv.DictReader(ANCHORS.read_text(encoding="utf-8").splitlines(keepends=True)))


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    """The intervals are not what is tested here, and a kappa takes scikit-learn a millisecond."""
    monkeypatch.setattr(bootstrap, "Resampling", partial(bootstrap.Resampling, 200))


def rating_of(call) -> int:
    """People's rating of the displayed conversation."""
    shown = replied(call)
    (row,) = [
        row
        for row in ROWS
        if all(line.split("：")[-1].split(": ")[-1] in shown for line in row["conversation"].splitlines())
    ]
    return int(row["rating"])


def calibrate(cscbench, url: str, *args: object, **card: object):
    done = cscbench("calibrate", "judge", "--judge", judge_card(url, **card), *args)
    folder = Path(done.stdout.splitlines()[-1]) if done.stdout else Path()
    calibration = json.loads((folder / "calibration.json").read_text(encoding="utf-8")) if done.stdout else {}
    return done, calibration


def test_a_judge_that_ranks_well_is_fit_and_its_numbers_are_the_libraries(cscbench):
    stars = {1: 2, 3: 3, 5: 4}  # right in order, timid in size
    with FaultServer(answer=says(lambda call: verdict(stars[rating_of(call)]))) as server:
        done, calibration = calibrate(cscbench, server.url)
        asked = len(server.asked())
        again, same = calibrate(cscbench, server.url)
        assert len(server.asked()) == asked  # all was on disk
    assert (done.returncode, again.returncode) == (0, 0)
    assert calibration["rows"] == same["rows"]
    assert "fit: judge" in done.stdout
    scores, people = zip(*((row["score"], row["rating"]) for row in calibration["rows"]), strict=True)
    assert calibration["spearman"]["value"] == pytest.approx(spearmanr(scores, people).statistic)
    assert calibration["kendall"]["value"] == pytest.approx(kendalltau(scores, people).statistic)
    labels = [1, 2, 3, 4, 5]
    assert calibration["kappa"]["value"] == pytest.approx(
        cohen_kappa_score(scores, people, weights="quadratic", labels=labels)
    )
    assert calibration["mae"]["value"] == pytest.approx(2 / 3)
    assert calibration["order"]["value"] == 100
    assert calibration["map"] == {"judge": [2, 3, 4], "human": [1, 3, 5]}
    assert calibration["repeat_deviation"] == 0


def test_one_that_says_the_same_of_all_is_unfit(cscbench):
    with FaultServer(answer=says(lambda _: verdict(4))) as server:
        done, calibration = calibrate(cscbench, server.url)
    assert done.returncode == 1
    assert "unfit: judge" in done.stdout
    assert calibration["order"]["value"] == 50
    assert calibration["spearman"] is None
    assert "50% of the pairs are in people's order (required: 75%)" in done.stdout


def test_one_that_answers_rubbish_too_often_is_unfit_however_well_it_orders(cscbench):
    def answer(call) -> str:
        return verdict(rating_of(call)) if sum(map(ord, replied(call))) % 5 >= 2 else "four stars out of five!"

    with FaultServer(answer=says(answer)) as server:
        done, calibration = calibrate(cscbench, server.url)
    assert done.returncode == 1
    assert 0.2 < calibration["missing"] / calibration["n"] < 0.6
    assert calibration["order"]["value"] == 100
    assert [row["score"] for row in calibration["rows"]].count(None) == calibration["missing"]
    assert 0.0 not in [row["score"] for row in calibration["rows"]]
    assert f"{calibration['missing']} of {calibration['n']} ratings are missing (allowed: 20%)" in done.stdout


def test_a_drifted_judge_raises_the_alarm_and_a_steady_one_does_not(cscbench):
    drifted: list[bool] = []

    def answer(call) -> str:
        return verdict(min(5, rating_of(call) + len(drifted)))

    with FaultServer(answer=says(answer)) as server:
        calibrate(cscbench, server.url, "--out", "then")
        (before,) = Path("then").rglob("calibration.json")
        steady, same = calibrate(cscbench, server.url, "--against", before, "--out", "steady")
        drifted.append(True)
        moved, calibration = calibrate(cscbench, server.url, "--against", before, "--out", "now")
        refused, _ = calibrate(cscbench, server.url, "--against", before, "--out", "then")
    assert (steady.returncode, same["drift"]["alarms"]) == (0, [])
    assert "no drift shown, over 18 ratings" in steady.stdout
    assert moved.returncode == 1
    assert calibration["drift"]["shift"]["value"] == pytest.approx(2 / 3)  # 5 stays 5
    assert "the mean changed by +0.67 stars" in moved.stdout
    assert refused.returncode == 2
    assert "Choose another --out" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(3000)  # 10 minutes on one quiet core
def test_smollm2_is_unfit(cscbench, smollm2):
    done = cscbench("calibrate", "judge", "--judge", "smollm2-135m", timeout=2900)
    assert done.returncode == 1, done.stderr
    assert "unfit: smollm2-135m" in done.stdout


HEAD = "dialogue,language,conversation,rating\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dialogue,language,rating\n", "no column 'conversation'"),
        ("dialogue,language,conversation,rating,raiting\n", "column 'raiting' is unknown; did you mean 'rating'"),
        (HEAD + "d,en,customer: hi,6\n", "line 2: `rating` is 6: use a number from 1 to 5"),
        (HEAD + "d,fr,customer: hi,3\n", "`language` is 'fr': use one of zh, en"),
        (HEAD + "d,en,hello,3\n", "`conversation`: start 'hello' with customer: or supporter:"),
        (HEAD + "d,en,,3\n", "fill in at least one"),
        (HEAD + 'd,zh,"客户：你好\n客服：您好",3\n', "all ratings are the same"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_row(cscbench, text, said):
    Path("ratings.csv").write_text(text, encoding="utf-8")
    done = cscbench("calibrate", "judge", "ratings.csv", "--judge", "smollm2-135m")
    assert done.returncode == 2
    assert said in done.stderr


def test_rated_replies_are_rated_in_their_place(cscbench):
    Path("ratings.csv").write_text(
        "dialogue,language,conversation,reply,rating\n"
        'a,en,"supporter: Hello\ncustomer: It broke","I am sorry. When did it break?",5\n'
        "a,en,customer: It broke,So what,1\nb,zh,客户：坏了,很抱歉，我马上查,5\nb,zh,客户：坏了,哦,1\n",
        encoding="utf-8",
    )
    with FaultServer(answer=says(lambda call: verdict(5 if len(replied(call)) > 7 else 1))) as server:
        done, calibration = calibrate(cscbench, server.url, "ratings.csv")
    assert [row["score"] for row in calibration["rows"]] == [5, 1, 5, 1]
    assert calibration["order"]["value"] == 100
    assert done.returncode == 0, done.stdout
    asked = {call.body["messages"][1]["content"] for call in server.asked()}
    assert any("Supporter: Hello\nCustomer: It broke" in text for text in asked)


# --- the statistics, by tables of known values

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, twelve units: 0.815.
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def test_alpha_is_the_published_one():
    units = [tuple(None if value is None else float(value) for value in unit) for unit in zip(*OBSERVERS, strict=True)]
    assert alpha(units) == pytest.approx(0.815, abs=0.0005)
    data = [[float("nan") if value is None else value for value in row] for row in OBSERVERS]
    assert alpha(units) == pytest.approx(krippendorff.alpha(data, level_of_measurement="ordinal"))
    assert alpha([(3.0, 3.0), (3.0, None)]) is None


def test_kappa_and_rank_correlations_are_the_libraries():
    points = [(1.0, 1.0), (2.0, 3.0), (3.0, 3.0), (5.0, 4.0), (4.0, 5.0), (2.0, 1.0)]
    left, right = zip(*points, strict=True)
    assert kappa(points) == pytest.approx(cohen_kappa_score(left, right, weights="quadratic", labels=[1, 2, 3, 4, 5]))
    assert spearman(points) == pytest.approx(spearmanr(left, right).statistic)
    assert kendall(points) == pytest.approx(kendalltau(left, right).statistic)
    assert spearman([(1.0, 2.0), (1.0, 3.0)]) is None
    assert kappa([(4.4, 3.6), (4.0, 4.0)]) is None  # whole stars: both always say 4


def test_order_is_the_share_of_pairs_ties_half():
    assert ordered([(1.0, 1.0), (3.0, 2.0), (2.0, 3.0)]) == pytest.approx(200 / 3)
    assert ordered([(1.0, 1.0), (1.0, 2.0)]) == 50
    assert ordered([(1.0, 2.0), (5.0, 2.0)]) is None
