"""Chat messages to token ids, for any chat template, within the model's context window."""

import hashlib
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from cscbench.values import ChatRole, Frozen, Message

# For base models: a plain transcript, in which a turn ends where the next speaker's line starts.
_PLAIN = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{{ {'system': '', 'user': 'Customer: ', 'assistant': 'Supporter: '}[m['role']] }}{{ m['content'] }}\n\n"
    "{% endfor %}{% if add_generation_prompt %}Supporter:{% endif %}"
)
_PLAIN_STOPS = ("\nCustomer:", "\nSupporter:")
_PROBE = "cscbench probe"


class Encoded(Frozen, frozen=True):
    """Token ids of a request, and how many of its oldest messages were dropped to fit the window."""

    ids: tuple[int, ...]
    dropped: int


class EncodedChoices(Frozen, frozen=True):
    """Token ids of a request with choices: the shared prompt, the ids of each choice, and the messages dropped."""

    ids: tuple[int, ...]
    choices: tuple[tuple[int, ...], ...]
    dropped: int


class EncodedAnswer(Frozen, frozen=True):
    """Token ids of a prompt and of its answer, including the end of turn, and the messages dropped."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    dropped: int


class Cut(Frozen, frozen=True):
    """A reply cut from generated tokens: its text, its tokens without the end, the number of tokens generated for it,
    and whether it ended by itself.
    """

    text: str
    tokens: tuple[int, ...]
    count: int
    stopped: bool


class WindowError(ValueError):
    """The prompt does not fit the context window even without its history."""


class SeamError(ValueError):
    """The answer's first characters share a token with the prompt's last ones, which no run would ever send."""


class Chat:
    """A tokenizer and what its template does, probed once: system role, BOS, end of turn.

    `notes` lists the workarounds; `stops` are strings that end a reply; `ends` are token ids that do, including
    `model_ends` from the model's own generation settings.
    """

    def __init__(self, tokenizer: Any, window: int, model_ends: Sequence[int] = ()) -> None:
        self.tokenizer, self.window = tokenizer, window
        self.notes: list[str] = []
        self.stops: tuple[str, ...] = ()
        if not tokenizer.chat_template:
            tokenizer.chat_template = _PLAIN
            self.stops = _PLAIN_STOPS
            self.notes.append("the tokenizer has no chat template: prompts are plain Customer:/Supporter: transcripts")
        self.template_sha256 = hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
        self._folds_system = not self._has_system_role()
        if self._folds_system:
            self.notes.append(
                "the chat template has no system role: the system message goes into the first user message"
            )
        self.ends = tuple(sorted({*self._end_ids(), *model_ends}))
        self._gap = self._reply_gap()

    def _render(self, messages: Sequence[Message], generate: bool) -> str:
        rows = [{"role": message.role.value, "content": message.content} for message in messages]
        return str(self.tokenizer.apply_chat_template(rows, tokenize=False, add_generation_prompt=generate))

    def _has_system_role(self) -> bool:
        from jinja2 import TemplateError

        probe = (Message(ChatRole.SYSTEM, _PROBE), Message(ChatRole.USER, "x"))
        try:
            return _PROBE in self._render(probe, generate=True)
        except TemplateError:
            return False

    def _answered(self) -> str:
        return self._render((Message(ChatRole.USER, "x"), Message(ChatRole.ASSISTANT, _PROBE)), generate=False)

    def _reply_gap(self) -> str:
        """The whitespace that the template writes in the history between the opening of a reply and its text."""
        opened = self._render((Message(ChatRole.USER, "x"),), generate=True)
        before = self._answered().partition(_PROBE)[0]
        gap = before.removeprefix(opened)
        return gap if before.startswith(opened) and gap.isspace() else ""

    def _end_ids(self) -> set[int]:
        """The tokenizer's end of sequence, and the special token that the template writes after a reply."""
        ends = {self.tokenizer.eos_token_id} - {None}
        ids = self._ids(self._answered().partition(_PROBE)[2])
        # A special token need not have a named role: the end of turn is often such a token (Phi's <|end|>).
        added = {token for token, content in self.tokenizer.added_tokens_decoder.items() if content.special}
        if ids and ids[0] in added.union(self.tokenizer.all_special_ids):
            ends.add(ids[0])
        return ends

    def encode(self, messages: Sequence[Message], room: int) -> Encoded:
        """Return token ids that leave `room` tokens of the window for the reply, dropping the oldest turns if needed.

        Raises:
            WindowError: the system message and the last message alone are too long.
        """
        return self._fitting(messages, room)[1]

    def choice_ids(self, messages: Sequence[Message], choices: Sequence[str], room: int) -> EncodedChoices:
        """Return token ids of the prompt, as from `encode`, and of each choice in place of the reply.

        Prompt and choice are tokenized as one text, as a model would see the choice in its history, without the end of
        turn. If a choice's first characters join the prompt's last token, the prompt ends before that token for all
        choices, so that they are compared over the same span of text.

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
        """Return token ids of the prompt, as from `encode`, and of an answer in place of the reply.

        The answer is as a model sees it in its history, including what ends a reply: the template's end of turn, or for
        a plain transcript the start of the customer's next line. `room` tokens of the window stay unused.

        Raises:
            WindowError: the system message, the last message and the answer alone are too long.
            SeamError: prompt and answer share a token.
        """
        tail = self._gap + answer + self._reply_end()
        text, prompt = self._fitting(messages, room + len(self._ids(tail)))
        whole = self._ids(text + tail)
        if whole[: len(prompt.ids)] != prompt.ids:
            raise SeamError("the answer's first characters share a token with the prompt's last ones")
        ids = whole[len(prompt.ids) :]
        end = next((n for n, token in enumerate(ids, 1) if token in self.ends), len(ids))
        return EncodedAnswer(prompt.ids, ids[:end], prompt.dropped)

    def untrainable(self) -> str:
        """Return why a model cannot be trained with this template; empty if it can."""
        if not self._answered().startswith(self._render((Message(ChatRole.USER, "x"),), generate=True)):
            return "it opens a new reply differently from replies in the history (for example, with a thought)"
        if not self.stops and not set(self._ids(self._reply_end())).intersection(self.ends):
            return "it writes no end of turn after a reply"
        return ""

    def _reply_end(self) -> str:
        after = self._answered().partition(_PROBE)[2]
        return after + self.stops[0].strip() if self.stops else after

    def cut(self, row: Sequence[int], stop: Sequence[str]) -> Cut:
        """Return the reply in a row of generated tokens: up to the end of turn, or to a stop string."""
        stops = (*stop, *self.stops)
        end = next((n for n, token in enumerate(row) if token in self.ends), None)
        kept = tuple(row if end is None else row[:end])
        text = self._text(kept)
        cuts = [at for stop in stops if (at := text.find(stop)) >= 0]
        if not cuts:
            return Cut(text.strip(), kept, len(kept) + (end is not None), end is not None)
        # The rest of the row may be padding to the longest row of the batch, which is not part of this reply.
        size = next(n for n in range(1, len(kept) + 1) if any(stop in self._text(kept[:n]) for stop in stops))
        return Cut(text[: min(cuts)].strip(), kept[:size], size, stopped=True)

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _fitting(self, messages: Sequence[Message], room: int) -> tuple[str, Encoded]:
        """Return the rendered prompt without the oldest turns that do not fit, and its token ids."""
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
                    f"the prompt has {len(ids)} tokens without any history; the window of {self.window} tokens leaves "
                    f"{self.window - room} for it and {room} for the reply"
                )
            dropped += 2  # a user message and its answer: roles must alternate

    def _prompt(self, messages: Sequence[Message]) -> str:
        if self._folds_system and messages[0].role is ChatRole.SYSTEM:
            first = Message(ChatRole.USER, f"{messages[0].content}\n\n{messages[1].content}")
            messages = [first, *messages[2:]]
        return self._render(messages, generate=True)

    def _ids(self, text: str) -> tuple[int, ...]:
        # The template already wrote the special tokens: the tokenizer must not add a second BOS.
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"])
