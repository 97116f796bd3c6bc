"""What each resource is to a person."""

from pathlib import Path

import pytest

from cli.screen.events import Step
from cli.screen.subjects import Part, Subject, subject
from tests.unit.cli.screen.recordings import step

PINS = sorted((Path(__file__).parents[2] / "components/resources").glob("*.txt"))


def pinned(file: Path) -> list[Step]:
    """A step on each resource that the program makes, with the parent that its name tells."""
    urns = [line for line in file.read_text().splitlines() if line.startswith("urn:")]
    components: dict[str, list[str]] = {}
    for urn in urns:
        _, _, types, name = urn.removeprefix("urn:pulumi:").split("::", 3)
        components.setdefault(types, []).append(name)
    found = []
    for urn in urns:
        _, _, types, name = urn.removeprefix("urn:pulumi:").split("::", 3)
        above = types.rpartition("$")[0]
        parents = [parent for parent in components.get(above, ()) if name.startswith(parent)]
        parent = max(
            [*parents, *components.get(above, [""])[:1]], key=lambda one: (name.startswith(one), len(one))
        )
        found.append(Step("create", urn, f"urn:pulumi:x::slipway::{above}::{parent}"))
    return found


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.stem)
def test_every_resource_of_the_program_is_known(file: Path) -> None:
    steps = pinned(file)
    assert len(steps) > 30
    assert [one.urn for one in steps if subject(one).part is Part.OTHER] == []


@pytest.mark.parametrize(
    ("path", "parent", "expected", "said"),
    [
        (
            "slipway:index:Service$docker:index/container:Container::web-web-1",
            "web",
            Subject(Part.CONTAINER, "web", "web-1"),
            "web on web-1",
        ),
        (
            # A service and a host whose names end and begin alike.
            "slipway:index:Service$command:remote:Command::web-web-web-1-switch",
            "web-web",
            Subject(Part.SWITCH, "web-web", "web-1"),
            "web-web on web-1",
        ),
        (
            "slipway:index:Service$command:remote:Command::web-release",
            "web",
            Subject(Part.RELEASE, "web"),
            "release of web",
        ),
        (
            "slipway:index:AppImage$docker:index/image:Image::web-base-image",
            "web",
            Subject(Part.IMAGE, "web-base"),
            "image web-base",
        ),
        (
            "slipway:index:DockerEngine$command:remote:Command::yard-setup",
            "yard",
            Subject(Part.HOST_SETUP, "yard", "yard"),
            "host yard",
        ),
        (
            (
                "slipway:index:Registry$slipway:index:Certificate$tls:index/locallySignedCert:LocallySignedCert"
                "::registry-server-certificate"
            ),
            "registry-server",
            Subject(Part.CERTIFICATE, "the registry"),
            "certificate of the registry",
        ),
        (
            "slipway:index:Operator$tls:index/selfSignedCert:SelfSignedCert::operator-alice-certificate",
            "operator-alice",
            Subject(Part.CERTIFICATE, "the operator alice"),
            "certificate of the operator alice",
        ),
        (
            "slipway:index:CertificateAuthority$tls:index/selfSignedCert:SelfSignedCert::engine-ca-2-certificate",
            "engine-ca-2",
            Subject(Part.AUTHORITY, "engine CA (generation 2)"),
            "engine CA (generation 2)",
        ),
        (
            "slipway:hosts:AwsPlatform$aws:route53/record:Record::shop.example.com-edge-1",
            "hosts",
            Subject(Part.RECORD, "shop.example.com-edge-1"),
            "record shop.example.com-edge-1",
        ),
        (
            "slipway:hosts:AwsPlatform$aws:route53/healthCheck:HealthCheck::edge-1-health",
            "hosts",
            Subject(Part.HEALTH_CHECK, "edge-1"),
            "health check edge-1",
        ),
        (
            "aws:s3/bucket:Bucket::mine",
            "",
            Subject(Part.OTHER, "aws:s3/bucket:Bucket mine"),
            "aws:s3/bucket:Bucket mine",
        ),
    ],
)
def test_a_resource_by_its_names(path: str, parent: str, expected: Subject, said: str) -> None:
    found = subject(step("create", path, parent))
    assert (found, str(found)) == (expected, said)
