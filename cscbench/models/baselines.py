"""Baselines without a model: `gold` (the ceiling), `majority` (the best constant), `retrieval` (nearest neighbour).

They answer in the format that the prompt asks for, so their replies go through the same parser as a model's.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from cscbench.content.extras import require_extra
from cscbench.content.prompts import NamedPrompt, answer_message
from cscbench.models.backend import Backend, LoadContext, LoadedAdapter
from cscbench.values import Dialogue, Frozen, Language, ModelCard, Reply, Request, Speaker, Turn, UserError


class _Candidate(Frozen, frozen=True):
    """A supporter turn to answer with, and the customer utterance before it (empty at the opening).

    `dialogue` holds all of the dialogue's turns: they identify it, whatever its id.
    """

    dialogue: tuple[Turn, ...]
    customer_text: str
    strategy: str
    text: str
    language: Language


def _candidates(dialogues: Iterable[Dialogue]) -> list[_Candidate]:
    candidates = []
    for dialogue in dialogues:
        customer_text = ""
        for turn in dialogue.turns:
            if turn.speaker is Speaker.SUPPORTER:
                candidates.append(
                    _Candidate(dialogue.turns, customer_text, turn.strategy or "", turn.text, dialogue.language)
                )
            customer_text = turn.text
    return candidates


class _Lookup:
    """An adapter that answers with the candidate that `choose` returns for a dialogue and turn."""

    def __init__(self, context: LoadContext, choose: Callable[[Dialogue, int], _Candidate]) -> None:
        self._dialogues = {dialogue.id: dialogue for dialogue in context.test}
        self._prompts: Mapping[Language, NamedPrompt] = context.prompts
        self._choose = choose

    async def generate(self, request: Request) -> Reply:
        dialogue = self._dialogues[request.thread]
        prompt = self._prompts[dialogue.language]
        reply = self._choose(dialogue, request.turn)
        step = next(n for n, template in enumerate(prompt.prompt.steps) if template.step is request.step)
        return Reply(answer_message(prompt, step, reply.strategy, reply.text).content, finish_reason="stop")

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def _gold_reply(dialogue: Dialogue, turn: int) -> _Candidate:
    reference = dialogue.turns[turn]
    return _Candidate(dialogue.turns, "", reference.strategy or "", reference.text, dialogue.language)


def _load_gold(context: LoadContext) -> LoadedAdapter:
    return LoadedAdapter(_Lookup(context, _gold_reply))


def _most_common(values: Iterable[str]) -> str:
    """The most common value; ties go to the one that appears first."""
    return Counter(values).most_common(1)[0][0]


def _load_majority(context: LoadContext) -> LoadedAdapter:
    """Load an adapter that always answers the tested turns' most common strategy: the best constant answer.

    Its text is the most common reply with that strategy in the training dialogues of the same language, or in the
    tested dialogues if the task has no training dialogues.
    """
    strategy = _most_common(each.strategy for each in _candidates(context.test))
    pool = [each for each in _candidates(context.train or context.test) if each.strategy == strategy]
    replies = {}
    for language in {dialogue.language for dialogue in context.test}:
        texts = [each.text for each in pool if each.language is language] or [each.text for each in pool] or [""]
        replies[language] = _Candidate((), "", strategy, _most_common(texts), language)
    note = f"majority always answers {strategy}: the most common strategy of the tested turns, read from their labels"
    if not strategy:
        note = "majority always answers with the most common reply: the tested turns have no labels"
    return LoadedAdapter(_Lookup(context, lambda dialogue, _turn: replies[dialogue.language]), notes=(note,))


# No utterance precedes the opening; a character that no customer writes keeps openings closest to openings.
_NO_CUSTOMER_TEXT = "\x02"


class _Nearest:
    """Finds the reply to the most similar utterance: TF-IDF over character 1- to 3-grams (scikit-learn), cosine.

    Replies of the tested dialogue, or of a copy under another id, are excluded; a reply in the same language beats any
    reply in another.
    """

    def __init__(self, candidates: Sequence[_Candidate]) -> None:
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._candidates = candidates
        self._dialogue_numbers: dict[tuple[Turn, ...], int] = {}
        for candidate in candidates:
            self._dialogue_numbers.setdefault(candidate.dialogue, len(self._dialogue_numbers))
        self._dialogues = np.array([self._dialogue_numbers[candidate.dialogue] for candidate in candidates])
        self._languages = np.array([candidate.language.value for candidate in candidates])
        self._model = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
        self._matrix = self._model.fit_transform([each.customer_text or _NO_CUSTOMER_TEXT for each in candidates])

    def __call__(self, dialogue: Dialogue, turn: int) -> _Candidate:
        import numpy as np

        customer_text = dialogue.turns[turn - 1].text if turn else _NO_CUSTOMER_TEXT
        similar = (self._matrix @ self._model.transform([customer_text]).T).toarray().ravel()
        # Rounded, so that ties are the same on every machine; the first candidate wins a tie.
        scores = np.round(similar, 9) + 2 * (self._languages == dialogue.language.value)
        scores[self._dialogues == self._dialogue_numbers.get(dialogue.turns, -1)] = -1.0
        best = int(np.argmax(scores))
        if scores[best] < 0:
            raise UserError("retrieval: no other dialogue to answer from: raise --limit, or use more dialogues")
        return self._candidates[best]


def _load_retrieval(context: LoadContext) -> LoadedAdapter:
    require_extra("scores", ["sklearn"], "the retrieval baseline")
    pool = context.train or context.test
    source = "the task's training dialogues" if context.train else "the other tested dialogues"
    return LoadedAdapter(_Lookup(context, _Nearest(_candidates(pool))), notes=(f"retrieval answers from {source}",))


def _no_weights(card: ModelCard) -> Mapping[str, str]:
    for field in ("weights", "lora", "options"):
        if getattr(card, field):
            raise UserError(f"{card.name}: the {card.adapter} adapter does not accept `{field}`: remove it")
    return {}


# `ranks_choices` without likelihoods: a looked-up answer is always one of the choices.
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
