"""The budget of a command: a limit on what all its desks spend, enforced by holding each request's maximum cost."""

import asyncio
import math
from collections.abc import Iterable

from cscbench.asking.cost import charge
from cscbench.values import Frozen, Price, Reply, Request, UserError

# Tokens that chat templates add: role markers, and a default system prompt (Llama 3.1's contains a date).
_TOKENS_AROUND_A_MESSAGE = 16
_TOKENS_AROUND_A_PROMPT = 64

_FREE = Price(0, 0, "")


class BudgetSpent(Exception):
    """The next request could cost more than is left. Replies on disk stay valid, and no request is half done."""


class Tokens(Frozen, frozen=True):
    """Input and output tokens, of one request or of many."""

    read: int = 0
    written: int = 0


def most_tokens(request: Request) -> Tokens:
    """Return an upper bound on a request's tokens: a tokenizer makes at most one token per byte of UTF-8."""
    text = sum(len(message.content.encode()) + _TOKENS_AROUND_A_MESSAGE for message in request.messages)
    return Tokens(text + _TOKENS_AROUND_A_PROMPT, request.sampling.max_tokens)


class Budget:
    """Admits a request only if the limit covers all requests in flight, even if each costs its maximum.

    One budget spans all desks of a command; each desk has an account at its own price. `limit` is in the currency that
    their prices share; without a limit every request is admitted.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self.limit, self.currency = limit, ""
        self._accounts: list[Account] = []
        self._refused: tuple[Account, Tokens] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def account(
        self, label: str, price: Price | None = None, paid: Iterable[Reply] = (), requests: int = 0
    ) -> "Account":
        """Open the account of one desk. `paid` are the replies that earlier commands paid for, including failed ones.

        A desk without a price costs nothing. `requests` is the desk's total number of requests, for the message.

        Raises:
            UserError: its price is in a different currency from another desk's.
        """
        if price is not None and self.currency not in ("", price.currency) and math.isfinite(self.limit):
            raise UserError(
                f"--max-cost is a single amount, but {label} is priced in {price.currency} and "
                f"{self._accounts[0].label} in {self.currency}: use the same currency in both cards"
            )
        self.currency = self.currency or (price.currency if price else "")
        self._accounts.append(Account(self, label, price or _FREE, paid, requests))
        return self._accounts[-1]

    async def hold(self, account: "Account", most: Tokens) -> None:
        """Wait until `most` fits in addition to all requests in flight.

        Raises:
            BudgetSpent: not enough is left even with nothing in flight, or another request was already refused.
        """
        while True:
            if self._refused is None and not self._total(account, most, in_flight=False) <= self.limit:
                self._refused = account, most
            if self._refused is not None:
                raise BudgetSpent
            if self._total(account, most, in_flight=True) <= self.limit:
                return
            # Not an asyncio.Event: the desks of a command may be asked in one event loop after another.
            changed = asyncio.get_running_loop().create_future()
            self._waiting.append(changed)
            await changed

    def wake(self) -> None:
        """Let waiting requests check again, after a held amount was released."""
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    def _total(self, account: "Account", most: Tokens, *, in_flight: bool) -> float:
        """Return the cost of all replies so far, plus `most` at one account, plus all held amounts if `in_flight`."""
        return math.fsum(
            desk.cost(desk.settled, desk.held if in_flight else Tokens(), most if desk is account else Tokens())
            for desk in self._accounts
        )

    def check(self) -> None:
        """Raise if a request was refused. Call this once nothing is in flight.

        Raises:
            BudgetSpent: a request did not fit; the message says what was spent, what it needs, and how to continue.
        """
        if self._refused is not None:
            raise BudgetSpent(self._message(*self._refused))

    def _message(self, account: "Account", most: Tokens) -> str:
        spent = self._total(account, Tokens(), in_flight=False)
        replies = sum(desk.replies for desk in self._accounts)
        each = ", ".join(f"{desk.label} {desk.cost(desk.settled):.6g}" for desk in self._accounts)
        return (
            f"stopped at --max-cost {self.limit:g}: spent {spent:.6g} {self.currency} on {replies:,} replies"
            f"{f' ({each})' if len(self._accounts) > 1 else ''}; the next request to {account.label} can cost up to "
            f"{account.cost(most):.3g} {self.currency}.{account.forecast()}\n"
            "All replies are saved: repeat the command with a larger --max-cost to continue"
        )


class Account:
    """What one desk has spent of a budget (`settled`), and what is held for its requests in flight (`held`)."""

    def __init__(self, budget: Budget, label: str, price: Price, paid: Iterable[Reply], requests: int) -> None:
        self.label, self.replies = label, 0
        self.budget, self._price, self._requests = budget, price, requests
        self.settled = self.held = Tokens()
        for reply in paid:
            self._pay(reply)

    async def hold(self, request: Request) -> Tokens:
        """Hold the most that a request can cost; wait for other requests to finish if necessary.

        Raises:
            BudgetSpent: the budget does not allow it.
        """
        most = most_tokens(request)
        await self.budget.hold(self, most)
        self.held = _sum(self.held, most)
        return most

    def release(self, held: Tokens) -> None:
        """Release a held amount."""
        self.held = Tokens(self.held.read - held.read, self.held.written - held.written)
        self.budget.wake()

    def settle(self, held: Tokens, reply: Reply) -> None:
        """Pay for a reply out of the amount held for it.

        Raises:
            UserError: the reply does not report its tokens.
        """
        self._pay(reply)
        self.release(held)
        priced = self._price.input or self._price.output
        if priced and math.isfinite(self.budget.limit) and not reply.error and not reply.tokens_in:
            raise UserError(
                f"{self.label}: cannot enforce --max-cost: its replies do not report token usage. "
                "Run without --max-cost"
            )

    def cost(self, *tokens: Tokens) -> float:
        """Return what this many tokens cost at this desk."""
        total = _sum(*tokens)
        return charge(self._price, total.read, total.written)

    def forecast(self) -> str:
        """Return a sentence on what the desk's remaining requests would cost; empty if that is unknown."""
        left = self._requests - self.replies
        if not self.replies or left <= 0:
            return ""
        about = self.cost(self.settled) / self.replies * left
        return f" Its remaining {left:,} requests would cost about {about:.3g} {self.budget.currency}."

    def _pay(self, reply: Reply) -> None:
        self.settled = _sum(self.settled, Tokens(reply.tokens_in, reply.tokens_out))
        self.replies += not reply.error


def _sum(*tokens: Tokens) -> Tokens:
    return Tokens(sum(part.read for part in tokens), sum(part.written for part in tokens))
