"""Scorers by name: those that ship, any metric of the evaluate library, and third parties'."""

from collections.abc import Callable
from functools import partial

from cscbench.content import plugins
from cscbench.scoring.scorer import Scorer, ScorerSetting
from cscbench.values.errors import UserError

ScorerFactory = Callable[[ScorerSetting], Scorer]

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
    found: ScorerFactory = plugins.find("scorer", name, _BUILT_IN)
    if not callable(found):
        raise UserError(f"scorer {name!r}: its entry point names a {type(found).__name__}, not a factory of scorers")
    return found
