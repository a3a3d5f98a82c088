"""`--max-cost` spans the model and its judges, whichever of them is dear."""

import json
from pathlib import Path

import pytest
from fault_server import FaultServer
from judge_help import judge_card, says, verdict

CHEAP, DEAR = {"input": 0.01, "output": 0.01}, {"input": 1000.0, "output": 1000.0}
RUN = ("run", "--model", "model", "--limit", "2", "--encoder", "none", "--judge", "judge")


def answer(call) -> str:
    """The model's answer, or the judge's."""
    asked = call.body["messages"][0]["content"]
    return verdict(4) if "stars" in asked else "[GT] Hello."


def cards(url: str, model: dict, judge: dict) -> None:
    for name, price in (("model", model), ("judge", judge)):
        judge_card(url, name)
        path = Path(f"model_cards/{name}.md")
        path.write_text(path.read_text().replace("price: {input: 1.0, output: 2.0}", f"price: {json.dumps(price)}"))


def spent(folder: Path, price: dict) -> float:
    lines = [json.loads(line)["reply"] for line in (folder / "replies.jsonl").read_bytes().splitlines()]
    return sum(reply["tokens_in"] * price["input"] + reply["tokens_out"] * price["output"] for reply in lines) / 1e6


@pytest.mark.parametrize(("model", "judge"), [(CHEAP, DEAR), (DEAR, CHEAP)], ids=["dear judge", "dear model"])
def test_it_stops_at_the_limit_and_continues_with_a_higher_one(cscbench, model, judge):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, model, judge)
        assert cscbench(*RUN, "--out", "whole").returncode == 0
        (whole,) = Path("whole").iterdir()
        (judged,) = (whole / "judges").iterdir()
        total = spent(whole, model) + spent(judged, judge)
        before = len(server.asked())
        for share in (0.4, 0.7):
            done = cscbench(*RUN, "--max-cost", str(share * total))
            assert done.returncode == 4, done.stderr
            (folder,) = Path("reports").iterdir()
            judges = list((folder / "judges").iterdir()) if (folder / "judges").exists() else []
            cost = spent(folder, model) + sum(spent(desk, judge) for desk in judges)
            # A request is let pass only if the most that it can take fits: some of the limit is left over.
            assert 0 < cost <= share * total
            assert f"spent {cost:.6g} USD on" in done.stderr
            assert ("the next request to judge judge can cost" in done.stderr) == (judge is DEAR)
            assert "repeat the command with a larger --max-cost" in done.stderr
            assert not (folder / "results.json").exists()
        done = cscbench(*RUN, "--max-cost", str(10 * total))
        assert done.returncode == 0, done.stderr
        assert len(server.asked()) - before == before  # nothing was asked twice
    metrics = [json.loads((run / "results.json").read_bytes())["metrics"] for run in (whole, folder)]
    assert metrics[0] == metrics[1]


def test_fifty_cents_are_fifty_cents_with_a_dear_judge(cscbench):
    """The case that spent 46 USD of 0.50."""
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, CHEAP, {"input": 100.0, "output": 100.0})
        done = cscbench(*RUN, "--max-cost", "0.5")
    assert done.returncode == 4, done.stderr
    (folder,) = Path("reports").iterdir()
    (judged,) = (folder / "judges").iterdir()
    assert 0.1 < spent(folder, CHEAP) + spent(judged, {"input": 100.0, "output": 100.0}) <= 0.5


def test_prices_in_two_currencies_are_refused_before_anything_is_asked(cscbench):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, {**CHEAP, "currency": "CNY"}, CHEAP)
        done = cscbench(*RUN, "--max-cost", "5")
        assert (done.returncode, server.calls) == (2, [])
    assert "judge judge is priced in USD and model in CNY" in done.stderr


def test_a_judge_behind_a_server_without_a_price_is_refused_under_a_limit(cscbench):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, CHEAP, CHEAP)
        path = Path("model_cards/judge.md")
        path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("price:")))
        done = cscbench(*RUN, "--max-cost", "5")
        assert (done.returncode, server.calls) == (2, [])
    assert "judge: --max-cost needs the model's price" in done.stderr


def test_two_judges_of_one_name_are_refused(cscbench):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, CHEAP, CHEAP)
        done = cscbench(*RUN[:-1], "judge,judge")
        assert (done.returncode, server.calls) == (2, [])
    assert done.stderr == "cscbench: --judge lists judge twice\n"


def test_a_model_that_judges_itself_has_an_account_for_each(cscbench):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, CHEAP, CHEAP)
        done = cscbench(*RUN[:-1], "model", "--max-cost", "5")
    assert done.returncode == 0, done.stderr


def test_a_damaged_reply_of_a_judge_is_said_and_asked_again(cscbench):
    with FaultServer(answer=says(answer)) as server:
        cards(server.url, CHEAP, CHEAP)
        assert cscbench(*RUN).returncode == 0
        (folder,) = Path("reports").iterdir()
        (judged,) = (folder / "judges").iterdir()
        lines = (judged / "replies.jsonl").read_bytes().splitlines(keepends=True)
        (judged / "replies.jsonl").write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
        (folder / "results.json").unlink()
        before = len(server.asked())
        done = cscbench(*RUN)
        assert done.returncode == 0, done.stderr
        assert len(server.asked()) == before + 1
    assert f"{judged / 'replies.jsonl'}: ignoring 1 damaged lines; their requests are repeated" in done.stderr
