"""Checks of where services get their images, and of what their containers share: directories, volumes."""

import itertools
from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.containers import LOG_OPTIONS, FromSecret
from configuration.image_names import ImageName
from configuration.log_options import misfit, mistake_in
from configuration.problems import Location, Problem, command, path_of, suggestion, words
from configuration.services import ServiceSettings

PROXY_SETTINGS = (
    *("port", "domain", "domains", "canonical", "path", "strip_path", "timeout", "max_body", "allowed_cidrs"),
    *("max_connections", "allow", "auth", "rate_limit", "error_page"),
    "drain_timeout",
)
"""What only a service behind the proxy has."""
MOST_NETWORKS = 2
"""Networks of services that a host may have besides that of its proxy."""
RUN_PATHS = ("/run/secrets", "/tmp", "/dev/shm", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname")  # noqa: S108


def images(checks: Checks) -> Iterator[Problem]:
    """Each service has one image: built, that of others, or another service's."""
    settings = checks.settings
    tags: dict[str, tuple[str, str]] = {}
    for name, service in settings.services.items():
        location: Location = ("services", name)
        keys = {"build": service.build, "image": service.image, "from": service.from_}
        given = [key for key, value in keys.items() if value or not checks.is_valid(*location, key)]
        if not given:
            yield Problem(
                (*location, "build"),
                "missing",
                "Set it, such as { context: app }; or set image, or from.",
            )
        elif len(given) > 1:
            yield Problem(
                (*location, given[-1]), f"{words(given)} each name an image", "Leave all but one of them out."
            )
        if service.image:
            tagged = ImageName.of(service.image).tagged
            first, image = tags.setdefault(tagged, (name, service.image))
            if image != service.image:
                yield Problem(
                    (*location, "image"),
                    f"{first} has the same tag by another digest or name",
                    "Write the same text for both.",
                    service.image,
                )
    for name, service in settings.services.items():
        if service.from_ is None:
            continue
        others = [other for other in settings.services if other != name]
        if service.from_ not in settings.services:
            if checks.is_valid("services", service.from_):
                yield Problem(
                    ("services", name, "from"),
                    "no such service",
                    f"{suggestion(service.from_, others)}Write one of {words(others)}."
                    if others
                    else "Set build or image instead.",
                    service.from_,
                )
        elif settings.services[settings.image_source(name)].from_ in settings.services:
            yield Problem(
                ("services", name, "from"),
                "it leads back to this service, so neither has an image",
                "Set build or image in one of them.",
                service.from_,
            )


def copies(checks: Checks) -> Iterator[Problem]:
    """The stack's registry can have copies of the images of others."""
    settings = checks.settings
    for name, service in settings.services.items():
        if service.image and not settings.build_host and not settings.registry_host:
            yield Problem(
                ("services", name, "image"),
                "no host can copy it into the registry",
                "Add build to the roles of one host.",
                service.image,
            )


def proxied(checks: Checks) -> Iterator[Problem]:
    """A service that no proxy asks has no setting of the proxy's."""
    for name, service in checks.settings.services.items():
        if service.own_check is None or not checks.is_valid("services", name):
            continue
        for key in PROXY_SETTINGS:
            if key == "allowed_cidrs" and service.ports.public:
                continue
            if key in service.model_fields_set and getattr(service, key) != _default(key):
                alias = ServiceSettings.model_fields[key].alias or key
                yield Problem(
                    ("services", name, alias),
                    "only a service behind the proxy has it, and no proxy asks this one",
                    f"Leave it out, or set {path_of(('services', name, 'health'))} to a path.",
                )


def needs(checks: Checks) -> Iterator[Problem]:
    """Each service that another one needs exists, and does not need that one itself."""
    settings = checks.settings
    for name, service in settings.services.items():
        for index, other in enumerate(service.needs):
            location = ("services", name, "needs", index)
            others = [one for one in settings.services if one != name]
            if other not in settings.services:
                if checks.is_valid("services", other):
                    yield (
                        Problem(
                            location,
                            "no such service",
                            f"{suggestion(other, others)}Write one of {words(others)}.",
                            other,
                        )
                        if others
                        else Problem(location, "no such service", "Leave it out.", other)
                    )
            elif name in settings.all_needed(other):
                yield Problem(
                    location,
                    f"{other} needs {name}, so neither could start",
                    "Leave out one of the two.",
                    other,
                )


def mounts(checks: Checks) -> Iterator[Problem]:
    """No two services write to the same directory of a host, and no path of a container is two things."""
    settings = checks.settings
    writers: list[tuple[str, str]] = []
    for name, service in settings.services.items():
        paths = [
            *((("volumes", key), path) for key, path in service.volumes.items()),
            *((("bind", key), path.removesuffix(":ro")) for key, path in service.bind.items()),
            *((("tmpfs", path), path) for path in service.tmpfs),
            *((("files", path), path) for path in service.files),
        ]
        seen: dict[str, tuple[str, str]] = {}
        for (key, entry), path in paths:
            if path in RUN_PATHS or path.startswith(("/proc", "/sys", "/run/secrets")):
                yield Problem(
                    ("services", name, key, entry), "the engine itself keeps it", "Use another path.", path
                )
            elif path in seen:
                yield Problem(
                    ("services", name, key, entry),
                    f"{path_of(('services', name, *seen[path]))} has the same path",
                    "Give each a path of its own.",
                    path,
                )
            seen.setdefault(path, (key, entry))
        if service.memory_reservation and service.memory_reservation >= service.memory:
            yield Problem(
                ("services", name, "memoryReservation"),
                f"not less than the memory of {service.memory} MiB",
                "Set it to less, or memory to more.",
                service.memory_reservation,
            )
        writers += [(path, name) for path in service.writing_binds]
    for (one, first), (other, second) in itertools.combinations(writers, 2):
        if first == second or not (f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")):
            continue
        both = [host for host in settings.service_hosts(first) if host in settings.service_hosts(second)]
        if both:
            yield Problem(
                ("services", second, "bind", other),
                f"{first} writes there, too, on {words(both)}",
                "Let only one of them write: put :ro behind the path of the other, or use a directory of its own.",
            )


def networks(checks: Checks) -> Iterator[Problem]:
    """A host has no more networks than its engine has pools in reserve (configuration/address_pools.py)."""
    settings = checks.settings
    if not checks.is_valid("services"):
        return
    for host in settings.hosts:
        names: dict[str, str] = {}
        for name in settings.services_on(host):
            names |= {network: name for network in settings.services[name].networks if network not in names}
        for network, name in list(names.items())[MOST_NETWORKS:]:
            yield Problem(
                ("services", name, "networks"),
                f"{host} would have {len(names)} networks of services: {words(names)}",
                f"Use {MOST_NETWORKS} at most on a host.",
                network,
            )


def logs(checks: Checks) -> Iterator[Problem]:
    """Each log option is one of the service's log driver, with a value that Docker takes."""
    for name, service in checks.settings.services.items():
        here: Location = ("services", name, "logOptions")
        allowed = LOG_OPTIONS[service.log_driver]
        for option, value in service.log_options.items():
            if option not in allowed and checks.is_valid("services", name, "logDriver"):
                yield Problem(
                    (*here, option),
                    f"not an option of the log driver {service.log_driver}",
                    f"Write one of {', '.join(allowed)}; or set {path_of(('services', name, 'logDriver'))}.",
                    value,
                )
            elif wrong := mistake_in(option, value):
                yield Problem((*here, option), *wrong, value)
        if found := misfit(service.log_driver, service.log_options):
            option, misfits, remedy = found
            yield Problem((*here, option), misfits, remedy, service.log_options[option])


def secrets(checks: Checks) -> Iterator[Problem]:
    """Each secret that is an environment variable is set."""
    settings = checks.settings
    for name, service in settings.services.items():
        for variable, value in service.env.items():
            if not isinstance(value, FromSecret) or value.secret in settings.secrets:
                continue
            if checks.is_valid("secrets", value.secret):
                yield Problem(
                    ("services", name, "env", variable),
                    f"{path_of(('secrets', value.secret))} is not set",
                    f"{suggestion(value.secret, settings.secrets)}Set it: "
                    f"{command(f'secret set {value.secret}', checks.stack)}.",
                )


def jobs(checks: Checks) -> Iterator[Problem]:
    """A job runs on one host, and has nothing that only a service has which runs all the time."""
    settings = checks.settings
    for name, service in settings.services.items():
        if service.schedule is None or not checks.is_valid("services", name):
            continue
        hosts = settings.service_hosts(name)
        if len(hosts) > 1 and not checks.hosts_replaced:
            yield Problem(
                ("services", name, "schedule"),
                f"it would run on {words(hosts)}, and a job runs on one host",
                f"Set {path_of(('services', name, 'hosts'))} to one host.",
                service.schedule,
            )
        for key in ("health", "release"):
            if getattr(service, key) is not None:
                yield Problem(
                    ("services", name, key), "a job has none, since it runs and ends", "Leave it out."
                )
        if service.ports:
            yield Problem(
                ("services", name, "ports"), "a job has none, since it runs and ends", "Leave it out."
            )
        for other, needing in settings.services.items():
            if name in needing.needs:
                yield Problem(
                    ("services", other, "needs"),
                    f"{name} is a job, which nothing can wait for",
                    f"Leave out {name}; a command before a version serves is a release.",
                )


def _default(key: str) -> object:
    return ServiceSettings.model_fields[key].get_default(call_default_factory=True)


CHECKS: tuple[Check, ...] = (
    *(images, copies, proxied, needs, mounts, jobs),
    *(networks, logs, secrets),
)
