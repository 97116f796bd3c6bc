"""The list of all checks of `slip verify`: the title of each, its function, and what it looks at."""

from collections.abc import Callable
from dataclasses import dataclass

from cli.running import certificates
from cli.running.stack import RunningStack
from cli.verify import edge, engine, host, https, machine, registry, service, state
from cli.verify.found import host_of

Subjects = Callable[[RunningStack], list[str]]
Needs = Callable[[RunningStack, str], str]


def _none(_: RunningStack, __: str) -> str:
    return ""


def _its_host(_: RunningStack, subject: str) -> str:
    return host_of(subject)


def _registry_host(running: RunningStack, _: str) -> str:
    # An external registry is on none.
    return "" if running.registry_mode == "external" else next(iter(running.hosts_with("registry")), "")


@dataclass(frozen=True)
class Check:
    """A check: one line of the table for each of its subjects."""

    title: str
    look: Callable[[RunningStack, str], str]
    """Returns what was found, as `Warned` for a warning; raises Failed, CommandError or a connection's error."""
    subjects: Subjects
    """What the check looks at, one after another."""
    remedy: str = ""
    """The command that mends what it finds, with {host}, {service} and {option}, if the check itself names no other."""
    host: Needs = _none
    """The host that the check needs. If that host gives no answer, its own line says so, and the check does not run."""
    engine: Needs = _none
    """The host whose engine it needs, in the same way."""
    proxy: Needs = _none
    """The host whose proxy it needs, in the same way."""
    compares_hosts: bool = False
    """Whether it needs what each host said about itself, and not only the hosts above."""

    waits_behind_edges: bool = False
    """Whether it does so for a subject on an edge, whose answer depends on the hosts behind it."""

    def command(self, running: RunningStack, subject: str) -> str:
        """The remedy for a subject."""
        host = self.engine(running, subject) or self.host(running, subject) or host_of(subject)
        service = subject.rpartition(" on ")[0]
        return self.remedy.format(host=host, service=service, option=running.option)

    def needs(self, running: RunningStack, subject: str) -> frozenset[str]:
        """The hosts whose report it waits for, silent ones included."""
        if self.compares_hosts or (self.waits_behind_edges and host_of(subject) in running.edges):
            return frozenset(running.outputs["hosts"])
        found = {need(running, subject) for need in (self.host, self.engine, self.proxy)}
        return frozenset(found & running.outputs["hosts"].keys())

    def runs(self, running: RunningStack, subject: str) -> bool:
        """Whether what it needs answers, as far as it is known."""
        reports = running.reports
        host, with_engine, with_proxy = (
            need(running, subject) for need in (self.host, self.engine, self.proxy)
        )
        return (
            (host not in reports or reports[host].answers)
            and (with_engine not in reports or reports[with_engine].engine_answers)
            and (with_proxy not in reports or reports[with_proxy].knows_services)
        )


def _registry_in(*modes: str) -> Subjects:
    return lambda running: ["registry"] if running.registry_mode in modes else []


def _services_in(*modes: str) -> Subjects:
    return lambda running: [
        name for name in running.services if running.registry_mode in modes and running.wanted(name)
    ]


def _registry_with_ca(running: RunningStack) -> list[str]:
    # An external registry may have a certificate that every machine trusts.
    has_ca = running.registry_mode != "insecure" and running.outputs["registryCaCertificate"]
    return ["registry"] if has_ca else []


def _registry_with_client_certificates(running: RunningStack) -> list[str]:
    return ["registry"] if running.asks_for_client_certificates else []


def _metrics(running: RunningStack) -> list[str]:
    # On other platforms they answer in the hosts' private network only.
    url = str(running.outputs.get("registryMetricsUrl", ""))
    return [url] if url and running.outputs.get("platform") == "local" else []


def _hosts(running: RunningStack) -> list[str]:
    return running.hosts


def _asked_hosts(running: RunningStack) -> list[str]:
    return sorted(running.reports)


def _places(running: RunningStack) -> list[str]:
    # A service that no proxy asks has no URL.
    urls = running.outputs["serviceUrls"]
    return [f"{name} on {host}" for name, host in running.doors if urls[name]]


def _asked_places(running: RunningStack) -> list[str]:
    jobs = running.outputs.get("serviceSchedules") or {}
    return [
        f"{name} on {host}" for name, host in running.places if host in running.reports and name not in jobs
    ]


def _jobs(running: RunningStack) -> list[str]:
    jobs = running.outputs.get("serviceSchedules") or {}
    return [f"{name} on {host}" for name, host in running.places if host in running.reports and name in jobs]


def _backups(running: RunningStack) -> list[str]:
    backups = running.outputs.get("serviceBackups") or {}
    places = [place for place in running.places if place[0] in backups]
    if running.outputs.get("registryBackup"):
        places += [("registry", host) for host in running.hosts_with("registry")]
    return [f"{name} on {host}" for name, host in places if host in running.reports]


def _pulls(running: RunningStack) -> list[str]:
    return [
        f"{name} on {host}"
        for host in running.hosts
        for name in running.pulled_by(host)
        if running.wanted(name)
    ]


REPAIR = "./slip repair {host}{option}"
UP = "./slip up{option}"

MACHINES = (
    Check("the host answers", machine.answers, _asked_hosts),
    Check("the engine runs", machine.engine_runs, _asked_hosts, REPAIR, host=_its_host),
    Check(
        "the engine is open to nobody else", machine.engine_is_closed, _asked_hosts, REPAIR, engine=_its_host
    ),
    Check(
        "the container runs",
        machine.container_runs,
        lambda running: machine.own_containers(running) if running.reports else [],
        REPAIR,
        engine=_its_host,
    ),
    Check(
        "the host is as it was set up",
        host.is_as_made,
        lambda running: sorted({part.host for part in running.desired}),
        REPAIR,
        host=_its_host,
        engine=_its_host,
    ),
    Check("the clock is right", machine.clock_is_right, _asked_hosts, host=_its_host, compares_hosts=True),
    Check("the disks have room", machine.has_room, _asked_hosts, host=_its_host),
    Check(
        "old images are removed",
        machine.retention_works,
        machine.with_retention,
        "./slip prune{option}",
        host=_its_host,
    ),
)
"""The checks on the hosts, mostly on what they report about themselves. Those run if the hosts were asked."""

SERVICES = (
    Check("serves what is wanted", service.serves_what_is_wanted, _asked_places, UP, proxy=_its_host),
    Check(
        "all hosts serve one version",
        service.serves_one_version,
        service.on_several_hosts,
        UP,
        compares_hosts=True,
    ),
    Check(
        "answers its health path",
        service.answers_health,
        _places,
        "./slip logs {service} --host {host}{option}",
        # Not its engine: containers outlive a stopped one.
        host=_its_host,
        waits_behind_edges=True,
    ),
    Check(
        "runs on its schedule",
        service.runs_on_schedule,
        _jobs,
        "./slip logs {service} --host {host}{option}",
        host=_its_host,
    ),
    Check(
        "is backed up",
        service.is_backed_up,
        _backups,
        "./slip backup {service}{option}",
        host=_its_host,
    ),
    Check(
        "answers by HTTPS",
        https.answers,
        https.subjects,
        REPAIR,
        host=_its_host,
        waits_behind_edges=True,
    ),
    Check("reaches the hosts behind it", edge.reaches_hosts, edge.subjects, REPAIR, proxy=_its_host),
)
"""The checks on the services."""

REGISTRY = (
    Check(
        "the registry speaks plain HTTP",
        registry.speaks_plain_http,
        _registry_in("insecure"),
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "/v2/ with account answers {}",
        registry.answers_with_account,
        _registry_in("insecure"),
        REPAIR,
        host=_registry_host,
    ),
    Check("/v2/ with account answers", registry.answers_with_account, _registry_in("external"), UP),
    Check(
        "/v2/ with CA and account answers {}",
        registry.answers_with_account,
        _registry_in("own"),
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "/v2/ without the CA is an x509 error",
        registry.refuses_without_ca,
        _registry_with_ca,
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "/v2/ without account is 401",
        registry.refuses_without_account,
        lambda _: ["registry"],
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "/v2/ refuses no certificate",
        registry.refuses_without_certificate,
        _registry_with_client_certificates,
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "/v2/ refuses a foreign certificate",
        registry.refuses_foreign_certificate,
        _registry_with_client_certificates,
        REPAIR,
        host=_registry_host,
    ),
    Check(
        "the catalogue lists the image",
        registry.catalogue_lists,
        _services_in("own", "insecure"),
        "./slip repair{option}",
        host=_registry_host,
    ),
    Check(
        "the registry has the image", registry.has_image, _services_in("external"), "./slip repair{option}"
    ),
    Check(
        "the registry has all of the image",
        registry.has_whole_image,
        lambda running: registry.needed_images(running) if running.registry_mode != "external" else [],
        "./slip repair{option}",
        host=_registry_host,
    ),
    Check(
        "the copy is the image that was copied",
        registry.keeps_copy,
        registry.copies,
        "./slip repair{option}",
        host=_registry_host,
    ),
    Check("metrics and health answer", registry.serves_metrics, _metrics, REPAIR, host=_registry_host),
)
"""The checks on the registry."""

ENGINES = (
    Check("pulls by digest", engine.pulls_by_digest, _pulls, REPAIR, host=_registry_host, engine=_its_host),
    Check(
        "a missing image says so",
        engine.misses_absent_image,
        lambda running: [host for host in running.hosts if running.pulled_by(host)],
        REPAIR,
        host=_registry_host,
        engine=_its_host,
    ),
    Check(
        "engine refuses no certificate", engine.refuses_without_certificate, _hosts, REPAIR, engine=_its_host
    ),
    Check(
        "engine refuses a foreign CA", engine.refuses_foreign_certificate, _hosts, REPAIR, engine=_its_host
    ),
)
"""The checks on the engines, over the network."""


def _certificate_host(running: RunningStack, subject: str) -> str:
    what = subject.partition(" of ")[0]
    if what == "registry":
        return _registry_host(running, subject)
    return host_of(subject) if what == "engine" else ""


CHECKS = (
    *MACHINES,
    *SERVICES,
    *REGISTRY,
    *ENGINES,
    Check(
        "the state is backed up",
        state.is_backed_up,
        lambda running: ["state"] if running.state_backups else [],
        "./slip backup state{option}",
    ),
    Check(
        "the certificate lasts",
        certificates.inspect,
        certificates.subjects,
        host=_certificate_host,
        engine=lambda running, subject: host_of(subject) if subject.startswith("engine of ") else "",
    ),
)
"""All checks, in the order of the table."""
