"""What Pub/Sub is documented to do, of the local server, by the genuine clients."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from support.topics import PROJECT, Clients, Receiver, clients, data

from scribe_local import servers
from scribe_local.process import ServerMissing
from scribe_local.servers import LocalServer

PATIENCE = 30


@pytest.fixture
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def topic(cloud: Clients) -> str:
    return cloud.topic()


def test_the_server_starts_again_on_its_port_and_has_forgotten() -> None:
    with servers.pubsub() as server:
        for end in (server.stop, server.kill):
            with clients(server.address) as cloud:
                cloud.publisher.create_topic(name=f"projects/{PROJECT}/topics/scans")
            end()
            server.start()


def test_a_missing_client_library_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ServerMissing, match=r"pip install 'scribe-export\[gcp\]'"):
        servers.pubsub()


class TestNames:
    """https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1"""

    def test_a_topic_is_found_listed_and_deleted(self, cloud: Clients, topic: str) -> None:
        assert cloud.publisher.get_topic(topic=topic).name == topic
        assert topic in [one.name for one in cloud.publisher.list_topics(project=f"projects/{PROJECT}")]
        cloud.publisher.delete_topic(topic=topic)
        with pytest.raises(exceptions.NotFound):
            cloud.publisher.get_topic(topic=topic)

    def test_a_taken_name_is_refused(self, cloud: Clients, topic: str) -> None:
        subscription = cloud.subscription(topic)
        with pytest.raises(exceptions.AlreadyExists):
            cloud.publisher.create_topic(name=topic)
        with pytest.raises(exceptions.AlreadyExists):
            cloud.streaming.create_subscription(name=subscription, topic=topic)

    @pytest.mark.parametrize("name", ["ab", "1abc", "google-things", "a/b/c"])
    def test_a_name_is_three_to_255_characters_and_begins_with_a_letter(self, cloud: Clients, name: str) -> None:
        # https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
        with pytest.raises(exceptions.InvalidArgument):
            cloud.publisher.create_topic(name=f"projects/{PROJECT}/topics/{name}")

    def test_what_is_not_there_is_not_found(self, cloud: Clients, topic: str) -> None:
        nowhere = f"projects/{PROJECT}/topics/nowhere"
        none = f"projects/{PROJECT}/subscriptions/none"
        for call in (
            lambda: cloud.send(nowhere, b"x"),
            lambda: cloud.subscription(nowhere),
            lambda: cloud.pull(none),
            lambda: cloud.streaming.get_subscription(subscription=none),
            lambda: cloud.streaming.delete_subscription(subscription=none),
            lambda: cloud.publisher.delete_topic(topic=nowhere),
        ):
            with pytest.raises(exceptions.NotFound):
                call()

    def test_a_subscription_is_found_listed_and_deleted(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        found = cloud.streaming.get_subscription(subscription=name)
        assert (found.topic, found.ack_deadline_seconds) == (topic, 10)
        assert name in [one.name for one in cloud.streaming.list_subscriptions(project=f"projects/{PROJECT}")]
        assert list(cloud.publisher.list_topic_subscriptions(topic=topic)) == [name]
        cloud.streaming.delete_subscription(subscription=name)
        with pytest.raises(exceptions.NotFound):
            cloud.streaming.get_subscription(subscription=name)

    def test_a_deleted_topic_leaves_its_subscription_what_it_held(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#deletetopicrequest
        name = cloud.subscription(topic)
        cloud.send(topic, b"kept")
        cloud.publisher.delete_topic(topic=topic)
        assert cloud.streaming.get_subscription(subscription=name).topic == "_deleted-topic_"
        assert data(cloud.pull(name)) == [b"kept"]

    @pytest.mark.parametrize("seconds", [9, 601])
    def test_an_ack_deadline_is_ten_to_600_seconds(self, cloud: Clients, topic: str, seconds: int) -> None:
        # https://cloud.google.com/pubsub/docs/lease-management
        with pytest.raises(exceptions.InvalidArgument):
            cloud.subscription(topic, ack_deadline_seconds=seconds)


class TestPublish:
    """https://cloud.google.com/pubsub/quotas#resource_limits"""

    def test_every_subscription_gets_every_message(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/pubsub-basics
        both = [cloud.subscription(topic), cloud.subscription(topic)]
        ids = cloud.send(topic, {"data": b"one", "attributes": {"a": "b"}}, b"two")
        for name in both:
            received = cloud.pull(name)
            assert [one.message.message_id for one in received] == ids
            assert data(received) == [b"one", b"two"]
            assert dict(received[0].message.attributes) == {"a": "b"}
            assert received[0].message.publish_time.timestamp() > 1.7e9

    def test_messages_without_a_subscription_go_nowhere(self, cloud: Clients, topic: str) -> None:
        cloud.send(topic, b"gone")
        name = cloud.subscription(topic)
        assert not cloud.pull(name, wait=False)

    @pytest.mark.parametrize(
        "message",
        [
            {"attributes": {f"key-{n}": "" for n in range(101)}},
            {"attributes": {"k" * 257: "v"}},
            {"attributes": {"k": "v" * 1025}},
            {"attributes": {"k": "é" * 513}},
            {"attributes": {"googclient": "v"}},
            {"data": b"x", "ordering_key": "k" * 1025},
            {},
        ],
        ids=["101 attributes", "key", "value", "value in UTF-8", "reserved", "ordering key", "empty"],
    )
    def test_a_message_above_the_limits_is_refused_with_its_request(
        self, cloud: Clients, topic: str, message: dict[str, Any]
    ) -> None:
        name = cloud.subscription(topic)
        ordering = {"ordering_key": message["ordering_key"]} if "ordering_key" in message else {}
        with pytest.raises(exceptions.InvalidArgument):
            cloud.send(topic, {"data": b"good", **ordering}, message)
        assert not cloud.pull(name, wait=False)

    def test_a_message_at_the_limits_is_taken(self, cloud: Clients, topic: str) -> None:
        attributes = {f"{n:03}".ljust(256, "k"): "é" * 512 for n in range(100)}
        cloud.send(topic, {"attributes": attributes, "ordering_key": "k" * 1024})

    def test_ten_megabytes_are_the_most_of_a_request(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        with pytest.raises(exceptions.InvalidArgument):
            cloud.send(topic, b"x" * 10_000_000)
        cloud.send(topic, b"x" * 9_999_000)
        assert [len(one) for one in data(cloud.pull(name))] == [9_999_000]

    def test_a_thousand_messages_are_the_most_of_a_request(self, cloud: Clients, topic: str) -> None:
        assert len(cloud.send(topic, *[b"x"] * 1000)) == 1000
        with pytest.raises(exceptions.InvalidArgument):
            cloud.send(topic, *[b"x"] * 1001)
        with pytest.raises(exceptions.InvalidArgument):
            cloud.send(topic)

    def test_a_request_has_one_ordering_key(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#pubsubmessage
        with pytest.raises(exceptions.InvalidArgument):
            cloud.send(topic, {"data": b"1", "ordering_key": "a"}, {"data": b"2", "ordering_key": "b"})


class TestPull:
    """https://cloud.google.com/pubsub/docs/pull"""

    def test_an_acknowledged_message_is_gone(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"1", b"2", b"3")
        cloud.ack(name, *cloud.pull(name, 2))
        assert data(cloud.pull(name)) == [b"3"]
        assert not cloud.pull(name, wait=False)

    def test_pull_waits_for_a_message(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        later = threading.Timer(0.3, cloud.send, (topic, b"late"))
        later.start()
        assert data(cloud.pull(name)) == [b"late"]
        later.join()

    def test_a_deadline_of_zero_gives_a_message_back(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/handling-failures
        name = cloud.subscription(topic)
        cloud.send(topic, b"again")
        first = cloud.pull(name)
        cloud.modify(name, 0, *first)
        second = cloud.pull(name, wait=False)
        assert first[0].message.message_id == second[0].message.message_id
        assert first[0].ack_id != second[0].ack_id

    def test_a_message_comes_again_after_its_deadline(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/lease-management
        name = cloud.subscription(topic)
        cloud.send(topic, b"again")
        first = cloud.pull(name)
        assert not cloud.pull(name, wait=False)
        cloud.modify(name, 1, *first)
        assert data(cloud.pull(name)) == [b"again"]

    def test_a_longer_deadline_keeps_a_message_away(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"kept", b"expires")
        kept, expires = cloud.pull(name)
        cloud.modify(name, 1, kept, expires)
        cloud.modify(name, 600, kept)
        assert data(cloud.pull(name)) == [b"expires"]
        assert not cloud.pull(name, wait=False)

    def test_a_late_ack_is_no_error(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/exactly-once-delivery: without it "these requests return OK"
        name = cloud.subscription(topic)
        cloud.send(topic, b"again")
        first = cloud.pull(name)
        cloud.modify(name, 0, *first)
        cloud.ack(name, *first)

    def test_an_extension_above_600_seconds_is_refused(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"x")
        with pytest.raises(exceptions.InvalidArgument):
            cloud.modify(name, 601, *cloud.pull(name))

    def test_half_a_megabyte_is_the_most_of_an_acknowledgement(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/quotas#resource_limits: acknowledge request, 512 KiB
        name = cloud.subscription(topic)
        with pytest.raises(exceptions.InvalidArgument):
            cloud.streaming.acknowledge(subscription=name, ack_ids=["x" * 600_000], retry=None, timeout=20)


class TestStreamingPull:
    """https://cloud.google.com/pubsub/docs/pull#streamingpull_api"""

    def test_messages_reach_the_callback_and_acks_the_server(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        with Receiver(cloud, name) as receiver:
            cloud.send(topic, *[b"%d" % n for n in range(200)])
            for message in receiver.wait(200):
                message.ack()
        assert sorted(int(one.data) for one in receiver.seen) == list(range(200))
        assert not cloud.pull(name, wait=False)

    def test_a_nacked_message_comes_again(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"x")
        with Receiver(cloud, name) as receiver:
            receiver.wait(1)[0].nack()
            again = receiver.wait(2)[1]
            again.ack()
        assert again.message_id == receiver.seen[0].message_id

    def test_no_more_is_sent_than_flow_control_allows(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/flow-control-messages
        name = cloud.subscription(topic)
        cloud.send(topic, *[b"%d" % n for n in range(10)])
        with Receiver(cloud, name, most=3) as receiver:
            receiver.wait(3)
            # The others are at the server still: they are there for somebody else.
            others = cloud.pull(name)
            assert len(others) == 7
            cloud.ack(name, *others)
            for message in receiver.seen:
                message.ack()

    def test_what_a_broken_stream_held_comes_after_its_deadline(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"x")
        with Receiver(cloud, name) as receiver:
            held = receiver.wait(1)[0]
        cloud.streaming.modify_ack_deadline(subscription=name, ack_ids=[held.ack_id], ack_deadline_seconds=1)
        assert data(cloud.pull(name)) == [b"x"]

    def test_a_deleted_subscription_ends_its_streams(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, b"x")
        open_now = threading.Event()
        future = cloud.streaming.subscribe(name, lambda _: open_now.set())
        assert open_now.wait(PATIENCE)
        cloud.streaming.delete_subscription(subscription=name)
        with pytest.raises(exceptions.NotFound):
            future.result(PATIENCE)
