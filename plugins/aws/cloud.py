"""A provider's account and region: its settings, boto3's clients, and all calls to AWS."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from plugins.aws.errors import BOTO_NAMES, NAMES, Refused, explained
from plugins.protocol.messages import CheckFailure, Failure
from plugins.protocol.properties import Properties, plain

SETTINGS = frozenset(
    {
        *(
            "accessKey",
            "secretKey",
            "token",
            "profile",
            "region",
            "sharedConfigFiles",
            "sharedCredentialsFiles",
        ),
        *("allowedAccountIds", "forbiddenAccountIds", "defaultTags", "endpoints", "maxRetries", "retryMode"),
        *("customCaBundle", "insecure", "skipCredentialsValidation", "skipMetadataApiCheck"),
        *("skipRegionValidation", "skipRequestingAccountId", "version"),
    }
)
"""The settings of an aws.Provider that this plugin supports."""

SECRET_SETTINGS = ("accessKey", "secretKey", "token")
"""The settings that are credentials."""

_TRIES = 10
"""The most attempts of a call, with growing pauses: AWS refuses bursts, and networks fail for seconds."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


class Settings(NamedTuple):
    """The settings of an aws.Provider. Pulumi's SDK sends all but text as JSON."""

    region: str = ""
    profile: str | None = None
    keys: tuple[str | None, str | None, str | None] = (None, None, None)
    """Access key, secret key and session token; None if the program does not give them."""
    endpoints: Mapping[str, str] = {}
    default_tags: Mapping[str, str] = {}
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    tries: int = _TRIES
    retry_mode: str = "standard"
    verify: bool | str | None = None
    config_files: tuple[str, ...] = ()
    credentials_files: tuple[str, ...] = ()
    skip_credentials: bool = False
    skip_account: bool = False
    skip_metadata: bool = False
    skip_region: bool = True


def settings(arguments: Properties) -> Settings:
    """Return the settings in `arguments`; Failure for a value of another form."""
    given = {name: _parsed(name, plain(value)) for name, value in arguments.items()}
    endpoints: dict[str, str] = {}
    for entry in given.get("endpoints") or ():
        endpoints |= {service: url for service, url in entry.items() if url}
    unknown = sorted(endpoints.keys() - NAMES.keys())
    if unknown:
        raise Failure(
            f"Slipway's stand-in for pulumi-aws does not use {', '.join(unknown)}: leave it out of `endpoints`, which "
            f"may have {', '.join(NAMES)}"
        )
    verify = given.get("customCaBundle") or (False if given.get("insecure") else None)
    return Settings(
        region=given.get("region") or "",
        profile=given.get("profile"),
        keys=(given.get("accessKey"), given.get("secretKey"), given.get("token")),
        endpoints=endpoints,
        default_tags=(given.get("defaultTags") or {}).get("tags") or {},
        allowed=tuple(given.get("allowedAccountIds") or ()),
        forbidden=tuple(given.get("forbiddenAccountIds") or ()),
        tries=int(given.get("maxRetries") or _TRIES - 1) + 1,
        retry_mode=given.get("retryMode") or "standard",
        verify=verify,
        config_files=tuple(given.get("sharedConfigFiles") or ()),
        credentials_files=tuple(given.get("sharedCredentialsFiles") or ()),
        skip_credentials=bool(given.get("skipCredentialsValidation")),
        skip_account=bool(given.get("skipRequestingAccountId")),
        skip_metadata=bool(given.get("skipMetadataApiCheck")),
        skip_region=given.get("skipRegionValidation") is not False,
    )


def setting_failures(arguments: Properties) -> list[CheckFailure]:
    """Refuse, by name, each setting that this stand-in does not support."""
    return [
        CheckFailure(
            name,
            f"Slipway's stand-in for pulumi-aws does not support the provider's {name}: leave it out, or use the "
            "official plugin",
        )
        for name, value in arguments.items()
        if name not in SETTINGS and value is not None
    ]


_TEXTS = frozenset(
    {"accessKey", "secretKey", "token", "profile", "region", "retryMode", "customCaBundle", "version"}
)


def _parsed(name: str, value: Any) -> Any:
    if name in _TEXTS or not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise Failure(f"the provider's {name} cannot be read: {error}") from None


class Cloud:
    """One account in one region; safe to use from several threads."""

    def __init__(self, given: Settings, cancelled: threading.Event) -> None:
        """Take the settings; the first call imports boto3."""
        self.settings = given
        self.region = given.region
        self.cancelled = cancelled
        self._lock = threading.Lock()
        self._session: Any = None
        self._clients: dict[tuple[str, str], Any] = {}
        self._account: str | None = None

    def call(
        self, service: str, operation: str, parameters: Mapping[str, Any] | None = None, region: str = ""
    ) -> dict[str, Any]:
        """Call an `operation` of `service`, in boto3's spelling (`run_instances`), and return the response.

        Parameters that are None are not sent, at any depth.

        Raises:
            Refused: AWS refused the call, or it could not be sent. The text gives the reason, without credentials.
        """
        region = region or self.region
        try:
            client = self._client(service, region)
            return dict(getattr(client, operation)(**_given(parameters or {})))
        except Exception as error:
            named = "".join(part.title() for part in operation.split("_"))
            refused = explained(error, service, named, region)
            if refused is None:
                raise
            raise Refused(self._without_credentials(str(refused)), refused.code) from None

    def pages(
        self,
        service: str,
        operation: str,
        key: str,
        parameters: Mapping[str, Any] | None = None,
        region: str = "",
    ) -> list[Any]:
        """Return all items that `operation` lists under `key`, from all pages."""
        items: list[Any] = []
        wanted = dict(parameters or {})
        while True:
            answer = self.call(service, operation, wanted, region)
            items += answer.get(key) or []
            if not answer.get("NextToken"):
                return items
            wanted["NextToken"] = answer["NextToken"]

    @property
    def account(self) -> str:
        """The account's number; empty with `skipRequestingAccountId`."""
        if self._account is None:
            self._account = "" if self.settings.skip_account else self._caller()
        return self._account

    def partition(self, region: str = "") -> str:
        """Return the partition of `region`, the second part of its ARNs, such as `aws-us-gov`."""
        start = (region or self.region).split("-", 2)[:2]
        found = {"cn": "aws-cn", "eusc": "aws-eusc"}.get(start[0])
        return found or ("aws-us-gov" if start == ["us", "gov"] else "aws")

    def arn(self, service: str, resource: str, region: str = "", account: str = "") -> str:
        """Return the ARN of `resource`, e.g. `vpc/vpc-1`, in `account` (empty: this one)."""
        region = region or self.region
        return f"arn:{self.partition(region)}:{service}:{region}:{account or self.account}:{resource}"

    def validate(self) -> None:
        """Check that AWS accepts the credentials and the region, and that the settings allow the account.

        Raises:
            Failure: one of these does not hold. It is the only error of the update.
        """
        if not self.region:
            raise Failure(
                "the aws provider has no region: set its `region`, `aws:region` in the stack, or AWS_REGION"
            )
        if not self.settings.skip_region:
            self._validate_region()
        if self.settings.skip_credentials and not (self.settings.allowed or self.settings.forbidden):
            return
        account = self.account if self.settings.skip_credentials else self._caller()
        self._account = "" if self.settings.skip_account else account
        if self.settings.allowed and account not in self.settings.allowed:
            allowed = ", ".join(self.settings.allowed)
            raise Failure(
                f"the AWS credentials belong to account {account}, but `allowedAccountIds` allows {allowed}"
            )
        if account in self.settings.forbidden:
            raise Failure(
                f"the AWS credentials belong to account {account}, which `forbiddenAccountIds` forbids"
            )

    def _validate_region(self) -> None:
        import boto3

        session = boto3.Session()
        known = {
            name
            for part in session.get_available_partitions()
            for name in session.get_available_regions("ec2", part)
        }
        if self.region not in known:
            raise Failure(
                f"AWS has no region {self.region!r}: set the provider's `region`, e.g. eu-central-1"
            )

    def _caller(self) -> str:
        return str(self.call("sts", "get_caller_identity")["Account"])

    def _client(self, service: str, region: str) -> Any:
        with self._lock:
            if (service, region) not in self._clients:
                if self._session is None:
                    self._session = _session(self.settings)
                self._clients[service, region] = _client(self._session, self.settings, service, region)
            return self._clients[service, region]

    def _without_credentials(self, text: str) -> str:
        """Return `text` without credentials: AWS quotes those that it cannot verify."""
        with self._lock:
            session = self._session
        try:
            credentials = session and session.get_credentials()
            used = credentials and credentials.get_frozen_credentials()
        except Exception:  # noqa: BLE001  # the text is about the credentials' own failure
            return text
        for value in used or ():
            if isinstance(value, str) and len(value) > 3:
                text = text.replace(value, "…")
        return text

    def until(self, what: str, ready: Callable[[], bool], limit: float) -> None:
        """Call `ready` repeatedly until it returns true.

        Raises:
            Failure: it took more than `limit` seconds, or the update was cancelled; the text names `what`.
        """
        end = time.monotonic() + limit
        pause = 0.2
        while not ready():
            if time.monotonic() >= end:
                raise Failure(f"{what}: not within {limit:.0f} s")
            if self.cancelled.wait(min(pause, max(0.0, end - time.monotonic()))):
                raise Failure(f"{what}: the update was cancelled before that")
            pause = min(pause * 1.5, 5.0)


def _given(value: Any) -> Any:
    """Return `value` without the entries that are None, at any depth."""
    if isinstance(value, Mapping):
        return {name: _given(item) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_given(item) for item in value]
    return value


def _session(given: Settings) -> Any:
    import logging

    import boto3
    import botocore.session

    # The engine would show boto3's warnings on stderr to the user. Errors are raised as exceptions anyway.
    for name in ("boto3", "botocore", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    core = botocore.session.Session(profile=given.profile)
    if given.config_files:
        core.set_config_variable("config_file", given.config_files[0])
    if given.credentials_files:
        core.set_config_variable("credentials_file", given.credentials_files[0])
    providers = core.get_component("credential_provider")
    if given.skip_metadata:
        providers.remove("iam-role")
    # boto3 would prompt on the terminal and wait.
    providers.get_provider("assume-role")._prompter = _no_code
    access, secret, token = given.keys
    return boto3.Session(
        botocore_session=core, aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token
    )


def _no_code(prompt: str) -> NoReturn:
    raise Failure(
        "the AWS profile needs a code of your MFA device, which this plugin cannot ask for: get a session first, "
        "with `aws sts get-session-token --serial-number … --token-code …`, and put it into the environment"
    )


def _client(session: Any, given: Settings, service: str, region: str) -> Any:
    from botocore.config import Config

    return session.client(
        BOTO_NAMES.get(service, service),
        region_name=region,
        endpoint_url=given.endpoints.get(service),
        verify=given.verify,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            # STS checks the credentials once at the start; more attempts would only delay its error.
            retries={"total_max_attempts": 2 if service == "sts" else given.tries, "mode": given.retry_mode},
            max_pool_connections=256,  # the number of threads in `plugins.protocol.server`
            user_agent_extra="slipway",
        ),
    )
