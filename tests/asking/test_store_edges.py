"""Keys of the store, and the edges of what a JSON file of a run may hold."""

import re

import msgspec
import pytest
from desk_help import RECORD

from cscbench.asking import store
from cscbench.asking.record import EngineRecord
from cscbench.values import ChatRole, Message, Request, Sampling, Step, UserError


def request(text: str = "hi", **fields) -> Request:
    made = Request("d/0/joint", "d", 0, Step.JOINT, (Message(ChatRole.USER, text),), Sampling())
    return msgspec.structs.replace(made, **fields)


def test_a_request_key_is_sixteen_digits_over_the_messages_and_eight_over_the_rest():
    key = store.request_key(request())
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{8}", key)
    assert store.request_key(request("ho"))[17:] == key[17:]
    assert store.request_key(request("ho"))[:16] != key[:16]
    assert store.request_key(request(sampling=Sampling(seed=1)))[:16] == key[:16]
    assert store.request_key(request(choices=("a", "b")))[17:] != key[17:]
    assert store.request_key(request(id="d/1/joint", turn=1)) == key


def test_an_engine_key_is_sixteen_digits_once_an_adapter_has_loaded():
    assert store.engine_key(RECORD) == ""
    keys = [
        store.engine_key(msgspec.structs.replace(RECORD, engine=EngineRecord({"device": device}, (device,))))
        for device in ("cpu", "cuda", "cpu")
    ]
    assert all(re.fullmatch(r"[0-9a-f]{16}", key) for key in keys)
    assert keys[0] == keys[2] != keys[1]


def test_known_replies_lack_nothing_unless_they_say_so():
    known = store.KnownReplies({})
    assert (known.damaged, known.foreign) == (0, 0)
    assert store.Lines(()).damaged == 0


def read(path, content: str):
    path.write_text(content, encoding="utf-8")
    return store.read_json(path, "a run folder", "run it again")


@pytest.mark.parametrize("number", [2**63 - 1, 1 - 2**63, 10**18, -(10**18), 0])
def test_numbers_of_64_bits_are_read(tmp_path, number):
    assert read(tmp_path / "run.json", f'{{"seed": {number}}}') == {"seed": number}


@pytest.mark.parametrize(
    "text", [str(2**63), str(-(2**63)), str(2**64), "9" * 21, "-" + "9" * 20, "9" * 5000, "1e999", "NaN"]
)
def test_larger_numbers_are_refused(tmp_path, text):
    with pytest.raises(UserError, match=r"run\.json"):
        read(tmp_path / "run.json", f'{{"seed": {text}}}')


@pytest.mark.parametrize("text", ["\\u9000\\u6b3e", "\\ud83d\\ude42", "退款", "\\\\ud83d"])
def test_escaped_characters_are_read(tmp_path, text):
    assert read(tmp_path / "run.json", f'{{"name": "{text}"}}')["name"]


@pytest.mark.parametrize("text", ["\\ud83d", "x\\ude42"])
def test_half_a_character_is_refused(tmp_path, text):
    with pytest.raises(UserError, match="half"):
        read(tmp_path / "run.json", f'{{"name": "{text}"}}')


@pytest.mark.parametrize("engine", [None, EngineRecord({"device": "cpu"}, ("a note",))])
def test_the_engine_of_a_run_is_empty_until_an_adapter_has_loaded(tmp_path, engine):
    store.open_run_folder(tmp_path, msgspec.structs.replace(RECORD, engine=engine))
    assert store.read_engine(tmp_path) == (engine or EngineRecord())


def test_a_folder_is_made_with_those_above_it(tmp_path):
    with store.locked(tmp_path / "reports/deep/run"):
        assert (tmp_path / "reports/deep/run").is_dir()
    with store.locked(tmp_path / "reports/deep/run"):
        pass
