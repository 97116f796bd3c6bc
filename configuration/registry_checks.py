"""What the settings of the registry mean together with the others. No Pulumi, no network."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from configuration.files import HOLDS_KEY, NO_CERTIFICATE, UnfitFile
from configuration.image_names import ImageName
from configuration.problems import UNSHOWN, Problem, path_of

if TYPE_CHECKING:
    from configuration.checks import Checks
    from configuration.settings import ExternalRegistrySettings

DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""Names of Docker Hub."""
EXTERNAL_PASSWORD = "REGISTRY_PASSWORD"  # noqa: S105 - a name
"""Which of `slipway:secrets` is the password of the account at someone else's registry."""

SHOWS_NO_CERTIFICATE = 29
"""From this Docker Engine on new hosts keep images in containerd's store, and what pulls into that and pushes from it
shows registries no client certificate: moby's issue 51662, which is open."""

REMEDIES = {
    NO_CERTIFICATE: "Write a PEM file that begins with -----BEGIN CERTIFICATE-----.",
    HOLDS_KEY: "Write a file that has the authority's certificates only, without its key.",
}
"""What to do about an authority's file, by what is wrong with it."""


def registry_problems(checks: "Checks") -> Iterator[Problem]:
    """Every mistake of this kind in a configuration."""
    if checks.whole("registry"):
        yield from _insecure(checks)
        yield from _mirror(checks)
        if checks.settings.registry.external:
            yield from _external(checks, checks.settings.registry.external)
        else:
            yield from _metrics_port(checks)
            yield from _client_certificates(checks)


def _mirror(checks: "Checks") -> Iterator[Problem]:
    settings = checks.settings
    first: dict[str, int] = {}
    for index, image in enumerate(settings.registry.mirror):
        name = ImageName.of(image).tagged
        if name in first:
            yield Problem(
                ("registry", "mirror", index),
                f"the same name as slipway:registry.mirror[{first[name]}]",
                "List each once: a build would not know which is meant.",
                image,
            )
        first.setdefault(name, index)
    external = settings.registry.external
    if settings.registry.mirror and external and external.server in DOCKER_HUB:
        yield Problem(
            ("registry", "mirror"),
            "Docker Hub has no room for copies: its images' names have two parts only",
            "Take it out, or use another registry.",
        )
    if settings.registry.mirror and not settings.build_host and not settings.registry_host:
        yield Problem(("registry", "mirror"), "no host can make the copies", "Add build to the roles of one.")


def _insecure(checks: "Checks") -> Iterator[Problem]:
    """Plain HTTP is for a machine of one's own, and for nothing that matters."""
    settings = checks.settings
    if not settings.registry.insecure:
        return
    if settings.protect and checks.whole("protect"):
        yield Problem(
            ("registry", "insecure"),
            "a protected stack's registry has to speak TLS",
            "Take it out. slipway:protect says that this stack matters.",
            True,
        )
    if settings.platform.kind != "local" and checks.whole("platform"):
        yield Problem(
            ("registry", "insecure"),
            f"on the platform {settings.platform.kind} passwords and images would go over networks that others share",
            "Take it out. Plain HTTP is for trying out on the platform local.",
            True,
        )


def _client_certificates(checks: "Checks") -> Iterator[Problem]:
    settings, version = checks.settings, checks.settings.platform.engine_version
    location = ("registry", "clientCertificates")
    if not settings.registry.client_certificates:
        return
    if settings.registry.insecure:
        yield Problem(
            location,
            "a registry that speaks plain HTTP (registry.insecure) can ask for no certificate",
            "Leave out one of the two.",
            True,
        )
    if version and int(version.partition(".")[0]) >= SHOWS_NO_CERTIFICATE:
        yield Problem(
            location,
            f"Docker Engine {version} (platform.engineVersion) shows a registry no client certificate, "
            "see https://github.com/moby/moby/issues/51662",
            "Set an engineVersion of Docker Engine 28, or leave clientCertificates out.",
            True,
        )


def _metrics_port(checks: "Checks") -> Iterator[Problem]:
    settings, port = checks.settings, checks.settings.registry.metrics_port
    if port is None or not (checks.whole("platform") and checks.roles_known):
        return
    taken = {settings.registry_port: "the registry itself"}
    for host in settings.hosts_with("registry"):
        taken |= checks.ports_within(host)
    if checks.on_this_machine:
        for host in checks.placed_hosts():
            taken |= {number: f"{what} of {host}" for number, what in settings.published_ports(host).items()}
    if port in taken:
        yield Problem(
            ("registry", "metricsPort"),
            f"{taken[port]} has that port",
            "Set another, such as 5001.",
            port,
        )


def _external(checks: "Checks", external: "ExternalRegistrySettings") -> Iterator[Problem]:
    """Someone else's registry takes the place of the stack's own, with all that belongs to that."""
    settings, here = checks.settings, ("registry", "external")
    if (external.server is None) == (external.stack is None):
        both = external.server is not None
        yield Problem(
            (*here, "stack" if both else "server"),
            "set beside server" if both else "missing",
            "Leave one of the two out." if both else "Set it, such as docker.io, or set stack.",
        )
    if external.server in DOCKER_HUB and not external.namespace:
        yield Problem(
            (*here, "namespace"), "missing", "Docker Hub's images belong to somebody: set it, such as team."
        )
    if external.certificate_authority and (wrong := _authority(checks, external)):
        shown = UNSHOWN if external.is_authority_text else external.certificate_authority
        yield Problem((*here, "certificateAuthority"), *wrong, shown)
    if EXTERNAL_PASSWORD not in settings.secrets and checks.whole("secrets", EXTERNAL_PASSWORD):
        path = path_of(("secrets", EXTERNAL_PASSWORD))
        yield Problem(
            ("secrets", EXTERNAL_PASSWORD),
            f"not set, and it is the password of {external.username} at the registry",
            f"Set it: `pulumi config set --secret --path {path}`.",
        )
    for host in settings.hosts_with("registry") if checks.roles_known else ():
        yield Problem(
            ("hosts", host, "roles"),
            "has registry, whose place slipway:registry.external takes",
            "Take registry out of them.",
        )
    for field in sorted(settings.registry.model_fields_set - {"external", "mirror"}):
        if getattr(settings.registry, field) != type(settings.registry).model_fields[field].default:
            key = type(settings.registry).model_fields[field].alias or field
            yield Problem(
                ("registry", key),
                "belongs to a registry of the stack's own, whose place slipway:registry.external takes",
                "Take one of the two out.",
            )


def _authority(checks: "Checks", external: "ExternalRegistrySettings") -> tuple[str, str] | None:
    """What is wrong with the authority, and what to write; None if it is one."""
    import ssl  # not for everybody: most stacks have a registry of their own

    try:
        text = external.authority(checks.directory)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        return NO_CERTIFICATE, REMEDIES[NO_CERTIFICATE]
    except UnfitFile as error:
        return str(error), REMEDIES.get(
            str(error), "Write a PEM file of 1 MiB at most, relative to the project's directory."
        )
    return None
