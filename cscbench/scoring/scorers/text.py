"""What replies are like, beside how near they come to a reference: variety, repetition, length, placeholders.

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
    """Variety within replies, and phrases said again.

    `distinct_1` and `distinct_2`: mean over replies of the share of different n-grams (Li et al. 2016, over a reply
    and not over the corpus: that share falls with the number of replies, and does not add up over dialogues).
    `repeated_phrases`: share of 4-grams that the model said already, in the same reply or earlier in the dialogue.
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
        """(turns, 6): for n of 1 and 2 the share of different n-grams and 1; repeated 4-grams and all of them."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        said: dict[str, set[tuple[str, ...]]] = {}
        for row, pair in zip(rows, pairs, strict=True):
            tokens = characters(pair.text)
            for n in (1, 2):
                grams = _grams(tokens, n)
                if grams:
                    row[2 * n - 2 : 2 * n] = len(set(grams)) / len(grams), 1
            known = said.setdefault(pair.dialogue, set())
            for phrase in _grams(tokens, _PHRASE):
                row[4:] += phrase in known, 1
                known.add(phrase)
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 3): distinct-1, distinct-2, repeated phrases."""
        return ratio(sums[:, 0::2], sums[:, 1::2])


class LengthScorer:
    """`length_match`: tokens of all replies and of all references, the smaller number of the larger; 100: as many."""

    def __init__(self, context: ScoringContext) -> None:
        self.metrics = (MetricSpec("length_match", f"{_TOKENS}|level:corpus"),)
        self.columns = ("said", "reference")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 2): tokens of reply and reference."""
        import numpy as np

        lengths = [(len(characters(pair.text)), len(characters(pair.reference))) for pair in pairs]
        return np.array(lengths, dtype=np.float64).reshape(-1, 2)

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 1): the match of the sums."""
        return ratio(sums.min(axis=1, keepdims=True), sums.max(axis=1, keepdims=True))


class PlaceholderScorer:
    """Placeholders such as [UserName]: of the reference's, said in the same turn; of those said, in the reference."""

    def __init__(self, context: ScoringContext) -> None:
        level = "brackets|count:multiset|level:turn-sums"
        self.metrics = tuple(MetricSpec(f"placeholder_{name}", level) for name in ("recall", "precision", "f1"))
        self.columns = ("both", "said", "reference")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 3): placeholders in both, in the reply, in the reference."""
        import numpy as np

        rows = np.zeros((len(pairs), 3))
        for row, pair in zip(rows, pairs, strict=True):
            said, reference = (Counter(_PLACEHOLDER.findall(text)) for text in (pair.text, pair.reference))
            row[:] = (said & reference).total(), said.total(), reference.total()
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 3): recall, precision, F1; NaN where there is none to be found."""
        import numpy as np

        both, said, reference = sums[:, :1], sums[:, 1:2], sums[:, 2:]
        found = (ratio(both, reference), ratio(both, said), ratio(2 * both, said + reference))
        return np.concatenate(found, axis=1)


def _grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
