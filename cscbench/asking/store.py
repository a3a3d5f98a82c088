"""The run folder: what is known before, appended during, and written last.

run.json          the resolved card and task, hashes, versions, hardware: written first; what the adapter found out when
                  it loaded (device, dtype, template) is added then
replies.jsonl     one line a reply, appended; a torn last line is repaired on open
sessions.jsonl    what each process that asked for replies took, appended now and then, for a kill to lose little
judges/           a folder a judge, with a run.json, replies.jsonl and sessions.jsonl of its own
predictions.parquet, scores.parquet
ratings.jsonl     what judges gave, a line a rating
results.json      written last, as a set with scores.parquet: its presence means that the run was scored
"""

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from cscbench.asking.files import read, settle, write_error, write_json
from cscbench.asking.record import RUN_SCHEMA, EngineRecord, RunRecord
from cscbench.content.hashes import digest
from cscbench.content.locks import hold
from cscbench.values import Frozen, Reply, Request, UserError

RUN, REPLIES, SESSIONS, RESULTS = "run.json", "replies.jsonl", "sessions.jsonl", "results.json"
PREDICTIONS, SCORES, RATINGS = "predictions.parquet", "scores.parquet", "ratings.jsonl"

_RUN_AGAIN = "run it again, with another --out"

T = TypeVar("T", bound=msgspec.Struct)


class StoredReply(Frozen, frozen=True):
    """A line of replies.jsonl: which request (`key` covers its messages and sampling), what made it, and its reply.

    `engine` is the `engine_key` of the run and of what its adapter said of itself: a line that comes from another
    model, another dtype or another version is never taken for this run's.
    """

    id: str
    key: str
    reply: Reply
    engine: str = ""


class KnownReplies(Frozen, frozen=True):
    """What was on disk: good replies by request id and key; how many lines were damaged, or another engine's."""

    replies: dict[tuple[str, str], Reply]
    damaged: int = 0
    foreign: int = 0


class Lines(Generic[T], Frozen, frozen=True):
    """The lines of an append-only file, and how many could not be read."""

    values: tuple[T, ...]
    damaged: int = 0


def request_key(request: Request) -> str:
    """Everything in a request that changes its answer: sixteen hex digits over its messages, eight over the rest."""
    settings = digest(msgspec.to_builtins([request.sampling, request.step, request.choices]))
    return f"{digest(msgspec.to_builtins(request.messages))[:16]}-{settings[:8]}"


def prompt_key(key: str) -> str:
    """The part of a `request_key` that is over the messages alone."""
    return key.partition("-")[0]


def engine_key(run: RunRecord) -> str:
    """Sixteen hex digits over everything beside a request that changes its answer; empty while no adapter has loaded.

    The run's identity has weights, adapter weights and versions; the engine's facts have dtype, device and template.
    """
    return digest([run.identity, run.engine.facts])[:16] if run.engine else ""


def read_json(path: Path, what: str, hint: str) -> dict[str, Any]:
    """A JSON file of a run folder; `what` its folder should be, and the `hint` where the file cannot be read.

    Raises:
        UserError: it is missing or not a JSON object.
    """
    try:
        content = read(path)
        found = json.loads(content, parse_constant=_number, parse_float=_number, parse_int=_whole_number)
        if b"\\u" in content:
            json.dumps(found, ensure_ascii=False).encode()  # half a character: JSON can spell one, no file can store it
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: {path.parent} is not {what}") from None
    except RecursionError:
        raise UserError(
            f"{path}: cannot be read: lists or objects stand in each other hundreds of levels deep: {hint}"
        ) from None
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UserError(f"{path}: cannot be read: it holds half a character, {half!r}: {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from None
    except ValueError as error:
        raise UserError(f"{path}: cannot be read: {error}: {hint}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise UserError(f"{path}: cannot be read: a JSON object is expected, this is a {kind}: {hint}")
    return found


def _number(text: str) -> float:
    """A number of a JSON file; Python would read NaN and Infinity, which are none."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _whole_number(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) >= 2**63:
        raise ValueError(f"{text[:40]} is a number of more than 64 bits")
    return number


def read_value(path: Path, into: type[T], what: str, hint: str, schema: str = "") -> T:
    """A JSON file of a run folder as a value; `what` its folder should be, and the `hint` where it is not sound.

    Raises:
        UserError: it is missing, of another version than `schema`, or damaged.
    """
    data = read_json(path, what, hint)
    if schema:
        check_schema(path, data.get("schema"), schema, hint)
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: damaged: {error}: {hint}") from None


def check_schema(path: Path, schema: object, ours: str, hint: str) -> None:
    """Make sure that a file has the schema that this version reads, such as `cscbench/run/1`.

    Raises:
        UserError: it has another; of a newer one the cure is a newer cscbench.
    """
    if schema == ours:
        return
    kind, _, version = ours.rpartition("/")
    newer = re.fullmatch(rf"{kind}/(\d{{1,9}})", schema) if isinstance(schema, str) else None
    if newer and int(newer[1]) > int(version):
        raise UserError(f"{path}: written by a newer cscbench ({schema}, this one reads {ours}): upgrade cscbench")
    raise UserError(f"{path}: not a file of this version ({ours}): {hint}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and hold it, so that two commands never write one run; what a killed one left there is settled.

    Raises:
        UserError: it cannot be made, or another process holds it.
    """

    def refuse() -> None:
        raise UserError(f"{folder}: another cscbench command is working in this folder: wait for it") from None

    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(folder / ".lock", refuse))
        except OSError as error:
            raise write_error(folder, error) from None
        settle(folder)
        yield


def open_run_folder(folder: Path, run: RunRecord) -> None:
    """Write run.json, or check that the one there is of the same run.

    Raises:
        UserError: the folder holds another run.
    """
    path = folder / RUN
    if not path.exists():
        write_json(path, msgspec.to_builtins(run))
    elif digest(read_run(folder).identity) != digest(run.identity):
        raise UserError(f"{folder}: holds another run than this one: move it away, or choose another --out")


def read_run(folder: Path) -> RunRecord:
    """run.json of a run folder.

    Raises:
        UserError: there is none, it is of another version, or it is damaged.
    """
    return read_value(folder / RUN, RunRecord, "a run folder", _RUN_AGAIN, RUN_SCHEMA)


def read_engine(folder: Path) -> EngineRecord:
    """What run.json says of the engine; empty where the adapter never loaded.

    Raises:
        UserError: there is no run.json, or it is damaged.
    """
    return read_run(folder).engine or EngineRecord()


def record_engine_facts(folder: Path, now: EngineRecord) -> str:
    """Replies of one run come from one engine: record its facts and notes, or compare with the facts recorded.

    Returns the `engine_key` of the replies that it will make.

    Raises:
        UserError: the earlier replies were made with another device, dtype or chat template.
    """
    run = read_run(folder)
    if run.engine is None:
        run = msgspec.structs.replace(run, engine=now)
        write_json(folder / RUN, msgspec.to_builtins(run))
        return engine_key(run)
    then = run.engine.facts
    changed = [
        f"{name}: {then.get(name)} then, {now.facts.get(name)} now"
        for name in {**then, **now.facts}
        if then.get(name) != now.facts.get(name)
    ]
    if changed:
        raise UserError(
            f"{folder}: the earlier replies of this run were made differently ({'; '.join(changed)}). "
            "Set it in the card so that both agree, or choose another --out"
        )
    return engine_key(run)


def read_lines(path: Path, into: type[T]) -> Lines[T]:
    """Every whole line of an append-only file; none where there is no file. Nothing is repaired.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        content = read(path)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    values: list[T] = []
    damaged = 0
    decoder = msgspec.json.Decoder(into)
    for line in content.splitlines():
        try:
            values.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            damaged += 1
    return Lines(tuple(values), damaged)


def read_replies(path: Path, engine: str = "") -> KnownReplies:
    """Every good reply on disk that this engine made. A torn last line is cut off first, so that the next is whole.

    Failed replies are passed over: they are asked again. Of two replies to the same messages the first counts; one to
    other messages of the same turn does not hide it.

    Raises:
        UserError: the file cannot be read or repaired.
    """
    repair(path, StoredReply)
    found = read_lines(path, StoredReply)
    own = [line for line in found.values if line.engine == engine]
    replies: dict[tuple[str, str], Reply] = {}
    for line in own:
        if not line.reply.error:
            replies.setdefault((line.id, line.key), line.reply)
    return KnownReplies(replies, found.damaged, len(found.values) - len(own))


def effective_replies(lines: Sequence[StoredReply]) -> dict[str, StoredReply]:
    """Of each request, by id, the reply that a run's results rest on.

    It is the first good one to the request's newest messages, as `read_replies` gives it to a play, else a failure.
    """
    newest = {line.id: line.key for line in lines}
    found: dict[str, StoredReply] = {}
    for line in lines:
        if line.key == newest[line.id] and (line.id not in found or found[line.id].reply.error):
            found[line.id] = line
    return found


def repair(path: Path, into: type[T]) -> None:
    """End an append-only file with a whole line: a torn one is cut off, a missing newline added.

    Raises:
        UserError: the file cannot be repaired.
    """
    try:
        if path.exists():
            _repair(path, into)
    except OSError as error:
        raise write_error(path, error) from None


def _repair(path: Path, into: type[T]) -> None:
    with path.open("rb+") as file:
        content = file.read()
        if not content or content.endswith(b"\n"):
            return
        start = content.rfind(b"\n") + 1
        try:
            msgspec.json.decode(content[start:], type=into)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            file.truncate(start)
        else:
            file.write(b"\n")


class Appender:
    """Appends values as lines of JSON, each in one write, so that a kill leaves at most one torn line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise write_error(path, error) from None

    def append(self, value: msgspec.Struct) -> None:
        """Put a value on disk.

        Raises:
            UserError: the disk is full; the torn line is repaired when the run goes on.
        """
        line = msgspec.json.encode(value) + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "No space left on device")
        except OSError as error:
            raise write_error(self._path, error) from None

    def close(self) -> None:
        """Sync and close."""
        with suppress(OSError):
            os.fsync(self._file.fileno())
        self._file.close()


class ReplyLog:
    """Appends replies. `engine` stands in each line: it is set when the adapter has loaded."""

    def __init__(self, path: Path) -> None:
        self._lines = Appender(path)
        self.engine = ""

    def append(self, request: Request, reply: Reply) -> None:
        """Put a reply on disk.

        Raises:
            UserError: the disk is full; the torn line is repaired when the run goes on.
        """
        self._lines.append(StoredReply(request.id, request_key(request), reply, self.engine))

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()
