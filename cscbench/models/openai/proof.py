"""Verify that a server's tuned model differs from its base model."""

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
# A server's log-probabilities differ slightly with a warm cache or another batch. A change counts if it is this many
# times the difference between two answers of the base model, and above float32 rounding.
_NOISE_FACTOR = 10
_MIN_CHANGE = 1e-4


class _ProbeAnswer(Frozen, frozen=True):
    """A greedy answer: its text, and its tokens' log-probabilities if the server reports them."""

    text: str
    logprobs: tuple[float, ...]


async def prove_lora(card: ModelCard, endpoint: Endpoint, template: RequestTemplate, base: str) -> str:
    """Ask both models the same, and the base model once more to measure noise; return a note with the proof.

    Raises:
        UserError: the tuned model's answers differ from the base model's by no more than noise.
        Refused, Unanswered, Unreachable: the server does not answer.
    """
    change = noise = 0.0
    has_logprobs = True
    for probe in _PROBES:
        first, tuned, again = [await _ask(endpoint, template, model, probe) for model in (base, template.model, base)]
        if first.text != again.text:
            continue  # the base model itself varies: this probe proves nothing
        if tuned.text != first.text:
            return f"LoRA is on: {template.model} and {base} answer a probe differently"
        has_logprobs = has_logprobs and bool(first.logprobs and tuned.logprobs)
        change, noise = max(change, _difference(first, tuned)), max(noise, _difference(first, again))
    if change > max(_NOISE_FACTOR * noise, _MIN_CHANGE):
        return f"LoRA is on: the log-probabilities of a probe differ from {base}'s by up to {change:.3g}"
    comparison = f"log-probabilities differ by {change:.2g}, and by {noise:.2g} between two answers of the base model"
    raise UserError(
        f"{card.name}: cannot verify that the server applies LoRA weights to {template.model!r}: it answers like "
        f"{base!r} ({comparison if has_logprobs else 'the server reports no log-probabilities'}).\nStart the server "
        f"with the weights at {card.lora} (vLLM: --enable-lora --lora-modules {template.model}=PATH); untrained "
        "weights change nothing"
    )


async def _ask(endpoint: Endpoint, template: RequestTemplate, model: str, probe: str) -> _ProbeAnswer:
    plain = body((Message(ChatRole.USER, probe),), _GREEDY, msgspec.structs.replace(template, model=model))
    try:
        answer = await endpoint.post("chat/completions", with_logprobs(plain), 0, Completion)
    except Refused as error:
        if error.status not in (400, 422):
            raise
        answer = await endpoint.post("chat/completions", plain, 0, Completion)  # a server without support for logprobs
    choice = answer.value.choices[0]
    tokens = choice.logprobs.content or () if choice.logprobs else ()
    message = choice.message
    # A reasoning model may spend these few tokens on its reasoning, which serves as well.
    text = message.content or message.reasoning_content or message.reasoning or ""
    return _ProbeAnswer(text, tuple(token.logprob for token in tokens if token.logprob is not None))


def _difference(left: _ProbeAnswer, right: _ProbeAnswer) -> float:
    """Return the largest difference between the log-probabilities of tokens that both answers have."""
    return max((abs(a - b) for a, b in zip(left.logprobs, right.logprobs, strict=False)), default=0.0)
