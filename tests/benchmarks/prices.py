"""List prices of what the compared ways use of a service, in US dollars, and what a million scans cost by them.

Those of `status --cost`: without a free tier, discounts, taxes, traffic, or the time that a function runs. A month's
storage is that of what a million scans leave behind.
"""

from collections.abc import Mapping

from scribe_export.usage.prices import load

_TABLE = load()
AS_OF = str(_TABLE.known["aws_s3.put_requests"].table.as_of)
MILLION = 1_000_000
_PRICES = {unit: price.of(1) for unit, price in _TABLE.known.items()}


def bill(usage: Mapping[str, float]) -> dict[str, float]:
    """Dollars a million scans for each unit, from what one scan uses of it."""
    return {unit: round(amount * MILLION * _PRICES[unit], 4) for unit, amount in usage.items()}


# By the services' own rules: SQS counts 64 KiB of a request as one, DynamoDB a unit for each KiB of an item, Pub/Sub at
# least 1,000 bytes a request, BigQuery at least 1 KiB a row of insertAll.
SEVEN_BY_GUIDE: Mapping[str, float] = {
    "aws_s3.put_requests": 1,
    "aws_s3.stored_bytes": 4726,
    "aws_sqs.standard_requests": 1,
    "aws_dynamodb.write_request_units": 1,
    "aws_lambda.requests": 1,
    "gcp_storage.class_a_operations": 1,
    "gcp_storage.stored_bytes": 4726,
    "gcp_pubsub.published_bytes": 1000,
    "gcp_bigquery.inserted_bytes": 1024,
}
"""What the guide's functions use for a scan; DynamoDB gets it without its audio, SQS, Pub/Sub and Lambda its config."""
SEVEN_BY_EXPORT: Mapping[str, float] = {
    "aws_s3.put_requests": 1 / 500,
    "aws_s3.stored_bytes": 1456,
    "aws_sqs.standard_requests": 1 / 10,
    "aws_dynamodb.write_request_units": 2,
    "aws_lambda.requests": 1 / 100,
    "gcp_storage.class_a_operations": 1 / 500,
    "gcp_storage.stored_bytes": 1456,
    "gcp_pubsub.published_bytes": 4400,
    "gcp_bigquery.loaded_bytes": 4400,
}
"""What scribe-export uses as it is measured here, with the whole scan everywhere."""
