"""Complete runs against a server through the real command: faults, the budget, a kill, and secrets."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fault_server import Call, Does, FaultServer, digest, error
from helpers import only_run, replies_of, results_of

from cscbench.asking.parse import ParseForm
from cscbench.asking.plays import Protocol, play
from cscbench.runs import results
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.values import Context, Reply

KEY = "sk-do-not-tell-4711"


def write_data(dialogues: int, turns: int) -> None:
    """Write data.json with so many dialogues of so many supporter turns, all different."""
    rows = []
    for number in range(dialogues):
        pair = [
            {"speaker": "customer", "text": f"I have question {number}, part"},
            {"speaker": "supporter", "strategy": "GT", "text": f"Answer {number}, part"},
        ]
        lines = [{**turn, "text": f"{turn['text']} {part}."} for part in range(turns) for turn in pair]
        rows.append({"id": f"d{number}", "dialogue": lines, "source": "made"})
    Path("data.json").write_text(json.dumps(rows), encoding="utf-8")


def write_card(url: str, **options) -> None:
    Path("model_cards").mkdir(exist_ok=True)
    options = {"model": "echo", "base_url": url, "key_env": "MY_KEY", **options}
    front = (
        "name: served\nadapter: openai\nlanguages: [en]\nprice: {input: 1.0, output: 2.0, currency: EUR}\n"
        f"sampling: {{max_tokens: 16}}\noptions: {json.dumps(options)}\n"
    )
    Path("model_cards/served.md").write_text(f"---\n{front}---\n", encoding="utf-8")


COMMAND = ("run", "--model", "served", "--data", "data.json", "--encoder", "none")


def cost(lines: list[dict]) -> float:
    return sum(line["reply"]["tokens_in"] * 1.0 + line["reply"]["tokens_out"] * 2.0 for line in lines) / 1e6


def expected() -> dict[tuple[str, int], str]:
    """For each turn, what the server answers to exactly the messages that the turn should send."""
    plan = prepare(RunOptions(model="served", data="data.json"))
    answers = {}
    for dialogue in plan.dialogues:
        walk = play(dialogue, plan.prompts[dialogue.language], Protocol(Context.GOLD, plan.sampling))
        request = next(walk)
        while True:
            text = digest([{"role": message.role.value, "content": message.content} for message in request.messages])
            answers[(dialogue.id, request.turn)] = text
            try:
                request = walk.send(Reply(f"[GT] {text}"))
            except StopIteration:
                break
    return answers


def assert_each_turn_has_its_own_answer(folder: Path) -> None:
    pairs = results.read_pairs(folder)
    assert {(pair.dialogue, pair.turn): pair.text for pair in pairs} == expected()
    assert {(pair.form, pair.strategy, pair.error) for pair in pairs} == {(ParseForm.BRACKET, "GT", "")}


def assert_no_key(folder: Path, *outputs: str) -> None:
    texts = [path.read_bytes().decode("utf-8", "replace") for path in folder.iterdir()]
    assert not [text for text in (*texts, *outputs) if "do-not-tell" in text]


# Out of a thousand calls, 300 in total: every kind of failure that a retry may not meet.
THOUSANDTHS = (
    (60, Does(429)),
    (20, Does(429, {"retry-after-ms": "30"})),
    (1, Does(429, {"Retry-After": "1"})),
    (65, Does(500)),
    (15, Does(503)),
    (60, Does(cut=True)),
    (75, Does(reset=True)),
    (4, Does(wait=30, reset=True)),  # longer than the card's timeout
)


def faults(call: Call, tries: Counter[str]) -> Does:
    """Decide by the request and its number of attempts, so that every run of the test meets the same faults.

    Nothing fails more than three times in a row: waits grow with each, and the test would wait for the unluckiest.
    """
    tries[call.digest] += 1
    if tries[call.digest] > 3 and call.digest:
        return Does()
    dice = int(digest([{"about": call.digest, "try": str(tries[call.digest])}]), 16) % 1000
    for thousandths, does in THOUSANDTHS:
        if dice < thousandths:
            return does
        dice -= thousandths
    return Does()


@pytest.mark.parametrize(("dialogues", "faults_of_a_kind"), [(25, 1), pytest.param(200, 20, marks=pytest.mark.slow)])
def test_requests_of_which_a_third_fail_are_all_answered_once_and_scored_as_themselves(
    cscbench, dialogues, faults_of_a_kind
):
    requests = 10 * dialogues
    assert sum(thousandths for thousandths, _ in THOUSANDTHS) == 300
    write_data(dialogues, turns=10)
    tries: Counter[str] = Counter()
    with FaultServer(lambda call: faults(call, tries), key=KEY) as server:
        write_card(server.url, concurrency=32, timeout=1.5)
        done = cscbench(*COMMAND, MY_KEY=KEY)
    assert done.returncode == 0, done.stderr
    folder, asked = only_run(Path("reports")), Counter(call.digest for call in server.asked())
    assert (len(asked), len(replies_of(folder))) == (requests, requests)
    assert 0.2 < 1 - requests / sum(asked.values()) < 0.4  # the share of calls that failed
    assert min(server.statuses[kind] for kind in ("429", "500", "503", "cut", "reset")) >= faults_of_a_kind, (
        server.statuses
    )
    assert {server.answered[about] for about in asked} == {1}
    assert_each_turn_has_its_own_answer(folder)
    counts = results_of(folder)["counts"]
    assert (counts["turns"], counts["answered"], counts["failed"]) == (requests, requests, 0)
    assert_no_key(folder, done.stdout, done.stderr)
    assert "127.0.0.1" not in "".join(path.read_text("utf-8", "replace") for path in folder.glob("*.json*"))


def test_what_fails_for_good_is_kept_out_of_the_scores_and_asked_again_by_the_same_command(cscbench):
    write_data(dialogues=5, turns=4)
    mended = False

    def decide(call: Call) -> Does:
        broken = call.digest and "question 3, part 1" in call.body["messages"][-1]["content"]
        return Does(400, body=error(f"flagged for {KEY}", "content_filter")) if broken and not mended else Does()

    with FaultServer(decide, key=KEY) as server:
        write_card(server.url)
        done = cscbench(*COMMAND, MY_KEY=KEY)
        assert done.returncode == 3, done.stderr
        (failed,) = [pair for pair in results.read_pairs(only_run(Path("reports"))) if pair.error]
        assert (failed.form, failed.text) == (ParseForm.FAILED, "")
        assert failed.error == "HTTP 400: flagged for *** (content_filter)"
        scored = results.read(only_run(Path("reports")))
        assert (scored.counts.failed, scored.run.complete) == (1, False)
        assert {metric.n for metric in scored.metrics} == {19}
        before, mended = len(server.asked()), True
        assert cscbench(*COMMAND, MY_KEY=KEY).returncode == 0
        assert len(server.asked()) == before + 1
    assert_each_turn_has_its_own_answer(only_run(Path("reports")))
    assert_no_key(only_run(Path("reports")), done.stdout, done.stderr)


def test_it_stops_at_the_budget_and_goes_on_with_a_larger_one(cscbench):
    write_data(dialogues=12, turns=5)
    with FaultServer() as server:
        write_card(server.url, concurrency=8)
        assert cscbench(*COMMAND, "--out", "whole").returncode == 0
        (whole,) = Path("whole").iterdir()
        total, dearest = cost(replies_of(whole)), max(cost([line]) for line in replies_of(whole))
        server.calls.clear()
        for share in (0.3, 0.7):
            done = cscbench(*COMMAND, "--max-cost", str(total * share))
            assert done.returncode == 4, done.stderr
            lines = replies_of(only_run(Path("reports")))
            assert total * share - 8 * dearest < cost(lines) <= total * share
            assert f"spent {cost(lines):.6g} EUR on {len(lines)} replies" in done.stderr
            assert "repeat the command with a larger --max-cost to continue" in done.stderr
            assert "Traceback" not in done.stderr
            assert not (only_run(Path("reports")) / "results.json").exists()
            assert len(server.asked()) == len(lines)
        done = cscbench(*COMMAND, "--max-cost", str(total * 3))
    assert done.returncode == 0, done.stderr
    assert {*Counter(call.digest for call in server.asked()).values()} == {1}
    assert len(server.asked()) == 60
    assert only_run(Path("reports")).name == whole.name
    assert_each_turn_has_its_own_answer(only_run(Path("reports")))
    assert results.read(only_run(Path("reports"))).metrics == results.read(whole).metrics


def test_a_budget_that_allows_nothing_asks_nothing_and_loads_nothing(cscbench):
    write_data(dialogues=1, turns=2)
    with FaultServer() as server:
        write_card(server.url)
        done = cscbench(*COMMAND, "--max-cost", "1e-9")
        assert (done.returncode, server.calls) == (4, [])
        assert "spent 0 EUR on 0 replies" in done.stderr


def test_a_server_without_a_price_is_refused_under_a_budget(cscbench):
    write_data(dialogues=1, turns=2)
    with FaultServer() as server:
        write_card(server.url)
        card = Path("model_cards/served.md")
        card.write_text("".join(line for line in card.read_text().splitlines(True) if not line.startswith("price:")))
        done = cscbench(*COMMAND, "--max-cost", "1")
        assert (done.returncode, server.calls) == (2, [])
    assert "`price: {input: 0.15, output: 0.60, currency: USD}`" in done.stderr


def test_a_local_model_is_free_unless_its_card_names_a_price(cscbench, tiny_card):
    card = Path(f"model_cards/{tiny_card}.md")
    command = ("run", "--model", tiny_card, "--limit", "2", "--encoder", "none", "--max-cost", "0.01")
    done = cscbench(*command, "--out", "free")
    assert done.returncode == 0, done.stderr
    assert "tiny: the card has no price, so its replies count as free against --max-cost" in done.stderr
    card.write_text(card.read_text().replace("languages:", "price: {input: 1.0, output: 2.0}\nlanguages:"))
    done = cscbench(*command)
    assert done.returncode == 4, done.stderr
    assert 0.0 < cost(replies_of(only_run(Path("reports")))) <= 0.01


def test_killed_it_asks_nothing_twice_that_is_on_disk(cscbench):
    write_data(dialogues=12, turns=6)
    with FaultServer(lambda _: Does(wait=0.02), key=KEY) as server:
        write_card(server.url, concurrency=4)
        for kill in (1, 2):
            command = [sys.executable, "-m", "cscbench", *COMMAND]
            with subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "MY_KEY": KEY}) as going:
                deadline = time.monotonic() + 60
                while (
                    sum(path.read_bytes().count(b"\n") for path in Path().glob("reports/*/replies.jsonl")) < 20 * kill
                ):
                    assert going.poll() is None
                    assert time.monotonic() < deadline
                    time.sleep(0.005)
                going.kill()
        before = {line["reply"]["text"] for line in replies_of(only_run(Path("reports")))}
        assert 40 <= len(before) < 72
        server.calls.clear()
        done = cscbench(*COMMAND, MY_KEY=KEY)
        asked = [call.digest for call in server.asked()]
    assert done.returncode == 0, done.stderr
    assert len(asked) == len(set(asked)) == 72 - len(before)
    assert not {f"[GT] {about}" for about in asked} & before
    assert_each_turn_has_its_own_answer(only_run(Path("reports")))


@pytest.mark.parametrize("key", ["sk-also-do-not-tell", ""])
def test_a_wrong_key_ends_the_run_before_it_began_and_is_not_shown(cscbench, key):
    write_data(dialogues=2, turns=2)
    with FaultServer(key=KEY) as server:
        write_card(server.url)
        done = cscbench(*COMMAND, MY_KEY=key)
    assert done.returncode == 2
    assert "the environment variable MY_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert not server.asked()
    assert_no_key(only_run(Path("reports")), done.stdout, done.stderr)


def test_a_server_at_another_address_goes_on_with_the_run(cscbench, cscbench_process):
    write_data(dialogues=3, turns=3)
    with FaultServer() as first:
        write_card(first.url)
        assert cscbench(*COMMAND, "--max-cost", "0.002").returncode == 4
    with FaultServer() as second:
        write_card(second.url, concurrency=2)
        done = cscbench_process(*COMMAND, PYTHONDEVMODE="1")
    assert (done.returncode, "ResourceWarning" in done.stderr) == (0, False), done.stderr  # no connection is left open
    assert len(first.asked()) + len(second.asked()) == 9
    assert len(replies_of(only_run(Path("reports")))) == 9
