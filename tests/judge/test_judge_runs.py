"""`cscbench run --judge` as it is typed: what is asked, what becomes of the answers, what is reported."""

import json
from pathlib import Path

import jsonschema
import pytest
from fault_server import Does, FaultServer
from judge_help import judge_card, replied, says, verdict

from cscbench.asking import store
from cscbench.asking.judge_plays import REPEATS
from cscbench.runs import results

ROOT = Path(__file__).parents[2]


def judged(cscbench, *args: object, code: int = 0, model: str = "gold", limit: int = 4):
    """The folder and results of a judged run without BERTScore."""
    done = cscbench("run", "--model", model, "--limit", limit, "--encoder", "none", *map(str, args))
    assert done.returncode == code, done.stderr
    folder = Path(done.stdout.splitlines()[-1])
    return done, folder, json.loads((folder / store.RESULTS).read_text(encoding="utf-8"))


@pytest.fixture
def run(cscbench):
    def call(*args, **options):
        return judged(lambda *given: cscbench(*map(str, given)), *args, **options)

    return call


def metrics(data: dict) -> dict[str, dict]:
    return {metric["name"]: metric for metric in data["metrics"]}


def by_length(call) -> str:
    """Longer replies get more stars, and the repeats differ."""
    return verdict(min(5, 1 + len(replied(call)) // 20))


def test_stars_are_the_mean_of_what_the_judge_gave_with_interval_and_signature(run):
    with FaultServer(answer=says(by_length)) as server:
        done, folder, scored = run("--judge", judge_card(server.url))
    expected = [min(5, 1 + len(pair.reference) // 20) for pair in results.read_pairs(folder)]
    stars = metrics(scored)["stars"]
    assert stars["value"] == pytest.approx(sum(expected) / len(expected))
    assert stars["low"] < stars["value"] < stars["high"]
    assert stars["signature"].startswith("judge:judge@")
    assert "|level:turn|rubric:csconv/default/zh@" in stars["signature"]
    assert metrics(scored)["stars_handling"]["value"] == pytest.approx(stars["value"])
    assert metrics(scored)["stars_missing"]["value"] == 0
    assert len(server.asked()) == REPEATS * len(expected)
    (row,) = scored["tables"]["judges"]
    assert row["length_correlation"]["value"] > 0.8  # and so it is told
    assert "judge" in done.stdout
    assert scored["timing"]["judges"]["judge"]["amount"] > 0
    jsonschema.validate(scored, results.schema())


def test_a_judge_sees_neutral_lines_and_never_who_wrote_them(run):
    with FaultServer(answer=says(by_length)) as server:
        run("--judge", judge_card(server.url), limit=2)
    for call in server.asked():
        text = json.dumps(call.body["messages"], ensure_ascii=False)
        assert "gold" not in text
        assert not any(mark in text for mark in ("策略", "[GT]", "礼貌问候"))
        assert call.body["messages"][0]["role"] == "system"
    first = server.asked()[0].body["messages"][1]["content"]
    assert "客服" in first


def test_rubbish_is_asked_again_then_missing_and_never_a_number(run):
    """Of 40 % of the items no answer can be read; the stars are those of the others."""
    hopeless = []

    def answer(call) -> str:
        text = replied(call)
        bad = sum(map(ord, text)) % 5 < 2
        if bad:
            hopeless.append(text)
        return "I would rather not say: 0 stars" if bad else verdict(4)

    with FaultServer(answer=says(answer)) as server:
        _, folder, scored = run("--judge", judge_card(server.url), limit=12)
    pairs = results.read_pairs(folder)
    lost = sum(pair.text in set(hopeless) or " ".join(pair.text.split()) in set(hopeless) for pair in pairs)
    assert 0.2 < lost / len(pairs) < 0.6
    named = metrics(scored)
    assert named["stars"]["value"] == 4.0  # no zero is among them
    assert named["stars_missing"]["value"] == pytest.approx(100 * lost / len(pairs))
    assert named["stars_missing"]["low"] < named["stars_missing"]["high"]
    assert f"judge judge: {lost} of {len(pairs)} ratings are missing and not counted" in scored["notes"]
    assert scored["tables"]["judges"][0]["missing"] == lost


def test_an_answer_that_is_mended_when_asked_again_counts(run):
    def answer(call) -> str:
        return verdict(3) if "JSON" in call.body["messages"][-1]["content"] and len(call.body["messages"]) > 2 else "?"

    with FaultServer(answer=says(answer)) as server:
        _, _, scored = run("--judge", judge_card(server.url), "--set", "judge.repeats=1", limit=2)
    assert metrics(scored)["stars"]["value"] == 3.0
    assert scored["tables"]["judges"][0]["tries"] == 2 * scored["tables"]["judges"][0]["n"]


def test_nothing_is_asked_twice_and_a_scored_run_keeps_its_stars(run, cscbench):
    with FaultServer(answer=says(by_length)) as server:
        given = ("--judge", judge_card(server.url))
        _, folder, first = run(*given)
        asked = len(server.asked())
        (folder / store.RESULTS).unlink()
        _, _, again = run(*given)
        assert len(server.asked()) == asked
    assert {**first, "timing": None} == {**again, "timing": None}
    assert cscbench("score", folder, "--encoder", "none").returncode == 0
    scored = json.loads((folder / store.RESULTS).read_text(encoding="utf-8"))
    assert metrics(scored)["stars"] == metrics(first)["stars"]
    assert scored["timing"]["judges"] == again["timing"]["judges"]


def test_a_judge_that_fails_leaves_ratings_missing_and_is_asked_again(run):
    down = [True]

    def decide(call) -> Does:
        asks = call.digest and len(call.body["messages"]) > 1
        return Does(500 if asks and down and call.number % 2 else 200)

    with FaultServer(decide, answer=says(by_length)) as server:
        card = judge_card(server.url)
        path = Path(f"model_cards/{card}.md")
        path.write_text(path.read_text(encoding="utf-8").replace("model: echo", "model: echo, retries: 0"), "utf-8")
        done, _, scored = run("--judge", card, "--set", "judge.repeats=1", limit=2, code=3)
        assert "some ratings failed: repeat the command to ask for them again" in done.stderr
        lost = scored["tables"]["judges"][0]
        assert 0 < lost["failed"] == lost["missing"] < lost["n"]
        asked = len(server.asked())
        down.clear()
        _, _, scored = run("--judge", card, "--set", "judge.repeats=1", limit=2)
        assert len(server.asked()) == asked + lost["failed"]
    assert metrics(scored)["stars_missing"]["value"] == 0


def test_a_panel_means_its_judges_and_says_how_far_they_agree(run):
    with (
        FaultServer(answer=says(by_length)) as long,
        FaultServer(answer=says(lambda call: verdict(max(1, 5 - len(replied(call)) // 20)))) as short,
    ):
        names = f"{judge_card(long.url, 'long')},{judge_card(short.url, 'short', family='gpt')}"
        _, folder, scored = run("--judge", names)
    lengths = [len(pair.reference) // 20 for pair in results.read_pairs(folder)]
    mean = sum((min(5, 1 + length) + max(1, 5 - length)) / 2 for length in lengths) / len(lengths)
    assert metrics(scored)["stars"]["value"] == pytest.approx(mean)
    agreement = scored["tables"]["judge_agreement"]
    assert agreement["kappas"][0]["kappa"]["value"] < 0
    assert agreement["alpha"]["value"] < 0
    jsonschema.validate(scored, results.schema())


def test_a_judge_of_the_same_family_is_flagged(run, tiny_card):
    card = Path("model_cards/tiny.md")
    card.write_text(card.read_text(encoding="utf-8").replace("adapter:", "family: llama\nadapter:"), encoding="utf-8")
    with FaultServer(answer=says(by_length)) as server:
        given = ("--judge", judge_card(server.url, family="llama"), "--set", "judge.repeats=1")
        _, _, scored = run(*given, model="tiny", limit=1)
    assert scored["tables"]["judges"][0]["same_family"]
    assert any("judges favor their own family" in note for note in scored["notes"])


def test_whole_conversations_are_rated_once_each(run):
    with FaultServer(answer=says(by_length)) as server:
        given = ("--judge", judge_card(server.url), "--set", "judge.level=dialogue", "--set", "judge.repeats=1")
        _, _, scored = run(*given, limit=3)
    assert len(server.asked()) == 3
    assert scored["tables"]["judges"][0]["n"] == 3
    assert "|level:dialogue|" in metrics(scored)["stars"]["signature"]


@pytest.mark.slow
def test_a_local_judge_scores_by_the_likelihoods_of_the_stars(run, tiny_card):
    """Random weights write no JSON: every rating is missing, none is a number."""
    (first, *_) = (ROOT / "tasks/csconv_sample/data/test.jsonl").read_text(encoding="utf-8").splitlines()
    dialogue = json.loads(first)
    dialogue["dialogue"] = dialogue["dialogue"][:4]
    Path("short.json").write_text(json.dumps([dialogue]), encoding="utf-8")
    _, _, scored = run("--judge", tiny_card, "--data", "short.json", limit=1)
    assert "stars" not in metrics(scored)
    assert metrics(scored)["stars_missing"]["value"] == 100
    assert scored["scoring"]["judging"]["judges"][0]["score"] == "expected,repeats:1"


def test_stars_compare_and_gate_like_any_metric(run, cscbench, tmp_path):
    with FaultServer(answer=says(by_length)) as server:
        given = ("--judge", judge_card(server.url), "--set", "judge.repeats=1")
        _, short, _ = run(*given, limit=24)
        _, long, _ = run(*given, limit=24, model="majority")
    (tmp_path / "gate.yaml").write_text("rules: [{metric: stars, margin: 0.1}]", encoding="utf-8")
    assert cscbench("gate", short, "--rules", "gate.yaml", "--baseline", long).returncode == 1
    done = cscbench("compare", long, short, "--format", "json")
    assert done.returncode == 0, done.stderr
    (table,) = [metric for metric in json.loads(done.stdout)["metrics"] if metric["name"] == "stars"]
    assert {row["verdict"] for row in table["rows"]} == {"baseline", "worse"}


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        ("gold", "does not generate text: choose a model that does"),
        ("smolm2-135m", "did you mean 'smollm2-135m'"),
        ("smollm2-135m,smollm2-135m", "lists smollm2-135m twice"),
    ],
)
def test_who_cannot_judge_is_told_before_anything_runs(cscbench, judge, said):
    done = cscbench("run", "--model", "gold", "--judge", judge, "--encoder", "none")
    assert done.returncode == 2
    assert said in done.stderr
    assert not Path("reports").exists()
