"""Runs of a few dialogues with a model made on the spot: what is asked again, scored again, paid and warned about."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from cscbench.asking import store
from cscbench.asking.budget import BudgetSpent
from cscbench.asking.judge_plays import judge_protocol
from cscbench.content.prompts import answer_message
from cscbench.judging.panel import Judge
from cscbench.models.backend import Backend, LoadedAdapter
from cscbench.runs.finished import RunState, load
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare
from cscbench.runs.run import rescore, run
from cscbench.values import (
    Condition,
    Context,
    JudgeOptions,
    JudgeRecord,
    Language,
    Level,
    ModelCard,
    Price,
    Reply,
    Sampling,
    Step,
    UserError,
)

SAMPLE = Path(__file__).parents[2] / "tasks/csconv_sample/data/test.jsonl"
NOBODY = JudgeOptions()
ENGLISH = [row for row in map(json.loads, SAMPLE.read_text("utf-8").splitlines()) if row["language"] == "en"]


class Model:
    """Greets in the shape that is asked for; fails where its name for a request is in `fails`."""

    def __init__(self, plan=None, fails=()) -> None:
        self.plan, self.fails = plan, set(fails)
        self.requests, self.in_flight, self.most_in_flight = [], 0, 0

    async def generate(self, request) -> Reply:
        self.requests.append(request)
        number = len(self.requests)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0.001)
        self.in_flight -= 1
        if number in self.fails:
            return Reply("", error="down")
        if request.step is Step.JUDGE:
            given = dict.fromkeys(("overall", "opening", "empathy", "handling", "clarity", "closing"), 4)
            return Reply(json.dumps({"reason": "well", "stars": given}), 10, 5)
        prompt = self.plan.prompts[Language.EN]
        steps = [step.step for step in prompt.prompt.steps]
        content = answer_message(prompt, steps.index(request.step), "GT", f"Hello {number}").content
        return Reply(content, 10, 5)

    def close(self) -> None: ...


def a_plan(model, *, dialogues=2, price=None, batches_turns=False, runs_here=True, judging=NOBODY, **options):
    """A run of the first English dialogues by a model."""
    chosen = {"language": Language.EN, "limit": dialogues, "encoder": "none", **options}
    plan = prepare(RunOptions(model="majority", **chosen))
    model.plan = plan
    backend = Backend(lambda context: LoadedAdapter(model), batches_turns=batches_turns, runs_here=runs_here)
    card = msgspec.structs.replace(plan.card, price=price)
    return msgspec.structs.replace(plan, backend=backend, card=card, judging=judging)


def turns_of(count):
    """How many supporter turns the first English dialogues have."""
    return sum(1 for row in ENGLISH[:count] for turn in row["dialogue"] if turn["speaker"] == "supporter")


@pytest.fixture
def judged(monkeypatch):
    """Seat a judge made on the spot for every run with `--judge`."""

    def seat(model, level=Level.TURN, price=None, runs_here=True):
        def resolve(task, languages, options):
            if not options.cards:
                return ()
            protocol = judge_protocol("j", level, 1, False, Sampling())
            backend = Backend(lambda context: LoadedAdapter(model), runs_here=runs_here)
            rubrics = {language: task.rubric("default", language) for language in languages}
            card = ModelCard("j", "majority", price=price)
            record = JudgeRecord("j", "0", "", protocol.score)
            return (Judge(card, backend, rubrics, protocol, {"fingerprint": {}}, record),)

        monkeypatch.setattr("cscbench.runs.run.resolve_judges", resolve)
        return {"judging": JudgeOptions(("j",), level)}

    return seat


def test_a_finished_run_is_read_and_other_scorers_score_it_again_without_asking():
    model = Model()
    first = run(a_plan(model))
    asked = len(model.requests)
    assert (first.state, asked) == (RunState.COMPLETE, turns_of(2))
    written = (first.folder / store.RESULTS).stat().st_mtime_ns
    assert run(a_plan(model)).results == first.results
    assert (first.folder / store.RESULTS).stat().st_mtime_ns == written
    more = run(a_plan(model, scorers=("length",)))
    assert more.folder == first.folder
    assert more.metric("length_match") is not None
    assert len(model.requests) == asked


def test_only_failed_replies_are_asked_again():
    model = Model(fails=(2, 4))
    first = run(a_plan(model))
    assert (first.state, first.results.counts.failed) == (RunState.PARTIAL, 2)
    failed = {request.id for number, request in enumerate(model.requests, 1) if number in (2, 4)}
    again = Model()
    second = run(a_plan(again))
    assert {request.id for request in again.requests} == failed
    assert (second.state, second.results.counts.failed) == (RunState.COMPLETE, 0)
    assert second.results.usage.requests == turns_of(2)
    assert second.results.timing.cost.requests == turns_of(2) + 2


def test_turns_go_one_by_one_unless_the_backend_batches_them():
    one_by_one, together = Model(), Model()
    run(a_plan(one_by_one, out="one"))
    run(a_plan(together, out="together", batches_turns=True))
    assert one_by_one.most_in_flight <= 2 < together.most_in_flight
    assert {request.id for request in one_by_one.requests} == {request.id for request in together.requests}


def test_generated_context_waits_for_each_reply_whatever_the_backend_batches():
    model = Model()
    run(a_plan(model, dialogues=1, batches_turns=True, context=Context.GENERATED))
    last = model.requests[-1].messages
    assert model.most_in_flight == 1
    assert any("Hello 1" in message.content for message in last)
    assert not any(ENGLISH[0]["dialogue"][0]["text"] in message.content for message in last)


def test_a_turn_is_paired_with_its_reference_its_label_and_its_cluster(tmp_path):
    rows = [{**ENGLISH[0], "cluster": "c"}, ENGLISH[1]]
    for row in rows[1:]:
        row["dialogue"] = [{**turn, "strategy": None} for turn in row["dialogue"]]
    file = tmp_path / "data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = run(a_plan(Model(), data=str(file), condition=Condition.REPLY_ONLY))
    first, second = (row["id"] for row in rows)
    assert done.clusters == {first: "c", second: second}
    assert {pair.reference_strategy for (name, _), pair in done.pairs.items() if name == second} == {""}
    assert {pair.reference_strategy for (name, _), pair in done.pairs.items() if name == first} > {"GT"}
    assert all(pair.reference for pair in done.pairs.values())


def test_a_limit_stops_before_the_request_that_does_not_fit_and_says_what_is_left():
    model = Model()
    plan = a_plan(model, price=Price(1e4, 0, "USD"), max_cost=1.0)
    with pytest.raises(BudgetSpent):
        run(plan)
    assert not model.requests
    plan = a_plan(model, price=Price(0, 1e4, "USD"), max_cost=2.0, condition=Condition.TWO_STEP)
    plan = msgspec.structs.replace(plan, sampling=msgspec.structs.replace(plan.sampling, max_tokens=10), concurrency=1)
    with pytest.raises(BudgetSpent) as stop:
        run(plan)
    count = len(model.requests)
    assert 2 * turns_of(2) > count > 20
    assert f"Its remaining {2 * turns_of(2) - count} requests" in str(stop.value)
    # What is paid counts for the next command as well.
    with pytest.raises(BudgetSpent):
        run(plan)
    assert len(model.requests) == count


def test_a_card_without_a_price_is_warned_about_under_a_limit_only(caplog):
    run(a_plan(Model(), out="free"))
    run(a_plan(Model(), out="priced", price=Price(1, 1), max_cost=1.0))
    assert "has no price" not in caplog.text
    run(a_plan(Model(), out="limited", max_cost=1.0))
    assert "majority: the card has no price" in caplog.text


def test_a_judge_without_a_price_is_refused_under_a_limit_only(judged):
    asked = judged(Model(), runs_here=False)
    with pytest.raises(UserError, match="j: --max-cost needs"):
        run(a_plan(Model(), dialogues=1, max_cost=1.0, **asked))
    done = run(a_plan(Model(), dialogues=1, **asked))
    assert done.metric("stars").value == pytest.approx(4.0)


@pytest.mark.parametrize(("level", "items"), [(Level.TURN, turns_of(2)), (Level.DIALOGUE, 2)])
def test_a_judges_budget_counts_the_items_of_its_level(judged, level, items):
    asked = judged(Model(), level, Price(0, 1e6))
    # One answer of 320 tokens at most fits, and after the 5 that it takes no second.
    plan = a_plan(Model(), max_cost=322.0, price=Price(0, 0), **asked)
    with pytest.raises(BudgetSpent, match=f"Its remaining {items - 1} requests"):
        run(plan)


def test_a_rating_that_failed_is_asked_for_again(judged):
    failing = Model(fails=(2,))
    first = run(a_plan(Model(), dialogues=1, **judged(failing)))
    assert len(failing.requests) == len(first.pairs)
    assert sum(row.failed for row in first.results.known_tables.judges) == 1
    again = Model()
    second = run(a_plan(Model(), dialogues=1, **judged(again)))
    assert [request.id for request in again.requests] == [failing.requests[1].id]
    assert sum(row.failed for row in second.results.known_tables.judges) == 0
    assert second.results.timing.judges["j"].requests == len(first.pairs) + 1
    third = run(a_plan(Model(), dialogues=1, **judged(again)))
    assert third.results == second.results
    assert len(again.requests) == 1


def test_scoring_again_keeps_what_judges_gave_and_asks_nobody(judged):
    plain = run(a_plan(Model(), dialogues=1, out="plain"))
    assert rescore(plain.folder, "none", ()).metrics == plain.results.metrics
    with_stars = run(a_plan(Model(), dialogues=1, out="judged", **judged(Model())))
    again = rescore(with_stars.folder, "none", ("length",))
    assert {metric.name for metric in again.metrics} >= {"stars", "length_match"}
    assert again.timing.judges == with_stars.results.timing.judges


def test_lost_replies_leave_the_usage_that_the_results_name():
    done = run(a_plan(Model(), dialogues=1))
    (done.folder / store.REPLIES).unlink()
    again = rescore(done.folder, "none", ())
    assert (again.usage, again.timing.cost) == (done.results.usage, done.results.timing.cost)
    assert again.usage.requests == turns_of(1)
    (done.folder / store.RESULTS).unlink()
    again = rescore(done.folder, "none", ())
    assert (again.usage, again.timing.cost) == (None, None)
    assert load(done.folder).results == again
