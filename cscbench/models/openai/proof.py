"""Proof that a server's tuned model is another than its base model."""

import msgspec

from cscbench.models.openai.endpoint import Endpoint
from cscbench.models.openai.refusals import Refused
from cscbench.models.openai.wire import Completion, RequestTemplate, body, with_logprobs
from cscbench.values import ChatRole, Frozen, Message, ModelCard, Sampling, UserError

_GREEDY = Sampling(max_tokens=16)
_PROBES = (
    "Hello, I need help with my order.",
    "You are a customer support agent. The customer says: my card was charged twice! What do you say?",
    "您好，我的退款怎么还没有到账？",
)
# A server does not round alike twice: with a warm cache or in another batch, log-probabilities differ a little. A
# change counts where it is so many times what the base model differs from itself, and no rounding of float32.
_TIMES_NOISE = 10
_LEAST_CHANGE = 1e-4


class _Answered(Frozen, frozen=True):
    """A greedy answer: its words, and its tokens' log-probabilities where the server has them."""

    text: str
    logprobs: tuple[float, ...]


async def prove_lora(card: ModelCard, endpoint: Endpoint, template: RequestTemplate, base: str) -> str:
    """Ask the tuned and the base model the same, and the base model once more, to see how far it differs from itself.

    Returns a note with the proof.

    Raises:
        UserError: their answers are the same, within what the base model differs from itself.
        Refused, Unanswered, Unreachable: the server does not answer.
    """
    change = noise = 0.0
    offered = True
    for probe in _PROBES:
        first, tuned, again = [await _ask(endpoint, template, model, probe) for model in (base, template.model, base)]
        if first.text != again.text:
            continue  # sampled, or rounded apart: proves nothing
        if tuned.text != first.text:
            return f"LoRA is on: {template.model} answers a probe in other words than {base}"
        offered = offered and bool(first.logprobs and tuned.logprobs)
        change, noise = max(change, _difference(first, tuned)), max(noise, _difference(first, again))
    if change > max(_TIMES_NOISE * noise, _LEAST_CHANGE):
        return f"LoRA is on: with it log-probabilities of a probe differ from {base}'s by up to {change:.3g}"
    alike = f"log-probabilities differ by {change:.2g}, those of two such answers by {noise:.2g}"
    raise UserError(
        f"{card.name}: it cannot be proven that the server's {template.model!r} has LoRA weights on: it answers as "
        f"{base!r} does ({alike if offered else 'the server gives no log-probabilities'}).\nStart the server with the "
        f"weights at {card.lora} (vLLM: --enable-lora --lora-modules {template.model}=PATH); untrained weights change "
        "nothing"
    )


async def _ask(endpoint: Endpoint, template: RequestTemplate, model: str, probe: str) -> _Answered:
    plain = body((Message(ChatRole.USER, probe),), _GREEDY, msgspec.structs.replace(template, model=model))
    try:
        answer = await endpoint.post("chat/completions", with_logprobs(plain), 0, Completion)
    except Refused as error:
        if error.status not in (400, 422):
            raise
        answer = await endpoint.post("chat/completions", plain, 0, Completion)  # one that knows no logprobs
    choice = answer.value.choices[0]
    tokens = choice.logprobs.content or () if choice.logprobs else ()
    message = choice.message
    # A reasoning model spends these few tokens on its thoughts: they tell as much.
    text = message.content or message.reasoning_content or message.reasoning or ""
    return _Answered(text, tuple(token.logprob for token in tokens if token.logprob is not None))


def _difference(one: _Answered, other: _Answered) -> float:
    """The largest difference between the log-probabilities of two answers' tokens, as far as both have them."""
    return max((abs(a - b) for a, b in zip(one.logprobs, other.logprobs, strict=False)), default=0.0)
