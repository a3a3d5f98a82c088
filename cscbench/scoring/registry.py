"""Scorers by name: those that ship, any metric of the evaluate library, and third parties'."""

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
# `evaluate:NAME` is any metric of the evaluate library, by its name or its folder.
EVALUATE = "evaluate:"


def find_scorer(name: str) -> ScorerFactory:
    """The scorer factory of this name: built in, `evaluate:NAME`, or a package's entry point `cscbench.scorers`.

    Raises:
        UserError: there is none (with the nearest names), or the entry point names something else.
    """
    if name.startswith(EVALUATE):
        from cscbench.scoring.scorers.evaluate_library import EvaluateScorer

        return partial(EvaluateScorer, name.removeprefix(EVALUATE))
    factory: ScorerFactory = plugins.find("scorer", name, _BUILT_IN)
    if not callable(factory):
        raise UserError(f"scorer {name!r}: its entry point names a {type(factory).__name__}, not a factory of scorers")
    return factory


def find_reducer(name: str, context: ScoringContext, columns: tuple[str, ...]) -> Reducer:
    """What reduces a scorer's stored statistics, whose columns are given: no encoder, no weights, no network.

    A factory whose scorers need those to be made has an attribute `reducer`, which takes the setting and the columns;
    any other factory's scorers reduce what they measure.

    Raises:
        UserError: there is no such scorer, or it cannot be made here.
    """
    if name.startswith(EVALUATE):
        from cscbench.scoring.scorers.evaluate_library import EvaluateMeans

        return EvaluateMeans(name.removeprefix(EVALUATE), columns)
    factory = find_scorer(name)
    make: Callable[[ScoringContext, tuple[str, ...]], Reducer] | None = getattr(factory, "reducer", None)
    return make(context, columns) if make is not None else factory(context)
