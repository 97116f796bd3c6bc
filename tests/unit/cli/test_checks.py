"""The checks of `slip verify`, against servers on this machine that behave well, and badly."""

import http.server
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CommandError
from cli.running.host_report import HostReport
from cli.running.http import get, private_files, tls_context
from cli.running.stack import Failed, RunningStack
from cli.update.serving import EXPECTED, answers
from cli.verify import engine as engine_checks
from cli.verify import registry as registry_checks
from cli.verify import service as service_checks
from cli.verify.checks import CHECKS, Check
from cli.verify.found import Result
from cli.verify.verify import verify
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, engine, outputs, server_context, serving


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the stack's")


def registry(repositories: list[str]) -> Callable[..., tuple[int, str, dict[str, str]]]:
    """How a registry answers, one repository a page."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if b64decode(given).decode() != f"alice:{PASSWORD}":
            return 401, "", {"WWW-Authenticate": "Basic"}
        if request.path == "/v2/":
            return 200, "{}", {}
        page = int(request.path.partition("page=")[2] or 0)
        more = page + 1 < len(repositories)
        link = {"Link": f'</v2/_catalog?page={page + 1}>; rel="next"'} if more else {}
        return 200, json.dumps({"repositories": repositories[page : page + 1]}), link

    return answer


@pytest.fixture
def running(authority: Authority, tmp_path: Path) -> Iterator[RunningStack]:
    with serving(registry(["other", "web"]), server_context(authority, tmp_path)) as port:
        yield RunningStack.of(outputs(authority, registryPublicAddress=f"127.0.0.1:{port}"))


def test_the_registry_answers_with_ca_and_account(running: RunningStack) -> None:
    assert registry_checks.answers_with_account(running, "registry") == "{}"


def test_a_wrong_password_is_a_failure_that_does_not_show_it(running: RunningStack) -> None:
    wrong = RunningStack.of({**running.outputs, "registryPasswords": {"alice": "wrong-password"}})
    with pytest.raises(Failed, match="HTTP 401") as raised:
        registry_checks.answers_with_account(wrong, "registry")
    assert "wrong-password" not in str(raised.value)


def test_without_the_ca_it_is_an_x509_error(running: RunningStack) -> None:
    assert registry_checks.refuses_without_ca(running, "registry").startswith("x509: ")


def test_a_registry_that_speaks_plain_http_is_no_x509_error(authority: Authority) -> None:
    with serving(registry([])) as port:
        plain = RunningStack.of(outputs(authority, registryPublicAddress=f"127.0.0.1:{port}"))
        result = verify(plain, [Check("x509", registry_checks.refuses_without_ca, lambda _: ["registry"])])
    assert [item.passed for item in result] == [False]


def test_without_an_account_it_is_401(running: RunningStack) -> None:
    assert registry_checks.refuses_without_account(running, "registry") == "HTTP 401"


def test_an_open_registry_fails(authority: Authority, tmp_path: Path) -> None:
    with serving(lambda _: (200, "{}", {}), server_context(authority, tmp_path)) as port:
        open_to_all = RunningStack.of(outputs(authority, registryPublicAddress=f"127.0.0.1:{port}"))
        with pytest.raises(Failed, match="HTTP 200"):
            registry_checks.refuses_without_account(open_to_all, "registry")


def test_the_catalogue_is_read_to_its_last_page(running: RunningStack) -> None:
    assert registry_checks.catalogue_lists(running, "web") == "web"


def test_an_image_that_the_catalogue_lacks_fails(running: RunningStack) -> None:
    other = RunningStack.of({**running.outputs, "images": {"web": "yard:5000/elsewhere:1@sha256:0"}})
    with pytest.raises(Failed, match="elsewhere is not in the catalogue"):
        registry_checks.catalogue_lists(other, "web")


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("12", ""),
        ("13", "debian:13 is sha256:eeeeeeeeeeee, not sha256:dddddddddddd: someone pushed it"),
        ("14", "debian:14 is not there"),
    ],
)
def test_a_copy_of_a_base_image_is_what_was_copied(
    tag: str, problem: str, authority: Authority, tmp_path: Path
) -> None:
    digests = {name: f"sha256:{letter * 64}" for name, letter in (("12", "d"), ("13", "e"))}
    copied = digests["12"]

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        reference = request.path.rpartition("/")[2]
        digest = copied if reference == copied else digests.get(reference)
        return (200, "{}", {"Docker-Content-Digest": digest}) if digest else (404, "", {})

    with serving(answer, server_context(authority, tmp_path)) as port:
        copies = {f"debian:{tag}": f"yard:5000/mirror/debian@{copied}"}
        stack = outputs(authority, registryPublicAddress=f"127.0.0.1:{port}", mirror=copies)
        checks = [check for check in CHECKS if check.look is registry_checks.keeps_copy]
        (result,) = verify(RunningStack.of(stack), checks)
    assert result.passed == (not problem)
    assert problem in result.detail


@pytest.mark.parametrize("identity", [True, False])
def test_a_registry_that_asks_for_certificates_is_shown_one(
    identity: bool, authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.leaf()
    shown = {"registryClientCertificates": {"alice": certificate}, "registryClientKeys": {"alice": key}}
    context = server_context(authority, tmp_path, authority.pem)
    with serving(registry(["other", "web"]), context) as port:
        stack = outputs(authority, registryPublicAddress=f"127.0.0.1:{port}", **(shown if identity else {}))
        results = {
            result.check: result
            for result in verify(
                RunningStack.of(stack),
                [one for one in CHECKS if one.title.startswith(("/v2/", "the catalogue"))],
            )
            if result.subject in ("registry", "web")
        }
    assert results.pop("/v2/ without the CA is an x509 error").passed
    assert {result.passed for result in results.values()} == {identity}
    # Whether it asks for them is checked where it is to.
    assert ("/v2/ refuses no certificate" in results) == identity
    assert key not in str(results)


@pytest.mark.parametrize(
    "check", [registry_checks.refuses_without_certificate, registry_checks.refuses_foreign_certificate]
)
def test_a_registry_that_refuses_no_client_fails(
    check: Callable[[RunningStack, str], str], running: RunningStack, authority: Authority
) -> None:
    with pytest.raises(Failed, match="it answered: HTTP 200"):
        check(running, "registry")
    other = RunningStack.of({**running.outputs, "registryCaCertificate": Authority("another").pem})
    with pytest.raises(Failed, match="the registry's own certificate is not trusted"):
        check(other, "registry")


CLOSED = [engine_checks.refuses_without_certificate, engine_checks.refuses_foreign_certificate]


@pytest.mark.parametrize("check", CLOSED)
def test_an_engine_behind_mutual_tls_passes(
    check: Callable[[RunningStack, str], str], authority: Authority, tmp_path: Path
) -> None:
    with engine(authority, tmp_path, mutual=True) as running:
        assert check(running, "yard")


@pytest.mark.parametrize("check", CLOSED)
def test_an_engine_that_refuses_no_client_fails(
    check: Callable[[RunningStack, str], str], authority: Authority, tmp_path: Path
) -> None:
    with (
        engine(authority, tmp_path, mutual=False) as running,
        pytest.raises(Failed, match="it answered: HTTP"),
    ):
        check(running, "yard")


@pytest.mark.parametrize("check", CLOSED)
def test_an_engine_of_another_authority_fails(
    check: Callable[[RunningStack, str], str], authority: Authority, tmp_path: Path
) -> None:
    with engine(authority, tmp_path, mutual=True) as running:
        changed = RunningStack.of({**running.outputs, "engineCaCertificate": Authority("another").pem})
        with pytest.raises(Failed, match="own certificate is not trusted"):
            check(changed, "yard")


def test_the_right_client_is_let_in_where_the_foreign_one_is_not(
    authority: Authority, tmp_path: Path
) -> None:
    """Else a refusal would prove nothing."""
    with engine(authority, tmp_path, mutual=True) as running:
        context = tls_context(running.outputs["engineCaCertificate"])
        pair = (running.outputs["engineClientCertificate"], running.outputs["engineClientKey"])
        with private_files(*pair) as files:
            context.load_cert_chain(files[0], files[1])
            assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
        assert not any(file.exists() for file in files)
        port = running.engine_target("yard")[1]
        assert get(f"https://127.0.0.1:{port}/version", context).status == 200


HEALTH = [check for check in CHECKS if check.look is service_checks.answers_health]


@pytest.mark.parametrize(
    ("status", "passes"), [(200, True), (204, True), (299, True), (302, False), (404, False), (503, False)]
)
@pytest.mark.parametrize("domain", ["", "app.example.org"])
def test_a_service_must_answer_with_a_status_of_2xx(
    status: int, passes: bool, domain: str, authority: Authority
) -> None:
    asked = []

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, str, dict[str, str]]:
        asked.append((request.path, request.headers["Host"]))
        return status, "" if status == 204 else "text", {}

    with serving(answer) as port:
        url = f"http://127.0.0.1:{port}/"
        domains = {"web": domain} if domain else {}
        places = {"serviceUrls": {"web": [url]}, "serviceHosts": {"web": ["web-1"]}}
        (result,) = verify(RunningStack.of(outputs(authority, **places, serviceDomains=domains)), HEALTH)
    assert (result.passed, result.subject) == (passes, "web on web-1")
    assert result.remedy == ("" if passes else "./slip logs web --host web-1")
    assert result.detail.startswith(f"HTTP {status} on /up")
    assert asked == [("/up", domain or f"127.0.0.1:{port}")]


def test_a_service_under_maintenance_is_told_and_no_failure(authority: Authority) -> None:
    with serving(lambda _: (503, "back soon", {})) as port:
        places = {
            "serviceUrls": {"web": [f"http://127.0.0.1:{port}/"]},
            "serviceHosts": {"web": ["web-1"]},
        }
        reports = {"web-1": HostReport("web-1", maintained=frozenset({"web"}))}
        stack = replace(RunningStack.of(outputs(authority, **places)), reports=reports)
        said = service_checks.answers_health(stack, "web on web-1")
    assert said == "under maintenance: HTTP 503 on /up"


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (403, "network", "is for other networks"),
        (401, "password", "asks for a password"),
        (429, "rate", "has had too many requests from here"),
    ],
)
def test_the_proxys_own_refusal_is_told_and_no_failure(
    status: int, reason: str, told: str, authority: Authority
) -> None:
    with serving(lambda _: (status, "no", {"X-Refused": reason})) as port:
        places = {
            "serviceUrls": {"web": [f"http://127.0.0.1:{port}/"]},
            "serviceHosts": {"web": ["web-1"]},
        }
        found = outputs(authority, **places)
        said = service_checks.answers_health(RunningStack.of(found), "web on web-1")
        assert said == f"HTTP {status} on /up: {told}"
        assert [answer for _, _, answer in answers(found)] == [told]
        assert told in EXPECTED
    with serving(lambda _: (status, "no", {})) as port:
        running = RunningStack.of(
            outputs(authority, **places | {"serviceUrls": {"web": [f"http://127.0.0.1:{port}/"]}})
        )
        with pytest.raises(Failed):
            service_checks.answers_health(running, "web on web-1")


def test_a_service_that_speaks_no_http_fails_by_itself(authority: Authority) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"no HTTP at all\n")

        thread = threading.Thread(target=serve)
        thread.start()
        endpoints = {"web": [f"127.0.0.1:{server.getsockname()[1]}"]}
        places = {"serviceEndpoints": endpoints, "serviceHosts": {"web": ["web-1"]}}
        (result,) = verify(RunningStack.of(outputs(authority, **places)), HEALTH)
        thread.join()
    assert not result.passed
    assert "BadStatusLine" in result.detail


class FakeEngine:
    def __init__(self, *lines: dict[str, Any]) -> None:
        self.lines = lines
        self.pulled: list[tuple[str, str, str]] = []

    def pull(self, name: str, *, tag: str, auth_config: dict[str, str], **_: Any) -> list[dict[str, Any]]:
        self.pulled.append((name, tag, auth_config["username"]))
        return list(self.lines)


@pytest.fixture
def pulling(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[RunningStack, FakeEngine]]:
    def make(*lines: dict[str, Any]) -> tuple[RunningStack, FakeEngine]:
        fake = FakeEngine(*lines)

        @contextmanager
        def docker(_: RunningStack, _host: str) -> Iterator[FakeEngine]:
            yield fake

        monkeypatch.setattr(RunningStack, "docker", docker)
        return RunningStack.of(outputs(authority)), fake

    return make


def test_a_pull_is_by_digest_and_with_an_account(pulling: Callable[..., Any]) -> None:
    running, fake = pulling({"status": "Image is up to date"})
    assert engine_checks.pulls_by_digest(running, "web on yard").startswith("sha256:0")
    assert fake.pulled == [("yard:5000/web", f"sha256:{'0' * 64}", "alice")]


def test_a_refused_pull_fails_with_the_engines_words(pulling: Callable[..., Any]) -> None:
    running, _ = pulling({"status": "Pulling"}, {"error": "x509: certificate signed by unknown authority"})
    with pytest.raises(Failed, match="unknown authority"):
        engine_checks.pulls_by_digest(running, "web on yard")


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ({"error": "manifest for yard:5000/web:x not found: manifest unknown"}, True),
        ({"error": "yard:5000/web:x: not found"}, True),
        ({"error": "no basic auth credentials"}, False),
        ({"status": "Downloaded"}, False),
    ],
)
def test_a_missing_image_must_be_missing(
    line: dict[str, Any], passes: bool, pulling: Callable[..., Any]
) -> None:
    running, _ = pulling(line)
    if passes:
        assert engine_checks.misses_absent_image(running, "yard")
    else:
        with pytest.raises(Failed):
            engine_checks.misses_absent_image(running, "yard")


def test_where_nothing_answers_each_check_fails_by_itself(authority: Authority) -> None:
    told = outputs(authority, serviceHosts={"web": ["yard"]})
    results = verify(RunningStack.of(told))
    # The registry asks for no client certificates, which two checks are about, and does not speak plain HTTP.
    assert len({result.check for result in results}) == 11
    # The certificates in the outputs need no connection.
    assert {result.subject for result in results if result.passed} == {"registry CA", "engine CA", "operator"}
    assert all(result.detail for result in results)
    shown = json.dumps([result.detail for result in results])
    assert PASSWORD not in shown
    assert "PRIVATE KEY" not in shown


def test_a_host_without_an_answer_is_one_failure(authority: Authority) -> None:
    """What needs it does not run, and has not passed."""
    told = outputs(authority, serviceHosts={"web": ["yard"]}, platform="aws")
    silent = {"yard": HostReport("yard", silence="SSH at 127.0.0.1:1 refuses connections")}
    results = verify(RunningStack.of(told, option=" -s dev"), reports=silent)
    failed = [result for result in results if not result.passed and not result.skipped]
    assert [(result.check, result.detail) for result in failed] == [
        ("the host answers", "SSH at 127.0.0.1:1 refuses connections")
    ]
    assert failed[0].remedy.endswith("./slip forget yard -s dev && ./slip up -s dev")
    assert sum(result.skipped for result in results) > 10
    assert not any(result.passed for result in results if result.skipped)


def test_a_stack_that_is_not_up_is_said_to_be_so() -> None:
    with pytest.raises(CommandError, match="the stack is not up") as raised:
        RunningStack.of({"registryAddress": "yard:5000"})
    assert raised.value.remedy == "Run `./slip up` first."


def test_checks_begin_when_the_host_that_they_need_has_spoken(authority: Authority) -> None:
    """A host that gives no answer delays only what needs it, and each result comes when it is there."""
    facts = outputs(authority)["hosts"]["yard"]
    told = outputs(authority, hosts={"paused": facts, "web-1": facts})
    came: list[Result] = []
    has_looked = threading.Event()

    def ask(answered: Callable[[HostReport], None]) -> None:
        answered(HostReport("web-1", engine_unit="active", engine_version="28.0"))
        # Here the other host is waited for.
        assert has_looked.wait(60)
        answered(HostReport("paused", silence="SSH gives no answer"))

    def look(_: RunningStack, host: str) -> str:
        assert host == "web-1"
        has_looked.set()
        return "looked"

    def compare(running: RunningStack, _: str) -> str:
        return f"{len(running.reports)} hosts"

    def on_hosts(running: RunningStack) -> list[str]:
        return running.hosts

    checks = [
        Check("compares", compare, lambda _: ["all"], compares_hosts=True),
        Check("looks", look, on_hosts, engine=lambda _, host: host),
    ]
    results = verify(RunningStack.of(told), checks, ask=ask, done=came.append)
    assert [(row.check, row.subject, row.detail, row.skipped) for row in results] == [
        ("compares", "all", "2 hosts", False),
        ("looks", "paused", "what it needs does not answer", True),
        ("looks", "web-1", "looked", False),
    ]
    assert came[0] == results[2]
    assert sorted(came, key=results.index) == results


def test_what_a_host_has_said_may_bring_more_checks(authority: Authority) -> None:
    told = outputs(authority, serviceHosts={"web": ["yard"]})

    def ask(answered: Callable[[HostReport], None]) -> None:
        answered(HostReport("yard", engine_unit="active", engine_version="28.0"))

    silent = verify(RunningStack.of(told), [check for check in CHECKS if check.title == "the engine runs"])
    asked = verify(
        RunningStack.of(told), [check for check in CHECKS if check.title == "the engine runs"], ask=ask
    )
    assert (silent, [row.detail for row in asked]) == ([], ["Docker Engine 28.0"])
