"""Checks of the registry: its modes, its copies of images, its ports, and an external registry."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.files import HOLDS_KEY, NO_CERTIFICATE, UnfitFile
from configuration.image_names import ImageName
from configuration.problems import UNSHOWN, Problem, path_of, suggestion
from configuration.registry import EXTERNAL_PASSWORD, ExternalRegistrySettings

DOCKER_HUB_SERVERS = ("docker.io", "index.docker.io", "registry-1.docker.io")
"""Names of Docker Hub."""

SENDS_NO_CERTIFICATE = 29
"""Major version of the Docker Engine. From this version on, new hosts keep images in containerd's store, whose pulls
and pushes send no client certificate: moby's issue 51662, which is open."""

REMEDIES = {
    NO_CERTIFICATE: "Write a PEM file that begins with -----BEGIN CERTIFICATE-----.",
    HOLDS_KEY: "Write a file that has the authority's certificates only, without its key.",
}
"""What to write instead of a certificate authority's file, by what is wrong with it."""


def registry(checks: Checks) -> Iterator[Problem]:
    """The settings of the registry fit each other, the hosts and the platform."""
    if checks.is_valid("registry"):
        yield from _insecure(checks)
        yield from _mirror(checks)
        yield from _sources(checks)
        if checks.settings.registry.external:
            yield from _external(checks, checks.settings.registry.external)
        else:
            yield from _metrics_port(checks)
            yield from _client_certificates(checks)


CHECKS: tuple[Check, ...] = (registry,)


def _mirror(checks: Checks) -> Iterator[Problem]:
    settings = checks.settings
    first: dict[str, int] = {}
    for index, image in enumerate(settings.registry.mirror):
        name = ImageName.of(image).tagged
        if name in first:
            yield Problem(
                ("registry", "mirror", index),
                f"the same name as slipway:registry.mirror[{first[name]}]",
                "List each image once.",
                image,
            )
        first.setdefault(name, index)
    external = settings.registry.external
    if settings.registry.mirror and external and external.server in DOCKER_HUB_SERVERS:
        yield Problem(
            ("registry", "mirror"),
            "the names of copies have three parts or more, and Docker Hub allows only two",
            "Leave it out, or use another registry.",
        )
    if settings.registry.mirror and not settings.build_host and not settings.registry_host:
        yield Problem(
            ("registry", "mirror"), "no host can make the copies", "Add build to the roles of one host."
        )


def _sources(checks: Checks) -> Iterator[Problem]:
    """Each account at another registry has a password, and is for the registry of an image."""
    settings = checks.settings
    used = {ImageName.of(image).registry for image in settings.mirrored_images}
    for server, account in settings.registry.sources.items():
        secret = account.password.secret
        if secret not in settings.secrets and checks.is_valid("secrets", secret):
            yield Problem(
                ("registry", "sources", server, "password", "secret"),
                f"{path_of(('secrets', secret))} is not set",
                f"{suggestion(secret, settings.secrets)}Set it: {checks.set_secret(secret)}.",
                secret,
            )
        if server not in used and checks.is_valid("services"):
            yield Problem(
                ("registry", "sources", server),
                "no image of registry.mirror or of a service comes from there",
                f"{suggestion(server, sorted(used))}Write the first part of an image's name, or leave it out.",
            )


def _insecure(checks: Checks) -> Iterator[Problem]:
    """Plain HTTP is allowed on one's own machine only, and not for a protected stack."""
    settings = checks.settings
    if not settings.registry.insecure:
        return
    if settings.protect and checks.is_valid("protect"):
        yield Problem(
            ("registry", "insecure"),
            "the registry of a protected stack has to use TLS",
            "Leave it out, or leave out slipway:protect.",
            True,
        )
    if settings.platform.kind != "local" and checks.is_valid("platform"):
        yield Problem(
            ("registry", "insecure"),
            f"passwords and images would cross shared networks unencrypted on the platform {settings.platform.kind}",
            "Leave it out: plain HTTP is for trying out on the platform local.",
            True,
        )


def _client_certificates(checks: Checks) -> Iterator[Problem]:
    settings, version = checks.settings, checks.settings.platform.engine_version
    location = ("registry", "clientCertificates")
    if not settings.registry.client_certificates:
        return
    if settings.registry.insecure:
        yield Problem(
            location,
            "a registry without TLS (registry.insecure) cannot ask for certificates",
            "Leave out one of the two.",
            True,
        )
    if version and int(version.partition(".")[0]) >= SENDS_NO_CERTIFICATE:
        yield Problem(
            location,
            f"Docker Engine {version} (platform.engineVersion) sends registries no client certificate, "
            "see https://github.com/moby/moby/issues/51662",
            "Set engineVersion to one of Docker Engine 28, or leave out clientCertificates.",
            True,
        )


def _metrics_port(checks: Checks) -> Iterator[Problem]:
    settings, port = checks.settings, checks.settings.registry.metrics_port
    if port is None or not (checks.is_valid("platform") and checks.roles_known):
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
            f"{taken[port]} uses that port",
            "Set another port, such as 5001.",
            port,
        )


def _external(checks: Checks, external: ExternalRegistrySettings) -> Iterator[Problem]:
    """An external registry is complete, and nothing is set that only the stack's own registry reads."""
    settings, here = checks.settings, ("registry", "external")
    if (external.server is None) == (external.stack is None):
        both = external.server is not None
        yield Problem(
            (*here, "stack" if both else "server"),
            "set together with server" if both else "missing",
            "Leave out one of the two." if both else "Set it, such as docker.io, or set stack.",
        )
    if external.server in DOCKER_HUB_SERVERS and not external.namespace:
        yield Problem(
            (*here, "namespace"),
            "missing",
            "Set it to the account or organization at Docker Hub, such as team.",
        )
    if external.certificate_authority and (wrong := _authority(checks, external)):
        shown = UNSHOWN if external.is_authority_text else external.certificate_authority
        yield Problem((*here, "certificateAuthority"), *wrong, shown)
    # A guest's password is known to the stack whose registry it is.
    is_guest = settings.review.hosts_of is not None
    if (
        EXTERNAL_PASSWORD not in settings.secrets
        and not is_guest
        and checks.is_valid("secrets", EXTERNAL_PASSWORD)
    ):
        location = ("secrets", EXTERNAL_PASSWORD)
        yield Problem(
            location,
            f"not set: it is the password of {external.username} at the external registry",
            f"Set it: {checks.set_secret(EXTERNAL_PASSWORD)}.",
        )
    for host in settings.hosts_with("registry") if checks.roles_known else ():
        yield Problem(
            ("hosts", host, "roles"),
            "include registry, but slipway:registry.external is set",
            "Remove registry from these roles.",
        )
    for field in sorted(settings.registry.model_fields_set - {"external", "mirror", "sources"}):
        if getattr(settings.registry, field) != type(settings.registry).model_fields[field].default:
            key = type(settings.registry).model_fields[field].alias or field
            yield Problem(
                ("registry", key),
                "a setting of the stack's own registry, but slipway:registry.external is set",
                "Leave out one of the two.",
            )


def _authority(checks: Checks, external: ExternalRegistrySettings) -> tuple[str, str] | None:
    """What is wrong with the certificate authority, and what to write instead; None if it is valid."""
    import ssl  # here, since most stacks have a registry of their own and do without

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
