"""Baselines without a model: `gold` (the ceiling), `majority` (the best constant), `retrieval` (nearest neighbour).

They answer in the shape the prompt asks for, and so pass through the same parser as a model.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from cscbench.content.extras import require_extra
from cscbench.content.prompts import NamedPrompt, answer_message
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.values import Dialogue, Frozen, Language, ModelCard, Reply, Request, Speaker, Turn, UserError


class _Line(Frozen, frozen=True):
    """A supporter turn, and the customer's utterance before it (empty at the opening).

    `dialogue` is all of the dialogue's turns: what it says is what it is, under whatever id.
    """

    dialogue: tuple[Turn, ...]
    customer_text: str
    strategy: str
    text: str
    language: Language


def _lines(dialogues: Iterable[Dialogue]) -> list[_Line]:
    found = []
    for dialogue in dialogues:
        customer_text = ""
        for turn in dialogue.turns:
            if turn.speaker is Speaker.SUPPORTER:
                found.append(_Line(dialogue.turns, customer_text, turn.strategy or "", turn.text, dialogue.language))
            customer_text = turn.text
    return found


class _Lookup:
    """Answers with the line that `choose` gives for a dialogue and turn."""

    def __init__(self, context: LoadContext, choose: Callable[[Dialogue, int], _Line]) -> None:
        self._dialogues = {dialogue.id: dialogue for dialogue in context.test}
        self._prompts: Mapping[Language, NamedPrompt] = context.prompts
        self._choose = choose

    async def generate(self, request: Request) -> Reply:
        dialogue = self._dialogues[request.thread]
        prompt = self._prompts[dialogue.language]
        line = self._choose(dialogue, request.turn)
        number = next(n for n, step in enumerate(prompt.prompt.steps) if step.step is request.step)
        return Reply(answer_message(prompt, number, line.strategy, line.text).content, finish_reason="stop")

    def close(self) -> None:
        """Nothing is held."""


def _gold_line(dialogue: Dialogue, turn: int) -> _Line:
    said = dialogue.turns[turn]
    return _Line(dialogue.turns, "", said.strategy or "", said.text, dialogue.language)


def _load_gold(context: LoadContext) -> LoadedAdapter:
    return LoadedAdapter(_Lookup(context, _gold_line))


def _commonest(values: Iterable[str]) -> str:
    """The commonest value, the first to appear among equals."""
    return Counter(values).most_common(1)[0][0]


def _load_majority(context: LoadContext) -> LoadedAdapter:
    """Always the strategy that is commonest among the turns under test: no constant answer has more of them right.

    The words are those of the commonest reply with that strategy in the training dialogues of the same language,
    or in the tested ones where a task has no training part.
    """
    strategy = _commonest(line.strategy for line in _lines(context.test))
    pool = [line for line in _lines(context.train or context.test) if line.strategy == strategy]
    lines = {}
    for language in {dialogue.language for dialogue in context.test}:
        texts = [line.text for line in pool if line.language is language] or [line.text for line in pool] or [""]
        lines[language] = _Line((), "", strategy, _commonest(texts), language)
    note = f"majority answers {strategy} always: the commonest strategy among the tested turns, read from their labels"
    if not strategy:
        note = "majority answers with the commonest reply always: the tested turns have no labels"
    return LoadedAdapter(_Lookup(context, lambda dialogue, _turn: lines[dialogue.language]), notes=(note,))


# The opening has no utterance before it; a character no customer writes keeps openings nearest to openings.
_NO_CUSTOMER_TEXT = "\x02"


class _Nearest:
    """The line that follows the most similar utterance: TF-IDF over character 1- to 3-grams (scikit-learn), cosine.

    Lines of the tested dialogue, or of a copy of it under another id, never count; a line in its language beats
    any in another.
    """

    def __init__(self, lines: Sequence[_Line]) -> None:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._lines = lines
        self._numbers: dict[tuple[Turn, ...], int] = {}
        for line in lines:
            self._numbers.setdefault(line.dialogue, len(self._numbers))
        self._dialogues = np.array([self._numbers[line.dialogue] for line in lines])
        self._languages = np.array([line.language.value for line in lines])
        self._model = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
        self._matrix = self._model.fit_transform([line.customer_text or _NO_CUSTOMER_TEXT for line in lines])

    def __call__(self, dialogue: Dialogue, turn: int) -> _Line:
        import numpy as np

        customer_text = dialogue.turns[turn - 1].text if turn else _NO_CUSTOMER_TEXT
        similar = (self._matrix @ self._model.transform([customer_text]).T).toarray().ravel()
        # Rounded, so that a tie is a tie on every machine; the first line wins it.
        scores = np.round(similar, 9) + 2 * (self._languages == dialogue.language.value)
        scores[self._dialogues == self._numbers.get(dialogue.turns, -1)] = -1.0
        best = int(np.argmax(scores))
        if scores[best] < 0:
            raise UserError("retrieval: there is no other dialogue to answer from: use more dialogues")
        return self._lines[best]


def _load_retrieval(context: LoadContext) -> LoadedAdapter:
    require_extra("scores", ["sklearn"], "the retrieval baseline")
    pool = context.train or context.test
    where = "the task's training dialogues" if context.train else "the other tested dialogues"
    return LoadedAdapter(_Lookup(context, _Nearest(_lines(pool))), notes=(f"retrieval answers from {where}",))


def _no_weights(card: ModelCard) -> Mapping[str, str]:
    for field in ("weights", "lora", "options"):
        if getattr(card, field):
            raise UserError(f"{card.name}: the {card.adapter} adapter takes no {field}")
    return {}


# A looked-up answer needs no likelihoods: it is one of the choices.
GOLD = Backend(load=_load_gold, fingerprint=_no_weights, ranks_choices=True, generates_text=False, runs_here=True)
MAJORITY = Backend(
    load=_load_majority, fingerprint=_no_weights, ranks_choices=True, generates_text=False, runs_here=True
)
RETRIEVAL = Backend(
    load=_load_retrieval,
    fingerprint=_no_weights,
    packages=("scikit-learn",),
    ranks_choices=True,
    generates_text=False,
    runs_here=True,
)
