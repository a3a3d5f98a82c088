"""The adapter: a request to the server, its answer to a reply."""

from collections.abc import Sequence

from cscbench.models.openai.endpoint import Endpoint
from cscbench.models.openai.refusals import Refused, Unanswered, Unreachable, user_error
from cscbench.models.openai.wire import Completion, RequestTemplate, body, reply_of
from cscbench.values import ModelCard, Reply, Request, UserError, estimate_tokens


class OpenAiAdapter:
    """Asks one model of one server. `served` is the name that the server gave for it when the run was loaded.

    `models` are the names that it lists, for messages.
    """

    def __init__(
        self, card: ModelCard, endpoint: Endpoint, template: RequestTemplate, served: str, models: Sequence[str]
    ) -> None:
        self._card, self._endpoint, self._asking = card, endpoint, template
        self._served, self._models = served, models

    async def generate(self, request: Request) -> Reply:
        """The model's answer; an error where it gave none. What every further request would meet too is raised.

        Raises:
            UserError: the key, the credit or the model is gone, or the server is.
        """
        tokens = sum(estimate_tokens(message.content) for message in request.messages) + request.sampling.max_tokens
        fields = body(request.messages, request.sampling, self._asking)
        try:
            answer = await self._endpoint.post("chat/completions", fields, tokens, Completion)
        except Unanswered as error:
            return Reply("", error=str(error))
        except Unreachable as error:
            raise unreachable_error(self._card, self._endpoint, error) from None
        except Refused as error:
            if error.for_all:
                raise refused_error(self._card, self._endpoint, self._asking, self._models, error) from None
            return Reply("", error=str(error))
        reply = reply_of(answer.value, answer.seconds)
        answered_by = answer.value.model or ""
        if answered_by == self._served or not answered_by:
            return reply
        return Reply(
            "",
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            seconds=reply.seconds,
            error=f"answered by the model {answered_by!r}, where this run began with {self._served!r}",
        )

    def close(self) -> None:
        """Nothing: the connections were closed in their event loop, by `aclose`."""


def unreachable_error(card: ModelCard, endpoint: Endpoint, error: Unreachable) -> UserError:
    """Nobody answers at the address."""
    return UserError(
        f"{card.name}: no server at {endpoint.url}: {error}.\n"
        "Start it, or give its address: in the card as `options.base_url`, or in the environment variable that "
        "`options.base_url_env` names. Replies so far are on disk, and the same command goes on"
    )


def refused_error(
    card: ModelCard, endpoint: Endpoint, template: RequestTemplate, models: Sequence[str], error: Refused
) -> UserError:
    """A refusal that holds for every request."""
    return user_error(card, template.options, endpoint.url, endpoint.has_key, template.model, models, error)
