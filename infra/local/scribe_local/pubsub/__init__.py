"""A Pub/Sub server in memory, over google-cloud-pubsub's own messages: ``python -m scribe_local.pubsub --port N``."""
