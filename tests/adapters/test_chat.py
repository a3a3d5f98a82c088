"""Messages to token ids: every kind of template, one BOS, the end of a turn, the context window."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cscbench.models.chat import Chat, WindowError
from cscbench.values import ChatRole, Message

WORDS = ["sys", "x", "y", "user", "assistant", "system", "Customer:", "Supporter:", "<end>", "<eos>"]
SYSTEM, USER, ASSISTANT = ChatRole
TURNS = "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + ' <end> ' }}{% endfor %}"
OPENING = "{% if add_generation_prompt %}assistant{% endif %}"
RAISES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
# Gemma and Mistral refuse a conversation that does not alternate from the user on.
ALTERNATES = (
    "{% for m in messages if m['role'] != 'system' %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}"
)
DROPS = "{% for m in messages if m['role'] != 'system' %}{{ m['role'] + ' ' + m['content'] + ' <end> ' }}{% endfor %}"
ASKED = (Message(SYSTEM, "sys sys"), Message(USER, "x"), Message(ASSISTANT, "y"), Message(USER, "x y"))


@pytest.fixture(scope="module")
def chat(word_tokenizer):
    """A Chat of a word tokenizer; `template` None leaves it without one."""

    def build(template, window=500, eos="<eos>", **tokenizer):
        return Chat(word_tokenizer(WORDS, template, eos_token=eos, **tokenizer), window)

    return build


def words_of(chat, messages=ASKED, room=10):
    return " ".join(chat.tokenizer.convert_ids_to_tokens(chat.encode(messages, room).ids))


class TestTemplates:
    def test_a_template_that_supports_everything_is_used_unchanged(self, chat):
        plain = chat(TURNS + OPENING)
        assert words_of(plain) == "system sys sys <end> user x <end> assistant y <end> user x y <end> assistant"
        assert (plain.notes, plain.stops) == ([], ())

    @pytest.mark.parametrize("template", [RAISES + TURNS + OPENING, RAISES + ALTERNATES + TURNS + OPENING])
    def test_a_template_that_refuses_a_system_message_gets_it_before_the_first_user_message(self, chat, template):
        folded = chat(template)
        assert words_of(folded) == "user sys sys x <end> assistant y <end> user x y <end> assistant"
        assert folded.notes == [
            "the chat template has no system role: the system message goes into the first user message"
        ]

    def test_a_template_that_drops_a_system_message_in_silence_is_found_out(self, chat):
        folded = chat(DROPS + OPENING)
        assert words_of(folded) == "user sys sys x <end> assistant y <end> user x y <end> assistant"
        assert len(folded.notes) == 1

    def test_a_folded_system_message_survives_the_dropping_of_old_turns(self, chat):
        folded = chat(DROPS + OPENING, window=20)
        assert folded.encode(ASKED, 12).dropped == 2
        assert words_of(folded, room=12) == "user sys sys x y <end> assistant"

    def test_a_tokenizer_without_a_template_gets_a_transcript_and_stops_at_the_next_speaker(self, chat):
        plain = chat(None)
        assert words_of(plain) == "<s> sys sys Customer: x Supporter: y Customer: x y Supporter:"
        assert plain.stops == ("\nCustomer:", "\nSupporter:")
        assert "no chat template" in plain.notes[0]

    def test_the_templates_hash_tells_templates_apart(self, chat):
        hashes = {chat(template).template_sha256 for template in (None, TURNS + OPENING, DROPS + OPENING)}
        assert len(hashes) == 3

    def test_an_empty_answer_in_the_history_is_rendered(self, chat):
        messages = (Message(USER, "x"), Message(ASSISTANT, ""), Message(USER, "y"))
        for template in (TURNS + OPENING, DROPS + OPENING, None):
            assert words_of(chat(template), messages).count("y") == 1

    def test_smollm2s_own_template_keeps_system_history_and_opening(self, smollm2):
        from transformers import AutoTokenizer

        real = Chat(AutoTokenizer.from_pretrained(smollm2), 2048)
        text = real.tokenizer.decode(real.encode(ASKED, 10).ids)
        assert text == (
            "<|im_start|>system\nsys sys<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\ny<|im_end|>\n"
            "<|im_start|>user\nx y<|im_end|>\n<|im_start|>assistant\n"
        )
        assert [real.tokenizer.convert_ids_to_tokens(end) for end in real.ends] == ["<|im_end|>"]
        assert real.notes == []


class TestBos:
    @pytest.mark.parametrize("template", ["{{ bos_token + ' ' }}" + TURNS + OPENING, None])
    @pytest.mark.parametrize("add_bos", [True, False])
    def test_there_is_one_bos_whoever_writes_it(self, chat, template, add_bos):
        made = chat(template, add_bos=add_bos)
        assert made.tokenizer("x")["input_ids"].count(1) == add_bos, "the tokenizer is not what the test needs"
        assert words_of(made).split().count("<s>") == 1
        assert words_of(made).startswith("<s> ")


class TestEnds:
    def names(self, made):
        return {made.tokenizer.convert_ids_to_tokens(token) for token in made.ends}

    def test_the_end_that_the_template_writes_is_found_beside_the_tokenizers(self, chat):
        assert self.names(chat(TURNS + OPENING)) == {"<end>", "<eos>"}
        assert self.names(chat(TURNS + OPENING, eos="<end>")) == {"<end>"}

    def test_ordinary_words_after_a_reply_are_no_end(self, chat):
        template = "{% for m in messages %}{{ m['content'] + ' x ' }}{% endfor %}"
        assert self.names(chat(template)) == {"<eos>"}

    @pytest.mark.parametrize("name_it", [True, False])
    def test_an_end_added_as_special_is_found_whether_or_not_the_tokenizer_names_it(self, smollm2, tmp_path, name_it):
        # Phi-3's <|end|> has no role by name, and is none of `all_special_tokens`.
        from tokenizers import AddedToken
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(smollm2)
        end = AddedToken("<|fin|>", special=True)
        tokenizer.add_special_tokens({"extra_special_tokens": [end]}) if name_it else tokenizer.add_tokens([end])
        tokenizer.chat_template = tokenizer.chat_template.replace("<|im_end|>", "<|fin|>")
        tokenizer.save_pretrained(tmp_path)
        made = Chat(AutoTokenizer.from_pretrained(tmp_path), 100)
        assert self.names(made) == {"<|fin|>", "<|im_end|>"}


class TestChoices:
    def test_they_follow_the_prompt_of_a_reply_and_have_no_end_of_turn(self, smollm2):
        from transformers import AutoTokenizer

        real = Chat(AutoTokenizer.from_pretrained(smollm2), 2048)
        encoded = real.choice_ids(ASKED, ("Greeting", "Greeting again", "您好"), 10)
        assert (encoded.ids, encoded.dropped) == (real.encode(ASKED, 10).ids, 0)
        assert [real.tokenizer.decode(ids) for ids in encoded.choices] == ["Greeting", "Greeting again", "您好"]

    def test_where_a_choice_joins_the_last_token_of_the_prompt_all_choices_begin_before_it(self, chat):
        made = chat("{% for m in messages %}{{ m['content'] + ' <end> ' }}{% endfor %}us")
        # As words, "us" + "er" is one token, "us" + " y" are two.
        encoded = made.choice_ids((Message(USER, "x"),), ("er", " y"), 10)
        names = made.tokenizer.convert_ids_to_tokens
        assert names(encoded.ids) == ["x", "<end>"]
        assert [names(ids) for ids in encoded.choices] == [["user"], ["<unk>", "y"]]

    def test_the_blank_before_a_reply_in_the_history_is_before_a_choice_too(self, chat):
        # "Supporter: y" in the plain transcript, whose opening is "Supporter:".
        made = chat(None)
        names = made.tokenizer.convert_ids_to_tokens
        encoded = made.choice_ids(ASKED, ("x", "y"), 10)
        assert names(encoded.ids)[-1] == "Supporter:"
        assert [names(ids) for ids in encoded.choices] == [["x"], ["y"]]

    def test_the_longest_has_room_in_the_window(self, chat):
        made = chat(TURNS + OPENING + " ", window=20)
        assert len(made.encode(ASKED, 1).ids) == 15
        assert made.choice_ids(ASKED, ("x", "y y y y y"), 1).dropped == 0
        assert made.choice_ids(ASKED, ("x", "y y y y y y"), 1).dropped == 2
        with pytest.raises(WindowError):
            made.choice_ids(ASKED, ("x", "y " * 20), 1)


@st.composite
def conversations(draw):
    text = st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=12).map(" ".join)
    turns = draw(st.lists(text, min_size=1, max_size=9).filter(lambda texts: len(texts) % 2))
    head = [Message(SYSTEM, "sys")] if draw(st.booleans()) else []
    return (*head, *(Message(ASSISTANT if n % 2 else USER, text) for n, text in enumerate(turns)))


class TestWindow:
    @settings(max_examples=150, deadline=None)
    @given(messages=conversations(), window=st.integers(10, 80), room=st.integers(1, 20))
    @pytest.mark.parametrize("template", [TURNS, RAISES + TURNS, None])
    def test_only_as_many_of_the_oldest_turns_go_as_must(self, chat, template, messages, window, room):
        made = chat(template and ALTERNATES + template + OPENING, window)
        whole = Chat(made.tokenizer, 10_000)
        head = [message for message in messages if message.role is SYSTEM]
        rest = messages[len(head) :]
        # Every way to keep a suffix of the turns that begins with the customer, longest first.
        kept = [whole.encode([*head, *rest[n:]], 0).ids for n in range(0, len(rest), 2)]
        fits = [n for n, ids in enumerate(kept) if len(ids) + room <= window]
        if not fits:
            with pytest.raises(WindowError, match=f"has {len(kept[-1])} tokens without any history.*{window}"):
                made.encode(messages, room)
            return
        encoded = made.encode(messages, room)
        assert encoded.ids == kept[fits[0]]
        assert encoded.dropped == 2 * fits[0]
