"""What stars depend on besides quality: each judge's bias for length and for its own family; panel agreement."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

import msgspec

from cscbench.scoring.bootstrap import Resampling, estimate_by_cluster
from cscbench.scoring.kappa import cohen_kappa
from cscbench.values import HIGHEST, LOWEST, JudgeRecord, JudgingRecord, Level, Rating, ScoredPair, cluster_of

Score = tuple[float, float]


def judge_tables(
    ratings: Sequence[Rating], judging: JudgingRecord, pairs: Sequence[ScoredPair], family: str, resampling: Resampling
) -> dict[str, Any]:
    """Return `judges`, a row per judge, and for two or more `judge_agreement`: alpha over all, kappa of each pair.

    `family` is the judged model's.
    """
    ratings_of = {
        judge.label: [rating for rating in ratings if rating.judge == judge.label] for judge in judging.judges
    }
    lengths, clusters = _lengths(pairs, judging.level), {pair.dialogue: cluster_of(pair) for pair in pairs}
    tables: dict[str, Any] = {
        "judges": [
            _judge(judge, ratings_of[judge.label], lengths, clusters, family, resampling) for judge in judging.judges
        ]
    }
    if len(judging.judges) > 1:
        tables["judge_agreement"] = _agreement(ratings_of, clusters, resampling)
    return tables


def judge_notes(tables: Mapping[str, Any]) -> tuple[str, ...]:
    """Return notes on the judges for readers, from their tables."""
    notes = []
    for row in tables["judges"]:
        if row["missing"]:
            notes.append(f"judge {row['judge']}: {row['missing']} of {row['n']} ratings are missing and not counted")
        if row["same_family"]:
            notes.append(f"judge {row['judge']} belongs to the judged model's family: judges favor their own family")
    return tuple(notes)


def _lengths(pairs: Sequence[ScoredPair], level: Level) -> dict[tuple[str, int], int]:
    """Return the characters of each rated reply; for a conversation, of all its supporter turns (turn -1)."""
    lengths: dict[tuple[str, int], int] = {}
    for pair in pairs:
        key = (pair.dialogue, pair.turn if level is Level.TURN else -1)
        lengths[key] = lengths.get(key, 0) + len(pair.text)
    return lengths


def _judge(
    judge: JudgeRecord,
    ratings: Sequence[Rating],
    lengths: Mapping[tuple[str, int], int],
    clusters: Mapping[str, str],
    family: str,
    resampling: Resampling,
) -> dict[str, Any]:
    rated = [rating for rating in ratings if rating.score is not None]

    def length(rating: Rating) -> int:
        return lengths[rating.dialogue, rating.turn if (rating.dialogue, rating.turn) in lengths else -1]

    points = [(clusters[rating.dialogue], (float(length(rating)), rating.score or 0.0)) for rating in rated]
    stars = estimate_by_cluster(points, lambda sample: fmean(score for _, score in sample), resampling)
    spread = [stdev(rating.samples) for rating in rated if len(rating.samples) > 1]
    return {
        "judge": judge.label,
        "n": len(ratings),
        "missing": len(ratings) - len(rated),
        "failed": sum(1 for rating in ratings if rating.error),
        "tries": sum(rating.tries for rating in ratings),
        "stars": msgspec.to_builtins(stars),
        "length_correlation": msgspec.to_builtins(estimate_by_cluster(points, spearman, resampling)),
        "repeat_deviation": fmean(spread) if spread else None,
        "same_family": bool(_root(family)) and _root(judge.family) == _root(family),
    }


def _root(family: str) -> str:
    """Return a family without its version: Qwen2.5 and Qwen3 are the same family."""
    return (re.match(r"[a-z]*", family.lower()) or [""])[0]


def _agreement(
    ratings_of: Mapping[str, Sequence[Rating]], clusters: Mapping[str, str], resampling: Resampling
) -> dict[str, Any]:
    """Return ordinal Krippendorff alpha over all judges, and quadratic kappa of each pair, on rounded stars."""
    scores = {
        label: {(rating.dialogue, rating.turn): rating.score for rating in ratings}
        for label, ratings in ratings_of.items()
    }
    keys = list(dict.fromkeys(key for judge_scores in scores.values() for key in judge_scores))
    units = [(clusters[key[0]], tuple(judge_scores.get(key) for judge_scores in scores.values())) for key in keys]
    kappas = []
    for a, b in combinations(scores, 2):
        both = [
            (clusters[key[0]], (left, right))
            for key in keys
            if (left := scores[a].get(key)) is not None and (right := scores[b].get(key)) is not None
        ]
        kappas.append(
            {"a": a, "b": b, "n": len(both), "kappa": msgspec.to_builtins(estimate_by_cluster(both, kappa, resampling))}
        )
    return {"alpha": msgspec.to_builtins(estimate_by_cluster(units, alpha, resampling)), "kappas": kappas}


def spearman(points: Sequence[Score]) -> float | None:
    """Return Spearman's rank correlation, from scipy; None if one side is constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(*zip(*points, strict=True)).statistic) if _vary(points) else None


def kendall(points: Sequence[Score]) -> float | None:
    """Return Kendall's tau-b, from scipy; None if one side is constant."""
    from scipy.stats import kendalltau

    return float(kendalltau(*zip(*points, strict=True)).statistic) if _vary(points) else None


def kappa(points: Sequence[Score]) -> float | None:
    """Return Cohen's kappa with quadratic weights, on whole stars; None if both always give the same star."""
    left, right = ([_round(score) for score in column] for column in zip(*points, strict=True))
    return cohen_kappa(left, right, "quadratic", list(range(LOWEST, HIGHEST + 1)))


def alpha(units: Sequence[tuple[float | None, ...]]) -> float | None:
    """Return Krippendorff's ordinal alpha (2011), on whole stars; None if fewer than two values occur."""
    import krippendorff
    import numpy as np

    data = np.array([[np.nan if score is None else _round(score) for score in unit] for unit in units]).T
    if len(np.unique(data[~np.isnan(data)])) < 2 or not (np.sum(~np.isnan(data), axis=0) > 1).any():
        return None
    return float(
        krippendorff.alpha(data, level_of_measurement="ordinal", value_domain=list(range(LOWEST, HIGHEST + 1)))
    )


def _vary(points: Sequence[Score]) -> bool:
    return all(len(set(column)) > 1 for column in zip(*points, strict=True)) if points else False


def _round(score: float) -> int:
    """Round to the nearest star, halves up."""
    return int(score + 0.5)
