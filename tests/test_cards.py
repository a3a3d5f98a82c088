"""Model cards and specs: what they resolve to, and the errors for mistyped ones."""

from pathlib import Path

import pytest

from cscbench.content.cards import card_files, read_card, resolve_card
from cscbench.content.shipped import content_root, folders, inside
from cscbench.values import Language, ModelCard, Sampling, UserError

HEAD = "name: mine\nadapter: hf\n"


def card(front: str, name: str = "mine", prose: str = "What it is.\n") -> Path:
    """A card in the working directory; the front matter's first line is the file's second."""
    folder = Path("model_cards")
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text(f"---\n{front}\n---\n{prose}", encoding="utf-8")
    return path


def refused(spec: str = "mine", lora: str = "") -> str:
    with pytest.raises(UserError) as caught:
        resolve_card(spec, lora)
    return str(caught.value)


def test_every_shipped_card_reads_and_names_itself():
    names = sorted(path.stem for path in (content_root() / "model_cards").glob("*.md") if path.stem != "README")
    assert {"gold", "majority", "retrieval", "smollm2-135m", "qwen7b", "qwen72b", "llama8b", "llama70b"} <= set(names)
    for name, path in card_files().items():
        parsed = read_card(path)
        assert parsed.prose.startswith("# "), name
        assert resolve_card(name).name == name
        for variant in parsed.card.variants:
            assert resolve_card(f"{name}+{variant}", lora="/w").lora == "/w"


def test_a_bare_card_has_every_default():
    card(HEAD.rstrip())
    assert resolve_card("mine") == ModelCard("mine", "hf", prompts="default", sampling=Sampling(160, 0.0, 1.0, (), 0))


def test_variants_override_in_order_and_merge_sampling_and_options():
    card(
        HEAD + "weights: some/model\nlanguages: [zh]\nsampling: {max_tokens: 9, temperature: 0.5}\n"
        "options: {dtype: float32, chat: {a: 1, b: 2}}\n"
        "variants:\n"
        "  hot: {sampling: {temperature: 1.0, top_p: 0.9}, options: {chat: {b: 3}, device: cpu}}\n"
        "  cold: {sampling: {temperature: 0.1}, prompts: short, languages: [en]}\n"
    )
    assert resolve_card("mine+hot") == ModelCard(
        "mine+hot",
        "hf",
        "some/model",
        languages=(Language.ZH,),
        sampling=Sampling(9, 1.0, 0.9),
        options={"dtype": "float32", "chat": {"a": 1, "b": 3}, "device": "cpu"},
    )
    both = resolve_card("mine+hot+cold")
    assert (both.sampling, both.prompts, both.languages) == (Sampling(9, 0.1, 0.9), "short", (Language.EN,))
    assert resolve_card("mine+cold+hot").sampling.temperature == 1.0
    assert resolve_card("mine").options == {"dtype": "float32", "chat": {"a": 1, "b": 2}}


def test_a_variant_with_another_adapter_leaves_the_options_before_it_behind():
    card(
        HEAD + "options: {dtype: float32, batch_size: 4}\nvariants:\n"
        "  hot: {options: {dtype: float16}}\n"
        "  same: {adapter: hf, options: {device: cpu}}\n"
        "  other: {adapter: vllm, options: {guided: true}}\n"
        "  bare: {adapter: vllm}\n"
    )
    assert resolve_card("mine+other").options == {"guided": True}
    assert resolve_card("mine+hot+other").options == {"guided": True}
    assert resolve_card("mine+other+hot").options == {"guided": True, "dtype": "float16"}
    assert resolve_card("mine+bare").options == {}
    assert resolve_card("mine+same").options == {"dtype": "float32", "batch_size": 4, "device": "cpu"}


def test_the_working_directorys_card_hides_the_shipped_one():
    shipped = resolve_card("gold")
    card("name: gold\nadapter: majority", "gold")
    assert (shipped.adapter, resolve_card("gold").adapter) == ("gold", "majority")
    assert card_files()["gold"] == Path("model_cards/gold.md").resolve()
    assert "retrieval" in card_files()
    assert folders("model_cards") == (Path("model_cards").resolve(), content_root() / "model_cards")


def test_a_checkout_as_working_directory_is_no_second_folder(monkeypatch):
    monkeypatch.chdir(content_root())
    assert folders("model_cards") == (content_root() / "model_cards",)


def test_a_readme_among_the_cards_is_no_card():
    card("not: a card", "README")
    assert "README" not in card_files()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("qwen7", "no model card 'qwen7'; did you mean 'qwen7b'"),
        ("glod", "did you mean 'gold'"),
        ("zzzzzz", "known: bert-base-chinese, "),
        ("", "no model card ''; known: "),
        ("qwen7b+lroa", "the card 'qwen7b' has no variant 'lroa'; did you mean 'lora'?"),
        ("qwen7b+", "no variant ''"),
        ("gold+lora", "the card 'gold' has no variant 'lora'; known: none"),
        ("qwen7b+lora", "add `--lora PATH`"),
    ],
)
def test_an_unknown_spec_is_told_the_nearest_names(spec, message):
    assert message in refused(spec)


# Each problem stands in the line given, counted from the file's first `---`.
BROKEN = [
    (HEAD + "options: [1", 4, "not valid YAML"),
    (HEAD + "a: b: c", 4, "not valid YAML: mapping values are not allowed here"),
    (HEAD + "x: !!python/object/apply:os.system [ls]", 4, "could not determine a constructor"),
    (HEAD + "\tweights: a", 4, "not valid YAML"),
    (HEAD + "adapter: gold", 4, "duplicate key `adapter` (first in line 3): remove one"),
    (HEAD + "options:\n  a: 1\n  b: 2\n  a: 3", 7, "duplicate key `a` (first in line 5)"),
    (HEAD + "options:\n  list:\n    - a: 1\n      a: 2", 7, "duplicate key `a` (first in line 6)"),
    (HEAD + "wieghts: a", 4, "unknown field `wieghts`; did you mean 'weights'"),
    (HEAD + "sampling:\n  top_p: 1\n  temprature: 1", 6, "unknown field `temprature`; did you mean 'temperature'?"),
    (HEAD + "parameters: big", 4, "field `parameters`: Expected `float`, got `str`"),
    (HEAD + "weights: 7", 4, "field `weights`: Expected `str`, got `int`"),
    (HEAD + "sampling:\n  top_p: 0.5\n  max_tokens: many", 6, "field `sampling.max_tokens`: Expected `int`, got `str`"),
    (HEAD + "languages: [zh, fr]", 4, "field `languages.1`: Invalid enum value 'fr'"),
    (HEAD + "revision: 2024-10-10", 4, "field `revision`: Expected `str`, got `date`"),
    (HEAD + "variants: [lora]", 4, "field `variants`: Expected `object`, got `array`"),
    ("adapter: hf", 2, "missing required field `name`"),
    ("name: mine", 2, "missing required field `adapter`"),
    ("adapter: hf\nname: other", 3, "field `name`: 'other' must match the file name, 'mine'"),
    ("- name: mine", 2, "Expected `object`, got `array`"),
    ("", 1, "Expected `object`, got `null`"),
    # a variant's mistake stands in the variant, not where the card itself has that field
    (HEAD + "weights: a\nvariants:\n  v:\n    wieghts: a", 7, "field `variants.v.wieghts`: "),
    (HEAD + "weights: a\nvariants:\n  v:\n    weights: 7", 7, "field `variants.v.weights`: Expected `str`, got `int`"),
    (HEAD + "variants:\n  u: {lora: a}\n  v:\n    sampling: 7", 7, "field `variants.v.sampling`: Expected `object`"),
    (HEAD + "sampling: {top_p: 1}\nvariants:\n  v:\n    sampling:\n      top_p: x", 8, "Expected `float`, got `str`"),
    (HEAD + "sampling: {top_p: 1}\nvariants:\n  v:\n    sampling:\n      topp: 1", 8, "did you mean 'top_p'"),
    (HEAD + "variants:\n  u: {lora: a}\n  v:", 4, "Expected `object`, got `null`"),
]


@pytest.mark.parametrize(("front", "line", "message"), BROKEN)
def test_a_broken_card_is_refused_with_file_line_and_cure(front, line, message):
    path = card(front)
    error = refused()
    assert error.startswith(f"{path.resolve()}:{line}: "), error
    assert message in error


@pytest.mark.parametrize(
    ("front", "message"),
    [
        (HEAD + "revision: 2024-13-45", "put it in quotes"),
        (HEAD + "options: &a {b: *a}", "a value contains itself"),
    ],
)
def test_yaml_that_only_a_library_would_choke_on_is_refused_too(front, message):
    path = card(front)
    assert message in (error := refused())
    assert str(path) in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# Mine\n", "1: a model card must start with `---`"),
        ("", "1: a model card must start with `---`"),
        ("---\nname: mine\nadapter: hf\n", "1: the front matter has no closing `---`"),
        (
            "---\nname: mine\nadapter: h\xe9\n---\n".encode("latin-1"),
            "not UTF-8 at byte 25: save the model card as UTF-8",
        ),
    ],
)
def test_a_file_without_readable_front_matter_is_no_card(text, message):
    path = card("")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    assert refused().startswith(f"{path.resolve()}:")
    assert message in refused()


def test_windows_line_ends_and_a_byte_order_mark_are_no_fault():
    path = card("")
    path.write_bytes(b"\xef\xbb\xbf---\r\nname: mine\r\nadapter: hf\r\n---\r\n# Mine\r\n")
    assert (resolve_card("mine").adapter, read_card(path).prose) == ("hf", "# Mine")


@pytest.mark.parametrize("field", ["weights", "lora"])
@pytest.mark.parametrize("value", ["../x", "./../x", "./a/../../x", "./link/x"])
def test_a_path_may_not_leave_the_cards_folder(field, value, tmp_path):
    (tmp_path / "model_cards").mkdir()
    (tmp_path / "model_cards" / "link").symlink_to(tmp_path)
    path = card(HEAD + f"{field}: {value}\nvariants:\n  v:\n    {field}: {value}").resolve()
    expected = f"field `{field}`: '{value}' is outside the card's folder: use an absolute path"
    assert refused() == f"{path}:4: {expected}"
    assert refused("mine+v") == f"{path}:7: {expected}"


def test_a_path_inside_the_folder_is_made_whole_and_others_stay_as_written(tmp_path):
    card(HEAD + "weights: ./w/model\nlora: /data/lora\nvariants:\n  hub: {weights: org/model, lora: ''}")
    assert resolve_card("mine").weights == str(tmp_path / "model_cards" / "w" / "model")
    assert resolve_card("mine").lora == "/data/lora"
    assert (resolve_card("mine+hub").weights, resolve_card("mine+hub").lora) == ("org/model", "")
    assert inside(tmp_path, "a/../b") == tmp_path / "b"
    assert inside(tmp_path, "/etc/passwd") is None


def test_lora_weights_from_the_command_line_name_the_model():
    card(HEAD + "variants:\n  lora: {lora: (--lora)}\n  fixed: {lora: /a}")
    assert (resolve_card("mine", "/b").name, resolve_card("mine", "/b").lora) == ("mine+lora", "/b")
    assert (resolve_card("mine+lora", "/b").name, resolve_card("mine+lora", "/b").lora) == ("mine+lora", "/b")
    assert resolve_card("mine+fixed").lora == "/a"
    assert resolve_card("mine+fixed", "/b").lora == "/b"


def test_the_command_lists_good_cards_and_names_broken_ones(cscbench):
    card(HEAD.rstrip())
    bad = card("name: bad\nadaptor: hf", "bad")
    listed = cscbench("models")
    assert listed.returncode == 0
    assert all(name in listed.stdout for name in ("mine", "gold", "qwen7b"))
    assert f"broken: {bad.resolve()}:3: field `adaptor`" in listed.stderr
    run = cscbench("run", "--model", "bad", "--task", "csconv_sample")
    assert (run.returncode, run.stdout) == (2, "")
    assert "did you mean 'adapter'" in run.stderr
    assert "Traceback" not in run.stderr
