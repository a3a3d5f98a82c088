"""The run folder: what survives a kill at any byte, a damaged line, a full disk and a second command."""

import json
import os
import resource
import subprocess
import sys
from contextlib import contextmanager

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from cscbench.asking import store
from cscbench.asking.record import EngineRecord
from cscbench.runs.options import RunOptions
from cscbench.runs.plan import prepare, run_record
from cscbench.values import ChatRole, Message, Reply, Request, Sampling, Step, UserError

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def request(number: int, text: str = "您好") -> Request:
    messages = (Message(ChatRole.SYSTEM, "S"), Message(ChatRole.USER, text))
    return Request(f"d/{number}/joint", "d", number, Step.JOINT, messages, Sampling())


def write(path, entries) -> bytes:
    """Append (request, reply) pairs, and give the file's content."""
    log = store.ReplyLog(path)
    for asked, reply in entries:
        log.append(asked, reply)
    log.close()
    return path.read_bytes()


def reply_texts(path) -> dict[str, str]:
    """The texts that a later command would know, by request id."""
    return {known[0]: reply.text for known, reply in store.read_replies(path).replies.items()}


REPLIES = [Reply("[信息传达] 退款三天内到账。🙂"), Reply('two\nlines, "quoted"\r\u2028'), Reply("")]


def test_replies_cut_at_any_byte_lose_at_most_the_cut_one(tmp_path):
    path = tmp_path / "replies.jsonl"
    content = write(path, [(request(n), reply) for n, reply in enumerate(REPLIES)])
    ends = [n for n, byte in enumerate(content) if byte == ord("\n")]
    assert len(ends) == 3
    assert any(byte > 127 for byte in content)  # some of the cuts fall inside a Chinese character
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        # A line whose newline alone is missing is whole.
        whole = {f"d/{n}/joint": REPLIES[n].text for n, end in enumerate(ends) if end <= cut}
        assert reply_texts(path) == whole, cut
        assert path.read_bytes() in (b"", *(content[: end + 1] for end in ends)), cut
        write(path, [(request(9), Reply("later"))])
        after = store.read_replies(path)
        assert reply_texts(path) == {**whole, "d/9/joint": "later"}, cut
        assert after.damaged == 0, cut


@same_folder
@given(garbage=st.binary(max_size=60).filter(lambda b: b"\n" not in b), at=st.integers(0, 2))
def test_a_corrupt_line_loses_only_itself(tmp_path, garbage, at):
    path = tmp_path / "replies.jsonl"
    path.unlink(missing_ok=True)
    lines = write(path, [(request(n), Reply(f"第{n}句")) for n in range(3)]).splitlines(keepends=True)
    lines[at] = garbage + b"\n"
    path.write_bytes(b"".join(lines))
    known = store.read_replies(path)
    assert reply_texts(path) == {f"d/{n}/joint": f"第{n}句" for n in range(3) if n != at}
    assert known.damaged >= 1


@pytest.mark.parametrize("tail", [b"\0" * 300, b"\xe6\x82", b'{"id":"d/1/jo', b'{"id": 5}', b"[]"])
def test_a_tail_that_is_no_reply_is_cut_off(tmp_path, tail):
    path = tmp_path / "replies.jsonl"
    content = write(path, [(request(0), Reply("ok"))])
    path.write_bytes(content + tail)
    assert reply_texts(path) == {"d/0/joint": "ok"}
    assert path.read_bytes() == content


def test_a_failed_reply_is_passed_over_and_a_later_good_one_counts(tmp_path):
    path = tmp_path / "replies.jsonl"
    write(path, [(request(0), Reply("", error="timeout")), (request(1), Reply("", error="timeout"))])
    write(path, [(request(0), Reply("answered"))])
    assert reply_texts(path) == {"d/0/joint": "answered"}


def test_a_reply_to_other_messages_does_not_hide_the_right_one(tmp_path):
    # In generated context a turn that is asked again may be answered otherwise, and then the later turns are other
    # requests under the same ids.
    path = tmp_path / "replies.jsonl"
    write(path, [(request(0, "old history"), Reply("old")), (request(0, "new history"), Reply("new"))])
    known = store.read_replies(path).replies
    texts = [known[wanted.id, store.request_key(wanted)].text for wanted in (request(0, "new history"),)]
    assert texts == ["new"]
    assert ("d/0/joint", store.request_key(request(0, "third"))) not in known


def test_the_first_of_two_replies_to_one_request_counts(tmp_path):
    path = tmp_path / "replies.jsonl"
    write(path, [(request(0), Reply("first")), (request(0), Reply("second"))])
    assert reply_texts(path) == {"d/0/joint": "first"}


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 99)), min_size=1, max_size=4))
def test_any_reply_comes_back_as_it_was_written(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("run") / "replies.jsonl"
    replies = {n: Reply(text, tokens_in=count, finish_reason=reason) for n, (text, reason, count) in enumerate(entries)}
    content = write(path, [(request(n), reply) for n, reply in replies.items()])
    assert content.count(b"\n") == len(entries)
    known = store.read_replies(path)
    assert {key[0]: reply for key, reply in known.replies.items()} == {f"d/{n}/joint": r for n, r in replies.items()}


def test_a_key_covers_what_changes_an_answer_and_nothing_else():
    base = request(0)
    others = [
        msgspec.structs.replace(base, messages=(*base.messages, Message(ChatRole.ASSISTANT, "hi"))),
        msgspec.structs.replace(base, messages=(Message(ChatRole.USER, "S"), base.messages[1])),
        msgspec.structs.replace(base, step=Step.REPLY),
        *(
            msgspec.structs.replace(base, sampling=msgspec.structs.replace(base.sampling, **change))
            for change in ({"max_tokens": 5}, {"temperature": 0.5}, {"top_p": 0.5}, {"stop": ("x",)}, {"seed": 1})
        ),
    ]
    assert len({store.request_key(each) for each in (base, *others)}) == len(others) + 1
    assert store.request_key(msgspec.structs.replace(base, turn=7, id="other")) == store.request_key(base)


def test_a_folder_in_place_of_the_replies_is_an_error_for_the_person(tmp_path):
    (tmp_path / "replies.jsonl").mkdir()
    with pytest.raises(UserError, match=r"replies\.jsonl"):
        store.read_replies(tmp_path / "replies.jsonl")
    with pytest.raises(UserError, match=r"replies\.jsonl"):
        store.ReplyLog(tmp_path / "replies.jsonl")


@contextmanager
def full_disk():
    """No file may pass 4 KiB: a disk that is full, as far as one file is concerned.

    For a block, not a whole test: pytest's own output, sent to a file, is longer than that.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_whole_file_is_written_or_the_old_one_stays(tmp_path):
    path = tmp_path / "results.json"
    store.write_json(path, {"说": "好"})
    assert "好" in path.read_text(encoding="utf-8")
    with full_disk(), pytest.raises(UserError, match="repeat the command"):
        store.write_json(path, ["x" * 5000])
    assert json.loads(path.read_bytes()) == {"说": "好"}
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_replies_on_a_full_disk_say_so_and_keep_the_earlier_ones(tmp_path):
    path = tmp_path / "replies.jsonl"
    log = store.ReplyLog(path)
    log.append(request(0), Reply("x" * 2000))
    with full_disk(), pytest.raises(UserError, match="cannot write"):
        log.append(request(1), Reply("y" * 3000))
    log.close()
    assert reply_texts(path) == {"d/0/joint": "x" * 2000}


def test_a_run_folder_takes_its_own_run_and_no_other(tmp_path):
    then = run_record(prepare(RunOptions(model="gold", limit=1)))
    now = structs.replace(then, environment=structs.replace(then.environment, started="later"))
    store.open_run_folder(tmp_path, then)
    store.open_run_folder(tmp_path, now)
    assert store.read_run(tmp_path).environment == then.environment
    with pytest.raises(UserError, match="a different run"):
        store.open_run_folder(tmp_path, run_record(prepare(RunOptions(model="gold", limit=2))))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity"', "3", '{"schema": "cscbench/run/1", "engine": 3}'])
def test_a_broken_run_json_is_an_error_for_the_person(tmp_path, content):
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=str(tmp_path)):
        store.open_run_folder(tmp_path, run_record(prepare(RunOptions(model="gold", limit=1))))


def test_replies_of_another_engine_are_refused_with_what_differs(tmp_path):
    run = run_record(prepare(RunOptions(model="gold", limit=1)))
    store.open_run_folder(tmp_path, run)
    assert store.read_engine(tmp_path) == EngineRecord()
    facts = {"device": "cuda", "dtype": "bfloat16"}
    store.record_engine_facts(tmp_path, EngineRecord(facts, ("a note",)))
    store.record_engine_facts(tmp_path, EngineRecord(facts, ("another note",)))
    held = store.read_run(tmp_path)
    assert held.engine == EngineRecord(facts, ("a note",))
    assert structs.replace(held, engine=None, identity=run.identity) == run
    store.open_run_folder(tmp_path, run)  # what the engine said is no part of which run it is
    with pytest.raises(UserError, match="dtype: bfloat16 then, float32 now") as caught:
        store.record_engine_facts(tmp_path, EngineRecord({**facts, "dtype": "float32"}))
    assert "device" not in str(caught.value)
    with pytest.raises(UserError, match="rope: None then, yarn now"):
        store.record_engine_facts(tmp_path, EngineRecord({**facts, "rope": "yarn"}))


def test_an_engine_key_covers_the_run_and_what_the_adapter_found():
    run = run_record(prepare(RunOptions(model="gold", limit=1)))
    assert store.engine_key(run) == ""  # nothing has answered yet
    facts = {"dtype": "float32", "chat_template": "0" * 64}
    keys = [
        store.engine_key(structs.replace(run, engine=EngineRecord(facts))),
        *(store.engine_key(structs.replace(run, engine=EngineRecord({**facts, name: "x"}))) for name in facts),
        *(
            store.engine_key(structs.replace(run, identity={**run.identity, part: "x"}, engine=EngineRecord(facts)))
            for part in ("fingerprint", "packages", "card", "cscbench")
        ),
    ]
    assert len(set(keys)) == len(keys) == 7
    noted = structs.replace(run, engine=EngineRecord(facts, ("said on the way",)))
    assert store.engine_key(noted) == keys[0]


def test_replies_of_another_engine_are_not_taken_for_this_ones(tmp_path):
    path = tmp_path / "replies.jsonl"
    for engine, number in (("one", 0), ("other", 1), ("", 2), ("one", 3)):
        log = store.ReplyLog(path)
        log.engine = engine
        log.append(request(number), Reply(f"by {engine}"))
        log.close()
    known = store.read_replies(path, "one")
    assert {key[0]: reply.text for key, reply in known.replies.items()} == {
        "d/0/joint": "by one",
        "d/3/joint": "by one",
    }
    assert (known.foreign, known.damaged) == (2, 0)


def test_the_first_half_of_a_request_key_is_over_the_messages_alone():
    base = request(0)
    warm = structs.replace(base, sampling=Sampling(temperature=0.5))
    other = structs.replace(base, messages=base.messages[1:])
    parts = [store.prompt_key(store.request_key(each)) for each in (base, warm, other)]
    assert parts[0] == parts[1] != parts[2]
    assert store.request_key(base) != store.request_key(warm)


def test_of_each_request_the_reply_counts_that_the_results_rest_on():
    def line(name, key, text, error=""):
        return store.StoredReply(name, key, Reply(text, error=error))

    lines = [
        line("a", "1", "", "timeout"),
        line("b", "1", "old history"),
        line("a", "1", "answered"),
        line("a", "1", "twice"),
        line("b", "2", "new history"),
        line("c", "1", "", "timeout"),
        line("c", "1", "", "again"),
    ]
    outcomes = {name: line.reply.text or line.reply.error for name, line in store.effective_replies(lines).items()}
    assert outcomes == {"a": "answered", "b": "new history", "c": "again"}


def test_the_lines_of_a_run_that_goes_on_are_read_without_touching_them(tmp_path):
    path = tmp_path / "replies.jsonl"
    content = write(path, [(request(0), Reply("whole"))]) + b'{"id": "torn'
    path.write_bytes(content)
    lines = store.read_lines(path, store.StoredReply)
    assert ([line.reply.text for line in lines.values], lines.damaged) == (["whole"], 1)
    assert path.read_bytes() == content
    assert store.read_lines(tmp_path / "none.jsonl", store.StoredReply) == store.Lines(())


def test_a_folder_held_by_another_process_is_refused_until_it_ends(tmp_path):
    imports = "import sys\nfrom pathlib import Path\nfrom cscbench.asking import store\n"
    hold = f"{imports}with store.locked(Path(sys.argv[1])):\n"
    holder = subprocess.Popen(
        [sys.executable, "-c", f"{hold}    print('held', flush=True); sys.stdin.read()", tmp_path / "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ},
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another cscbench command"), store.locked(tmp_path / "run"):
            pytest.fail("the lock was given twice")
        holder.kill()
    with store.locked(tmp_path / "run"):
        pass  # a killed holder leaves nothing behind
