"""Corpus BLEU-2 and BLEU-4 with sacrebleu, using the tokenizer of each turn's language."""

from collections.abc import Sequence

from cscbench.content.extras import versions
from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext
from cscbench.values import Language, ScoredPair

TOKENIZERS = {Language.ZH: "zh", Language.EN: "13a"}
_ORDERS = (2, 4)
_MAX_ORDER = max(_ORDERS)


class BleuScorer:
    """Counts per turn from sacrebleu: n-gram matches and totals up to 4, and the two lengths.

    Counts of a mixed-language corpus add up; each turn uses its language's tokenizer (Post 2018; smoothing `exp`).
    """

    def __init__(self, context: ScoringContext) -> None:
        from sacrebleu.metrics.bleu import BLEU

        self._bleu = {lang: BLEU(tokenize=TOKENIZERS[lang], max_ngram_order=_MAX_ORDER) for lang in context.languages}
        tokenizers = "+".join(TOKENIZERS[language] for language in context.languages)
        shared = f"tok:{tokenizers}|case:mixed|eff:no|smooth:exp|level:corpus"
        version = f"sacrebleu:{versions(['sacrebleu'])['sacrebleu']}"
        self.metrics = tuple(MetricSpec(f"bleu_{n}", f"{shared}|order:{n}|{version}") for n in _ORDERS)
        self.columns = (
            *(f"match_{n}" for n in range(1, _MAX_ORDER + 1)),
            *(f"total_{n}" for n in range(1, _MAX_ORDER + 1)),
            "length",
            "reference_length",
        )

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """Return (turns, 10): matches 1-4, totals 1-4, length, reference length, in tokens."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        for row, pair in enumerate(pairs):
            score = self._bleu[pair.language].corpus_score([pair.text], [[pair.reference]])
            rows[row] = [*score.counts, *score.totals, score.sys_len, score.ref_len]
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 2): BLEU-2, BLEU-4 on a 0-100 scale."""
        import numpy as np

        correct, total = sums[:, :_MAX_ORDER], sums[:, _MAX_ORDER : 2 * _MAX_ORDER]
        length, reference_length = sums[:, -2], sums[:, -1]
        penalty = np.exp(np.minimum(0, 1 - reference_length / np.maximum(length, 1)))
        values = [penalty * _mean_precision(correct[:, :order], total[:, :order]) for order in _ORDERS]
        return np.where(reference_length[:, None] == 0, np.nan, np.stack(values, axis=1))


def _mean_precision(correct: Matrix, total: Matrix) -> Matrix:
    """Compute n geometric means of the precisions from (n, orders) counts, like `BLEU.compute_bleu`, all at once.

    Each order without a match counts half as much as the one before (smoothing `exp`, Chen and Cherry 2014, method 3).
    Without any match, or if all texts are too short for an order, the score is 0.
    """
    import numpy as np

    missing = correct == 0
    smoothed = np.where(missing, 0.5 ** np.cumsum(missing, axis=1), correct) / np.maximum(total, 1)
    scores = 100 * np.exp(np.log(smoothed).mean(axis=1))
    defined = (total > 0).all(axis=1) & ~missing.all(axis=1)
    values: Matrix = np.where(defined, scores, 0.0)
    return values
