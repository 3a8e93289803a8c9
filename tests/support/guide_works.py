"""What of the integration guide's code works as it is printed: all that it defines, once, by the test that runs it.

What never works is in `guide_fails`, and so is when something that works does not. Methods of a class that cannot be
made as it is printed stand here if they work once the one missing name is there.
"""

from collections.abc import Mapping

WORKS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "integration/guide/test_rest.py": {
        "test_every_method_of_the_client_works_and_its_scans_are_archived": (
            "ScanConfig",
            "ScribeClient",
            "ScribeClient.health_check",
            "ScribeClient.perform_scan",
            "ScribeClient.get_scan_history",
            "ScribeClient.get_scan_details",
            "ScribeClient.add_feedback",
            "ScribeClient.compare_scans",
        ),
        "test_the_clients_main_scans_and_gives_feedback": ("Python Client Library: main",),
        "test_every_method_of_the_async_client_works_and_its_scans_are_archived": (
            "AsyncScribeClient",
            "AsyncScribeClient.health_check",
            "AsyncScribeClient.perform_scan",
            "AsyncScribeClient.batch_scans",
        ),
        "test_the_async_clients_main_scans_three_times": ("Async Python Client: main",),
    },
    "integration/guide/test_websocket.py": {
        "test_the_client_prints_the_events_whose_scans_are_archived": (
            "ScribeWebSocketClient",
            "ScribeWebSocketClient.connect",
            "ScribeWebSocketClient.subscribe_to_scans",
            "ScribeWebSocketClient.listen_for_updates",
            "ScribeWebSocketClient.handle_message",
            "ScribeWebSocketClient.handle_scan_completed",
            "ScribeWebSocketClient.handle_system_status",
            "ScribeWebSocketClient.handle_alert",
        ),
        "test_its_main_prints_what_is_archived_and_is_not_there_to_disconnect_when_it_is_interrupted": (
            "Real-time Monitoring: main",
        ),
    },
    "integration/guide/test_redis.py": {
        "test_what_the_class_asks_for_is_performed_archived_and_found_by_get_scan_result": (
            "ScribeRedisIntegration",
            "ScribeRedisIntegration.enqueue_scan_request",
            "ScribeRedisIntegration.get_scan_result",
        ),
        "test_what_the_class_queues_and_publishes_it_takes_and_finds": (
            "ScribeRedisIntegration.dequeue_scan_request",
            "ScribeRedisIntegration.publish_scan_result",
        ),
        "test_a_status_is_published_to_those_who_subscribed": (
            "ScribeRedisIntegration.publish_system_status",
            "ScribeRedisIntegration.subscribe_to_status",
            "status_callback",
        ),
        "test_its_main_gets_a_status_and_its_result": ("Redis Queue Integration: main",),
    },
    "integration/guide/test_rabbitmq.py": {
        "test_requests_of_the_guides_class_are_performed_and_answered_and_their_scans_announced": (
            "ScribeRabbitMQIntegration",
            "ScribeRabbitMQIntegration.publish_scan_request",
            "ScribeRabbitMQIntegration.close",
        ),
        "test_results_of_the_guides_class_are_taken_as_scans": (
            "ScribeRabbitMQIntegration.consume_scan_requests",
            "ScribeRabbitMQIntegration.publish_scan_result",
        ),
        "test_its_own_consumer_answers_with_a_mock_and_tells_an_event": (
            "ScribeRabbitMQIntegration.publish_system_event",
            "handle_scan_request",
        ),
        "test_its_main_asks_and_tells_and_the_exporter_answers": ("RabbitMQ Integration: main",),
    },
    "integration/guide/test_database.py": {
        "test_every_method_works_and_what_it_adds_is_archived": (
            "ScribeDatabaseIntegration",
            "ScribeDatabaseIntegration.get_connection",
            "ScribeDatabaseIntegration.get_scan_results",
            "ScribeDatabaseIntegration.get_scan_by_id",
            "ScribeDatabaseIntegration.get_learning_insights",
            "ScribeDatabaseIntegration.add_external_scan_data",
        ),
        "test_its_main_adds_a_scan_that_is_archived": ("Direct Database Access: main",),
    },
    "integration/guide/test_aws.py": {
        "test_what_the_class_uploads_to_s3_is_read_and_archived": (
            "ScribeAWSIntegration",
            "ScribeAWSIntegration.upload_scan_to_s3",
        ),
        "test_what_the_class_asks_for_by_sqs_is_performed_and_told_to_a_queue": (
            "ScribeAWSIntegration.send_scan_request_to_sqs",
        ),
        "test_the_class_invokes_the_function_and_takes_its_error_for_a_result": (
            "ScribeAWSIntegration.invoke_scribe_lambda",
        ),
        "test_its_main_uploads_a_scan_and_invokes_the_function": ("AWS Integration: main",),
    },
    "integration/guide/test_gcp.py": {
        "test_what_the_class_uploads_to_cloud_storage_is_read_and_archived": (
            "ScribeGCPIntegration.upload_scan_to_gcs",
        ),
        "test_what_the_class_asks_for_by_pubsub_is_performed_and_told_to_a_topic": (
            "ScribeGCPIntegration.publish_scan_request",
        ),
        "test_the_classes_row_and_ours_stand_in_one_table": ("ScribeGCPIntegration.store_scan_in_bigquery",),
    },
    "integration/guide/test_patterns.py": {
        "test_the_breaker_opens_and_after_its_time_one_success_closes_it": (
            "CircuitState",
            "CircuitBreaker",
            "CircuitBreaker.call",
        ),
        "test_its_resilient_call_scans_and_its_breaker_never_opens": ("resilient_scribe_call",),
        "test_its_retries_end_with_a_success_or_the_last_error": ("RetryPolicy", "RetryPolicy.execute"),
        "test_its_retried_call_performs_a_scan_twice_when_an_answer_is_lost_and_ours_does_not": ("retry_scribe_call",),
        "test_its_cache_keeps_a_value_for_its_time": (
            "CacheAside",
            "CacheAside.get",
            "CacheAside.set",
            "CacheAside.invalidate",
        ),
        "test_its_cached_call_scans_each_time_and_with_our_cache_once": ("cached_scribe_call",),
    },
    "integration/guide/test_health.py": {
        "test_the_monitor_works_once_the_name_is_there": (
            "IntegrationHealthMonitor.register_integration",
            "IntegrationHealthMonitor.check_all_health",
            "IntegrationHealthMonitor.monitor_continuously",
            "IntegrationHealthMonitor.get_unhealthy_integrations",
            "scribe_health_check",
        ),
    },
}
"""By file under tests/ and test, the names that it runs unchanged and sees doing what they are for."""
