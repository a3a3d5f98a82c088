"""Properties of replies other than similarity to a reference: variety, repetition, length, placeholders.

Tokens are Chinese characters, and words of other scripts, in lower case (`rouge.characters`).
"""

import re
from collections import Counter
from collections.abc import Sequence

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.scoring.scorers.rouge import characters
from cscbench.values import ScoredPair

_TOKENS = "tok:characters+words|case:lower"
_PHRASE = 4
_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,40}\]")


class DiversityScorer:
    """Variety within replies, and repeated phrases.

    `distinct_1` and `distinct_2`: mean over replies of the share of distinct n-grams (Li et al. 2016; per reply instead
    of per corpus, where the share decreases with the number of replies and does not add up over dialogues).
    `repeated_phrases`: share of 4-grams that occur earlier in the model's reply or in its earlier replies.
    """

    needs = ()

    def __init__(self, context: ScoringContext) -> None:
        level = f"{_TOKENS}|level:reply"
        self.metrics = (
            MetricSpec("distinct_1", level),
            MetricSpec("distinct_2", level),
            MetricSpec("repeated_phrases", f"{_TOKENS}|n:{_PHRASE}|level:dialogue", higher_is_better=False),
        )
        self.columns = ("distinct1", "replies1", "distinct2", "replies2", "repeated", "phrases")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 6): for n of 1 and 2 the share of distinct n-grams and 1; repeated 4-grams and all 4-grams."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        earlier: dict[str, set[tuple[str, ...]]] = {}
        for row, pair in zip(rows, pairs, strict=True):
            tokens = characters(pair.text)
            for n in (1, 2):
                grams = _grams(tokens, n)
                if grams:
                    row[2 * n - 2 : 2 * n] = len(set(grams)) / len(grams), 1
            known = earlier.setdefault(pair.dialogue, set())
            for phrase in _grams(tokens, _PHRASE):
                row[4:] += phrase in known, 1
                known.add(phrase)
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 3): distinct-1, distinct-2, repeated phrases."""
        return ratio(sums[:, 0::2], sums[:, 1::2])


class LengthScorer:
    """`length_match`: 100 x min(reply tokens, reference tokens) / max(...), over all turns."""

    def __init__(self, context: ScoringContext) -> None:
        self.metrics = (MetricSpec("length_match", f"{_TOKENS}|level:corpus"),)
        self.columns = ("said", "reference")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 2): tokens of reply and reference."""
        import numpy as np

        lengths = [(len(characters(pair.text)), len(characters(pair.reference))) for pair in pairs]
        return np.array(lengths, dtype=np.float64).reshape(-1, 2)

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 1): the match of the sums."""
        return ratio(sums.min(axis=1, keepdims=True), sums.max(axis=1, keepdims=True))


class PlaceholderScorer:
    """Placeholders such as [UserName]: recall, precision and F1 of the reply's against the reference's, by turn."""

    def __init__(self, context: ScoringContext) -> None:
        level = "brackets|count:multiset|level:turn-sums"
        self.metrics = tuple(MetricSpec(f"placeholder_{name}", level) for name in ("recall", "precision", "f1"))
        self.columns = ("both", "said", "reference")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 3): placeholders in both, in the reply, in the reference."""
        import numpy as np

        rows = np.zeros((len(pairs), 3))
        for row, pair in zip(rows, pairs, strict=True):
            reply, reference = (Counter(_PLACEHOLDER.findall(text)) for text in (pair.text, pair.reference))
            row[:] = (reply & reference).total(), reply.total(), reference.total()
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 3): recall, precision, F1; NaN without any placeholder."""
        import numpy as np

        both, reply, reference = sums[:, :1], sums[:, 1:2], sums[:, 2:]
        return np.concatenate([ratio(both, reference), ratio(both, reply), ratio(2 * both, reply + reference)], axis=1)


def _grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
