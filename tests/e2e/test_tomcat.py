"""The example of ERDDAP on its own settings and files, with Tomcat from Debian's packages. `make soak` runs it.

The image has Tomcat where the example's image has it, and a small web application in ERDDAP's place, which shows the
content directory and the data, and wants a login for what ERDDAP makes of them.
"""

import base64
import http.client
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml

from tests.support.clone import Clone
from tests.support.stack import Stack
from tests.support.tls import tls_context
from tests.support.waiting import ANSWER, TOOLS_LIMIT

pytestmark = pytest.mark.soak

IMAGE = "slipway-test/tomcat:1"
FIXTURE = "tests/e2e/fixtures/tomcat"
EXAMPLE = "examples/erddap"
HOST = "data-1"
HEALTH_TIMEOUT = 900
"""Seconds. Tomcat takes a few for its start; the rest is for a busy machine."""
DOMAIN = "data.example.org"
WORD = "a-word-of-tomcats-users"
PASSWORD = f'{WORD} <&">'
ROW = "2026-01-02T03:04:05Z,54.1,7.9,6.5"


@dataclass(frozen=True)
class Site:
    """The example's stack, up."""

    stack: Stack
    certificate: str
    """What HTTPS has to show, PEM."""
    key: str

    def address(self, *, tls: bool) -> tuple[str, int]:
        """Where one of the two public ports answers."""
        http_port, https_port = self.stack.outputs()["servicePorts"]["erddap"]
        address, _, port = (https_port if tls else http_port).partition("/")[0].rpartition(":")
        return address, int(port)

    def get(self, path: str, password: str = "", *, tls: bool = True) -> tuple[int, str]:
        """Status and text of a page, by HTTP or by HTTPS; a client of HTTPS trusts the given certificate alone."""
        connection = http.client.HTTPConnection(*self.address(tls=tls), timeout=ANSWER)
        login = base64.b64encode(f"operator:{password}".encode()).decode()
        try:
            connection.connect()
            if tls:
                trusting = tls_context(self.certificate)
                connection.sock = trusting.wrap_socket(connection.sock, server_hostname=DOMAIN)
            connection.request(
                "GET", f"/erddap/{path}", headers={"Authorization": f"Basic {login}"} if password else {}
            )
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def container(self) -> str:
        """The service's one container."""
        (name,) = self.stack.app_containers(HOST, service="erddap")
        return name

    def inside(self, *words: str) -> str:
        """The output of a command in it."""
        return self.stack.on_host(HOST, "docker", "exec", self.container(), *words)


def _build(clone: Clone, version: str) -> None:
    """The image, as the operator's engine gets it from elsewhere. The first one takes a minute or two."""
    command = ["docker", "build", "--quiet", "--tag", IMAGE, "--build-arg", f"VERSION={version}", FIXTURE]
    subprocess.run(command, cwd=clone.root, check=True, timeout=TOOLS_LIMIT, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def site(clone: Clone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The example's stack, with another image and on ports of its own."""
    _build(clone, "1")
    folder = tmp_path_factory.mktemp("tls")
    # As the example's README has it.
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "90",
        "-subj",
        f"/CN={DOMAIN}",
    ]
    names = ["-addext", f"subjectAltName=DNS:{DOMAIN}", "-keyout", "server.key", "-out", "server.crt"]
    subprocess.run([*request, *names], cwd=folder, check=True, capture_output=True, timeout=ANSWER)
    stack = Stack(clone, "e2e-tomcat")
    stack.remove_traces()
    example = yaml.safe_load((clone.root / EXAMPLE / "stack.yaml").read_text())["config"]
    written = {key.removeprefix("slipway:"): value for key, value in example.items()}
    written["platform"]["portOffset"] = 1300
    written["services"]["erddap"] |= {"image": IMAGE, "healthTimeout": HEALTH_TIMEOUT}
    stack.write_config(written)
    made = Site(stack, *((folder / name).read_text() for name in ("server.crt", "server.key")))
    secrets = {
        "TLS_CERTIFICATE": made.certificate,
        "TLS_KEY": made.key,
        "TOMCAT_PASSWORD": PASSWORD,
        "ERDDAP_FLAG_KEY": "a-flag-key-of-tests",
    }
    try:
        for name, value in secrets.items():
            (file := folder / "value").write_text(value)
            line = f"./slip secret set {name} --stack {stack.name} <{file}"
            assert clone.start("bash", "-c", line).wait().status == 0
        stack.up(seconds=TOOLS_LIMIT)
        yield made
    finally:
        stack.take_down()


def _shows(site: Site) -> None:
    """Each of the two ports serves, HTTPS with exactly the given certificate, and a login needs the right password."""
    shown = ssl.get_server_certificate(site.address(tls=True), timeout=ANSWER)
    assert ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(site.certificate)
    for tls in (False, True):
        status, said = site.get("content/datasets.xml", tls=tls)
        assert (status, 'datasetID="buoys"' in said) == (200, True), said
        assert site.get("content/setup.xml", tls=tls)[0] == 200
    assert site.get("private/made")[0] == 401
    assert site.get("private/made", "another password")[0] == 401
    assert site.get("private/made", PASSWORD) == (200, "of the data\n")
    assert ROW in site.get("data/buoys/one.csv")[1]


def test_the_example_runs_on_tomcat(site: Site) -> None:
    stack = site.stack
    # The line of the example's README.
    line = f"mkdir -p /datasets/buoys && echo {ROW} >/datasets/buoys/one.csv"
    assert stack.slip("exec", "erddap", "--", "sh", "-c", line).status == 0
    site.inside(
        "setpriv", "--reuid=server", "--clear-groups", "sh", "-c", "echo of the data >/erddapData/made"
    )
    _shows(site)
    # Tomcat reads the secret files by the user that the example gives them to, and nobody else does.
    for name in ("server.key", "tomcat-users.xml"):
        assert site.inside("stat", "-c", "%a %u:%g", f"/usr/local/tomcat/conf/{name}") == "400 1000:1000"
    assert "server" in site.inside("sh", "-c", "stat -c %U /proc/1")
    assert not stack.up().changes
    assert stack.slip("preview", "--", "--refresh", "--expect-no-changes").status == 0
    for secret in (WORD, site.key.splitlines()[1]):
        assert secret not in stack.export()
        assert not any(secret in printed for printed in stack.clone.printed)

    # A changed file of the content directory: another container, the same data.
    before = site.container()
    with stack.clone.edited(f"{EXAMPLE}/config/datasets.xml", "Temperatures of buoys", "Warmth of buoys"):
        stack.up()
        assert site.container() != before
        assert "Warmth of buoys" in site.get("content/datasets.xml")[1]
        _shows(site)

        # Another image under the same tag: the same again.
        _build(stack.clone, "2")
        updated = stack.slip("update", "erddap", "--yes")
        assert updated.status == 0, str(updated)
        assert site.inside("printenv", "IMAGE_VERSION") == "2"
        _shows(site)
        assert not stack.up().changes
