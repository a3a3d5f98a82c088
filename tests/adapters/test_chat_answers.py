"""Answers as token ids for training: after the exact prompt of a run, including the end of turn."""

import pytest

from cscbench.models.chat import Chat, SeamError, WindowError
from cscbench.values import ChatRole, Message

SYSTEM, USER, ASSISTANT = ChatRole
WORDS = ["sys", "x", "y", "user", "assistant", "system", "Customer:", "Supporter:", "<end>", "<eos>", "<think>"]
TURNS = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' <end> ' }}{% endfor %}"
OPENING = "{% if add_generation_prompt %}assistant{% endif %}"
ASKED = (Message(SYSTEM, "sys"), Message(USER, "x"), Message(ASSISTANT, "y"), Message(USER, "x x"))


@pytest.fixture(scope="module")
def chat(word_tokenizer):
    def build(template, window=500):
        return Chat(word_tokenizer(WORDS, template, eos_token="<eos>"), window)  # noqa: S106

    return build


def words(chat, ids):
    return " ".join(chat.tokenizer.convert_ids_to_tokens(ids))


@pytest.mark.parametrize(
    ("template", "prompt", "answer"),
    [
        pytest.param(TURNS + OPENING, "... x x <end> assistant", "y x <end>", id="an end token, then more"),
        # Phi closes a conversation once more: a run never writes that between turns.
        pytest.param(
            TURNS + "{% if add_generation_prompt %}assistant{% else %}<eos>{% endif %}",
            "... x x <end> assistant",
            "y x <end>",
            id="a second end behind",
        ),
        pytest.param(None, "... Customer: x x Supporter:", "y x Customer:", id="no template: to the next speaker"),
    ],
)
def test_an_answer_follows_the_prompt_of_a_run_and_ends_where_a_reply_ends(chat, template, prompt, answer):
    made = chat(template)
    encoded = made.answered(ASKED, "y x", room=0)
    assert encoded.prompt == made.encode(ASKED, 1).ids
    assert words(made, encoded.prompt).endswith(prompt.removeprefix("..."))
    assert words(made, encoded.answer) == answer
    assert made.untrainable() == ""


def test_old_turns_go_where_prompt_answer_and_room_do_not_fit(chat):
    made = chat(TURNS + OPENING, window=20)
    whole = made.answered(ASKED, "y x", room=0)
    assert (whole.dropped, len(whole.prompt) + len(whole.answer)) == (0, 17)
    assert made.answered(ASKED, "y x", room=3).dropped == 0
    cut = made.answered(ASKED, "y x", room=4)
    assert cut.dropped == 2
    assert words(made, cut.prompt) == "system sys <end> user x x <end> assistant"
    with pytest.raises(WindowError):
        made.answered(ASKED, "y " * 12, room=0)


def test_an_answer_that_grows_together_with_its_prompt_is_told(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate(["<eos>", "a", "b", "ab", "u", "c"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")  # noqa: S106
    made.chat_template = (
        "{% for m in messages %}{{ 'u ' if m['role'] == 'user' else 'a' }}{{ m['content'] + '<eos>' }}{% endfor %}"
        "{% if add_generation_prompt %}a{% endif %}"
    )
    asked = (Message(USER, "c"),)
    assert Chat(made, 99).answered(asked, "c", 0).answer == (5, 0)
    with pytest.raises(SeamError, match="share a token"):
        Chat(made, 99).answered(asked, "b", 0)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        (
            TURNS + "{% if add_generation_prompt %}assistant <think>{% endif %}",
            "opens a new reply differently",
        ),
        (
            "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' ' }}{% endfor %}" + OPENING,
            "writes no end of turn",
        ),
    ],
)
def test_a_template_whose_replies_cannot_be_learned_is_told(chat, template, reason):
    import re

    assert re.search(reason, chat(template).untrainable())
