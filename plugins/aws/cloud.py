"""The account and region that a provider speaks to: its settings, boto3's clients, and every call to AWS."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from plugins.aws.errors import NAMES, Refused, explained
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
"""What an aws.Provider may be given here."""

SECRET_SETTINGS = ("accessKey", "secretKey", "token")
"""Those that are credentials."""

_TRIES = 10
"""How often a call is sent at most, with growing pauses: AWS refuses bursts, and networks fail for seconds."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 60


class Settings(NamedTuple):
    """The settings of an aws.Provider, as Pulumi's SDK sends them: all but text as JSON."""

    region: str = ""
    profile: str | None = None
    keys: tuple[str | None, str | None, str | None] = (None, None, None)
    """Access key, secret key and session token, where the program gives them."""
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
    """Return the settings in `arguments`; Failure for one that has no such form."""
    given = {name: _parsed(name, plain(value)) for name, value in arguments.items()}
    endpoints: dict[str, str] = {}
    for entry in given.get("endpoints") or ():
        endpoints |= {service: url for service, url in entry.items() if url}
    unknown = sorted(endpoints.keys() - NAMES.keys())
    if unknown:
        raise Failure(
            f"Slipway's stand-in for pulumi-aws asks {', '.join(NAMES)} only, not {', '.join(unknown)}"
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
    """Refuse, by name, each setting that this stand-in lacks."""
    return [
        CheckFailure(
            name,
            f"Slipway's stand-in for pulumi-aws does not support the provider's {name}: leave it away, or use the "
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
    """One account in one region, for all threads."""

    def __init__(self, given: Settings, cancelled: threading.Event) -> None:
        """Ask nothing yet: boto3 is imported with the first call."""
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
        """Return what `service` answers to `operation`, in boto3's spelling (`run_instances`).

        Parameters that are None, also inside others, are not sent.

        Raises:
            Refused: AWS refused it or cannot be asked; the text says why, and no credentials.
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
        """Return all items that `operation` lists under `key`, from however many answers."""
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
        """The account's number; empty where the settings say not to ask for it."""
        if self._account is None:
            self._account = "" if self.settings.skip_account else self._caller()
        return self._account

    def partition(self, region: str = "") -> str:
        """Return the first part of the ARNs of `region`: `aws`, `aws-cn` or `aws-us-gov`."""
        start = (region or self.region).split("-", 2)[:2]
        return {"cn": "aws-cn"}.get(start[0], "aws-us-gov" if start == ["us", "gov"] else "aws")

    def arn(self, service: str, resource: str, region: str = "", account: str = "") -> str:
        """Return the ARN of `resource`, e.g. `vpc/vpc-1`, of `account` (this one, if empty)."""
        region = region or self.region
        return f"arn:{self.partition(region)}:{service}:{region}:{account or self.account}:{resource}"

    def validate(self) -> None:
        """See whether AWS knows the credentials and the region, and whether it is an account that may be used.

        Raises:
            Failure: it is not; the one error of the whole update.
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
                f"the AWS credentials are of account {account}; `allowedAccountIds` allows {allowed}"
            )
        if account in self.settings.forbidden:
            raise Failure(
                f"the AWS credentials are of account {account}, which `forbiddenAccountIds` forbids"
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
        """Return `text` without any credential that AWS may have put there: it quotes what it could not verify."""
        with self._lock:
            session = self._session
        try:
            credentials = session and session.get_credentials()
            used = credentials and credentials.get_frozen_credentials()
        except Exception:  # noqa: BLE001  # it is their own failure that is being told
            return text
        for value in used or ():
            if isinstance(value, str) and len(value) > 3:
                text = text.replace(value, "…")
        return text

    def until(self, what: str, ready: Callable[[], bool], limit: float) -> None:
        """Ask `ready` again and again until it says so.

        Raises:
            Failure: it took more than `limit` seconds, or the update is to end; the text names `what`.
        """
        end = time.monotonic() + limit
        pause = 0.2
        while not ready():
            if time.monotonic() >= end:
                raise Failure(f"{what}: not after {limit:.0f} s")
            if self.cancelled.wait(min(pause, max(0.0, end - time.monotonic()))):
                raise Failure(f"{what}: no longer waited for, since the update was cancelled")
            pause = min(pause * 1.5, 5.0)


def _given(value: Any) -> Any:
    """Return `value` without what is None in it."""
    if isinstance(value, Mapping):
        return {name: _given(item) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_given(item) for item in value]
    return value


def _session(given: Settings) -> Any:
    import logging

    import boto3
    import botocore.session

    # What boto3 warns of is on its way to be an error, or nothing; on stderr the engine would show it to the user.
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
    # It would ask on the terminal, behind the engine's back, and wait.
    providers.get_provider("assume-role")._prompter = _no_code
    access, secret, token = given.keys
    return boto3.Session(
        botocore_session=core, aws_access_key_id=access, aws_secret_access_key=secret, aws_session_token=token
    )


def _no_code(prompt: str) -> NoReturn:
    raise Failure(
        "the AWS profile asks for a code of your MFA device, which nobody can be asked for here: get a session first, "
        "with `aws sts get-session-token --serial-number … --token-code …`, and put it into the environment"
    )


def _client(session: Any, given: Settings, service: str, region: str) -> Any:
    from botocore.config import Config

    return session.client(
        service,
        region_name=region,
        endpoint_url=given.endpoints.get(service),
        verify=given.verify,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            # Whether the credentials work, which is asked once at the start, is answered soon or not at all.
            retries={"total_max_attempts": 2 if service == "sts" else given.tries, "mode": given.retry_mode},
            max_pool_connections=256,  # as many as `plugins.protocol.server` has threads
            user_agent_extra="slipway",
        ),
    )
