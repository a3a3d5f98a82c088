"""Stars: what judges gave, as sums."""

from collections.abc import Sequence
from statistics import fmean

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import Level, Rating, ScoredPair, UserError

_FIXED = 4


class StarsScorer:
    """Mean stars from 1 to 5, overall and by dimension, and the share of ratings that are missing.

    A panel's score of an item is the mean over the judges whose answer could be read. A conversation's rating stands at
    its first turn.
    """

    needs = ()

    def __init__(self, context: ScoringContext) -> None:
        if context.judging is None:
            raise UserError("stars come from a judge: give `cscbench run` --judge CARD")
        self._judging, self._ratings = context.judging, context.ratings
        signature = context.judging.signature()
        dimensions = context.judging.dimensions
        self.metrics = (
            MetricSpec("stars", signature),
            *(MetricSpec(f"stars_{code}", signature) for code in dimensions),
            MetricSpec("stars_missing", signature, higher_is_better=False),
        )
        self.columns = ("overall", "rated", "missing", "asked", *(f"sum_{code}" for code in dimensions))

    def measure(self, pairs: Sequence[ScoredPair]) -> Matrix:
        """(turns, 4 + dimensions): stars, rated items, missing ratings, ratings asked for, stars by dimension."""
        import numpy as np

        by_place: dict[tuple[str, int], list[Rating]] = {}
        for rating in self._ratings:
            by_place.setdefault((rating.dialogue, self._place(rating)), []).append(rating)
        rows = np.zeros((len(pairs), len(self.columns)))
        seen: set[str] = set()
        for row, pair in zip(rows, pairs, strict=True):
            turn = -1 if self._judging.level is Level.DIALOGUE else pair.turn
            own = by_place.get((pair.dialogue, turn), [])
            if turn >= 0 or pair.dialogue not in seen:
                row[:] = self._row(own)
            seen.add(pair.dialogue)
        return rows

    def _place(self, rating: Rating) -> int:
        return -1 if self._judging.level is Level.DIALOGUE else rating.turn

    def _row(self, own: Sequence[Rating]) -> list[float]:
        scores = [rating.score for rating in own if rating.score is not None]
        if not scores:
            return [0, 0, len(own), len(own), *[0] * len(self._judging.dimensions)]
        rated = [rating.dimensions for rating in own if rating.score is not None]
        dimensions = [fmean(column) for column in zip(*rated, strict=True)]
        return [fmean(scores), 1, len(own) - len(scores), len(own), *dimensions]

    def summarise(self, sums: Matrix) -> Matrix:
        """(n, 2 + dimensions): stars from 1 to 5, by dimension too, and the missing ratings in per cent."""
        import numpy as np

        rated = sums[:, 1:2]
        stars = np.concatenate([sums[:, :1], sums[:, _FIXED:]], axis=1)
        return np.concatenate([ratio(stars, rated) / 100, ratio(sums[:, 2:3], sums[:, 3:4])], axis=1)
