"""The adapter: it sends a request to the server and turns the answer into a reply."""

from collections.abc import Sequence

from cscbench.models.openai.endpoint import Endpoint
from cscbench.models.openai.refusals import Refused, Unanswered, Unreachable, user_error
from cscbench.models.openai.wire import Completion, RequestTemplate, body, reply_of
from cscbench.values import ModelCard, Reply, Request, UserError, estimate_tokens


class OpenAiAdapter:
    """Asks one model on one server. `served` is the name that the server reported for it when the run started.

    `models` are the names that the server lists, for messages.
    """

    def __init__(
        self, card: ModelCard, endpoint: Endpoint, template: RequestTemplate, served: str, models: Sequence[str]
    ) -> None:
        self._card, self._endpoint, self._template = card, endpoint, template
        self._served, self._models = served, models

    async def generate(self, request: Request) -> Reply:
        """Answer a request; a failure of this request alone is a reply with an error.

        Raises:
            UserError: every other request would fail too: no server, or its key, credit or model is gone.
        """
        tokens = sum(estimate_tokens(message.content) for message in request.messages) + request.sampling.max_tokens
        fields = body(request.messages, request.sampling, self._template)
        try:
            answer = await self._endpoint.post("chat/completions", fields, tokens, Completion)
        except Unanswered as error:
            return Reply("", error=str(error))
        except Unreachable as error:
            raise unreachable_error(self._card, self._endpoint, error) from None
        except Refused as error:
            if error.for_all:
                raise refused_error(self._card, self._endpoint, self._template, self._models, error) from None
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
            error=f"answered by the model {answered_by!r}, but this run started with {self._served!r}",
        )

    def close(self) -> None:
        """Do nothing: `aclose` already closed the connections in their event loop."""


def unreachable_error(card: ModelCard, endpoint: Endpoint, error: Unreachable) -> UserError:
    """Build the error for an address where no server answers."""
    return UserError(
        f"{card.name}: no server at {endpoint.url}: {error}.\n"
        "Start it, or set its address: `options.base_url` in the card, or the environment variable that "
        "`options.base_url_env` names. Replies so far are saved; repeat the command to continue"
    )


def refused_error(
    card: ModelCard, endpoint: Endpoint, template: RequestTemplate, models: Sequence[str], error: Refused
) -> UserError:
    """Build the error for a refusal that applies to every request."""
    return user_error(card, template.options, endpoint.url, endpoint.has_key, template.model, models, error)
