"""A desk: a model that answers requests, and the folder that stores its replies."""

import logging
from pathlib import Path

import msgspec

from cscbench.asking import store
from cscbench.asking.budget import Account
from cscbench.asking.cost import Cost, Session, Usage, cost_of, usage_of
from cscbench.asking.meter import Meter, Metered
from cscbench.asking.progress import Progress
from cscbench.asking.record import EngineRecord
from cscbench.asking.store import StoredReply
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.models.event_loop import interruptible
from cscbench.values import Frozen, Price, Reply, Request, UserError

log = logging.getLogger("cscbench")

# An adapter that has never answered and fails this many times in a row is broken; more requests would waste time.
_GIVE_UP_AFTER = 16


class Seat(Frozen, frozen=True):
    """A resolved model, and the backend that loads it; nothing is loaded yet."""

    backend: Backend
    context: LoadContext


class Desk:
    """Answers requests from the replies in its folder, or else with its model, which it loads when first needed.

    The caller locks the folder, which contains a run.json (`open_run_folder`). The desk writes the facts that the
    engine reports when it loads, each reply as it arrives, and what the requests cost.
    """

    def __init__(self, seat: Seat, folder: Path, bar: Progress, account: Account) -> None:
        self.account = account
        self._seat, self._folder, self._bar = seat, folder, bar
        path = folder / store.REPLIES
        self._known = store.read_replies(path, store.engine_key(store.read_run(folder)))
        ignored = (
            (self._known.damaged, "damaged lines"),
            (self._known.foreign, "replies from another model or engine"),
        )
        for count, what in ignored:
            if count:
                log.warning("%s: ignoring %d %s; their requests are repeated", path, count, what)
        self._log = store.ReplyLog(path)
        self._loaded: LoadedAdapter | None = None
        self._load_error: BaseException | None = None
        self._failed_in_a_row = 0
        self._traced = False
        self._ever_answered = bool(self._known.replies)

    async def ask(self, request: Request) -> Reply:
        """Return the reply to a request: a stored one, or the model's, which is stored before it is returned.

        Raises:
            UserError: the model cannot be loaded, always fails, or a reply cannot be written.
            BudgetSpent: the budget does not allow the request.
        """
        known = self._known.replies.get((request.id, store.request_key(request)))
        if known is not None:
            self._bar.skip()
            return known
        held = await self.account.hold(request)
        try:
            reply = await self._generate(request)
            self._log.append(request, reply)
        except BaseException:
            self.account.release(held)
            raise
        self.account.settle(held, reply)
        self._bar.step()
        return reply

    async def _generate(self, request: Request) -> Reply:
        adapter = self._adapter()
        try:
            reply = _as_stored(await adapter.adapter.generate(request))
        except UserError:
            raise
        except Exception as error:
            # One bad sample must not stop a run: it is recorded as failed, and the next command repeats it.
            # One traceback shows the fault; hundreds would hide it.
            log.error("the adapter failed on request %s: %r", request.id, error, exc_info=not self._traced)
            self._traced = True
            reply = Reply("", error=f"{type(error).__name__}: {error}")
        self._failed_in_a_row = self._failed_in_a_row + 1 if reply.error else 0
        self._ever_answered = self._ever_answered or not reply.error
        if not self._ever_answered and self._failed_in_a_row >= _GIVE_UP_AFTER:
            raise UserError(f"the first {_GIVE_UP_AFTER} requests all failed. The last error: {reply.error}")
        return reply

    def _adapter(self) -> LoadedAdapter:
        """Return the loaded model. If loading failed, do not try again for every request in flight."""
        if self._load_error is not None:
            raise self._load_error
        if self._loaded is None:
            try:
                with interruptible():
                    self._loaded = self._load()
            except BaseException as error:
                self._load_error = error
                raise
        return self._loaded

    def _load(self) -> LoadedAdapter:
        recorded = store.read_engine(self._folder).facts
        loaded = self._seat.backend.load(msgspec.structs.replace(self._seat.context, recorded_facts=recorded))
        try:
            self._log.engine = store.record_engine_facts(
                self._folder, EngineRecord(dict(loaded.engine_facts), loaded.notes)
            )
            meter = Meter(self._folder / store.SESSIONS, loaded.devices)
        except BaseException:
            loaded.adapter.close()  # its engine may be a separate process
            raise
        return msgspec.structs.replace(loaded, adapter=Metered(loaded.adapter, meter))

    async def aclose(self) -> None:
        """Close what belongs to the event loop, such as connections."""
        if self._loaded is not None and self._loaded.aclose is not None:
            await self._loaded.aclose()

    def close(self) -> None:
        """Free the model, and close the log."""
        try:
            if self._loaded is not None:
                self._loaded.adapter.close()
        finally:
            self._log.close()


def _as_stored(reply: object) -> Reply:
    """Return the reply as reading it from disk returns it; raise if a third party's reply cannot be stored."""
    return msgspec.json.decode(msgspec.json.encode(reply), type=Reply)


def paid_replies(folder: Path) -> tuple[Reply, ...]:
    """Return every reply in a desk's folder that earlier commands paid for, including failed, lost and foreign ones."""
    return tuple(line.reply for line in store.read_lines(folder / store.REPLIES, StoredReply).values)


def usage_and_cost(folder: Path, price: Price | None) -> tuple[Usage, Cost]:
    """Return the usage of the replies in a desk's folder, and the cost of all sessions that requested them."""
    key = store.engine_key(store.read_run(folder))
    lines = store.read_lines(folder / store.REPLIES, StoredReply).values
    replies = [line for line in lines if line.engine == key]
    return usage_of(replies), cost_of(replies, store.read_lines(folder / store.SESSIONS, Session).values, price)
