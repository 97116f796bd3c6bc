"""Accounts come, change and go while the registry runs, and each does what it may; Docker logs in and out."""

import contextlib
import http.client
import json
import os
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.e2e.conftest import FirstUp
from tests.support.command import Result
from tests.support.docker_command import docker
from tests.support.http_load import greeting
from tests.support.registry import Registry
from tests.support.registry_client import IMAGE, INDEX, Client
from tests.support.stack import Stack
from tests.support.waiting import ANSWER, PATIENCE, eventually

HOSTS_ACCOUNT, BYSTANDER, GUEST = "hosts", "deploy", "guest.1"


class Visits:
    """A client that asks the registry again and again, with an account that stays as it is."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self.number = 0
        self.failures: list[str] = []

    def __enter__(self) -> "Visits":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(PATIENCE)

    def _visit(self) -> None:
        while not self._ended.wait(0.05):
            self.number += 1
            try:
                if not self._registry.answers():
                    self.failures.append("refused")
            except OSError as error:
                self.failures.append(str(error))


def _started(stack: Stack, container: str = "slipway-registry") -> str:
    return stack.on_host("yard", "docker", "inspect", "--format", "{{.State.StartedAt}}", container)


def _as(stack: Stack, account: str, password: str = "") -> Registry:
    outputs = stack.outputs()
    return replace(
        Registry.of(outputs), account=(account, password or outputs["registryPasswords"].get(account, ""))
    )


def _password(stack: Stack, account: str) -> str:
    return stack.clone.read("./slip", "account", "password", account, "--stack", stack.name).strip()


def _account(stack: Stack, command: str, name: str) -> Result:
    result = stack.clone.start("./slip", "account", command, name, "--stack", stack.name).wait()
    assert result.status == 0, str(result)
    assert "./slip up" in result.output
    return result


@pytest.fixture
def undisturbed(stack: Stack) -> Iterator[None]:
    """Fails if a test restarts the registry, or keeps it from serving another account."""
    before = _started(stack)
    with Visits(_as(stack, BYSTANDER)) as visits:
        yield
        eventually("the bystander has asked often", lambda: visits.number > 20)
    assert visits.failures == []
    assert _started(stack) == before


@pytest.mark.usefixtures("undisturbed")
def test_an_added_account_comes_in(stack: Stack) -> None:
    _account(stack, "add", GUEST)
    password = _password(stack, GUEST)
    assert not _as(stack, GUEST, password).answers(), "the registry knows the account before the `up`"
    result = stack.up()
    assert result.changes == {"registry-settings": {"update"}}, str(result)
    assert _as(stack, GUEST, password).answers()


@pytest.mark.usefixtures("undisturbed")
def test_rotated_accounts_take_the_new_password_only(stack: Stack) -> None:
    """The same `up` deploys a change of the app, so the hosts push and pull with their new password."""
    before = {name: _password(stack, name) for name in (GUEST, HOSTS_ACCOUNT)}
    for name in before:
        _account(stack, "rotate", name)
    stack.clone.greet("Hello with a new password")
    result = stack.up()
    assert "slipway-registry" not in result.changes
    assert "registry-container" not in result.changes, str(result)
    assert {greeting(url) for url in stack.urls()} == {"Hello with a new password"}
    for name, password in before.items():
        assert not _as(stack, name, password).answers(), name
        after = _password(stack, name)
        assert _as(stack, name, after).answers(), name
        assert not any(secret in output for output in stack.clone.printed for secret in (password, after)), (
            name
        )


@pytest.mark.usefixtures("undisturbed")
def test_a_removed_account_is_refused_at_once(stack: Stack) -> None:
    password = _password(stack, GUEST)
    assert _as(stack, GUEST, password).answers()
    _account(stack, "remove", GUEST)
    result = stack.up()
    assert result.changes == {"registry-settings": {"update"}}, str(result)
    assert not _as(stack, GUEST, password).answers()
    content = stack.config_file.read_text()
    assert GUEST not in content
    assert BYSTANDER in content
    stack.up("--expect-no-changes")


def test_hosts_keep_passwords_as_bcrypt_only(stack: Stack) -> None:
    accounts = stack.on_host("yard", "cat", "/etc/slipway/registry/htpasswd").splitlines()
    own = [HOSTS_ACCOUNT, "host/web-1", "host/web-2"]
    assert [line.partition(":")[0] for line in accounts] == sorted([*own, BYSTANDER])
    assert all(line.partition(":")[2].startswith("$2") for line in accounts)
    for host in ("yard", "web-1", "web-2"):
        # A `docker login` would have left the password on the host.
        assert stack.on_host(host, "find", "/root", "-path", "*/.docker/config.json") == ""


def test_a_persons_docker_is_logged_in_and_out(stack: Stack, tmp_path: Path) -> None:
    def slip(command: str) -> Result:
        own = f"DOCKER_CONFIG={tmp_path}"
        return stack.clone.start("env", own, "./slip", command, "--stack", stack.name).wait()

    address = stack.outputs()["registryPublicAddress"]
    result = slip("login")
    rootful = "rootless" not in docker("info", "--format", "{{.SecurityOptions}}")
    if rootful and os.geteuid() != 0 and not os.access("/etc/docker/certs.d", os.W_OK):
        assert result.status == 3, str(result)
        assert f"| sudo install -D -m 644 /dev/stdin '/etc/docker/certs.d/{address}/ca.crt'" in result.output
        return
    try:
        assert result.status == 0, str(result)
        config = json.loads((tmp_path / "config.json").read_text())
        assert list(config["auths"]) == [address]
        (file,) = (word for word in result.output.split() if word.endswith("/ca.crt,"))
        assert Path(file.rstrip(",")).read_text() == stack.outputs()["registryCaCertificate"]
    finally:
        undone = slip("logout")
    assert undone.status == 0, str(undone)
    assert json.loads((tmp_path / "config.json").read_text())["auths"] == {}
    assert not Path(file.rstrip(",")).parent.exists()


def test_images_are_listed_with_what_runs_where(stack: Stack) -> None:
    listed = json.loads(stack.clone.read("./slip", "images", "--json", "--stack", stack.name))["images"]
    # Another client reads the same, tag by tag.
    assert {(image["repository"], image["digest"]) for image in listed} == stack.registry().images()
    running = {image["digest"]: image["runs"] for image in listed if image["runs"]}
    digest = stack.outputs()["images"]["web"].partition("@")[2]
    assert running == {digest: ["web on web-1", "web on web-2"]}
    for image in listed:
        assert image["size"] > 10_000_000
        assert image["platforms"]
        assert image["created"]
    (current,) = (image for image in listed if image["digest"] == digest)
    head = stack.clone.git("log", "-1", "--format=%H", "--", "app").strip()
    assert current["revision"] == head


TEAM, READER, STRANGER = "alice", "reader", "stranger"
USERS = {
    BYSTANDER: {"push": ["*"]},
    TEAM: {"push": ["team/*"]},
    READER: {},
    STRANGER: {"push": ["stranger/*"], "pull": ["team/*"]},
}
RIGHTS = {
    # Who: what may be pushed, what may be pulled, whether the catalogue may be seen.
    HOSTS_ACCOUNT: ({"team/app", "team", "web", "mirror/x", "stranger/app"}, "everything"),
    BYSTANDER: ({"team/app", "team", "web", "stranger/app"}, "everything"),
    TEAM: ({"team/app"}, "everything"),
    READER: (set(), "everything"),
    STRANGER: ({"stranger/app"}, {"team/app", "stranger/app"}),
    "host/web-1": (set(), {"web"}),
}
REPOSITORIES = ("team/app", "team", "web", "mirror/x", "stranger/app")


@pytest.fixture(scope="module")
def _rights(first_up: FirstUp) -> Iterator[None]:
    """Gives the accounts of the stack rights, until the end of this file."""
    stack = first_up.stack
    before = stack.config_file.read_text()
    stack.configure({"registry": {"users": USERS}})
    # Accounts are added and removed without a restart of anything.
    started, front = _started(stack), _started(stack, "slipway-registry-proxy")
    try:
        result = stack.up()
        assert result.changes == {"registry-settings": {"update"}}, str(result)
        yield
    finally:
        gone = _as(stack, TEAM)
        stack.config_file.write_text(before)
        stack.up()
    assert gone.status() == http.client.UNAUTHORIZED
    assert (_started(stack), _started(stack, "slipway-registry-proxy")) == (started, front)


@pytest.fixture
def granted(stack: Stack, _rights: None) -> Stack:
    """The stack, whose accounts have rights."""
    return stack


def _client(stack: Stack, account: str) -> Client:
    return Client.of(_as(stack, account))


def test_every_account_does_what_it_may_and_nothing_else(granted: Stack) -> None:
    with _client(granted, HOSTS_ACCOUNT) as client:
        for repository in REPOSITORIES:
            client.push(repository, "there")
    for account, (pushes, pulls) in RIGHTS.items():
        with _client(granted, account) as client:
            for repository in REPOSITORIES:
                begun = client.ask("POST", f"/v2/{repository}/blobs/uploads/")
                assert begun.status == (202 if repository in pushes else 403), (account, repository)
                # Another's image is not overwritten. What is no manifest, the registry itself refuses.
                put = client.ask("PUT", f"/v2/{repository}/manifests/there", b"{}", Content_Type=IMAGE)
                refused_by_rights = put.status == http.client.FORBIDDEN
                assert refused_by_rights == (repository not in pushes), (account, repository, put)
                may_pull = pulls == "everything" or repository in pulls
                for path in ("manifests/there", "tags/list"):
                    got = client.ask("GET", f"/v2/{repository}/{path}", Accept=IMAGE)
                    assert got.status == (200 if may_pull else 403), (account, repository, path)
            catalogue = client.ask("GET", "/v2/_catalog").status
            assert catalogue == (200 if pulls == "everything" else 403), account
            assert client.ask("GET", "/v2/").status == 200, account
    # Who does not know a password is not told what its owner may.
    wrong = replace(_as(granted, READER), account=(READER, "not-the-password"))
    assert wrong.status("POST", "/v2/web/blobs/uploads/") == http.client.UNAUTHORIZED


def test_nobody_deletes(granted: Stack) -> None:
    with _client(granted, HOSTS_ACCOUNT) as client:
        digest = client.push("web", "kept").digest
        override = {"X_HTTP_Method_Override": "DELETE", "X_Method_Override": "DELETE"}
        for path in (f"manifests/{digest}", "manifests/kept", f"blobs/{digest}"):
            assert client.ask("DELETE", f"/v2/web/{path}").status == 405
            client.ask("POST", f"/v2/web/{path}", b"", **override)
            client.ask("GET", f"/v2/web/{path}?_method=DELETE", b"", **override)
        assert client.pull("web", "kept") == digest


def test_a_docker_push_is_let_in_and_refused(granted: Stack) -> None:
    """With the engine of an app host, as the engine's own client does it."""
    image = granted.outputs()["images"]["web"]
    address = granted.outputs()["registryAddress"]
    folder = "/run/slipway-test-docker"

    def push(account: str, repository: str) -> str:
        password = granted.outputs()["registryPasswords"][account]
        name = f"{address}/{repository}:pushed"
        script = f"""
            export DOCKER_CONFIG={folder}
            docker login {address} --username {account} --password-stdin >/dev/null 2>&1 <<<'{password}' || exit
            docker tag {image} {name}
            docker push -q {name} 2>&1 || true
            docker rmi {name} >/dev/null
            rm -r {folder}
        """
        return granted.on_host("web-1", "bash", "-c", script).strip()

    assert push(TEAM, "team/web") == f"{address}/team/web:pushed"
    assert push(BYSTANDER, "web") == f"{address}/web:pushed"
    for account, repository in (
        (TEAM, "web"),
        (READER, "team/web"),
        ("host/web-1", "web"),
        (BYSTANDER, "mirror/debian"),
    ):
        assert "denied" in push(account, repository), (account, repository)
    with _client(granted, HOSTS_ACCOUNT) as client:
        assert "pushed" in client.tags("web") & client.tags("team/web")


def test_a_blob_of_another_repository_is_mounted_only_where_it_may_be_read(granted: Stack) -> None:
    with _client(granted, HOSTS_ACCOUNT) as client:
        blob = client.push_blob("web", os.urandom(64))["digest"]
    query = f"mount={blob}&from=web"
    with _client(granted, TEAM) as client:
        assert client.ask("POST", f"/v2/web/blobs/uploads/?{query}").status == 403
        assert client.ask("POST", f"/v2/team/mounted/blobs/uploads/?{query}").status == 201
    with _client(granted, STRANGER) as client:
        form = {"Content_Type": "application/x-www-form-urlencoded"}
        start = "/v2/stranger/mounted/blobs/uploads/"
        asked = [
            client.ask("POST", f"{start}?{query}"),
            client.ask("POST", f"{start}?from=team/app&{query}"),
            client.ask("POST", f"{start}?mount={blob}&fr%6fm=web"),
            client.ask("POST", start, query.encode(), **form),
        ]
        # An upload begins instead, as with a registry that mounts nothing.
        assert [answer.status for answer in asked] == [202] * 4
        assert client.ask("HEAD", f"/v2/stranger/mounted/blobs/{blob}").status == 404


def test_a_digest_alone_gets_nobody_an_image(granted: Stack) -> None:
    """Who knows what is in an image of others has to have its content, too."""
    with _client(granted, HOSTS_ACCOUNT) as client:
        image = client.push("web", "known")
        # From now on the registry has it at hand.
        client.pull("web", image.digest)
        manifest = client.need(200, "GET", f"/v2/web/manifests/{image.digest}", Accept=IMAGE).body
    parts = json.loads(manifest)
    layer = parts["layers"][0]["digest"]
    with _client(granted, STRANGER) as client:
        client.push("stranger/app", "own")
        for digest in (layer, parts["config"]["digest"], image.digest):
            for what in ("blobs", "manifests", "referrers"):
                for repository, status in (("web", 403), ("stranger/app", 404)):
                    got = client.ask("GET", f"/v2/{repository}/{what}/{digest}", Accept=IMAGE)
                    assert got.status == status, (repository, what, digest)
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [image.descriptor]}
        for content, kind in ((manifest, IMAGE), (json.dumps(index).encode(), INDEX)):
            put = client.ask("PUT", "/v2/stranger/app/manifests/taken", content, Content_Type=kind)
            assert put.status in {400, 404}, kind
        for content in (b"", b"something else"):
            path = f"{client.begin_upload('stranger/app')}&digest={layer}"
            assert client.ask("PUT", path, content, Content_Type="application/octet-stream").status == 400
        assert client.ask("HEAD", f"/v2/stranger/app/blobs/{layer}").status == 404
        assert client.tags("stranger/app") & {"own", "taken"} == {"own"}


def test_an_upload_is_of_whoever_got_its_address(granted: Stack) -> None:
    """Its number alone is worth nothing, and its address nothing without the right to push there."""
    content = os.urandom(64)
    digest = f"sha256:{sha256(content).hexdigest()}"
    with _client(granted, TEAM) as client:
        path = client.continue_upload(client.begin_upload("team/app"), content[:32])
        number, _, state = path.rpartition("/")[2].partition("?")
        for account, address, status in (
            (BYSTANDER, f"/v2/team/app/blobs/uploads/{number}", {400, 404}),
            (BYSTANDER, f"/v2/web/blobs/uploads/{number}?{state}", {400, 404}),
            (STRANGER, f"/v2/stranger/app/blobs/uploads/{number}?{state}", {400, 404}),
            (STRANGER, path, {403}),
            (READER, path, {403}),
        ):
            with _client(granted, account) as other:
                seal = "&" if "?" in address else "?"
                for method, query in (("PATCH", ""), ("PUT", f"{seal}digest={digest}"), ("DELETE", "")):
                    told = other.ask(method, address + query, b"of another account")
                    assert told.status in status, (account, address, method, told)
        finished = client.ask("PUT", f"{path}&digest={digest}", content[32:])
        assert finished.status == http.client.CREATED, finished


TRICKS = (
    "/v2/team/../web/manifests/trick",
    "/v2/team/%2e%2e/web/manifests/trick",
    "/v2/team/..%2fweb/manifests/trick",
    "/v2/team%2f..%2fweb/manifests/trick",
    "/v2//web/manifests/trick",
    "//v2/web/manifests/trick",
    "/v2/./web/manifests/trick",
    "/v2/team/;/../../web/manifests/trick",
    "/V2/web/manifests/trick",
    "/v2/WEB/manifests/trick",
    "/v2/web/manifests/trick/",
    "/v2/web/manifests/trick%00",
    "/v2/web\\manifests\\trick",
    "/v2/team/x/blobs/uploads/../../../../web/manifests/trick",
    "https://other/v2/web/manifests/trick",
    "/v2/web/manifests/trick?x=/v2/team/app/manifests/trick",
    "/v2/web/manifests/trick#/v2/team/app/manifests/trick",
    "/v2/team/%252e%252e/web/manifests/trick",
    "/v2/team//../web/manifests/trick",
    "/v2/team/app%2f..%2f..%2fweb/manifests/trick",
    "/v2/team/app/manifests/..%2f..%2f..%2fweb%2fmanifests%2ftrick",
)
CATALOGUES = (
    *("/v2/_catalog/", "//v2/_catalog", "/v2//_catalog", "/v2/%5fcatalog", "/v2/_CATALOG", "/v2/./_catalog"),
    *("/v2/_catalog;x", "/v2/stranger/../_catalog", "/v2/stranger/app/_catalog", "/v2/_catalog?n=1&last=a"),
)
VERBS = (
    *("put", "Put", "pUT", "PUTT", "delete", "Delete", "post", "patch", "get"),
    *("MOVE", "COPY", "LINK", "PROPFIND", "OPTIONS", "TRACE", "CONNECT"),
)


def _raw(stack: Stack, request: bytes) -> bytes:
    """All that the registry answers to these bytes, until it ends the connection or is silent."""
    host, _, port = stack.registry().address.rpartition(":")
    answer = b""
    with (
        socket.create_connection((host, int(port)), ANSWER) as plain,
        stack.registry().tls().wrap_socket(plain, server_hostname=host) as connection,
    ):
        connection.settimeout(3)
        connection.sendall(request)
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):
            while part := connection.recv(65536):
                answer += part
    return answer


def _manifest(stack: Stack) -> bytes:
    with _client(stack, HOSTS_ACCOUNT) as client:
        image = client.push("web", "original")
        return client.need(200, "GET", f"/v2/web/manifests/{image.digest}", Accept=IMAGE).body


def _head(stack: Stack, line: str, *headers: str, account: str = TEAM) -> bytes:
    credentials = b64encode(":".join(_as(stack, account).account).encode()).decode()
    own = (line, "Host: registry", f"Authorization: Basic {credentials}", f"Content-Type: {IMAGE}")
    return "\r\n".join([*own, *headers, "", ""]).encode()


def test_no_spelling_of_a_path_gets_around_the_rights(granted: Stack) -> None:
    manifest = _manifest(granted)
    for path in TRICKS:
        head = _head(granted, f"PUT {path} HTTP/1.1", f"Content-Length: {len(manifest)}", "Connection: close")
        answer = _raw(granted, head + manifest)
        assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 404"}, (path, answer)
    with _client(granted, HOSTS_ACCOUNT) as client:
        assert not {tag for tag in client.tags("web") if "trick" in tag}
    originals = [path.replace("/trick", "/original").replace("%2ftrick", "%2foriginal") for path in TRICKS]
    for path in (*originals, *CATALOGUES):
        answer = _raw(granted, _head(granted, f"GET {path} HTTP/1.1", "Connection: close", account=STRANGER))
        assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 403", b"HTTP/1.1 404"}, (path, answer)


def test_no_other_verb_does_anything(granted: Stack) -> None:
    manifest = _manifest(granted)
    for verb in VERBS:
        for account in (READER, HOSTS_ACCOUNT):
            line, length = f"{verb} /v2/web/manifests/verb HTTP/1.1", f"Content-Length: {len(manifest)}"
            answer = _raw(
                granted, _head(granted, line, length, "Connection: close", account=account) + manifest
            )
            assert answer[:10] in {b"HTTP/1.1 4", b"HTTP/1.1 5"}, (verb, account, answer)
    with _client(granted, HOSTS_ACCOUNT) as client:
        assert client.tags("web") & {"verb", "original"} == {"original"}


def test_no_request_is_smuggled_to_the_registry(granted: Stack) -> None:
    manifest = _manifest(granted)
    hidden = (
        _head(granted, "PUT /v2/web/manifests/smuggled HTTP/1.1", f"Content-Length: {len(manifest)}")
        + manifest
    )
    start = "POST /v2/team/app/blobs/uploads/ HTTP/1.1"
    long = f"Content-Length: {len(hidden) + 5}"
    chunked = "Transfer-Encoding: chunked"
    size = f"{len(hidden):x}\r\n".encode()
    attacks = {
        "CL.TE": _head(granted, start, long, chunked) + b"0\r\n\r\n" + hidden,
        "TE.CL": _head(granted, start, "Content-Length: 4", chunked) + size + hidden + b"\r\n0\r\n\r\n",
        "TE.TE": _head(granted, start, long, chunked, "Transfer-Encoding: x") + b"0\r\n\r\n" + hidden,
        "space": _head(granted, start, long, "Transfer-Encoding : chunked") + b"0\r\n\r\n" + hidden,
        "tab": _head(granted, start, long, "Transfer-Encoding:\tchunked") + b"0\r\n\r\n" + hidden,
        "two lengths": _head(granted, start, "Content-Length: 0", long) + hidden,
        "plus": _head(granted, start, f"Content-Length: +{len(hidden)}") + hidden,
        "line feed": _head(granted, start, f"X: y\n{chunked}", long) + b"0\r\n\r\n" + hidden,
        "1.0": _head(granted, start.replace("1.1", "1.0"), long, chunked) + b"0\r\n\r\n" + hidden,
        "pipeline": _head(granted, start, "Content-Length: 0") + hidden,
    }
    for name, request in attacks.items():
        answer = _raw(granted, request)
        # What comes as a request of its own is judged as one.
        assert b" 201 Created" not in answer, (name, answer)
    with _client(granted, HOSTS_ACCOUNT) as client:
        assert "smuggled" not in client.tags("web")
    two = _raw(
        granted,
        _head(granted, "GET /v2/ HTTP/1.1", f"Authorization: Basic {b64encode(b'hosts:x').decode()}"),
    )
    assert two.startswith(b"HTTP/1.1 400")


def _bogus() -> Iterator[bytes]:
    """Manifests that name what is not there, or are none."""
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": 1}
    absent = f"sha256:{'0' * 64}"
    yield from (b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000)
    for digest in (absent, "sha256:../../../etc/passwd", "sha256:", "md5:0", "../x:0"):
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": layer | {"digest": digest},
            "layers": [],
        }
        yield json.dumps(manifest).encode()
    yield json.dumps({"schemaVersion": 1, "name": "web", "tag": "bogus"}).encode()


def test_no_bogus_manifest_is_taken(granted: Stack) -> None:
    manifest = _manifest(granted)
    with _client(granted, HOSTS_ACCOUNT) as client:
        for content in _bogus():
            put = client.ask("PUT", "/v2/web/manifests/bogus", content, Content_Type=IMAGE)
            assert put.status >= 400, content[:200]
        # A digest that is another's.
        wrong = client.ask("PUT", f"/v2/web/manifests/sha256:{'0' * 64}", manifest, Content_Type=IMAGE)
        assert wrong.status == 400
        assert "bogus" not in client.tags("web")


def test_guesses_are_limited_by_account_and_address(granted: Stack) -> None:
    address = granted.outputs()["registryAddress"]
    ca = f"/etc/docker/certs.d/{address}/ca.crt"

    def from_host(host: str, account: str, password: str, times: int = 1) -> list[str]:
        ask = (
            f"curl -s -o /dev/null -D - --cacert ca.crt -u '{account}:{password}' https://{address}/v2/"
            " | tr -d '\\r' | sed -n 's/^HTTP[^ ]* //p; s/^retry-after: /retry /p'"
        )
        script = f"cd {Path(ca).parent}; for _ in $(seq {times}); do {ask}; done"
        return [
            line.split()[0] if line[0].isdigit() else line
            for line in granted.on_host("web-2", "bash", "-c", script).splitlines()
        ]

    assert from_host("web-2", READER, "wrong", 12) == ["401"] * 10 + ["429", "retry 60"] * 2
    # Not even the right password is taken there now; from elsewhere, and of others, it is.
    passwords = granted.outputs()["registryPasswords"]
    assert from_host("web-2", READER, passwords[READER])[0] == "429"
    assert _as(granted, READER).answers()
    assert from_host("web-2", TEAM, passwords[TEAM]) == ["200"]
    # A stranger's guesses shut out none of the stack's own hosts.
    for account in (HOSTS_ACCOUNT, "host/web-1"):
        assert "429" in from_host("web-2", account, "wrong", 11)
        assert _as(granted, account).answers()
    assert "429" in from_host("web-2", "nobody", "wrong", 12)
    assert from_host("web-2", "host/web-2", passwords["host/web-2"])[0] in {"200", "429"}
    # Whoever has come from there before goes on.
    assert from_host("web-2", TEAM, passwords[TEAM]) == ["200"]


def test_slow_clients_are_cut_off(granted: Stack) -> None:
    host, _, port = granted.registry().address.rpartition(":")

    def lasts(begin: bytes, *, tls: bool) -> float:
        start = time.monotonic()
        with socket.create_connection((host, int(port)), ANSWER) as plain:
            connection = granted.registry().tls().wrap_socket(plain, server_hostname=host) if tls else plain
            connection.settimeout(40)
            connection.sendall(begin)
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while connection.recv(4096):
                    pass
        return time.monotonic() - start

    assert lasts(b"\x16", tls=False) < 20
    assert lasts(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n", tls=True) < 25
    assert _as(granted, BYSTANDER).answers()


def test_rights_that_somebody_gave_by_hand_are_found_and_taken_back(granted: Stack) -> None:
    """The proxy's process has them, and its files do not."""
    granted.on_host(
        "yard",
        "bash",
        "-c",
        "process=$(docker inspect slipway-registry-proxy --format '{{.State.Pid}}')"
        f" && printf '%s\\n' '@1 add map /usr/local/etc/haproxy/push.map {READER}: yes' quit"
        " | nsenter --net=/proc/$process/ns/net bash -c 'exec 3<>/dev/tcp/127.0.0.1/9998 && cat >&3 && cat <&3'",
    )
    reader = _as(granted, READER)
    assert reader.status("POST", "/v2/web/blobs/uploads/") == http.client.ACCEPTED
    started = _started(granted, "slipway-registry-proxy")
    verified = granted.slip("verify")
    assert verified.status == 1, str(verified)
    assert "the proxy before the registry has other rights than" in verified.output
    repaired = granted.slip("repair")
    assert repaired.status == 0, str(repaired)
    assert reader.status("POST", "/v2/web/blobs/uploads/") == http.client.FORBIDDEN
    assert _started(granted, "slipway-registry-proxy") == started
