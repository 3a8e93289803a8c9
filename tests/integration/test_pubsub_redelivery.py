"""What Pub/Sub is documented to do with what is not simply acknowledged, of the local server, by the genuine clients."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeError, AcknowledgeStatus
from support.topics import Clients, Receiver, clients, data

from scribe_local.servers import LocalServer

PATIENCE = 30


@pytest.fixture
def cloud(pubsub: LocalServer) -> Iterator[Clients]:
    with clients(pubsub.address) as found:
        yield found


@pytest.fixture
def topic(cloud: Clients) -> str:
    return cloud.topic()


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
