"""Redis: lists, streams, channels and keys."""

from scribe_connectors.redis._options import RedisSinkOptions, RedisSourceOptions
from scribe_connectors.redis.sink import RedisSink
from scribe_connectors.redis.source import RedisSource

__all__ = ["RedisSink", "RedisSinkOptions", "RedisSource", "RedisSourceOptions"]
