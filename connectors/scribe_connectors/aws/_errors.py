"""What AWS's errors mean for a delivery: one classifier, by code.

Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html and the services' own lists.
"""

import ssl
from contextlib import suppress
from typing import Any

from botocore import exceptions as boto

from scribe_export.errors import Misconfigured, Rejected, SinkError, Throttled, Transient

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html: what the SDKs take for throttling
_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "KmsThrottled",
        "LimitExceededException",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServiceQuotaExceededException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnrecognizedClientException",
    }
)
"""Codes that speak of the credentials: a client made with new ones may pass."""

_OPERATOR = CREDENTIALS | {
    "AccessDenied",
    "AccessDeniedException",
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "AWS.SimpleQueueService.NonExistentQueue",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserFailedException",
    "EC2AccessDeniedException",
    "EFSMountFailureException",
    "IllegalLocationConstraintException",
    "InvalidAddress",
    "InvalidBucketName",
    "InvalidBucketState",
    "InvalidEncryptionAlgorithmError",
    "InvalidRuntimeException",
    "InvalidSecurity",
    "InvalidSecurityGroupIDException",
    "InvalidStorageClass",
    "InvalidSubnetIDException",
    "InvalidTag",
    "InvalidTagError",
    "InvalidZipFileException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
    "MethodNotAllowed",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "NoSuchBucket",
    "NotImplemented",
    "NotSignedUp",
    "OptInRequired",
    "PermanentRedirect",
    "QueueDoesNotExist",
    "RequestTimeTooSkewed",
    "ResourceNotFoundException",
    "RuntimeAliasDeletedException",
    "RuntimeVersionDeletedException",
    "S3FilesMountFailureException",
    "UnauthorizedOperation",
    "UnsupportedOperation",
    "301",
    "401",
    "403",
}
_RECORD = frozenset(
    {
        "InvalidArgument",
        "InvalidMessageContents",
        "InvalidParameterValue",
        "InvalidRequestContentException",
        "InvalidURI",
        "KeyTooLongError",
        "MetadataTooLarge",
    }
)
_TOO_LARGE = frozenset({"EntityTooLarge", "RequestTooLargeException", "SerializedRequestEntityTooLargeException"})
_CONNECTION_NEVER_MADE = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError)
_SETUP = (
    boto.CredentialRetrievalError,
    boto.InvalidConfigError,
    boto.InvalidRegionError,
    boto.NoCredentialsError,
    boto.NoRegionError,
    boto.ParamValidationError,
    boto.PartialCredentialsError,
    boto.ProfileNotFound,
    boto.SSOError,
)


def classify(error: Exception) -> SinkError | None:
    """An error of the SDK or a service in the framework's terms; None for anything else.

    A code that is not known to be the operator's or the record's is worth another try: the lane finds out whether the
    record or the destination is at fault.
    """
    if isinstance(error, boto.ClientError):
        return _of_service(error)
    if isinstance(error, _CONNECTION_NEVER_MADE):
        return Transient(str(error), applied="no")
    if isinstance(error, _SETUP):
        return Misconfigured(str(error))
    if isinstance(error, boto.SSLError) and _untrusted(error):
        return Misconfigured(f"{error}; set tls.ca_file if the endpoint has a certificate of your own")
    return Transient(str(error)) if isinstance(error, boto.BotoCoreError) else None


def of_entry(code: str, message: str, *, sender_fault: bool) -> SinkError:
    """What failed of a request that succeeded: one entry of a batch, by its own code."""
    text = f"{code}: {message}"
    if code in _OPERATOR:
        return Misconfigured(text)
    if code in _THROTTLED:
        return Throttled(text, applied="no")
    return Rejected(text) if sender_fault else Transient(text, applied="no")


def of_statement(code: str, message: str) -> SinkError:
    """What failed of a batch of PartiQL statements that was answered: one statement, by its own code.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html
    """
    text = f"{code}: {message}"
    if code in {"AccessDenied", "ResourceNotFound"}:
        return Misconfigured(text)
    if code in {"ProvisionedThroughputExceeded", "RequestLimitExceeded", "ThrottlingError"}:
        return Throttled(text, applied="no")
    return Transient(text, applied="unknown" if code == "InternalServerError" else "no")


def code_of(error: Exception) -> str:
    """The service's code, such as ``NoSuchBucket``; the HTTP status where an answer without a body had none."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, boto.ClientError) else ""


def _of_service(error: boto.ClientError) -> SinkError:
    code = code_of(error)
    answer: Any = error.response.get("ResponseMetadata", {})
    status = answer.get("HTTPStatusCode", 0)
    message = str(error)
    if code.removeprefix("KMS.") in _THROTTLED or status == 429:
        return Throttled(message, retry_after=_delay(answer), applied="no")
    if code in _OPERATOR or code.startswith("KMS.") or status in {301, 401}:
        return Misconfigured(message)
    if code in _TOO_LARGE:
        return Rejected(message, kind="too_large")
    if code in _RECORD:
        return Rejected(message)
    if status == 403:
        return Misconfigured(message)
    return Transient(message, retry_after=_delay(answer), applied="no" if 400 <= status < 500 else "unknown")


def _delay(answer: Any) -> float | None:
    with suppress(TypeError, ValueError):
        return max(0.0, float(answer.get("HTTPHeaders", {}).get("retry-after")))
    return None


def _untrusted(error: boto.SSLError) -> bool:
    cause: BaseException | None = error.kwargs.get("error")
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        reasons = [one for one in cause.args if isinstance(one, BaseException)]
        cause = getattr(cause, "reason", None) or (reasons[0] if reasons else None)
    return cause is not None
