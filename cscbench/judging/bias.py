"""What stars depend on besides quality: each judge's taste for length and its own family; and a panel's agreement."""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from statistics import fmean, stdev
from typing import Any, TypeVar

import msgspec

from cscbench.scoring.bootstrap import Resampling, percentile_interval, resample_weights
from cscbench.scoring.kappa import cohen_kappa
from cscbench.values.judging import HIGHEST, LOWEST, JudgeRecord, JudgingRecord, Level, Rating
from cscbench.values.metrics import Estimate
from cscbench.values.transcript import Pair

T = TypeVar("T")
Score = tuple[float, float]


def judge_tables(
    ratings: Sequence[Rating], judging: JudgingRecord, pairs: Sequence[Pair], family: str, how: Resampling
) -> dict[str, Any]:
    """`judges`: a row a judge; `judge_agreement`, of two or more: alpha over all, kappa of each pair.

    `family` is that of the judged model.
    """
    own = {judge.label: [one for one in ratings if one.judge == judge.label] for judge in judging.judges}
    lengths = _lengths(pairs, judging.level)
    tables: dict[str, Any] = {
        "judges": [_judge(judge, own[judge.label], lengths, family, how) for judge in judging.judges]
    }
    if len(judging.judges) > 1:
        tables["judge_agreement"] = _agreement(own, how)
    return tables


def judge_notes(tables: Mapping[str, Any]) -> tuple[str, ...]:
    """What a reader must know of the judges, from their tables."""
    notes = []
    for row in tables["judges"]:
        if row["missing"]:
            notes.append(f"judge {row['judge']}: {row['missing']} of {row['n']} ratings are missing, and count nowhere")
        if row["same_family"]:
            notes.append(f"judge {row['judge']} is of the judged model's family: judges favour their own")
    return tuple(notes)


def _lengths(pairs: Sequence[Pair], level: Level) -> dict[tuple[str, int], int]:
    """Characters of what is rated; of a conversation, of all its supporter turns (turn -1)."""
    found: dict[tuple[str, int], int] = {}
    for pair in pairs:
        place = (pair.dialogue, pair.turn if level is Level.TURN else -1)
        found[place] = found.get(place, 0) + len(pair.text)
    return found


def _judge(
    judge: JudgeRecord, own: Sequence[Rating], lengths: Mapping[tuple[str, int], int], family: str, how: Resampling
) -> dict[str, Any]:
    rated = [rating for rating in own if rating.score is not None]

    def length(rating: Rating) -> int:
        return lengths[rating.dialogue, rating.turn if (rating.dialogue, rating.turn) in lengths else -1]

    points = [(rating.dialogue, (float(length(rating)), rating.score or 0.0)) for rating in rated]
    means = by_dialogue(points, lambda found: fmean(score for _, score in found), how)
    spread = [stdev(rating.samples) for rating in rated if len(rating.samples) > 1]
    return {
        "judge": judge.label,
        "n": len(own),
        "missing": len(own) - len(rated),
        "failed": sum(1 for rating in own if rating.error),
        "tries": sum(rating.tries for rating in own),
        "stars": msgspec.to_builtins(means),
        "length_correlation": msgspec.to_builtins(by_dialogue(points, spearman, how)),
        "repeat_deviation": fmean(spread) if spread else None,
        "same_family": bool(_root(family)) and _root(judge.family) == _root(family),
    }


def _root(family: str) -> str:
    """Qwen2.5 and Qwen3 are of one kin."""
    return (re.match(r"[a-z]*", family.lower()) or [""])[0]


def _agreement(own: Mapping[str, Sequence[Rating]], how: Resampling) -> dict[str, Any]:
    """Ordinal Krippendorff alpha over all judges, and the quadratic weighted kappa of each two, on rounded stars."""
    scores = {
        label: {(rating.dialogue, rating.turn): rating.score for rating in ratings} for label, ratings in own.items()
    }
    places = list(dict.fromkeys(place for found in scores.values() for place in found))
    units = [(place[0], tuple(found.get(place) for found in scores.values())) for place in places]
    kappas = []
    for a, b in combinations(scores, 2):
        both = [
            (place[0], (left, right))
            for place in places
            if (left := scores[a].get(place)) is not None and (right := scores[b].get(place)) is not None
        ]
        kappas.append({"a": a, "b": b, "n": len(both), "kappa": msgspec.to_builtins(by_dialogue(both, kappa, how))})
    return {"alpha": msgspec.to_builtins(by_dialogue(units, alpha, how)), "kappas": kappas}


def by_dialogue(
    points: Sequence[tuple[str, T]], statistic: Callable[[Sequence[T]], float | None], how: Resampling
) -> Estimate | None:
    """A statistic of points, each with its dialogue's name, and its interval over dialogues; None without a value."""
    import numpy as np

    value = statistic([point for _, point in points]) if points else None
    if value is None:
        return None
    groups: dict[str, list[T]] = {}
    for name, point in points:
        groups.setdefault(name, []).append(point)
    if len(groups) < 2:
        return Estimate(value, None, None)
    drawn = []
    for counts in resample_weights(len(groups), how):
        copies = zip(groups.values(), counts.astype(int), strict=True)
        found = statistic([point for group, count in copies for _ in range(count) for point in group])
        drawn.append(np.nan if found is None else found)
    low, high = percentile_interval(np.array(drawn)[:, None], len(groups))[0] or (None, None)
    return Estimate(value, low, high)


def spearman(points: Sequence[Score]) -> float | None:
    """Spearman's rank correlation by scipy; None where one side never changes."""
    from scipy.stats import spearmanr

    return float(spearmanr(*zip(*points, strict=True)).statistic) if _vary(points) else None


def kendall(points: Sequence[Score]) -> float | None:
    """Kendall's tau-b by scipy; None where one side never changes."""
    from scipy.stats import kendalltau

    return float(kendalltau(*zip(*points, strict=True)).statistic) if _vary(points) else None


def kappa(points: Sequence[Score]) -> float | None:
    """Cohen's kappa with quadratic weights, on whole stars; None where both always say the same one."""
    left, right = ([_whole(score) for score in column] for column in zip(*points, strict=True))
    return cohen_kappa(left, right, "quadratic", list(range(LOWEST, HIGHEST + 1)))


def alpha(units: Sequence[tuple[float | None, ...]]) -> float | None:
    """Ordinal alpha by krippendorff (Krippendorff 2011) on whole stars; None where fewer than two values occur."""
    import krippendorff
    import numpy as np

    data = np.array([[np.nan if score is None else _whole(score) for score in unit] for unit in units]).T
    if len(np.unique(data[~np.isnan(data)])) < 2 or not (np.sum(~np.isnan(data), axis=0) > 1).any():
        return None
    return float(
        krippendorff.alpha(data, level_of_measurement="ordinal", value_domain=list(range(LOWEST, HIGHEST + 1)))
    )


def _vary(points: Sequence[Score]) -> bool:
    return all(len(set(column)) > 1 for column in zip(*points, strict=True)) if points else False


def _whole(score: float) -> int:
    """The nearest star, halves up."""
    return int(score + 0.5)
