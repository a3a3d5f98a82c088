"""Training sequences: the prompts of a run, token by token, each followed by the reference answer."""

import pytest

from cscbench.asking.plays import Protocol, play
from cscbench.models.chat import Chat
from cscbench.train.sequences import build_sequences, encode
from cscbench.values import Condition, Context, Dialogue, Reply, Sampling, Speaker, Turn

CONDITIONS = [Condition.JOINT, Condition.TWO_STEP, Condition.GOLD_STRATEGY]


def requests_of(dialogue, prompt, answer=None):
    """The requests of a run to a model that writes `answer` (default: the reference strategy and text)."""
    walk = play(dialogue, prompt, Protocol(Context.GOLD, Sampling()))
    requests = [next(walk)]
    while True:
        turn = dialogue.turns[requests[-1].turn]
        strategy = prompt.strategies.strategies[[s.code for s in prompt.strategies.strategies].index(turn.strategy)]
        texts = {"joint": f"[{strategy.en}] {turn.text}", "strategy": strategy.en, "reply": turn.text}
        try:
            requests.append(walk.send(Reply(answer or texts[requests[-1].step])))
        except StopIteration:
            return requests


def spans(examples):
    """(ids before an answer, ids of the answer), for every answer."""
    return [
        (tuple(example.ids[:start]), tuple(example.ids[start:end]))
        for example in examples
        for start, end in example.answers
    ]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_each_answer_follows_exactly_the_tokens_that_a_run_sends_for_it(sample, smol_chat, condition):
    task, dialogues = sample
    for dialogue in dialogues:
        prompt = task.prompt("default", dialogue.language, condition)
        (example,) = encode(dialogue, prompt, smol_chat, 4096).examples
        asked = [smol_chat.encode(request.messages, 64).ids for request in requests_of(dialogue, prompt)]
        assert [before for before, _ in spans([example])] == asked
        assert len(example.ids) == example.answers[-1][1]


def test_in_joint_gold_context_a_model_that_talks_nonsense_is_asked_with_the_same_tokens(sample, smol_chat):
    task, dialogues = sample
    prompt = task.prompt("default", dialogues[0].language, Condition.JOINT)
    requests = requests_of(dialogues[0], prompt, answer="nonsense")
    asked = [smol_chat.encode(request.messages, 64).ids for request in requests]
    assert [before for before, _ in spans(encode(dialogues[0], prompt, smol_chat, 4096).examples)] == asked


def test_a_plain_transcript_is_one_sequence_too_and_answers_end_at_the_next_speaker(sample, tiny_model):
    from transformers import AutoTokenizer

    task, dialogues = sample
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    chat = Chat(tokenizer, 8192)
    for dialogue in dialogues:
        prompt = task.prompt("default", dialogue.language, Condition.JOINT)
        (example,) = encode(dialogue, prompt, chat, 4096).examples
        asked = [chat.encode(request.messages, 64).ids for request in requests_of(dialogue, prompt)]
        assert [before for before, _ in spans([example])] == asked
        assert all(tokenizer.decode(answer).endswith("\n\nCustomer:") for _, answer in spans([example]))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_the_loss_sees_the_supporters_answers_with_their_ends_and_nothing_else(sample, smol_chat, condition):
    task, dialogues = sample
    for dialogue in dialogues:
        prompt = task.prompt("default", dialogue.language, condition)
        names = {s.code: s.zh if dialogue.language == "zh" else s.en for s in task.strategies.strategies}
        expected = []
        for turn in dialogue.turns:
            if turn.speaker is Speaker.SUPPORTER:
                expected += {
                    Condition.JOINT: [f"[{names[turn.strategy]}] {turn.text}"],
                    Condition.TWO_STEP: [names[turn.strategy], turn.text],
                    Condition.GOLD_STRATEGY: [turn.text],
                }[condition]
        examples = encode(dialogue, prompt, smol_chat, 4096).examples
        answers = [smol_chat.tokenizer.decode(answer) for _, answer in spans(examples)]
        assert answers == [f"{text}<|im_end|>" for text in expected]


def test_padding_is_ignored_and_the_end_of_a_turn_is_not_though_they_are_one_token(sample, smol_chat):
    from cscbench.train.tune import collate

    task, dialogues = sample
    prompts = {language: task.prompt("default", language, Condition.JOINT) for language in ("zh", "en")}
    examples = build_sequences(dialogues, prompts, smol_chat, 4096, lambda: None).examples
    batch = collate(examples)
    width = max(len(example.ids) for example in examples)
    assert batch["labels"].shape == (4, width)
    end = smol_chat.tokenizer.pad_token_id
    for row, example in enumerate(examples):
        labels = batch["labels"][row].tolist()
        seen = [n for n, label in enumerate(labels) if label != -100]
        assert seen == [n for start, stop in example.answers for n in range(start, stop)]
        assert [labels[n] for n in seen] == [example.ids[n] for n in seen]
        assert [labels[stop - 1] for _, stop in example.answers] == [end] * len(example.answers)
        assert batch["attention_mask"][row].tolist() == [1] * len(example.ids) + [0] * (width - len(example.ids))


class TestLong:
    """Dialogues that do not fit."""

    @pytest.mark.parametrize("most", [700, 900])
    def test_a_long_dialogue_is_split_at_turns_and_each_answer_stays_once(self, sample, smol_chat, most):
        task, dialogues = sample
        dialogue = dialogues[2]
        prompt = task.prompt("default", dialogue.language, Condition.JOINT)
        (whole,) = encode(dialogue, prompt, smol_chat, 4096).examples
        assert len(whole.ids) > 1000
        encoded = encode(dialogue, prompt, smol_chat, most)
        assert encoded.left_out == ()
        assert len(encoded.examples) > 1
        assert all(len(example.ids) <= most for example in encoded.examples)
        assert [answer for _, answer in spans(encoded.examples)] == [answer for _, answer in spans([whole])]
        head = smol_chat.tokenizer.decode(whole.ids[: whole.answers[0][0]]).partition("<|im_end|>")[0]
        for example in encoded.examples:
            text = smol_chat.tokenizer.decode(example.ids)
            assert text.startswith(head)  # the system message is never cut
            # What follows is the dialogue without its oldest turns, in one piece.
            assert text.removeprefix(head).removeprefix("<|im_end|>\n") in smol_chat.tokenizer.decode(whole.ids)

    def test_an_answer_that_fits_nowhere_is_left_out_and_told(self, sample, smol_chat):
        task, _ = sample
        prompt = task.prompt("default", "en", Condition.JOINT)
        turns = (
            Turn(Speaker.SUPPORTER, "Hello.", "GT"),
            Turn(Speaker.CUSTOMER, "Hi."),
            Turn(Speaker.SUPPORTER, "word " * 900, "ID"),
            Turn(Speaker.CUSTOMER, "Thanks."),
            Turn(Speaker.SUPPORTER, "Goodbye.", "AC"),
        )
        made = build_sequences([Dialogue("d", turns, "en")], {"en": prompt}, smol_chat, 1000, lambda: None)
        (left,) = made.left_out
        assert (left.dialogue, left.turn) == ("d", 2)
        assert left.reason == "the answer, its question and the system message exceed 1000 tokens"
        answers = [smol_chat.tokenizer.decode(answer) for _, answer in spans(made.examples)]
        assert answers == ["[Greeting] Hello.<|im_end|>", "[Appreciation and Closure] Goodbye.<|im_end|>"]
        assert (made.counts.answers, made.counts.left_out, made.counts.split) == (2, 1, 1)

    def test_the_counts_are_those_of_the_sequences(self, sample, smol_chat):
        task, dialogues = sample
        prompts = {language: task.prompt("default", language, Condition.JOINT) for language in ("zh", "en")}
        steps = []
        made = build_sequences(dialogues, prompts, smol_chat, 1100, lambda: steps.append(1))
        counts = made.counts
        assert len(steps) == counts.dialogues == 4
        assert counts.sequences == len(made.examples)
        assert counts.tokens == sum(len(example.ids) for example in made.examples)
        assert counts.answers == sum(turn.speaker is Speaker.SUPPORTER for each in dialogues for turn in each.turns)
        assert counts.answer_tokens == sum(len(answer) for _, answer in spans(made.examples))
        alone = [encode(each, prompts[each.language], smol_chat, 1100).examples for each in dialogues]
        assert counts.split == sum(len(examples) > 1 for examples in alone)
        assert 0 < counts.split < 4


def test_a_template_that_rewrites_its_history_gives_a_sequence_an_answer(sample, tiny_model):
    """As reasoning models do, which drop old thoughts: no later prompt extends the earlier one."""
    from transformers import AutoTokenizer

    task, dialogues = sample
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
        "{{ m['content'] if loop.last or m['role'] != 'assistant' else '...' }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    chat = Chat(tokenizer, 8192)
    prompt = task.prompt("default", "en", Condition.JOINT)
    dialogue = dialogues[2]
    examples = encode(dialogue, prompt, chat, 4096).examples
    asked = [chat.encode(request.messages, 64).ids for request in requests_of(dialogue, prompt)]
    assert [before for before, _ in spans(examples)] == asked
    assert [len(example.answers) for example in examples] == [1] * len(asked)
