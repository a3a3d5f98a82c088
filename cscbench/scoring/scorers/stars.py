"""Stars: the judges' ratings as sums."""

from collections.abc import Sequence
from statistics import fmean

from cscbench.scoring.bootstrap import Matrix
from cscbench.scoring.scorer import MetricSpec, ScoringContext, ratio
from cscbench.values import Level, Rating, ScoredPair, UserError

_FIXED_COLUMNS = 4


class StarsScorer:
    """Mean stars from 1 to 5, overall and by dimension, and the share of ratings that are missing.

    A panel's score of an item is the mean over the judges whose answer could be read. A conversation's rating counts
    at its first turn.
    """

    needs = ()

    def __init__(self, context: ScoringContext) -> None:
        if context.judging is None:
            raise UserError("the stars scorer needs a judge: add --judge CARD to `cscbench run`")
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
        """Return (turns, 4 + dimensions): stars, rated items, missing and requested ratings, stars by dimension."""
        import numpy as np

        ratings_of: dict[tuple[str, int], list[Rating]] = {}
        for rating in self._ratings:
            ratings_of.setdefault((rating.dialogue, self._rated_turn(rating.turn)), []).append(rating)
        rows = np.zeros((len(pairs), len(self.columns)))
        seen: set[str] = set()
        for row, pair in zip(rows, pairs, strict=True):
            turn = self._rated_turn(pair.turn)
            if turn >= 0 or pair.dialogue not in seen:
                row[:] = self._row(ratings_of.get((pair.dialogue, turn), []))
            seen.add(pair.dialogue)
        return rows

    def _rated_turn(self, turn: int) -> int:
        """Return the turn that a rating is about, -1 for a whole conversation."""
        return -1 if self._judging.level is Level.DIALOGUE else turn

    def _row(self, ratings: Sequence[Rating]) -> list[float]:
        scores = [rating.score for rating in ratings if rating.score is not None]
        if not scores:
            return [0, 0, len(ratings), len(ratings), *[0] * len(self._judging.dimensions)]
        rated = [rating.dimensions for rating in ratings if rating.score is not None]
        dimensions = [fmean(column) for column in zip(*rated, strict=True)]
        return [fmean(scores), 1, len(ratings) - len(scores), len(ratings), *dimensions]

    def summarise(self, sums: Matrix) -> Matrix:
        """Return (n, 2 + dimensions): stars from 1 to 5, overall and by dimension, and the % of missing ratings."""
        import numpy as np

        rated = sums[:, 1:2]
        stars = np.concatenate([sums[:, :1], sums[:, _FIXED_COLUMNS:]], axis=1)
        return np.concatenate([ratio(stars, rated) / 100, ratio(sums[:, 2:3], sums[:, 3:4])], axis=1)
