"""The aws stand-in's errors if AWS cannot be reached: one sentence, with a remedy and without credentials."""

import http.server
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from plugins.aws import cloud
from plugins.aws.errors import BOTO_NAMES, NAMES
from plugins.aws.plugin import Aws
from plugins.protocol.messages import CheckRequest, ConfigureRequest, CreateRequest, Failure
from plugins.protocol.properties import Secret
from tests.plugins.aws_account import KEYS, REGION, Driver, account, configured, settings

VPC = "aws:ec2/vpc:Vpc"


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with account() as address:
        yield address


def configure(**given: Any) -> None:
    Aws().configure(ConfigureRequest(given, "urn", "aws", "id"))


def endpoints(url: str) -> str:
    return json.dumps([{"sts": url, "ec2": url}])


@contextmanager
def answering(status: int, body: str, *, seconds: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """A server that gives the same answer to every call; yields its URL and the requests."""
    asked: list[str] = []
    done = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            done.wait(seconds)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.replace("TOKEN", self.headers.get("X-Amz-Security-Token", "")).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        done.set()
        server.shutdown()
        server.server_close()


def refusal(code: str, message: str) -> str:
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    space = "https://sts.amazonaws.com/doc/2011-06-15/"
    return f'<ErrorResponse xmlns="{space}">{error}<RequestId>r-1</RequestId></ErrorResponse>'


def ec2_refusal(code: str, message: str) -> str:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return f"<Response><Errors>{error}</Errors><RequestID>r-2</RequestID></Response>"


def test_no_credentials(url: str) -> None:
    with pytest.raises(Failure) as raised:
        configure(region=REGION, endpoints=endpoints(url))
    assert str(raised.value) == (
        "STS cannot be reached for GetCallerIdentity: no AWS credentials were found (Unable to locate credentials): "
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or log in with `aws sso login`; "
        "`aws sts get-caller-identity` shows whether they work"
    )


def test_a_profile_that_is_not_there(url: str) -> None:
    with pytest.raises(
        Failure, match=r"The config profile \(ops\) could not be found: name a profile of ~/\.aws/config"
    ):
        configure(region=REGION, profile="ops", endpoints=endpoints(url))


def test_a_profile_and_the_environment_are_taken(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "credentials").write_text(
        f"[ops]\naws_access_key_id = {KEYS[0]}\naws_secret_access_key = {KEYS[1]}\n"
    )
    configure(region=REGION, profile="ops", endpoints=endpoints(url))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS[1])
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    configure(region=REGION)


def test_no_prompt_for_an_mfa_code(url: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(
        "[profile ops]\nrole_arn = arn:aws:iam::123456789012:role/ops\nsource_profile = me\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
    )
    (tmp_path / "credentials").write_text(
        f"[me]\naws_access_key_id = {KEYS[0]}\naws_secret_access_key = {KEYS[1]}\n"
    )
    with pytest.raises(Failure, match="the AWS profile needs a code of your MFA device"):
        configure(region=REGION, profile="ops", endpoints=endpoints(url))


def test_a_request_that_aws_does_not_know_shows_no_values(url: str) -> None:
    cloud = configured(url)._connected()
    with pytest.raises(Failure, match="the request is not valid") as raised:
        cloud.call(
            "ec2", "run_instances", {"MinCount": 1, "MaxCount": 1, "KeyName": {"the": "secret, type: x"}}
        )
    assert "parameter KeyName" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_no_region() -> None:
    with pytest.raises(
        Failure, match="has no region: set its `region`, `aws:region` in the stack, or AWS_REGION"
    ):
        configure()


def test_a_region_that_aws_does_not_have() -> None:
    with pytest.raises(Failure, match=r"AWS has no region 'eu-cental-1': set the provider's `region`"):
        configure(region="eu-cental-1", skipRegionValidation="false")


def test_a_region_where_no_server_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(Failure) as raised:
        configure(region="eu-cental-1", endpoints=endpoints("http://127.0.0.1:9"))
    assert str(raised.value) == (
        "STS cannot be reached for GetCallerIdentity: no server answers (Could not connect to the endpoint URL: "
        "\"http://127.0.0.1:9/\"). Is 'eu-cental-1' a region of AWS, and is the network up?"
    )


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", r"Log in again \(`aws sso login`\), or renew what"),
        ("InvalidClientTokenId", "Are the credentials right, and is the region switched on"),
        ("SignatureDoesNotMatch", "Are the credentials right"),
    ],
)
def test_credentials_that_aws_refuses(code: str, remedy: str) -> None:
    with answering(403, refusal(code, "No, not TOKEN.")) as (url, _), pytest.raises(Failure) as raised:
        configure(
            region=REGION,
            endpoints=endpoints(url),
            accessKey=KEYS[0],
            secretKey=KEYS[1],
            token="the-session-token",
        )
    text = str(raised.value)
    assert text.startswith(f"STS refused GetCallerIdentity: {code}: No, not …. (request r-1). ")
    assert re.search(remedy, text)
    assert not any(secret in text for secret in (*KEYS, "the-session-token"))


def test_throttling_is_tried_again_and_then_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    body = ec2_refusal("RequestLimitExceeded", "Request limit exceeded.")
    with answering(503, body) as (url, asked):
        plugin = Aws()
        given = settings(url, skipCredentialsValidation="true", maxRetries="3")
        plugin.configure(ConfigureRequest(given, "urn", "aws", "id"))
        inputs = plugin.check(CheckRequest("urn", "it", VPC, {}, {"cidrBlock": "10.0.0.0/16"})).inputs
        with pytest.raises(Failure) as raised:
            plugin.create(CreateRequest("urn", "it", VPC, inputs))
    assert len(asked) == 4
    assert str(raised.value) == (
        "EC2 refused CreateVpc: RequestLimitExceeded: Request limit exceeded. (request r-2). AWS asks for fewer "
        "calls; try again in a minute, or with a smaller `--parallel`"
    )


def test_an_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "_READ_SECONDS", 0.2)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    with (
        answering(200, "", seconds=10) as (url, _),
        pytest.raises(
            Failure, match=r"STS cannot be reached for GetCallerIdentity: no answer in time \(Read"
        ),
    ):
        configure(**settings(url))


def test_accounts_that_may_not_be_used(url: str) -> None:
    with pytest.raises(
        Failure,
        match=r"credentials belong to account 123456789012, but `allowedAccountIds` allows 111122223333",
    ):
        configured(url, allowedAccountIds='["111122223333"]')
    with pytest.raises(Failure, match="account 123456789012, which `forbiddenAccountIds` forbids"):
        configured(url, forbiddenAccountIds='["123456789012"]')
    assert configured(url, allowedAccountIds='["123456789012"]').name == "aws"


def test_credentials_in_the_program_are_secret_and_not_in_any_state(url: str) -> None:
    checked = Aws().check_config(CheckRequest("urn", "aws", "pulumi:providers:aws", {}, settings(url)))
    assert list(checked.failures) == []
    assert checked.inputs["accessKey"] == Secret(KEYS[0])
    assert checked.inputs["secretKey"] == Secret(KEYS[1])
    driver = Driver(configured(url))
    made = driver.create(VPC, {"cidrBlock": "10.0.0.0/16"})
    assert not any(key in json.dumps([made.inputs, made.outputs]) for key in KEYS)
    driver.delete(made)


def test_a_setting_that_cannot_be_read_is_named(url: str) -> None:
    (failure,) = Aws().check_config(CheckRequest("urn", "aws", "p", {}, {"endpoints": "[{"})).failures
    assert failure.reason.startswith("the provider's endpoints cannot be read: ")
    (failure,) = (
        Aws()
        .check_config(CheckRequest("urn", "aws", "p", {}, {"endpoints": f'[{{"s3": "{url}"}}]'}))
        .failures
    )
    assert "does not use s3: leave it out of `endpoints`" in failure.reason


def test_waiting_ends_with_the_update(url: str) -> None:
    plugin = configured(url)
    plugin.cancelled.set()
    with pytest.raises(Failure, match="it is there: the update was cancelled before that"):
        plugin._connected().until("it is there", lambda: False, 60.0)
    with pytest.raises(Failure, match="it is there: not within 0 s"):
        plugin._connected().until("it is there", lambda: False, 0.0)


def test_boto3_knows_every_service() -> None:
    known = boto3.Session().get_available_services()
    assert {BOTO_NAMES.get(service, service) for service in NAMES} <= {*known}
