"""The vLLM adapter: each request goes to the engine as it comes; the engine batches them."""

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
    "vLLM's engine process has ended; what it said of it stands above, and replies on disk are kept. Out of memory? "
    "Lower `options.gpu_memory_utilization` or `options.context_length` of the card; then run the same command again"
)


class VllmAdapter:
    """Requests answered by an engine, with LoRA weights (`lora`, a LoRARequest) or without.

    `guides`, where the card asks for guided decoding, has for each thread what its steps may answer.
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
            return Reply("", error=f"the chat template refuses this prompt: {error}")
        except VLLMValidationError as error:
            return Reply("", error=f"vLLM refuses this request: {error}")
        except EngineDeadError:
            raise UserError(_DEAD) from None

    def close(self) -> None:
        """End the engine and its processes."""
        self._engine.close()

    async def _write(self, request: Request) -> Reply:
        started = time.monotonic()
        encoded = self._chat.encode(request.messages, request.sampling.max_tokens)
        guide = self._guides[request.thread].get(request.step) if self._guides else None
        answer = await self._engine.ask(encoded.ids, self._sampling(request.sampling, guide), self._lora)
        (output,) = answer.outputs
        cut = self._chat.cut(output.token_ids, request.sampling.stop)
        spent = zip(output.token_ids[: cut.count], output.logprobs, strict=False)
        return Reply(
            text=cut.text,
            tokens_in=len(encoded.ids),
            tokens_out=cut.count,
            tokens_reused=answer.num_cached_tokens,
            seconds=time.monotonic() - started,
            finish_reason="stop" if cut.stopped else "length",
            dropped=encoded.dropped,
            logprob=sum(known[token].logprob for token, known in spent),
        )

    def _sampling(self, sampling: Sampling, guide: Guide | None) -> SamplingParams:
        """Our settings and no others: a checkpoint's own repetition penalty or top-k must not slip in."""
        stops = [*sampling.stop, *self._chat.stops]
        allowed = guide and StructuredOutputsParams(choice=list(guide.choice) or None, regex=guide.regex or None)
        return SamplingParams(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=stops,
            stop_token_ids=list(self._chat.ends),
            detokenize=bool(stops),  # the reply is read from its tokens, in one way for all engines
            logprobs=0,
            structured_outputs=allowed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def _rank(self, request: Request) -> Reply:
        """The likeliest choice by the mean log-probability of its tokens, the first among equals.

        A mean, for a sum would favour short names.
        """
        started = time.monotonic()
        encoded = self._chat.choice_ids(request.messages, request.choices, request.sampling.max_tokens)
        steps = _steps(encoded)
        # The prompt alone comes first: with it in the prefix cache, what follows it costs a few tokens each.
        first = await self._next(encoded.ids, steps[()])
        rest = {path: after for path, after in steps.items() if path}
        outputs = await asyncio.gather(*(self._next([*encoded.ids, *path], after) for path, after in rest.items()))
        told = {path: _logprobs(output) for path, output in zip(((), *rest), (first, *outputs), strict=True)}
        scores = [
            sum(told[choice[:n]][token] for n, token in enumerate(choice)) / len(choice) for choice in encoded.choices
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

    async def _next(self, ids: Sequence[int], tokens: Sequence[int]) -> Any:
        """An output that tells how likely each of these tokens is after these ids."""
        sampling = SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(tokens),
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        return await self._engine.ask(ids, sampling, self._lora)


def _steps(encoded: EncodedChoices) -> Mapping[tuple[int, ...], Sequence[int]]:
    """The tree of the choices' ids: for each beginning, the tokens that follow it in some choice."""
    steps: dict[tuple[int, ...], dict[int, None]] = defaultdict(dict)
    for choice in encoded.choices:
        for n, token in enumerate(choice):
            steps[choice[:n]][token] = None
    return {path: list(tokens) for path, tokens in steps.items()}


def _logprobs(output: Any) -> Mapping[int, float]:
    ((known,),) = [one.logprobs for one in output.outputs]
    return {token: told.logprob for token, told in known.items()}
