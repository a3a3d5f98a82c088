"""ROUGE-L with a tokenizer for each language, and rouge-score's default for comparison with published tables.

rouge-score's tokenizer keeps only a-z and 0-9, so that only the digits and Latin letters of a Chinese reply count.
`rouge_l` splits Chinese into characters; `rouge_l_ascii` uses the package's default for every language.
"""

import re
from collections.abc import Callable, Sequence

from cscbench.content.extras import require_extra, versions
from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import Language, ScoredPair

# A Han character, or a run of letters and digits of another script; as in rouge-score, punctuation and spaces are not
# tokens.
_CHARACTERS = re.compile(r"[㐀-鿿豈-﫿\U00020000-\U0003ffff]|[^\W_㐀-鿿豈-﫿\U00020000-\U0003ffff]+")


def characters(text: str) -> list[str]:
    """Split text into Chinese characters and words of other scripts, in lower case.

    >>> characters("请拨打 400-Abc，谢谢！")
    ['请', '拨', '打', '400', 'abc', '谢', '谢']
    """
    return _CHARACTERS.findall(text.lower())


class RougeScorer:
    """Mean over turns of the F1 of the longest common subsequence (Lin 2004), as rouge-score computes it.

    rapidfuzz, which is exact and fast, finds the subsequence.
    """

    def __init__(self, context: ScoringContext) -> None:
        require_extra("scores", ["rouge_score"], "ROUGE-L")
        from rouge_score.tokenize import tokenize

        def words(text: str) -> list[str]:
            return list(tokenize(text, None))

        self._words = words
        self._tokenizers: dict[Language, Callable[[str], list[str]]] = {Language.ZH: characters, Language.EN: words}
        names = {Language.ZH: "char", Language.EN: "word"}
        tokenizers = "+".join(names[language] for language in context.languages)
        packages = versions(["rouge-score", "rapidfuzz"])
        shared = f"stem:no|f1|level:turn|rouge-score:{packages['rouge-score']}|rapidfuzz:{packages['rapidfuzz']}"
        self.metrics = (
            MetricSpec("rouge_l", f"tok:{tokenizers}|{shared}"),
            MetricSpec("rouge_l_ascii", f"tok:rouge-score-default|{shared}"),
        )
        self.columns = ("f1", "f1_ascii", "turns")

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 3): F1 with the language's tokens, F1 with rouge-score's, and 1."""
        import numpy as np

        rows = np.zeros((len(pairs), 3))
        for row, pair in enumerate(pairs):
            rows[row] = (_f1(self._tokenizers[pair.language], pair), _f1(self._words, pair), 1)
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 2): `rouge_l`, `rouge_l_ascii`."""
        return ratio(sums[:, :2], sums[:, 2:])


def _f1(tokenize: Callable[[str], list[str]], pair: ScoredPair) -> float:
    from rapidfuzz.distance import LCSseq

    reference, reply = tokenize(pair.reference), tokenize(pair.text)
    if not reference or not reply:
        return 0.0
    common = LCSseq.similarity(reference, reply)
    precision, recall = common / len(reply), common / len(reference)
    return 2 * precision * recall / (precision + recall) if common else 0.0
