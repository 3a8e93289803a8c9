"""Queues and exchanges of RabbitMQ."""

from scribe_connectors.rabbitmq.sink import RabbitMqSink
from scribe_connectors.rabbitmq.source import RabbitMqSource

__all__ = ["RabbitMqSink", "RabbitMqSource"]
