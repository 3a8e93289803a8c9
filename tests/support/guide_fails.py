"""What of the integration guide's code does not work, or when it does not, and what scribe-export does instead."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """The name of what is raised, all that it says, as a regular expression, and the test of what ours does instead.

    `Broken` is raised where the guide's code ran to its end and did not do what it is for.
    """

    kind: str
    says: str
    ours: str


_NO_LOOP = Failure(
    "RuntimeError",
    r"There is no current event loop in thread '.*'\.",
    ours="integration/guide/test_rest.py::test_our_client_serves_many_threads",
)

NEVER: Mapping[str, Failure] = {
    "ScribeGCPIntegration": Failure(
        "NameError",
        "name 'Dict' is not defined",
        ours="integration/guide/test_gcp.py::test_the_classes_row_and_ours_stand_in_one_table",
    ),
    "Google Cloud Integration: main": Failure(
        "NameError",
        "name 'Dict' is not defined",
        ours="integration/guide/test_gcp.py::test_its_main_uploads_a_scan_and_asks_for_one_once_the_name_is_imported",
    ),
    "ScribeAWSIntegration.store_scan_in_dynamodb": Failure(
        "TypeError",
        r"Float types are not supported\. Use Decimal types instead\.",
        ours="integration/guide/test_aws.py::test_the_classes_item_is_refused_for_its_floats_and_ours_is_that_item",
    ),
    "IntegrationHealthMonitor": Failure(
        "NameError",
        "name 'Callable' is not defined",
        ours="integration/guide/test_health.py::test_our_monitor_finds_both_well",
    ),
    "redis_health_check": Failure(
        "Broken",
        "it said no, and Redis answers",
        ours="integration/guide/test_health.py::test_our_monitor_finds_both_well",
    ),
    "Integration Health Check: main": Failure(
        "NameError",
        "name 'Callable' is not defined",
        ours="integration/guide/test_health.py::test_our_monitor_finds_both_well",
    ),
}
"""By name, what cannot work as it is printed."""

NOT_WHEN: Mapping[str, Failure] = {
    "AsyncScribeClient.batch_scans: one scan is refused": Failure(
        "ClientResponseError",
        "422, message='Unprocessable Entity', url='http://.*/scan'",
        ours="integration/test_batch_scans.py::test_one_failure_of_a_batch_loses_no_other_result",
    ),
    "ScribeWebSocketClient.connect: the API wants a key": Failure(
        "InvalidStatus",
        "server rejected WebSocket connection: HTTP 401",
        ours="integration/test_scribe_websocket.py::test_an_event_has_its_scan_fetched_whole_and_no_list_asked_for",
    ),
    "ScribeWebSocketClient.listen_for_updates: the connection breaks": Failure(
        "Broken",
        "it ended: WebSocket connection closed",
        ours="integration/test_scribe_websocket.py::test_what_is_completed_while_the_socket_is_away_comes_by_the_history",
    ),
    "ScribeWebSocketClient.handle_scan_completed: the event has only the id": Failure(
        "TypeError",
        r"unsupported format string passed to NoneType\.__format__",
        ours="integration/test_scribe_websocket.py::test_an_event_needs_nothing_but_the_scans_id",
    ),
    "Real-time Monitoring: main: it is interrupted": Failure(
        "Broken",
        "KeyboardInterrupt",
        ours="integration/guide/test_websocket.py::test_ours_says_goodbye_when_it_is_interrupted",
    ),
    "ScribeRedisIntegration.enqueue_scan_request: in a thread of its own": _NO_LOOP,
    "ScribeRedisIntegration.dequeue_scan_request: its taker dies": Failure(
        "Broken",
        "1 of 3 requests was lost",
        ours="faults/test_redis.py::test_f31_what_a_killed_consumer_took_is_recovered_by_a_second",
    ),
    "ScribeRedisIntegration.get_scan_result: the result is not there yet": Failure(
        "Broken",
        "it looked again without a pause",
        ours="unit/test_retry_policy.py::test_async_functions_are_retried_on_the_clocks_time",
    ),
    "ScribeRabbitMQIntegration.publish_scan_request: in a thread of its own": _NO_LOOP,
    "ScribeRabbitMQIntegration.publish_scan_request: the queue is missing": Failure(
        "Broken",
        "nothing was said, and no queue holds it",
        ours="faults/test_rabbitmq_heartbeats.py::test_f32_a_missing_queue_is_a_failure_and_nothing_is_lost",
    ),
    "ScribeRabbitMQIntegration.consume_scan_requests: a scan takes longer than two heartbeats": Failure(
        "Broken",
        "the request was performed 2 times",
        ours="faults/test_rabbitmq_heartbeats.py::test_f32_the_connection_outlives_a_scan_that_takes_long",
    ),
    "ScribeDatabaseIntegration.get_learning_insights: a scan is older than a day": Failure(
        "Broken",
        "it was counted among those of the last 24 hours",
        ours="integration/guide/test_database.py::test_its_insights_count_a_scan_that_is_older_than_a_day_and_ours_do_not",
    ),
    "ScribeAWSIntegration.send_scan_request_to_sqs: in a thread of its own": _NO_LOOP,
    "ScribeAWSIntegration.invoke_scribe_lambda: the function raises": Failure(
        "Broken",
        "the error was returned as a result: the microphone is unplugged",
        ours="integration/test_lambda.py::test_a_scan_is_asked_for_in_the_guides_words_and_failures_are_told_apart",
    ),
    "ScribeGCPIntegration.publish_scan_request: in a thread of its own": _NO_LOOP,
    "CircuitBreaker.call: three failures with successes between them": Failure(
        "Exception",
        "Circuit breaker is OPEN",
        ours="unit/test_circuit_breaker.py::test_a_success_starts_the_count_of_consecutive_failures_anew",
    ),
    "CircuitBreaker.call: many callers at a half-open breaker": Failure(
        "Broken",
        "5 more were let through",
        ours="unit/test_circuit_breaker.py::test_of_many_threads_one_makes_the_trial_call_and_calls_run_side_by_side",
    ),
    "resilient_scribe_call: the API stays down": Failure(
        "Broken",
        "the API was asked 10 times",
        ours="integration/guide/test_patterns.py::test_our_clients_breaker_opens_by_itself",
    ),
    "RetryPolicy.execute: the error is the caller's": Failure(
        "Broken",
        "it was asked 3 times",
        ours="integration/guide/test_patterns.py::test_our_client_asks_once_for_what_can_never_be",
    ),
    "RetryPolicy.execute: an async function": Failure(
        "Broken",
        "it was tried 1 time",
        ours="unit/test_retry_policy.py::test_async_functions_are_retried_on_the_clocks_time",
    ),
    "retry_scribe_call: the answer is lost": Failure(
        "Broken",
        "2 scans were performed for one",
        ours="integration/test_scribe_client.py::test_a_scan_that_may_have_been_performed_is_never_repeated",
    ),
    "cached_scribe_call: it is called twice": Failure(
        "Broken",
        "2 scans were performed",
        ours="integration/guide/test_patterns.py::test_its_cached_call_scans_each_time_and_with_our_cache_once",
    ),
}
"""By name and when, what works otherwise."""

FAILS = {**NEVER, **NOT_WHEN}
