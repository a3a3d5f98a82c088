"""What a run gives to be rated: each reply in its place, or each conversation with the model's words in it."""

from collections.abc import Mapping, Sequence

from cscbench.content.rubrics import Rubric
from cscbench.values import Context, Dialogue, Item, Language, Level, ParseForm, ScoredPair, Speaker, TranscriptLine


def items_of(
    dialogues: Sequence[Dialogue],
    pairs: Sequence[ScoredPair],
    level: Level,
    context: Context,
    rubrics: Mapping[Language, Rubric],
) -> tuple[Item, ...]:
    """The items of a run, in its order. What failed is not rated; a conversation with a failed turn neither.

    At turn level the history is what the model saw: the reference's turns, or its own. Strategy labels are not shown.
    """
    said = {(pair.dialogue, pair.turn): pair for pair in pairs}
    found: list[Item] = []
    for dialogue in dialogues:
        file = rubrics[dialogue.language].file
        names = {Speaker.CUSTOMER: file.customer, Speaker.SUPPORTER: file.supporter}
        reference = tuple(TranscriptLine(names[turn.speaker], turn.text) for turn in dialogue.turns)
        own = tuple(
            TranscriptLine(line.speaker, said[dialogue.id, number].text) if (dialogue.id, number) in said else line
            for number, line in enumerate(reference)
        )
        turns = [number for number, turn in enumerate(dialogue.turns) if turn.speaker is Speaker.SUPPORTER]
        failed = [number for number in turns if said[dialogue.id, number].form is ParseForm.FAILED]
        if level is Level.DIALOGUE:
            found += [] if failed else [Item(dialogue.id, len(reference) - 1, dialogue.language, own, None)]
            continue
        history = own if context is Context.GENERATED else reference
        found += [
            Item(dialogue.id, number, dialogue.language, history[:number], own[number].text)
            for number in turns
            if number not in failed
        ]
    return tuple(found)
