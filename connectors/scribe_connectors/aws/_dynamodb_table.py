"""What the DynamoDB sink and source have in common: a table, and calls whose bodies are already encoded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from scribe_connectors.aws._client import AwsClient, AwsOptions
from scribe_connectors.aws._errors import classify, code_of
from scribe_export.errors import Misconfigured, SinkError, Transient

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_OPERATIONS = {
    "put_item": "PutItem",
    "batch_write_item": "BatchWriteItem",
    "batch_execute_statement": "BatchExecuteStatement",
}


class TableOptions(AwsOptions):
    """Which table."""

    table: str = Field(pattern=r"^[a-zA-Z0-9_.-]{3,255}$|^arn:aws[a-z-]*:dynamodb:.+:table/[a-zA-Z0-9_.-]+$")
    """The table's name, or its ARN if another account owns it."""


class Table:
    """A table and the client that reaches it."""

    def __init__(self, options: TableOptions, *, folder: Path, timeout: float, connections: int) -> None:
        self.name = options.table
        self.client = AwsClient("dynamodb", options, folder=folder, timeout=timeout, connections=connections)
        # Checking and encoding nested maps costs botocore more than sending them.
        self.client.configure(parameter_validation=False)

    @property
    def boto(self) -> "DynamoDBClient":
        """The boto3 client."""
        client: DynamoDBClient = self.client.get()
        return client

    def send(self, operation: str, body: bytes) -> dict[str, Any]:
        """Call an operation, by its method's name, with a body in JSON."""
        client: Any = self.client.get()
        name = _OPERATIONS[operation]
        events, mark = client.meta.events, f"encoded-{name}"
        events.register(f"before-parameter-build.dynamodb.{name}", _set_apart, unique_id=mark)
        events.register(f"before-call.dynamodb.{name}", _put_back, unique_id=f"{mark}-call")
        # The client finds the endpoint by the table's name.
        answer: dict[str, Any] = getattr(client, operation)(**_addressed(operation, self.name), Encoded=body)
        return answer

    def describe(self) -> Mapping[str, str] | None:
        """The names of the keys, in their order, with their types (S, N or B); None if that may not be looked at.

        Raises `Misconfigured` for a table that is not there and `Transient` for one that is still being made.
        """
        try:
            found: Any = self.boto.describe_table(TableName=self.name)["Table"]
        except Exception as error:
            known = self.classify(error)
            if known is None:
                raise
            # Whoever may write need not have the right to look; wrong credentials are another matter.
            if code_of(error) in {"AccessDenied", "AccessDeniedException"}:
                return None
            if code_of(error) == "ResourceNotFoundException":
                raise Misconfigured(f"no table {self.name!r} in {self.boto.meta.region_name}") from error
            raise known from error
        if found["TableStatus"] == "CREATING":
            raise Transient(f"table {self.name} is still being created", applied="no")
        types = {one["AttributeName"]: one["AttributeType"] for one in found["AttributeDefinitions"]}
        ordered = sorted(found["KeySchema"], key=lambda key: key["KeyType"])  # HASH comes before RANGE
        return {key["AttributeName"]: types[key["AttributeName"]] for key in ordered}

    def classify(self, error: Exception) -> SinkError | None:
        """An error in the framework's terms; None for a bug."""
        self.client.failed(error)
        return classify(error)


def _addressed(operation: str, table: str) -> dict[str, Any]:
    if operation == "put_item":
        return {"TableName": table, "Item": {}}
    return {"RequestItems": {table: []}} if operation == "batch_write_item" else {"Statements": []}


def _set_apart(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["encoded"] = params.pop("Encoded")


def _put_back(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = context["encoded"]
