"""A desk for ad hoc adapters, in its own folder."""

from collections.abc import Callable, Sequence
from pathlib import Path

from cscbench.asking import store
from cscbench.asking.budget import Account, Budget
from cscbench.asking.desk import Desk, Seat
from cscbench.asking.engine import Play, play_all
from cscbench.asking.progress import Progress
from cscbench.asking.record import (
    RUN_SCHEMA,
    DataRecord,
    Environment,
    ModelRecord,
    ProtocolRecord,
    RunRecord,
    TaskRecord,
)
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.values import CSC, SUPPORTER, Condition, Context, ModelCard

RECORD = RunRecord(
    schema=RUN_SCHEMA,
    name="test",
    hash="00000000",
    identity={"test": 1},
    model=ModelRecord(name="test", adapter="test", label="test", fingerprint={}),
    task=TaskRecord("test", "Test", (), CSC, (), ""),
    data=DataRecord((), (), ()),
    dialogues=(),
    protocol=ProtocolRecord(Context.GOLD, Condition.JOINT, {}, {}, 0, None, 0),
    environment=Environment("", "", "", "", None, {}, ""),
)


def desk(folder: Path, load: Callable[[], LoadedAdapter], account: Account | None = None) -> Desk:
    """A desk whose model `load` returns, with the replies of earlier desks in `folder`."""
    folder.mkdir(exist_ok=True)
    store.open_run_folder(folder, RECORD)
    seat = Seat(Backend(load=lambda _context: load()), LoadContext(ModelCard("test", "test"), {}))
    return Desk(seat, folder, Progress("test", 1), account or Budget().account("test"))


def play_at_desk(folder: Path, plays: Sequence[Play], load: Callable[[], LoadedAdapter], concurrency: int = 3) -> tuple:
    """Play all plays at one desk; return their results."""
    return play_all(plays, {SUPPORTER: desk(folder, load)}, concurrency)


def known_replies(folder: Path) -> store.KnownReplies:
    """The replies that the folder's next desk would reuse."""
    return store.read_replies(folder / store.REPLIES, store.engine_key(store.read_run(folder)))
