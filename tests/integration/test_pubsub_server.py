"""What Pub/Sub is documented to do, of the local server, by the genuine clients."""

import threading
from collections.abc import Iterator
from typing import Any, Self

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from google.cloud.pubsub_v1.types import FlowControl
from support.topics import PROJECT, Clients, clients

from scribe_local.servers import LocalServer

PATIENCE = 30


@pytest.fixture
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def topic(cloud: Clients) -> str:
    return cloud.topic()


def data(received: list[Any]) -> list[bytes]:
    return [one.message.data for one in received]


class Receiver:
    """The client with callbacks, as its users have it; `ack` says which messages are acknowledged."""

    def __init__(self, cloud: Clients, subscription: str, *, most: int = 1000) -> None:
        self.seen: list[Any] = []
        self._arrived = threading.Condition()
        flow = FlowControl(max_messages=most)
        self._future = cloud.streaming.subscribe(
            subscription, self._take, flow_control=flow, await_callbacks_on_shutdown=True
        )

    def _take(self, message: Any) -> None:
        with self._arrived:
            self.seen.append(message)
            self._arrived.notify_all()

    def wait(self, count: int) -> list[Any]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.seen) >= count, PATIENCE)
            return list(self.seen)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._future.cancel()
        self._future.result(PATIENCE)


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
        future = cloud.streaming.subscribe(name, lambda _: None)
        cloud.streaming.delete_subscription(subscription=name)
        with pytest.raises(exceptions.NotFound):
            future.result(PATIENCE)


class TestOrdering:
    """https://cloud.google.com/pubsub/docs/ordering"""

    @pytest.fixture
    def name(self, cloud: Clients, topic: str) -> str:
        name = cloud.subscription(topic, enable_message_ordering=True)
        for n in range(5):
            cloud.send(topic, {"data": b"a%d" % n, "ordering_key": "a"})
            cloud.send(topic, {"data": b"b%d" % n, "ordering_key": "b"})
        return name

    def test_a_key_comes_in_order(self, cloud: Clients, name: str) -> None:
        found = data(cloud.pull(name))
        assert [one for one in found if one[:1] == b"a"] == [b"a0", b"a1", b"a2", b"a3", b"a4"]
        assert [one for one in found if one[:1] == b"b"] == [b"b0", b"b1", b"b2", b"b3", b"b4"]

    def test_a_message_given_back_takes_the_key_s_later_ones_along(self, cloud: Clients, name: str) -> None:
        received = {one.message.data: one for one in cloud.pull(name)}
        cloud.ack(name, *(received[one] for one in (b"a0", b"a2", b"b0", b"b1", b"b2", b"b3", b"b4")))
        cloud.modify(name, 0, received[b"a1"])
        # "If the message is redelivered, all subsequent messages of the key are, acknowledged or not."
        again = cloud.pull(name, wait=False)
        assert data(again) == [b"a1", b"a2", b"a3", b"a4"]
        cloud.ack(name, *again)
        assert not cloud.pull(name, wait=False)

    def test_what_follows_waits_for_what_is_out(self, cloud: Clients, topic: str, name: str) -> None:
        first = cloud.pull(name)
        cloud.send(topic, {"data": b"a5", "ordering_key": "a"})
        assert not cloud.pull(name, wait=False)
        cloud.ack(name, *first)
        assert data(cloud.pull(name)) == [b"a5"]

    def test_a_subscription_without_ordering_does_not_wait(self, cloud: Clients, topic: str) -> None:
        name = cloud.subscription(topic)
        cloud.send(topic, {"data": b"1", "ordering_key": "a"})
        assert data(cloud.pull(name)) == [b"1"]
        cloud.send(topic, {"data": b"2", "ordering_key": "a"})
        assert data(cloud.pull(name)) == [b"2"]

    def test_callbacks_of_a_key_are_in_order(self, cloud: Clients, topic: str, name: str) -> None:
        with Receiver(cloud, name) as receiver:
            for count in range(1, 11):
                receiver.wait(count)[count - 1].ack()
        keys = {key: [one.data for one in receiver.seen if one.ordering_key == key] for key in "ab"}
        assert keys["a"] == [b"a0", b"a1", b"a2", b"a3", b"a4"]
        assert keys["b"] == [b"b0", b"b1", b"b2", b"b3", b"b4"]


class TestDeadLetters:
    """https://cloud.google.com/pubsub/docs/handling-failures#dead_letter_topic"""

    @pytest.mark.parametrize("ordering", [False, True])
    def test_a_message_that_was_never_acknowledged_goes_to_the_dead_letter_topic(
        self, cloud: Clients, topic: str, ordering: bool
    ) -> None:
        graves = cloud.topic()
        grave = cloud.subscription(graves)
        policy = {"dead_letter_topic": graves, "max_delivery_attempts": 5}
        name = cloud.subscription(topic, dead_letter_policy=policy, enable_message_ordering=ordering)
        for one in (b"bad", b"good"):
            cloud.send(topic, {"data": one, "attributes": {"k": "v"}, "ordering_key": "a"})
        attempts = []
        for _ in range(5):
            [bad, good] = sorted(cloud.pull(name), key=lambda one: one.message.data)
            attempts.append(bad.delivery_attempt)
            assert good.delivery_attempt == 1 or not ordering
            cloud.modify(name, 0, bad)
            if not ordering:
                cloud.modify(name, 600, good)
                break
        if not ordering:
            for _ in range(4):
                [bad] = cloud.pull(name)
                attempts.append(bad.delivery_attempt)
                cloud.modify(name, 0, bad)
        assert attempts == [1, 2, 3, 4, 5]
        [letter] = cloud.pull(grave)
        assert letter.message.data == b"bad"
        found = dict(letter.message.attributes)
        assert found["k"] == "v"
        assert found["CloudPubSubDeadLetterSourceSubscription"] == name.rpartition("/")[2]
        assert found["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
        assert b"bad" not in data(cloud.pull(name, wait=False))

    def test_without_a_policy_there_is_no_delivery_attempt(self, cloud: Clients, topic: str) -> None:
        # https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#receivedmessage
        name = cloud.subscription(topic)
        cloud.send(topic, b"x")
        assert cloud.pull(name)[0].delivery_attempt == 0

    @pytest.mark.parametrize("attempts", [4, 101])
    def test_attempts_are_five_to_a_hundred(self, cloud: Clients, topic: str, attempts: int) -> None:
        policy = {"dead_letter_topic": topic, "max_delivery_attempts": attempts}
        with pytest.raises(exceptions.InvalidArgument):
            cloud.subscription(topic, dead_letter_policy=policy)


class TestExactlyOnce:
    """https://cloud.google.com/pubsub/docs/exactly-once-delivery"""

    @pytest.fixture
    def name(self, cloud: Clients, topic: str) -> str:
        return cloud.subscription(topic, enable_exactly_once_delivery=True)

    def test_an_ack_id_ends_with_its_deadline(self, cloud: Clients, topic: str, name: str) -> None:
        cloud.send(topic, b"1", b"2")
        first, second = cloud.pull(name)
        cloud.modify(name, 0, first)
        with pytest.raises(exceptions.InvalidArgument) as caught:
            cloud.ack(name, first, second)
        assert caught.value.metadata == {first.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}
        # The other id of the request was good.
        [again] = cloud.pull(name, wait=False)
        assert again.message.data == b"1"
        cloud.ack(name, again)
        with pytest.raises(exceptions.InvalidArgument):
            cloud.modify(name, 10, again)

    def test_a_confirmed_ack_is_kept(self, cloud: Clients, topic: str, name: str) -> None:
        cloud.send(topic, b"x")
        with Receiver(cloud, name) as receiver:
            [message] = receiver.wait(1)
            assert message.ack_with_response().result(PATIENCE) is AcknowledgeStatus.SUCCESS
        assert not cloud.pull(name, wait=False)

    def test_an_ack_that_failed_is_said(self, cloud: Clients, topic: str, name: str) -> None:
        cloud.send(topic, b"x")
        with Receiver(cloud, name) as receiver:
            [message] = receiver.wait(1)
            cloud.modify(name, 0, message)
            with pytest.raises(AcknowledgeError) as caught:
                message.ack_with_response().result(PATIENCE)
            assert caught.value.error_code is AcknowledgeStatus.INVALID_ACK_ID
            assert receiver.wait(2)[1].ack_with_response().result(PATIENCE) is AcknowledgeStatus.SUCCESS

    def test_a_stream_confirms_what_is_acknowledged_on_it(self, cloud: Clients, topic: str, name: str) -> None:
        # https://cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#streamingpullresponse
        cloud.send(topic, b"x")
        [held] = cloud.pull(name)
        done = threading.Event()

        def requests() -> Iterator[Any]:
            yield {"subscription": name, "stream_ack_deadline_seconds": 10}
            yield {"ack_ids": [held.ack_id, "no-such-id"]}
            done.wait(PATIENCE)

        stream = cloud.streaming.streaming_pull(requests=requests(), timeout=PATIENCE)
        confirmed = next(iter(stream))
        done.set()
        assert list(confirmed.acknowledge_confirmation.ack_ids) == [held.ack_id]
        assert list(confirmed.acknowledge_confirmation.invalid_ack_ids) == ["no-such-id"]
        assert confirmed.subscription_properties.exactly_once_delivery_enabled


class TestFilters:
    """https://cloud.google.com/pubsub/docs/subscription-message-filter"""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("attributes:lang", {"en", "de"}),
            ('attributes.lang = "en"', {"en"}),
            ('attributes.lang != "en"', {"de", "none"}),
            ('hasPrefix(attributes.lang, "d")', {"de"}),
            ("NOT attributes:lang", {"none"}),
            ("-attributes:lang", {"none"}),
            ('attributes.lang = "en" OR attributes.lang = "de"', {"en", "de"}),
            ('attributes:lang AND NOT attributes.lang = "de"', {"en"}),
            ('(attributes.lang = "en" OR attributes.lang = "de") AND attributes:"a b"', {"de"}),
            ('attributes."a b" = "q\\"q"', {"de"}),
        ],
    )
    def test_a_subscription_gets_what_its_filter_matches(
        self, cloud: Clients, topic: str, text: str, expected: set[str]
    ) -> None:
        name = cloud.subscription(topic, filter=text)
        cloud.send(
            topic,
            {"data": b"en", "attributes": {"lang": "en"}},
            {"data": b"de", "attributes": {"lang": "de", "a b": 'q"q'}},
            {"data": b"none", "attributes": {"x": "y"}},
        )
        assert {one.decode() for one in data(cloud.pull(name))} == expected

    @pytest.mark.parametrize(
        "text",
        [
            "lang",
            "attributes.lang",
            "attributes.lang = en",
            'attributes.lang > "en"',
            "attributes:a AND attributes:b OR attributes:c",
            "(attributes:a",
            "attributes:a attributes:b",
            f'attributes.lang = "{"x" * 256}"',
        ],
    )
    def test_a_filter_that_is_none_is_refused(self, cloud: Clients, topic: str, text: str) -> None:
        with pytest.raises(exceptions.InvalidArgument):
            cloud.subscription(topic, filter=text)
