"""The items that judges rate: each reply in its context, or each conversation with the model's replies."""

from collections.abc import Mapping, Sequence

from cscbench.asking.plays import supporter_turns
from cscbench.content.rubrics import Rubric
from cscbench.values import Context, Dialogue, Item, Language, Level, ParseForm, ScoredPair, Speaker, TranscriptLine


def items_of(
    dialogues: Sequence[Dialogue],
    pairs: Sequence[ScoredPair],
    level: Level,
    context: Context,
    rubrics: Mapping[Language, Rubric],
) -> tuple[Item, ...]:
    """Return the items of a run, in order. Failed turns, and conversations that contain one, are not rated.

    At turn level the history is what the model saw: the reference's turns, or its own. Strategy labels are not shown.
    """
    pair_of = {(pair.dialogue, pair.turn): pair for pair in pairs}
    items: list[Item] = []
    for dialogue in dialogues:
        file = rubrics[dialogue.language].file
        names = {Speaker.CUSTOMER: file.customer, Speaker.SUPPORTER: file.supporter}
        reference = tuple(TranscriptLine(names[turn.speaker], turn.text) for turn in dialogue.turns)
        conversation = tuple(
            TranscriptLine(line.speaker, pair_of[dialogue.id, turn].text) if (dialogue.id, turn) in pair_of else line
            for turn, line in enumerate(reference)
        )
        turns = supporter_turns(dialogue)
        failed = [turn for turn in turns if pair_of[dialogue.id, turn].form is ParseForm.FAILED]
        if level is Level.DIALOGUE:
            items += [] if failed else [Item(dialogue.id, len(reference) - 1, dialogue.language, conversation, None)]
            continue
        history = conversation if context is Context.GENERATED else reference
        items += [
            Item(dialogue.id, turn, dialogue.language, history[:turn], conversation[turn].text)
            for turn in turns
            if turn not in failed
        ]
    return tuple(items)
