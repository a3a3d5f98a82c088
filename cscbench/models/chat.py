"""Chat messages to token ids, whatever a model's template takes, within its context window."""

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from cscbench.values import ChatRole, Frozen, Message

# For base models: a plain transcript. Their end of turn is the start of the next speaker's line.
_PLAIN = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{{ {'system': '', 'user': 'Customer: ', 'assistant': 'Supporter: '}[m['role']] }}{{ m['content'] }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Supporter:{% endif %}"
)
_PLAIN_STOPS = ("\nCustomer:", "\nSupporter:")
_PROBE = "cscbench probe"


class Encoded(Frozen, frozen=True):
    """Token ids of a request, and how many of its oldest messages were left out to fit the window."""

    ids: tuple[int, ...]
    dropped: int


class EncodedChoices(Frozen, frozen=True):
    """Token ids of a request with choices: what all of them follow, each one's own, and the messages left out."""

    ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    dropped: int


class EncodedAnswer(Frozen, frozen=True):
    """Token ids of a prompt and of an answer to it, up to what ends a turn, and the messages left out."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    dropped: int


class Cut(Frozen, frozen=True):
    """A reply out of generated tokens: its text, its tokens without the end, how many were spent, and whether it ended
    by itself.
    """

    text: str
    tokens: tuple[int, ...]
    count: int
    stopped: bool


class WindowError(ValueError):
    """A prompt that does not fit the context window even without its history."""


class SeamError(ValueError):
    """An answer whose first letters are one token with the prompt's last ones: no model is asked for it so."""


class Chat:
    """A tokenizer with its template's habits found out once: system role, BOS, end of turn.

    `notes` says what had to be done differently; `stops` are strings that end a reply; `ends` are token ids that do,
    with those that the model's own generation settings name (`model_ends`).
    """

    def __init__(self, tokenizer: Any, window: int, model_ends: Sequence[int] = ()) -> None:
        self.tokenizer, self.window = tokenizer, window
        self.notes: list[str] = []
        self.stops: tuple[str, ...] = ()
        if not tokenizer.chat_template:
            tokenizer.chat_template = _PLAIN
            self.stops = _PLAIN_STOPS
            self.notes.append("the tokenizer has no chat template: a plain Customer:/Supporter: transcript is used")
        self.template_sha256 = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
        self._folds_system = not self._takes_system()
        if self._folds_system:
            self.notes.append("the chat template takes no system message: it is put before the first user message")
        self.ends = tuple(sorted({*self._end_ids(), *model_ends}))
        self._gap = self._reply_gap()

    def _render(self, messages: Sequence[Message], generate: bool) -> str:
        rows = [{"role": message.role.value, "content": message.content} for message in messages]
        return str(self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=generate))

    def _takes_system(self) -> bool:
        from jinja2 import TemplateError

        probe = (Message(ChatRole.SYSTEM, _PROBE), Message(ChatRole.USER, "x"))
        try:
            return _PROBE in self._render(probe, generate=True)
        except TemplateError:
            return False

    def _answered(self) -> str:
        return self._render((Message(ChatRole.USER, "x"), Message(ChatRole.ASSISTANT, _PROBE)), generate=False)

    def _reply_gap(self) -> str:
        """The blank that the template writes in the history between its opening of a reply and the reply."""
        opened = self._render((Message(ChatRole.USER, "x"),), generate=True)
        before = self._answered().partition(_PROBE)[0]
        gap = before.removeprefix(opened)
        return gap if before.startswith(opened) and gap.isspace() else ""

    def _end_ids(self) -> set[int]:
        """The tokenizer's end of sequence, and the special token that the template writes after a reply."""
        ends = {self.tokenizer.eos_token_id} - {None}
        ids = self._ids(self._answered().partition(_PROBE)[2])
        # Special tokens may have no role by name: the end of a turn is often one of these (Phi's <|end|>).
        added = {token for token, content in self.tokenizer.added_tokens_decoder.items() if content.special}
        if ids and ids[0] in added.union(self.tokenizer.all_special_ids):
            ends.add(ids[0])
        return ends

    def encode(self, messages: Sequence[Message], room: int) -> Encoded:
        """Token ids that leave `room` tokens of the window for the reply, dropping the oldest turns where needed.

        Raises:
            WindowError: the system message and the last message alone are too long.
        """
        return self._fitting(messages, room)[1]

    def choice_ids(self, messages: Sequence[Message], choices: Sequence[str], room: int) -> EncodedChoices:
        """Token ids of the prompt, as `encode` gives them, and of each choice where the reply would stand.

        A choice's ids are those of prompt and choice read as one text, less the prompt's: as a model meets the choice
        in its history, without the end of the turn. Where the choice's first letters join the prompt's last token, the
        prompt ends before that token, for all choices: they are compared over the same stretch of text.

        Raises:
            WindowError: the system message and the last message alone are too long.
        """
        room = max(room, *(len(self._ids(choice)) for choice in choices))
        text, prompt = self._fitting(messages, room)
        wholes = [self._ids(text + self._gap + choice) for choice in choices]
        columns = zip(prompt.ids, *wholes, strict=False)
        shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
        return EncodedChoices(prompt.ids[:shared], tuple(whole[shared:] for whole in wholes), prompt.dropped)

    def answered(self, messages: Sequence[Message], answer: str, room: int) -> EncodedAnswer:
        """Token ids of the prompt, as `encode` gives them, and of an answer where the reply would stand.

        The answer is as a model meets it in its history, up to and with what ends a reply: the template's end of turn,
        or for a plain transcript the start of the customer's next line. `room` tokens of the window stay unused.

        Raises:
            WindowError: the system message, the last message and the answer alone are too long.
            SeamError: prompt and answer do not part between two tokens.
        """
        tail = self._gap + answer + self._reply_end()
        text, prompt = self._fitting(messages, room + len(self._ids(tail)))
        whole = self._ids(text + tail)
        if whole[: len(prompt.ids)] != prompt.ids:
            raise SeamError("the answer's first letters are one token with the prompt's last ones")
        ids = whole[len(prompt.ids) :]
        end = next((n for n, token in enumerate(ids, 1) if token in self.ends), len(ids))
        return EncodedAnswer(prompt.ids, ids[:end], prompt.dropped)

    def untrainable(self) -> str:
        """Why a model cannot learn replies in this template's shape; empty where it can."""
        if not self._answered().startswith(self._render((Message(ChatRole.USER, "x"),), generate=True)):
            return "its history does not show a reply as its prompts open one (a template that opens a thought, say)"
        if not self.stops and not set(self._ids(self._reply_end())).intersection(self.ends):
            return "nothing in its history ends a reply"
        return ""

    def _reply_end(self) -> str:
        after = self._answered().partition(_PROBE)[2]
        return after + self.stops[0].strip() if self.stops else after

    def cut(self, row: Sequence[int], stop: Sequence[str]) -> Cut:
        """The reply that a row of generated tokens holds: up to the end of the turn, or to a stop text."""
        stops = (*stop, *self.stops)
        end = next((n for n, token in enumerate(row) if token in self.ends), None)
        kept = tuple(row if end is None else row[:end])
        text = self._text(kept)
        cuts = [at for stop in stops if (at := text.find(stop)) >= 0]
        if not cuts:
            return Cut(text.strip(), kept, len(kept) + (end is not None), end is not None)
        # What follows in the row may be padding up to the longest of a batch: no token of this reply.
        size = next(n for n in range(1, len(kept) + 1) if any(stop in self._text(kept[:n]) for stop in stops))
        return Cut(text[: min(cuts)].strip(), kept[:size], size, stopped=True)

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _fitting(self, messages: Sequence[Message], room: int) -> tuple[str, Encoded]:
        """The rendered prompt without as many of its oldest turns as do not fit, and its token ids."""
        head = [message for message in messages if message.role is ChatRole.SYSTEM]
        rest = [message for message in messages if message.role is not ChatRole.SYSTEM]
        dropped = 0
        while True:
            text = self._prompt([*head, *rest[dropped:]])
            ids = self._ids(text)
            if len(ids) + room <= self.window:
                return text, Encoded(ids, dropped)
            if dropped + 2 >= len(rest):
                raise WindowError(
                    f"the prompt has {len(ids)} tokens without any history; the window of {self.window} leaves "
                    f"{self.window - room} beside {room} for the reply"
                )
            dropped += 2  # a user message and its answer, so that roles still alternate

    def _prompt(self, messages: Sequence[Message]) -> str:
        if self._folds_system and messages[0].role is ChatRole.SYSTEM:
            first = Message(ChatRole.USER, f"{messages[0].content}\n\n{messages[1].content}")
            messages = [first, *messages[2:]]
        return self._render(messages, generate=True)

    def _ids(self, text: str) -> tuple[int, ...]:
        # The template has written the special tokens: the tokenizer must not add a second BOS.
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
