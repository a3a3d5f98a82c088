"""Small real models with known answers, and helpers that send requests to an adapter."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cscbench.models.backend import Adapter, LoadContext, LoadedAdapter
from cscbench.models.hf import HF
from cscbench.values import ChatRole, Message, ModelCard, Reply, Request, Sampling, Step

CHATML = (
    "{% for m in messages %}{{ '<s> ' + m['role'] + ' ' + m['content'] + ' <end> ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<s> assistant' }}{% endif %}"
)


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    """A request of one user message; settings by name."""

    def make(text: str = "hello", name: str = "d/0", system: str = "", **sampling: Any) -> Request:
        head = (Message(ChatRole.SYSTEM, system),) if system else ()
        settings = Sampling(**{"max_tokens": 12, **sampling})
        return Request(name, name.partition("/")[0], 0, Step.JOINT, (*head, Message(ChatRole.USER, text)), settings)

    return make


@pytest.fixture(scope="session")
def answers() -> Callable[[Adapter, Sequence[Request]], list[Reply]]:
    """Send all requests at once; return their replies in order."""

    def ask(adapter: Adapter, requests: Sequence[Request]) -> list[Reply]:
        async def main() -> list[Reply]:
            return await asyncio.gather(*(adapter.generate(request) for request in requests))

        return asyncio.run(main())

    return ask


@pytest.fixture(scope="session")
def load_hf() -> Callable[..., LoadedAdapter]:
    """The hf adapter for a model on disk, through the same two calls that a run makes."""

    def load(weights: Path | str, lora: Path | str = "", trust: bool = False, **options: Any) -> LoadedAdapter:
        card = ModelCard("small", "hf", weights=str(weights), lora=str(lora), options={"dtype": "float32", **options})
        HF.fingerprint(card)
        return HF.load(LoadContext(card, {}, trust_remote_code=trust))

    return load


@pytest.fixture(scope="session")
def word_tokenizer() -> Callable[..., Any]:
    """A tokenizer of whole words, one id each; `add_bos` writes <s> before every text, as Llama's does."""

    def build(words: Sequence[str], template: str | None = CHATML, add_bos: bool = False, **named: str) -> Any:
        from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
        from transformers import PreTrainedTokenizerFast

        vocabulary = {word: number for number, word in enumerate(dict.fromkeys(["<unk>", "<s>", *words]))}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        tokenizer.add_special_tokens([AddedToken(word, special=True) for word in vocabulary if word.startswith("<")])
        if add_bos:
            tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", **named)  # noqa: S106
        made.chat_template = template
        return made

    return build


@pytest.fixture(scope="session")
def chain_model() -> Callable[..., Any]:
    """A real Llama that is a Markov chain: `logits` maps each word to the logits of the next word (default -30).

    One-hot embeddings pass unchanged through layers that write nothing (RMSNorm only scales them), so the head alone
    decides: what a decoder must answer, and how often, is known exactly.
    """

    def build(tokenizer: Any, logits: Mapping[str, Mapping[str, float]]) -> Any:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        size = len(tokenizer) + len(tokenizer) % 2
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=size,
                hidden_size=size,
                intermediate_size=4,
                num_hidden_layers=1,
                num_attention_heads=1,
                head_dim=4,
                max_position_embeddings=512,
                tie_word_embeddings=False,
            )
        ).eval()
        with torch.no_grad():
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight.zero_()
                layer.mlp.down_proj.weight.zero_()
            model.model.embed_tokens.weight.copy_(torch.eye(size))
            head = torch.full((size, size), -30.0)
            for word, following in logits.items():
                for after, logit in following.items():
                    head[tokenizer.convert_tokens_to_ids(after), tokenizer.convert_tokens_to_ids(word)] = logit
            model.lm_head.weight.copy_(head / size**0.5)
        return model

    return build


@pytest.fixture(scope="session")
def lively_model(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Random models with SmolLM2's tokenizer whose next token depends on all earlier ones.

    `llama` has rotary (relative) positions, `gpt2` learned absolute ones: only the second is sensitive to left padding
    that shifts positions.
    """
    made: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind in made:
            return made[kind]
        import torch
        from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

        tokenizer = AutoTokenizer.from_pretrained(smollm2)
        shared = {"vocab_size": len(tokenizer), "initializer_range": 0.3, "tie_word_embeddings": False}
        shared |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        torch.manual_seed(7)
        if kind == "llama":
            sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
            model = LlamaForCausalLM(LlamaConfig(max_position_embeddings=1024, **sizes, **shared))
        else:
            model = GPT2LMHeadModel(GPT2Config(n_positions=1024, n_embd=32, n_layer=2, n_head=4, **shared))
        made[kind] = tmp_path_factory.mktemp("lively") / kind
        model.save_pretrained(made[kind])
        tokenizer.save_pretrained(made[kind])
        return made[kind]

    return build
