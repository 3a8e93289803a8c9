"""What the sink and the source have in common: the broker, and what is declared there."""

from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from aiormq import Channel
from pydantic import AfterValidator, Field, model_validator

from scribe_export.options import Duration, Options, SecretText, check_url

GUIDE_QUEUES = frozenset({"scribe.scan.requests", "scribe.scan.results", "scribe.system.status"})
"""Queues that the integration guide's programs declare: durable, of the classic type, without arguments."""
GUIDE_EXCHANGE = "scribe.events"
"""The exchange that they declare: fanout, not durable."""


def _check_broker(value: str) -> str:
    url = check_url(value, ("amqp", "amqps"))
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValueError("must hold nothing behind the virtual host; there are options for heartbeat and certificates")
    if parts.path.count("/") > 1:
        raise ValueError("ends with the virtual host's name; write a / within it as %2F")
    return url


class TlsOptions(Options):
    ca_file: str | None = None
    """Certificates to trust, in PEM; the system's if left out. Relative to the config's folder."""


class RabbitMqOptions(Options):
    """A broker; may stand under a connection with ``provider: rabbitmq``."""

    provider: ClassVar[str | None] = "rabbitmq"
    url: Annotated[str, AfterValidator(_check_broker)]
    """Like amqp://localhost:5672 or amqps://broker/lab; what follows the host is the virtual host."""
    username: str = Field(default="guest", min_length=1)
    """Who to be."""
    password: SecretText | None = None
    """The user's password; guest if left out."""
    tls: TlsOptions = TlsOptions()
    """Whom to trust, with amqps."""
    heartbeat: Duration = Field(default=30.0, ge=1, le=3600)
    """How long one side may be silent; a connection without a sign of life for about three times as long is given up."""


# https://www.rabbitmq.com/docs/queues#optional-arguments
Arguments = dict[str, str | int | bool]


class QueueDeclaration(Options):
    """How a queue is declared. Another declaration than the one that is there is refused by the broker."""

    dead_letter_exchange: str | None = Field(default=None, max_length=255)
    """With `declare`: where the broker puts what it gives up, such as a message above the queue's delivery limit."""
    arguments: Arguments = Field(default_factory=dict)
    """With `declare`: further optional arguments, such as x-max-length."""

    async def declare_queue(self, channel: Channel, queue: str, declare: str) -> None:
        """Make it, durable, or with `none` find out whether it is there: that needs no right."""
        arguments: dict[str, Any] = dict(self.arguments)
        if declare == "quorum":
            arguments["x-queue-type"] = "quorum"
        if self.dead_letter_exchange is not None:
            arguments["x-dead-letter-exchange"] = self.dead_letter_exchange
        await channel.queue_declare(queue, durable=True, passive=declare == "none", arguments=arguments)

    @model_validator(mode="after")
    def _check_declaration(self) -> "QueueDeclaration":
        queue, declare = getattr(self, "queue", None), getattr(self, "declare", "none")
        wanted = bool(self.arguments) or self.dead_letter_exchange is not None
        if wanted and declare not in {"classic", "quorum"}:
            raise ValueError("dead_letter_exchange and arguments need declare: classic or declare: quorum")
        if queue in GUIDE_QUEUES and (wanted or declare == "quorum"):
            raise ValueError(
                f"the guide's programs declare {queue} as a classic queue without arguments and fail where it is "
                "another; declare: classic without arguments, or a name of your own"
            )
        return self


Declare = Literal["none", "classic", "quorum"]
