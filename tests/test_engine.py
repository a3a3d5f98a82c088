"""The engine: plays in flight against adapters that are slow, broken, or cut off at any byte."""

import asyncio
import hashlib
import os
import signal
import threading
import time
from collections import Counter, namedtuple

import pytest
from desk_help import known_replies, play_at_desk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from cscbench.asking.plays import Protocol, play
from cscbench.asking.progress import Progress
from cscbench.content.prompts import NamedPrompt, Prompt, PromptStep
from cscbench.models.backend import LoadedAdapter
from cscbench.values import (
    CSC,
    Condition,
    Context,
    Dialogue,
    Language,
    ParseForm,
    Reply,
    Sampling,
    Speaker,
    SpokenTurn,
    Step,
    Turn,
    UserError,
)

STEPS = (
    PromptStep(Step.STRATEGY, "{{ customer }}?", "{{ strategy.en }}"),
    PromptStep(Step.REPLY, "now write", "{{ reply }}"),
)
PROMPT = NamedPrompt("test", "0" * 64, Prompt("S", "(first)", STEPS), CSC, Condition.TWO_STEP)


def dialogue(name: str, turns: int) -> Dialogue:
    speakers = (Speaker.SUPPORTER, Speaker.CUSTOMER)
    made = [Turn(speakers[n % 2], f"{name}{n}", None if n % 2 else "GT") for n in range(turns)]
    return Dialogue(name, tuple(made), Language.EN)


class Model:
    """Answers with a digest of all it was shown, so that one changed message changes every later reply."""

    def __init__(self, fails=lambda _asked: False, delay=lambda _request: 0):
        self.asked, self.closed, self.most, self._now = [], 0, 0, 0
        self._fails, self._delay = fails, delay

    async def generate(self, request):
        self.asked.append(request.id)
        self._now += 1
        self.most = max(self.most, self._now)
        for _ in range(self._delay(request)):
            await asyncio.sleep(0)
        self._now -= 1
        if self._fails(self.asked):
            raise RuntimeError(f"no answer to {request.id}")
        text = "|".join(message.content for message in request.messages)
        return Reply(
            f"退{hashlib.sha256(text.encode()).hexdigest()[:8]}", tokens_in=len(text), tokens_out=2, seconds=0.5
        )

    def close(self):
        self.closed += 1


def run(folder, model, dialogues, context=Context.GENERATED, concurrency=3):
    plays = [play(dialogue, PROMPT, Protocol(context, Sampling())) for dialogue in dialogues]
    transcripts = play_at_desk(folder, plays, lambda: LoadedAdapter(model), concurrency)
    return said(transcripts)


Said = namedtuple("Said", ["dialogue", *SpokenTurn.__struct_fields__])


def said(transcripts):
    """Every spoken turn with its dialogue."""
    return [Said(transcript.dialogue, *astuple(turn)) for transcript in transcripts for turn in transcript.turns]


DIALOGUES = [dialogue("a", 5), dialogue("b", 2), dialogue("c", 7), dialogue("d", 1), dialogue("e", 3)]
TURNS = [(dialogue.id, n) for dialogue in DIALOGUES for n in range(0, len(dialogue.turns), 2)]


@pytest.mark.parametrize("concurrency", [1, 2, 3, 16])
def test_any_concurrency_and_order_of_answers_gives_the_same_predictions(tmp_path, concurrency):
    model = Model(delay=lambda request: hashlib.sha256(request.id.encode()).digest()[0] % 7)
    predictions = run(tmp_path, model, DIALOGUES, concurrency=concurrency)
    assert [(p.dialogue, p.turn) for p in predictions] == TURNS
    (plain := tmp_path / "plain").mkdir()
    assert predictions == run(plain, Model(), DIALOGUES, concurrency=1)
    assert model.most == min(concurrency, len(DIALOGUES))
    assert len(model.asked) == 2 * len(TURNS)
    assert model.closed == 1


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An unkilled run: its replies file, its predictions, and its run.json."""
    folder = tmp_path_factory.mktemp("whole")
    predictions = run(folder, Model(), DIALOGUES)
    return (folder / "replies.jsonl").read_bytes(), predictions, (folder / "run.json").read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cuts=st.lists(st.floats(0, 1), max_size=3))
def test_cut_at_any_byte_any_number_of_times_it_ends_as_if_unkilled(tmp_path_factory, whole, cuts):
    content, unkilled, record = whole
    folder = tmp_path_factory.mktemp("cut")
    path = folder / "replies.jsonl"
    (folder / "run.json").write_bytes(record)
    path.write_bytes(content[: int(len(content) * cuts[0])] if cuts else b"")
    for cut in cuts[1:]:
        run(folder, Model(), DIALOGUES)
        path.write_bytes(path.read_bytes()[: int(len(content) * cut)])
    on_disk = len(known_replies(folder).replies)
    model = Model()
    assert run(folder, model, DIALOGUES) == unkilled
    assert len(model.asked) == 2 * len(TURNS) - on_disk
    ids = Counter(line.split(b'"')[3] for line in path.read_bytes().splitlines())
    assert len(ids) == 2 * len(TURNS)
    assert set(ids.values()) == {1}


def test_a_lost_middle_line_is_asked_again_and_nothing_else_is(tmp_path, whole):
    content, unkilled, record = whole
    path = tmp_path / "replies.jsonl"
    (tmp_path / "run.json").write_bytes(record)
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:4], b"garbage\n", *lines[5:]]))
    model = Model()
    assert run(tmp_path, model, DIALOGUES) == unkilled
    assert [f'"{name}"'.encode() in lines[4] for name in model.asked] == [True]


def test_other_messages_under_a_known_id_are_asked_once_and_then_known(tmp_path):
    run(tmp_path, Model(), [dialogue("a", 3)])
    changed = [msg_changed(dialogue("a", 3))]
    model, again = Model(), Model()
    first = run(tmp_path, model, changed)
    assert len(model.asked) == 2  # the turn after the customer's changed line, in both steps
    assert run(tmp_path, again, changed) == first
    assert again.asked == []


def msg_changed(dialogue: Dialogue) -> Dialogue:
    turns = tuple(
        Turn(t.speaker, "other words", t.strategy) if t.speaker is Speaker.CUSTOMER else t for t in dialogue.turns
    )
    return Dialogue(dialogue.id, turns, dialogue.language)


def test_a_run_whose_replies_are_all_known_loads_no_adapter(tmp_path, whole):
    (tmp_path / "replies.jsonl").write_bytes(whole[0])
    (tmp_path / "run.json").write_bytes(whole[2])
    plays = [play(dialogue, PROMPT, Protocol(Context.GENERATED, Sampling())) for dialogue in DIALOGUES]
    assert said(play_at_desk(tmp_path, plays, lambda: pytest.fail("loaded"))) == whole[1]


def test_one_failed_request_is_recorded_and_the_rest_go_on(tmp_path):
    model = Model(fails=lambda asked: asked[-1] == "c/2/reply" and asked.count("c/2/reply") == 1)
    predictions = run(tmp_path, model, DIALOGUES, Context.GOLD)
    failed = [p for p in predictions if p.form is ParseForm.FAILED]
    assert [(p.dialogue, p.turn, p.text) for p in failed] == [("c", 2, "")]
    assert failed[0].error == "RuntimeError: no answer to c/2/reply"
    assert b'"error":"RuntimeError: no answer to c/2/reply"' in (tmp_path / "replies.jsonl").read_bytes()
    asked_before = len(model.asked)
    assert not [p for p in run(tmp_path, model, DIALOGUES, Context.GOLD) if p.error]
    assert model.asked[asked_before:] == ["c/2/reply"]


def test_an_adapter_that_always_fails_is_given_up(tmp_path):
    model = Model(fails=lambda _: True)
    with pytest.raises(UserError, match="no answer to"):
        run(tmp_path, model, [dialogue(f"d{n}", 9) for n in range(50)], Context.GOLD)
    assert len(model.asked) < 30  # of 250 turns
    assert model.closed == 1


def test_an_adapter_that_fails_often_but_answers_is_kept(tmp_path):
    model = Model(fails=lambda asked: len(asked) != 3)
    predictions = run(tmp_path, model, [dialogue(f"d{n}", 9) for n in range(10)], Context.GOLD, concurrency=1)
    assert len(predictions) == 50
    assert len(model.asked) >= 50


def test_an_adapter_that_fails_fewer_times_than_it_takes_to_give_up_ends_as_failed(tmp_path):
    predictions = run(tmp_path, Model(fails=lambda _: True), [dialogue("a", 5)], Context.GOLD)
    assert [p.form for p in predictions] == [ParseForm.FAILED] * 3


@pytest.mark.parametrize(
    "bad", ["text", None, Reply(None), Reply("half a pair \ud83d"), Reply("x", seconds=float("nan"))]
)
def test_what_cannot_be_stored_as_a_reply_is_a_failed_one(tmp_path, bad):
    class Odd(Model):
        async def generate(self, request):
            good = await super().generate(request)
            return bad if request.id == "a/0/strategy" else good

    predictions = run(tmp_path, Odd(), [dialogue("a", 3), dialogue("b", 3)], Context.GOLD)
    assert [p.form is ParseForm.FAILED for p in predictions] == [True, False, False, False]
    assert known_replies(tmp_path).damaged == 0


def test_a_mistake_the_person_can_mend_ends_the_run_with_its_own_message(tmp_path):
    class Refusing(Model):
        async def generate(self, request):
            raise UserError("set OPENAI_API_KEY")

    model = Refusing()
    with pytest.raises(UserError, match=r"^set OPENAI_API_KEY$"):
        run(tmp_path, model, DIALOGUES)
    assert model.closed == 1
    assert (tmp_path / "replies.jsonl").read_bytes() == b""


def test_ctrl_c_ends_a_long_load_at_once(tmp_path):
    def load():
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(60)

    plays = [play(dialogue("a", 2), PROMPT, Protocol(Context.GOLD, Sampling()))]
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        play_at_desk(tmp_path, plays, load)
    assert time.monotonic() - started < 30
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_dialogue_with_nothing_to_ask_has_no_predictions(tmp_path):
    silent = Dialogue("s", (Turn(Speaker.CUSTOMER, "hello?"),), Language.EN)
    predictions = run(tmp_path, Model(), [silent, dialogue("a", 1)])
    assert [p.dialogue for p in predictions] == ["a"]


def test_more_work_than_was_known_of_is_no_negative_time(caplog, monkeypatch):
    monkeypatch.setattr("cscbench.asking.progress._PLAIN_EVERY_S", 0.0)
    caplog.set_level("INFO", "cscbench")
    bar = Progress("test", 1)
    for _ in range(3):
        bar.step()
    assert [record.message.split(",")[0] for record in caplog.records] == ["test: 1/1", "test: 2/2", "test: 3/3"]
    assert all(record.message.endswith("0:00:00 left") for record in caplog.records)
