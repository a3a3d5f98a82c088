"""Scorers by name: built-in scorers, any metric of the evaluate library, and third-party scorers."""

from collections.abc import Callable
from functools import partial

from cscbench.content import plugins
from cscbench.scoring.scorer import Reducer, Scorer, ScoringContext
from cscbench.values import UserError

ScorerFactory = Callable[[ScoringContext], Scorer]

_BUILT_IN = {
    "strategy": "cscbench.scoring.scorers.strategy:StrategyScorer",
    "bleu": "cscbench.scoring.scorers.bleu:BleuScorer",
    "rouge": "cscbench.scoring.scorers.rouge:RougeScorer",
    "bertscore": "cscbench.scoring.scorers.bertscore:BertScorer",
    "stars": "cscbench.scoring.scorers.stars:StarsScorer",
    "diversity": "cscbench.scoring.scorers.text:DiversityScorer",
    "length": "cscbench.scoring.scorers.text:LengthScorer",
    "placeholders": "cscbench.scoring.scorers.text:PlaceholderScorer",
    "transitions": "cscbench.scoring.scorers.transitions:TransitionScorer",
}
# `evaluate:NAME` is any metric of the evaluate library, by name or folder.
EVALUATE = "evaluate:"


def find_scorer(name: str) -> ScorerFactory:
    """Return the scorer factory of this name: built-in, `evaluate:NAME`, or an entry point `cscbench.scorers`.

    Raises:
        UserError: there is none (the message suggests the nearest names), or the entry point is not a factory.
    """
    if name.startswith(EVALUATE):
        from cscbench.scoring.scorers.evaluate_library import EvaluateScorer

        return partial(EvaluateScorer, name.removeprefix(EVALUATE))
    factory: ScorerFactory = plugins.find("scorer", name, _BUILT_IN)
    if not callable(factory):
        raise UserError(f"scorer {name!r}: its entry point is of type {type(factory).__name__}, not a scorer factory")
    return factory


def find_reducer(name: str, context: ScoringContext, columns: tuple[str, ...]) -> Reducer:
    """Return the reducer of a scorer's stored statistics with these columns: no encoder, weights or network needed.

    A factory whose scorers need those has an attribute `reducer`, which is called with the context and the columns; the
    scorers of any other factory are their own reducers.

    Raises:
        UserError: there is no such scorer, or it cannot be built here.
    """
    if name.startswith(EVALUATE):
        from cscbench.scoring.scorers.evaluate_library import EvaluateMeans

        return EvaluateMeans(name.removeprefix(EVALUATE), columns)
    factory = find_scorer(name)
    make: Callable[[ScoringContext, tuple[str, ...]], Reducer] | None = getattr(factory, "reducer", None)
    return make(context, columns) if make is not None else factory(context)
