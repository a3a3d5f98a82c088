"""The vLLM adapter: it passes each request on to the engine, which batches them."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from vllm.exceptions import VLLMValidationError
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from cscbench.models.chat import Chat, EncodedChoices, WindowError
from cscbench.models.vllm.engine import Engine
from cscbench.models.vllm.guide import Guide
from cscbench.values import Reply, Request, Sampling, Step, UserError

_DEAD = (
    "vLLM's engine process has ended; its own messages are above. Replies so far are saved. If it ran out of memory, "
    "lower `options.gpu_memory_utilization` or `options.context_length` in the card; then repeat the command"
)


class VllmAdapter:
    """Answers requests with an engine, with or without LoRA weights (`lora`, a LoRARequest).

    `guides`, if the card asks for guided decoding, has the allowed answers for each thread's steps.
    """

    def __init__(
        self, engine: Engine, chat: Chat, lora: Any = None, guides: Mapping[str, Mapping[Step, Guide]] | None = None
    ) -> None:
        self._engine, self._chat, self._lora, self._guides = engine, chat, lora, guides

    async def generate(self, request: Request) -> Reply:
        try:
            return await (self._rank(request) if request.choices else self._write(request))
        except WindowError as error:
            return Reply("", error=str(error))
        except TemplateError as error:
            return Reply("", error=f"the chat template rejects this prompt: {error}")
        except VLLMValidationError as error:
            return Reply("", error=f"vLLM rejects this request: {error}")
        except EngineDeadError:
            raise UserError(_DEAD) from None

    def close(self) -> None:
        """Stop the engine and its processes."""
        self._engine.close()

    async def _write(self, request: Request) -> Reply:
        started = time.monotonic()
        encoded = self._chat.encode(request.messages, request.sampling.max_tokens)
        guide = self._guides[request.thread].get(request.step) if self._guides else None
        answer = await self._engine.ask(encoded.ids, self._sampling(request.sampling, guide), self._lora)
        (output,) = answer.outputs
        cut = self._chat.cut(output.token_ids, request.sampling.stop)
        tokens = zip(output.token_ids[: cut.count], output.logprobs, strict=False)
        return Reply(
            text=cut.text,
            tokens_in=len(encoded.ids),
            tokens_out=cut.count,
            tokens_reused=answer.num_cached_tokens,
            seconds=time.monotonic() - started,
            finish_reason="stop" if cut.stopped else "length",
            dropped=encoded.dropped,
            logprob=sum(logprobs[token].logprob for token, logprobs in tokens),
        )

    def _sampling(self, sampling: Sampling, guide: Guide | None) -> SamplingParams:
        """Return our settings only: a checkpoint's own repetition penalty or top-k must not apply."""
        stops = [*sampling.stop, *self._chat.stops]
        allowed = guide and StructuredOutputsParams(choice=list(guide.choice) or None, regex=guide.regex or None)
        return SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=stops,
            stop_token_ids=list(self._chat.ends),
            detokenize=bool(stops),  # the reply is decoded from its tokens in the same way for all engines
            logprobs=0,
            structured_outputs=allowed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _rank(self, request: Request) -> Reply:
        """Return the most likely choice by the mean log-probability of its tokens; ties go to the first.

        A sum instead of the mean would favor short names.
        """
        started = time.monotonic()
        encoded = self._chat.choice_ids(request.messages, request.choices, request.sampling.max_tokens)
        tree = _choice_tree(encoded)
        # The prompt alone comes first: once it is in the prefix cache, each continuation costs a few tokens.
        first = await self._score_next(encoded.ids, tree[()])
        rest = {path: tokens for path, tokens in tree.items() if path}
        outputs = await asyncio.gather(
            *(self._score_next([*encoded.ids, *path], tokens) for path, tokens in rest.items())
        )
        logprobs = {path: _logprobs(output) for path, output in zip(((), *rest), (first, *outputs), strict=True)}
        scores = [
            sum(logprobs[choice[:n]][token] for n, token in enumerate(choice)) / len(choice)
            for choice in encoded.choices
        ]
        return Reply(
            text=request.choices[scores.index(max(scores))],
            tokens_in=len(encoded.ids),
            tokens_reused=first.num_cached_tokens,
            seconds=time.monotonic() - started,
            finish_reason="stop",
            dropped=encoded.dropped,
            choice_logprobs=tuple(scores),
        )

    async def _score_next(self, ids: Sequence[int], tokens: Sequence[int]) -> Any:
        """Return an output with the log-probability of each of `tokens` after `ids`."""
        sampling = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(tokens),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        return await self._engine.ask(ids, sampling, self._lora)


def _choice_tree(encoded: EncodedChoices) -> Mapping[tuple[int, ...], Sequence[int]]:
    """Return the tree of the choices' ids: for each prefix, the tokens that follow it in some choice."""
    tree: dict[tuple[int, ...], dict[int, None]] = defaultdict(dict)
    for choice in encoded.choices:
        for n, token in enumerate(choice):
            tree[choice[:n]][token] = None
    return {path: list(tokens) for path, tokens in tree.items()}


def _logprobs(output: Any) -> Mapping[int, float]:
    ((logprobs,),) = [completion.logprobs for completion in output.outputs]
    return {token: entry.logprob for token, entry in logprobs.items()}
