"""Checks of services: their hosts, their domains, and the files that their images are built from."""

import itertools
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from configuration.checks.context import Check, Checks, roles_path
from configuration.files import UnfitFile, ignore_file, read_text
from configuration.private_files import is_private
from configuration.problems import Location, Problem, path_of, suggestion, words
from configuration.resource_names import AUTONAME_LENGTH, DNS_LABEL_LENGTH, base_image, container
from configuration.services import BASE_IMAGE_ARGUMENT, BaseImageSettings, BuildSettings
from dockerfiles.dockerfile import InvalidDockerfile, needed_images
from dockerfiles.ignore import Ignore, InvalidPattern

TEXT_REMEDY = "Make it a text file in UTF-8 of 1 MiB at most, inside the context."


def hosts(checks: Checks) -> Iterator[Problem]:
    """Each host that a service names exists and has the role `app`."""
    settings = checks.settings
    for name, service in settings.services.items():
        for index, host in enumerate(service.hosts or ()):
            location = ("services", name, "hosts", index)
            app_hosts = settings.hosts_with("app")
            if host not in settings.hosts:
                if checks.is_valid("hosts", host) and not checks.hosts_replaced:
                    allowed = f"Hosts with the role app: {words(app_hosts)}."
                    yield Problem(location, "no such host", suggestion(host, app_hosts) + allowed, host)
            elif "app" not in settings.hosts[host].roles and checks.is_valid("hosts", host, "roles"):
                yield Problem(
                    location, "a host without the role app", f"Add app to {roles_path(host)}.", host
                )


def batches(checks: Checks) -> Iterator[Problem]:
    """Canaries leave hosts for the batches behind them."""
    settings = checks.settings
    for name, service in settings.services.items():
        canary = service.rollout.canary if service.rollout else None
        known = checks.is_valid("services", name, "hosts") and checks.is_valid("services", name, "rollout")
        if canary is None or not known or not checks.roles_known or checks.hosts_replaced:
            continue
        number = len(settings.service_hosts(name))
        if canary >= number:
            yield Problem(
                ("services", name, "rollout", "canary"),
                f"no host is left behind the canaries: {name} has {number} host{'' if number == 1 else 's'}",
                f"Set a number below {number}."
                if number > 1
                else "Leave it out, or give the service more hosts.",
                canary,
            )


def domains(checks: Checks) -> Iterator[Problem]:
    """The proxy of a host can tell its services apart: by their names and paths, which one service may do without."""
    settings = checks.settings
    known = [
        name
        for name, service in settings.services.items()
        if service.own_check is None
        and all(checks.is_valid("services", name, key) for key in ("domain", "domains", "path"))
    ]
    routes = [
        (domain, service.path, name)
        for name in known
        for service in [settings.services[name]]
        for domain in service.names
    ]
    for (domain, path), group in itertools.groupby(sorted(routes, key=str), key=lambda route: route[:2]):
        names = [name for *_, name in group]
        if len(names) > 1:
            key = "domain" if settings.services[names[-1]].domain == domain else "domains"
            yield Problem(
                ("services", names[-1], key),
                f"{words(names)} have the same domain" + (f" and the same path {path}" if path else ""),
                "Give each service a domain or a path of its own.",
                domain,
            )
    bare = [name for name in known if not settings.services[name].names]
    for first, second in itertools.combinations(bare, 2):
        path = settings.services[first].path
        if path != settings.services[second].path:
            continue
        both = [host for host in settings.service_hosts(first) if host in settings.service_hosts(second)]
        hosts_known = checks.is_valid("services", first, "hosts") and checks.is_valid(
            "services", second, "hosts"
        )
        if both and hosts_known and not checks.hosts_replaced:
            yield Problem(
                ("services", second, "path" if path else "domain"),
                f"{first} and {second} both run on {words(both)}, and neither has a domain"
                + (f", with the same path {path}" if path else ""),
                "Give one of them a domain, a path of its own, or other hosts.",
            )


def routing(checks: Checks) -> Iterator[Problem]:
    """What a service says of its names and paths fits together."""
    for name, service in checks.settings.services.items():
        if not checks.is_valid("services", name):
            continue
        every = [*service.domains, *([service.domain] if service.domain else [])]
        if service.canonical and service.canonical not in every:
            yield Problem(
                ("services", name, "canonical"),
                "not one of the service's domains",
                f"Add it to {path_of(('services', name, 'domains'))}.",
                service.canonical,
            )
        if service.strip_path and service.path is None:
            yield Problem(
                ("services", name, "stripPath"),
                "there is no path to take off",
                "Set path, or leave out stripPath.",
            )


def builds(checks: Checks) -> Iterator[Problem]:
    """Each image has a context and a Dockerfile that can be read."""
    for name, build in checks.settings.built_services.items():
        location = ("services", name, "build")
        yield from _context(checks, location, build)
        if build.base is None:
            continue
        yield from _context(checks, (*location, "base"), build.base)
        if BASE_IMAGE_ARGUMENT in build.args:
            yield Problem(
                (*location, "args", BASE_IMAGE_ARGUMENT),
                "reserved: the build sets it to the image of base",
                "Leave it out, or leave out base.",
            )


def names(checks: Checks) -> Iterator[Problem]:
    """What is named after a service, and after a service and a host, has a name of its own that resolves."""
    settings = checks.settings
    for name, build in settings.built_services.items():
        if build.base and base_image(name) in settings.services:
            yield Problem(
                ("services", base_image(name)),
                f"the base image of {name} has that name",
                f"Give the service another name, or leave out {path_of(('services', name, 'build', 'base'))}.",
            )
    if checks.hosts_replaced:
        return
    pairs = [
        (service, host)
        for service in settings.services
        if checks.is_valid("services", service, "hosts")
        for host in settings.service_hosts(service)
        if host in settings.hosts and checks.is_valid("hosts", host)
    ]
    for name, same in itertools.groupby(sorted(pairs, key=_container), key=_container):
        group = list(same)
        if len(group) > 1:
            places = words(f"{service} on {host}" for service, host in group)
            yield Problem(
                ("services", group[-1][0]),
                f"the containers of {places} would all be called {name}",
                "Give one of these services or hosts another name.",
            )
    for name in settings.services:
        longest = max((host for other, host in pairs if other == name), key=len, default="")
        length = len(container(name, longest)) + AUTONAME_LENGTH
        if longest and length > DNS_LABEL_LENGTH:
            shorter = len(name) - (length - DNS_LABEL_LENGTH)
            remedy = (
                f"Use {shorter} characters at most for the service" if shorter > 0 else "Use shorter names"
            )
            yield Problem(
                ("services", name),
                f"its containers on {longest} would have a name of {length} characters, and no name of more than "
                f"{DNS_LABEL_LENGTH} resolves",
                f"{remedy}; Slipway adds the host's name, {AUTONAME_LENGTH} characters and a hyphen.",
            )


def _container(pair: tuple[str, str]) -> str:
    return container(*pair)


CHECKS: tuple[Check, ...] = (hosts, batches, domains, routing, names, builds)


def _context(checks: Checks, location: Location, image: BaseImageSettings) -> Iterator[Problem]:
    if not (checks.is_valid(*location, "context") and checks.is_valid(*location, "dockerfile")):
        return
    context = checks.directory / image.context
    dockerfile = PurePosixPath(image.dockerfile)
    try:
        exists, is_directory = context.exists(), context.is_dir()
    except OSError as error:
        yield Problem(
            (*location, "context"),
            f"cannot be read: {error.strerror}",
            "Write a directory that you may read.",
            image.context,
        )
        return
    if not is_directory:
        yield Problem(
            (*location, "context"),
            "not a directory" if exists else "no such directory",
            f"Write a directory with a {image.dockerfile}, relative to the project.",
            image.context,
        )
    elif is_private(context, checks.directory):
        yield Problem(
            (*location, "context"),
            "inside a folder that never goes into an image",
            "Write a folder outside of .slipway, .pulumi and .git.",
            image.context,
        )
    elif dockerfile.is_absolute() or ".." in dockerfile.parts:
        yield Problem(
            (*location, "dockerfile"), "outside the context", "Write a path inside it.", image.dockerfile
        )
    elif not _exists(context / dockerfile):
        yield Problem(
            (*location, "context"),
            f"has no {image.dockerfile}",
            f"Write a directory that has one, or set {path_of((*location, 'dockerfile'))}.",
            image.context,
        )
    else:
        yield from _files(location, image, context)


def _files(location: Location, image: BaseImageSettings, context: Path) -> Iterator[Problem]:
    """The files of a context that Slipway itself reads."""
    dockerfile = context / image.dockerfile
    own = {BASE_IMAGE_ARGUMENT: "scratch"} if isinstance(image, BuildSettings) and image.base else {}
    try:
        text = read_text(dockerfile, within=context)
        # Which platform it is does not decide whether the Dockerfile is valid.
        needed_images(text, {**image.args, **own}, "linux/amd64")
    except UnfitFile as error:
        yield Problem((*location, "dockerfile"), str(error), TEXT_REMEDY, image.dockerfile)
    except InvalidDockerfile as error:
        yield Problem(
            (*location, "dockerfile"),
            f"Docker cannot build it: {error}",
            f"Correct the file, or set the arguments that it needs in {path_of((*location, 'args'))}.",
            image.dockerfile,
        )
    if ignoring := ignore_file(context, dockerfile):
        try:
            Ignore.of(read_text(ignoring, within=context))
        except UnfitFile as error:
            yield Problem((*location, "context"), f"its {ignoring.name} {error}", TEXT_REMEDY, image.context)
        except InvalidPattern as error:
            yield Problem(
                (*location, "context"),
                f"Docker cannot use its {ignoring.name}: {error}",
                "Correct the pattern.",
                image.context,
            )


def _exists(path: Path) -> bool:
    """Whether the path exists, also as a link whose target does not."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # reading the file reports why it cannot be read
    return True
