"""Chat messages to token ids, whatever a model's template takes, within its context window."""

import hashlib
from collections.abc import Sequence
from typing import Any

from cscbench.records import ChatRole, Frozen, Message

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


class WindowError(ValueError):
    """A prompt that does not fit the context window even without its history."""


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

    def _end_ids(self) -> set[int]:
        """The tokenizer's end of sequence, and the special token that the template writes after a reply."""
        ends = {self.tokenizer.eos_token_id} - {None}
        answered = self._render((Message(ChatRole.USER, "x"), Message(ChatRole.ASSISTANT, _PROBE)), generate=False)
        after = answered.partition(_PROBE)[2]
        ids = self.tokenizer(after, add_special_tokens=False)["input_ids"]
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
        head = [message for message in messages if message.role is ChatRole.SYSTEM]
        rest = [message for message in messages if message.role is not ChatRole.SYSTEM]
        dropped = 0
        while True:
            ids = self._ids([*head, *rest[dropped:]])
            if len(ids) + room <= self.window:
                return Encoded(ids, dropped)
            if dropped + 2 >= len(rest):
                raise WindowError(
                    f"the prompt has {len(ids)} tokens without any history; the window of {self.window} leaves "
                    f"{self.window - room} beside {room} for the reply"
                )
            dropped += 2  # a user message and its answer, so that roles still alternate

    def _ids(self, messages: Sequence[Message]) -> tuple[int, ...]:
        if self._folds_system and messages[0].role is ChatRole.SYSTEM:
            first = Message(ChatRole.USER, f"{messages[0].content}\n\n{messages[1].content}")
            messages = [first, *messages[2:]]
        text = self._render(messages, generate=True)
        # The template has written the special tokens: the tokenizer must not add a second BOS.
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
