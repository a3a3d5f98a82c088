"""The run folder: files written before the run, appended to during it, and written at its end.

run.json          written first: the resolved card and task, hashes, versions, hardware; when the adapter loads, the
                  facts that it reports (device, dtype, template) are added
replies.jsonl     one line per reply, appended; a torn last line is repaired on open
sessions.jsonl    the resources used by each process that requested replies, appended regularly so that a kill loses
                  little
judges/           a folder per judge, with its own run.json, replies.jsonl and sessions.jsonl
predictions.parquet, scores.parquet
ratings.jsonl     the judges' ratings, one per line
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

_RUN_AGAIN = "repeat the run with another --out"

T = TypeVar("T", bound=msgspec.Struct)


class StoredReply(Frozen, frozen=True):
    """A line of replies.jsonl: the request (`key` covers its messages and sampling), its reply, and the engine.

    `engine` is the run's `engine_key`: a line from another model, dtype or version is never used as this run's.
    """

    id: str
    key: str
    reply: Reply
    engine: str = ""


class KnownReplies(Frozen, frozen=True):
    """The successful replies on disk, by request id and key; and the number of damaged lines and of other engines'."""

    replies: dict[tuple[str, str], Reply]
    damaged: int = 0
    foreign: int = 0


class Lines(Generic[T], Frozen, frozen=True):
    """The lines of an append-only file, and the number of damaged lines."""

    values: tuple[T, ...]
    damaged: int = 0


def request_key(request: Request) -> str:
    """Hash everything in a request that changes its answer: 16 hex digits over its messages, 8 over the rest."""
    settings = digest(msgspec.to_builtins([request.sampling, request.step, request.choices]))
    return f"{digest(msgspec.to_builtins(request.messages))[:16]}-{settings[:8]}"


def prompt_key(key: str) -> str:
    """Return the part of a `request_key` that covers the messages only."""
    return key.partition("-")[0]


def engine_key(run: RunRecord) -> str:
    """Hash what changes answers apart from the request, to 16 hex digits; empty until an adapter has loaded.

    The run's identity covers weights, adapter weights and versions; the engine's facts: dtype, device and template.
    """
    return digest([run.identity, run.engine.facts])[:16] if run.engine else ""


def read_json(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a JSON file of a run folder. Errors say `what` its folder should be, and the `hint` how to fix the file.

    Raises:
        UserError: it is missing or not a JSON object.
    """
    try:
        content = read(path)
        data = json.loads(content, parse_constant=_finite_float, parse_float=_finite_float, parse_int=_int64)
        if b"\\u" in content:
            json.dumps(data, ensure_ascii=False).encode()  # JSON can spell half a character, but no file can store it
    except FileNotFoundError:
        raise UserError(f"{path}: no such file: {path.parent} is not {what}") from None
    except RecursionError:
        raise UserError(f"{path}: cannot read: lists or objects are nested hundreds of levels deep: {hint}") from None
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise UserError(f"{path}: cannot read: it contains half a character, {half!r}: {hint}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error}") from None
    except ValueError as error:
        raise UserError(f"{path}: cannot read: {error}: {hint}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: cannot read: expected a JSON object, found a {type(data).__name__}: {hint}")
    return data


def _finite_float(text: str) -> float:
    """Parse a number of a JSON file; Python would also accept NaN and Infinity."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is not a finite number")
    return value


def _int64(text: str) -> int:
    if len(text) > 20 or abs(value := int(text)) >= 2**63:
        raise ValueError(f"{text[:40]} is a number of more than 64 bits")
    return value


def read_value(path: Path, into: type[T], what: str, hint: str, schema: str = "") -> T:
    """Read a JSON file of a run folder as a struct. Errors say `what` its folder should be, and the `hint` the fix.

    Raises:
        UserError: it is missing, has another version than `schema`, or is damaged.
    """
    data = read_json(path, what, hint)
    if schema:
        check_schema(path, data.get("schema"), schema, hint)
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: damaged: {error}: {hint}") from None


def check_schema(path: Path, schema: object, newest: str, hint: str) -> None:
    """Check that this version reads a file's schema: `newest`, such as `cscbench/run/2`, or an older one.

    A newer schema only adds fields with defaults, so that one reader serves them all.

    Raises:
        UserError: it has another schema; for a newer one the message says to upgrade cscbench.
    """
    prefix, _, version = newest.rpartition("/")
    match = re.fullmatch(rf"{prefix}/([1-9]\d{{0,8}})", schema) if isinstance(schema, str) else None
    if match is None:
        raise UserError(f"{path}: expected the schema {newest}: {hint}")
    if int(match[1]) > int(version):
        raise UserError(f"{path}: written by a newer cscbench ({schema}; this one reads {newest}): upgrade cscbench")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create and lock the folder, so that two commands never write the same run; settle what a killed one left.

    Raises:
        UserError: it cannot be created, or another process has locked it.
    """

    def refuse() -> None:
        raise UserError(f"{folder}: another cscbench command is using this folder: wait until it ends") from None

    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(hold(folder / ".lock", refuse))
        except OSError as error:
            raise write_error(folder, error) from None
        settle(folder)
        yield


def open_run_folder(folder: Path, run: RunRecord) -> None:
    """Write run.json, or check that the existing one describes the same run.

    Overrides that change no reply, such as the task's scorers, replace those of an earlier command.

    Raises:
        UserError: the folder contains another run.
    """
    path = folder / RUN
    if not path.exists():
        write_json(path, msgspec.to_builtins(run))
        return
    earlier = read_run(folder)
    if digest(earlier.identity) != digest(run.identity):
        raise UserError(f"{folder}: contains a different run: move it away, or choose another --out")
    if (earlier.task, earlier.protocol.overrides) != (run.task, run.protocol.overrides):
        protocol = msgspec.structs.replace(earlier.protocol, overrides=run.protocol.overrides)
        changed = msgspec.structs.replace(earlier, schema=run.schema, task=run.task, protocol=protocol)
        write_json(path, msgspec.to_builtins(changed))


def read_run(folder: Path) -> RunRecord:
    """Read the run.json of a run folder.

    Raises:
        UserError: it is missing, has another version, or is damaged.
    """
    return read_value(folder / RUN, RunRecord, "a run folder", _RUN_AGAIN, RUN_SCHEMA)


def read_engine(folder: Path) -> EngineRecord:
    """Read the engine's record from run.json; empty if the adapter never loaded.

    Raises:
        UserError: there is no run.json, or it is damaged.
    """
    return read_run(folder).engine or EngineRecord()


def record_engine_facts(folder: Path, engine: EngineRecord) -> str:
    """Record an engine's facts and notes, or compare them with the recorded facts: a run's replies share one engine.

    Returns the `engine_key` of its replies.

    Raises:
        UserError: the earlier replies were made with another device, dtype or chat template.
    """
    run = read_run(folder)
    if run.engine is None:
        run = msgspec.structs.replace(run, engine=engine)
        write_json(folder / RUN, msgspec.to_builtins(run))
        return engine_key(run)
    recorded, facts = run.engine.facts, engine.facts
    changed = [
        f"{name}: {recorded.get(name)} then, {facts.get(name)} now"
        for name in {**recorded, **facts}
        if recorded.get(name) != facts.get(name)
    ]
    if changed:
        raise UserError(
            f"{folder}: the earlier replies of this run were made under different conditions ({'; '.join(changed)}). "
            "Set the earlier values in the card, or choose another --out"
        )
    return engine_key(run)


def read_lines(path: Path, into: type[T]) -> Lines[T]:
    """Read every whole line of an append-only file; none if there is no file. Nothing is repaired.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        content = read(path)
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise UserError(f"{path}: cannot read: {error.strerror}") from None
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
    """Read every successful reply on disk from this engine. First cut off a torn last line, so that the next is whole.

    Failed replies are skipped: their requests are repeated. Of two replies to the same messages the first counts; a
    reply to other messages of the same turn does not hide it.

    Raises:
        UserError: the file cannot be read or repaired.
    """
    repair(path, StoredReply)
    lines = read_lines(path, StoredReply)
    engine_lines = [line for line in lines.values if line.engine == engine]
    replies: dict[tuple[str, str], Reply] = {}
    for line in engine_lines:
        if not line.reply.error:
            replies.setdefault((line.id, line.key), line.reply)
    return KnownReplies(replies, lines.damaged, len(lines.values) - len(engine_lines))


def effective_replies(lines: Sequence[StoredReply]) -> dict[str, StoredReply]:
    """Return the reply to each request, by id, that a run's results are based on.

    It is the first successful one to the request's newest messages, which `read_replies` also returns, or a failure.
    """
    newest = {line.id: line.key for line in lines}
    effective: dict[str, StoredReply] = {}
    for line in lines:
        if line.key == newest[line.id] and (line.id not in effective or effective[line.id].reply.error):
            effective[line.id] = line
    return effective


def repair(path: Path, into: type[T]) -> None:
    """Make an append-only file end with a whole line: cut off a torn line, or add a missing newline.

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
    """Appends values as JSON lines, each in a single write, so that a kill leaves at most one torn line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise write_error(path, error) from None

    def append(self, value: msgspec.Struct) -> None:
        """Append a value.

        Raises:
            UserError: the disk is full; the torn line is repaired when the run is resumed.
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
    """Appends replies. Each line contains `engine`, which is set once the adapter has loaded."""

    def __init__(self, path: Path) -> None:
        self._lines = Appender(path)
        self.engine = ""

    def append(self, request: Request, reply: Reply) -> None:
        """Append a reply.

        Raises:
            UserError: the disk is full; the torn line is repaired when the run is resumed.
        """
        self._lines.append(StoredReply(request.id, request_key(request), reply, self.engine))

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()
