"""Errors of AWS and of calls that cannot be sent: one sentence with AWS's own words, and one with the remedy."""

import re
from typing import Any

from plugins.protocol.messages import Failure

NAMES = {
    "backup": "AWS Backup",
    "ec2": "EC2",
    "iam": "IAM",
    "route53": "Route 53",
    "servicequotas": "Service Quotas",
    "ssm": "Systems Manager",
    "sts": "STS",
}
"""The services' names for messages."""

BOTO_NAMES = {"servicequotas": "service-quotas"}
"""boto3's names of services for which the provider has other names."""

_NEW_CREDENTIALS = "log in again (`aws sso login`), or renew what AWS_PROFILE or the environment holds"
_CREDENTIALS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with `aws sso login`; "
    "`aws sts get-caller-identity` shows whether they work"
)
_THROTTLED = "AWS asks for fewer calls; try again in a minute, or with a smaller `--parallel`"

_REMEDIES = {
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), _NEW_CREDENTIALS),
    **dict.fromkeys(
        (
            *("AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"),
            *(
                "SignatureDoesNotMatch",
                "InvalidSignatureException",
                "IncompleteSignature",
                "MissingAuthenticationToken",
            ),
        ),
        f"are the credentials right, and is the region switched on in the account? {_CREDENTIALS}",
    ),
    **dict.fromkeys(
        ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"), _THROTTLED
    ),
    "OptInRequired": "the account has to opt in to this service or image first",
}
"""Remedies for some of AWS's error codes. The messages of most codes name the remedy themselves."""

_BY_WORDS = {
    "not eligible for Free Tier": "an account on AWS's free plan runs few types, such as t3.small and t4g.small: "
    "choose one of them, or end the free plan",
}
"""Remedies for errors whose code says little, by a part of the message."""


class Refused(Failure):
    """A call that AWS refused; `code` is AWS's error code."""

    def __init__(self, text: str, code: str = "") -> None:
        """Take the `text` that the user reads."""
        super().__init__(text)
        self.code = code


def explained(error: Exception, service: str, operation: str, region: str) -> Refused | None:
    """Return the error to show for boto3's `error` in an operation such as `RunInstances`.

    Return None if `error` is not one of boto3's.
    """
    from botocore import exceptions

    name = NAMES.get(service, service)
    if isinstance(error, exceptions.ClientError):
        return _refused(error.response, name, operation)
    if not isinstance(error, (exceptions.BotoCoreError, exceptions.HTTPClientError)):
        return None
    return Refused(
        f"{name} cannot be reached for {operation}: {_unsent(error, region)}", type(error).__name__
    )


def _refused(response: dict[str, Any], name: str, operation: str) -> Refused:
    said = response.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", ""))
    text = f"{name} refused {operation}: {code}: {message}".rstrip(": ")
    request = response.get("ResponseMetadata", {}).get("RequestId")
    if request:
        text += f" (request {request})"
    remedy = _REMEDIES.get(code) or next(
        (found for words, found in _BY_WORDS.items() if words in message), ""
    )
    if remedy:
        text += f". {remedy[0].upper()}{remedy[1:]}"
    return Refused(text, code)


def _unsent(error: Exception, region: str) -> str:
    from botocore import exceptions

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return f"no AWS credentials were found ({error}): {_CREDENTIALS}"
    if isinstance(
        error,
        (
            *(exceptions.TokenRetrievalError, exceptions.UnauthorizedSSOTokenError, exceptions.SSOError),
            *(exceptions.CredentialRetrievalError, exceptions.RefreshWithMFAUnsupportedError),
        ),
    ):
        return f"the AWS credentials cannot be obtained ({error}): {_NEW_CREDENTIALS}"
    if isinstance(error, exceptions.ProfileNotFound):
        return f"{error}: name a profile of ~/.aws/config in AWS_PROFILE or in the provider's `profile`"
    if isinstance(error, exceptions.InvalidRegionError):
        return f"{region!r} is not a valid region ({error}): set the provider's `region`"
    if isinstance(error, exceptions.EndpointConnectionError):
        return f"no server answers ({error}). Is {region!r} a region of AWS, and is the network up?"
    if isinstance(error, (exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError)):
        return f"no answer in time ({error}). Is the network up, and is there a proxy on the way?"
    if isinstance(error, exceptions.ParamValidationError):
        # botocore shows the values, and user data may be one.
        return "the request is not valid: " + re.sub(
            r"value: .*?(?=, (?:type|valid)|$)", "value: …", str(error), flags=re.DOTALL
        )
    return str(error)
