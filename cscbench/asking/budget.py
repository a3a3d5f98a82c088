"""A command's budget: what all its desks may cost together, kept by setting aside the most each request can cost."""

import asyncio
import math
from collections.abc import Iterable

from cscbench.asking.cost import charge
from cscbench.values import Frozen, Price, Reply, Request, UserError

# What chat templates write around messages: role marks, and a system prompt of their own (Llama 3.1's has a date).
_TOKENS_AROUND_A_MESSAGE = 16
_TOKENS_AROUND_A_PROMPT = 64

_FREE = Price(0, 0, "")


class BudgetSpent(Exception):
    """The next request could cost more than is left; what is on disk is good, and nothing is half done."""


class Tokens(Frozen, frozen=True):
    """Tokens in and out, of one request or of many."""

    read: int = 0
    written: int = 0


def most_tokens(request: Request) -> Tokens:
    """The most that a request can take: a tokenizer makes at most one token of a byte of UTF-8."""
    text = sum(len(message.content.encode()) + _TOKENS_AROUND_A_MESSAGE for message in request.messages)
    return Tokens(text + _TOKENS_AROUND_A_PROMPT, request.sampling.max_tokens)


class Budget:
    """Lets a request pass if all that are in flight can still be paid for, even if each takes the most it can.

    One budget spans all desks of a command, each with an account at its own price. `limit` is in the one currency of
    their prices; without it everything passes.
    """

    def __init__(self, limit: float = math.inf) -> None:
        self.limit, self.currency = limit, ""
        self._accounts: list[Account] = []
        self._refused: tuple[Account, Tokens] | None = None
        self._waiting: list[asyncio.Future[None]] = []

    def account(
        self, label: str, price: Price | None = None, before: Iterable[Reply] = (), requests: int = 0
    ) -> "Account":
        """The account of one desk: `before` are the replies that earlier commands paid for, failed ones too.

        A desk without a price costs nothing. `requests` is how many the desk has in all, for the message.

        Raises:
            UserError: its price is in another currency than that of another desk.
        """
        if price is not None and self.currency not in ("", price.currency) and math.isfinite(self.limit):
            raise UserError(
                f"--max-cost is one amount, but {label} is priced in {price.currency} and {self._accounts[0].label} "
                f"in {self.currency}: give the cards' prices in one currency"
            )
        self.currency = self.currency or (price.currency if price else "")
        self._accounts.append(Account(self, label, price or _FREE, before, requests))
        return self._accounts[-1]

    async def hold(self, account: "Account", most: Tokens) -> None:
        """Wait until `most` fits beside all that is in flight.

        Raises:
            BudgetSpent: even with nothing in flight there is not enough left, or was not for another request.
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
        """Something that was set aside is free again: those who wait may look."""
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            if not changed.done():
                changed.set_result(None)

    def _total(self, account: "Account", most: Tokens, *, in_flight: bool) -> float:
        """What replies so far cost, with `most` at an account, and with all that is set aside."""
        return math.fsum(
            desk.cost(desk.settled, desk.held if in_flight else Tokens(), most if desk is account else Tokens())
            for desk in self._accounts
        )

    def check(self) -> None:
        """To be called when all that was in flight has come back.

        Raises:
            BudgetSpent: a request did not fit; what was spent, what it needs, and how to go on.
        """
        if self._refused is not None:
            raise BudgetSpent(self._message(*self._refused))

    def _message(self, account: "Account", most: Tokens) -> str:
        spent = self._total(account, Tokens(), in_flight=False)
        replies = sum(desk.replies for desk in self._accounts)
        each = ", ".join(f"{desk.label} {desk.cost(desk.settled):.6g}" for desk in self._accounts)
        return (
            f"stopped at --max-cost {self.limit:g}: {spent:.6g} {self.currency} are spent on {replies:,} replies"
            f"{f' ({each})' if len(self._accounts) > 1 else ''}, and the next of {account.label} can cost up to "
            f"{account.cost(most):.3g} {self.currency}.{account.ahead()}\n"
            "All replies are on disk: repeat the command with a larger --max-cost to continue"
        )


class Account:
    """What one desk has spent of a budget (`settled`), and what is set aside for its requests in flight (`held`)."""

    def __init__(self, budget: Budget, label: str, price: Price, before: Iterable[Reply], requests: int) -> None:
        self.label, self.replies = label, 0
        self.budget, self._price, self._requests = budget, price, requests
        self.settled = self.held = Tokens()
        for reply in before:
            self._pay(reply)

    async def hold(self, request: Request) -> Tokens:
        """Set aside the most that a request can cost, waiting for others to come back where that is needed.

        Raises:
            BudgetSpent: the budget does not allow it.
        """
        most = most_tokens(request)
        await self.budget.hold(self, most)
        self.held = _sum(self.held, most)
        return most

    def release(self, held: Tokens) -> None:
        """Give back what was set aside."""
        self.held = Tokens(self.held.read - held.read, self.held.written - held.written)
        self.budget.wake()

    def settle(self, held: Tokens, reply: Reply) -> None:
        """Pay for a reply with what was set aside for it.

        Raises:
            UserError: the reply does not say what it took.
        """
        self._pay(reply)
        self.release(held)
        priced = self._price.input or self._price.output
        if priced and math.isfinite(self.budget.limit) and not reply.error and not reply.tokens_in:
            raise UserError(
                f"{self.label}: cannot enforce --max-cost: its replies do not say how many tokens they took"
            )

    def cost(self, *tokens: Tokens) -> float:
        """What this many tokens cost here."""
        total = _sum(*tokens)
        return charge(self._price, total.read, total.written)

    def ahead(self) -> str:
        """What the desk's further requests would cost, as a sentence; empty where that cannot be told."""
        left = self._requests - self.replies
        if not self.replies or left <= 0:
            return ""
        about = self.cost(self.settled) / self.replies * left
        return f" The {left:,} of {self.label} that are left would cost about {about:.3g} {self.budget.currency}."

    def _pay(self, reply: Reply) -> None:
        self.settled = _sum(self.settled, Tokens(reply.tokens_in, reply.tokens_out))
        self.replies += not reply.error


def _sum(*tokens: Tokens) -> Tokens:
    return Tokens(sum(part.read for part in tokens), sum(part.written for part in tokens))
