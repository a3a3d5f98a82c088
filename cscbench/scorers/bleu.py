"""Corpus BLEU-2 and BLEU-4 through sacrebleu, with the tokenizer of each turn's language."""

from collections.abc import Sequence

from cscbench.extras import versions
from cscbench.records import Language, Pair
from cscbench.scorers import MetricSpec, ScorerSetting
from cscbench.stats import Matrix

TOKENIZERS = {Language.ZH: "zh", Language.EN: "13a"}
_ORDERS = (2, 4)
_MOST = max(_ORDERS)


class BleuScorer:
    """Counts per turn, as sacrebleu makes them: n-gram matches and totals up to 4, and the two lengths.

    Counts of a mixed corpus add up, each turn under its own tokenizer (Post 2018; exponential smoothing).
    """

    def __init__(self, setting: ScorerSetting) -> None:
        from sacrebleu.metrics.bleu import BLEU

        self._bleu = {lang: BLEU(tokenize=TOKENIZERS[lang], max_ngram_order=_MOST) for lang in setting.languages}
        self._compute = BLEU.compute_bleu
        tokenizers = "+".join(TOKENIZERS[language] for language in setting.languages)
        shared = f"tok:{tokenizers}|case:mixed|eff:no|smooth:exp|level:corpus"
        version = f"sacrebleu:{versions(['sacrebleu'])['sacrebleu']}"
        self.metrics = tuple(MetricSpec(f"bleu_{n}", f"{shared}|order:{n}|{version}") for n in _ORDERS)
        self.columns = (
            *(f"match_{n}" for n in range(1, _MOST + 1)),
            *(f"total_{n}" for n in range(1, _MOST + 1)),
            "length",
            "reference_length",
        )

    def measure(self, pairs: Sequence[Pair]) -> Matrix:
        """(turns, 10): matches 1-4, totals 1-4, length, reference length, in tokens."""
        import numpy as np

        rows = np.zeros((len(pairs), len(self.columns)))
        for row, pair in enumerate(pairs):
            score = self._bleu[pair.language].corpus_score([pair.text], [[pair.reference]])
            rows[row] = [*score.counts, *score.totals, score.sys_len, score.ref_len]
        return rows

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 2): BLEU-2, BLEU-4 on a 0-100 scale."""
        import numpy as np

        values = np.full((len(sums), len(_ORDERS)), np.nan)
        for row, numbers in enumerate(sums):
            counts = [int(number) for number in numbers]
            length, reference_length = counts[-2:]
            if reference_length == 0:
                continue
            for column, order in enumerate(_ORDERS):
                score = self._compute(
                    correct=counts[:order],
                    total=counts[_MOST : _MOST + order],
                    sys_len=length,
                    ref_len=reference_length,
                    smooth_method="exp",
                    max_ngram_order=order,
                )
                values[row, column] = score.score
        return values
