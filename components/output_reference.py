"""Every output of a stack, its type as a reader of the stack gets it, and its meaning.

`docs/outputs.md` and `examples/consumer/slipway_outputs.py` are generated from this module, and a test holds it against
the program's outputs. A new output has the mark `Since` with the version that brings it.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

from typing_extensions import TypedDict, is_typeddict

SECRET = "secret"  # noqa: S105 - a marker, not a secret
"""Marks an output that is secret in the state."""
FIRST = "0.9.0"
"""The version since which every output without a mark of its own has been there."""


@dataclass(frozen=True)
class Since:
    """Marks an output that came later: with which version."""

    version: str


@dataclass(frozen=True)
class Described:
    """An output as its readers get it."""

    key: str
    type: Any
    meaning: str
    secret: bool
    since: str


def described(outputs: type) -> list[Described]:
    """The keys of one of the classes below, in their order."""
    found = []
    for key, annotation in get_type_hints(outputs, include_extras=True).items():
        type_, *marks, meaning = get_args(annotation)
        since = next((mark.version for mark in marks if isinstance(mark, Since)), FIRST)
        found.append(Described(key, type_, meaning, SECRET in marks, since))
    return found


class AcmeOutputs(TypedDict):
    """The order of a certificate by ACME."""

    order: Annotated[int, "its number; each renewal has the next one"]
    renewAfter: Annotated[str, "when an `up` renews the certificate, in RFC 3339"]
    problem: Annotated[str, "why the authority did not renew it the last time; empty if it did"]


class HostOutputs(TypedDict):
    """One host."""

    address: Annotated[str, "where you reach the host"]
    privateAddress: Annotated[str, "where the stack's other hosts reach it"]
    roles: Annotated[list[str], "what the host does"]
    sshPort: Annotated[int, "TCP port of its SSH server"]
    sshUser: Annotated[str, "the user who logs in there"]
    sshHostKey: Annotated[str, "its SSH host key, as in `known_hosts`"]
    enginePort: Annotated[int, "TCP port of its Docker Engine"]
    enginePlatform: Annotated[
        str, Since("0.10.0"), "the platform of its Docker Engine, in Docker's notation, such as `linux/amd64`"
    ]
    httpPort: Annotated[int, "TCP port of its proxy; 0 if it runs no services"]
    httpsPort: Annotated[int, "the same for HTTPS, which answers while a service of the host has HTTPS"]
    healthCheckId: Annotated[
        str,
        Since("0.10.0"),
        "id of the health check by which Route 53 leaves the host out of its answers; empty without one",
    ]


class RevisionOutputs(TypedDict):
    """The commit of one tag."""

    tag: Annotated[str, "the image's tag"]
    revision: Annotated[
        str,
        "a commit with the image's content, with `-dirty` if the working tree differed; empty if git does not track it",
    ]


class RetentionOutputs(TypedDict, total=False):
    """The rule by which the registry removes images."""

    keep: Annotated[int, "number of images that stay in each repository"]
    days: Annotated[int, "days for which an image stays after its last push"]


class HistoryOutputs(TypedDict):
    """The versions of one service."""

    current: Annotated[int, "the number of the version that was deployed last, whether it succeeded or not"]
    left: Annotated[
        list[int],
        "the numbers of the versions that a rollback left: an `up` whose tree has one of them keeps `current`",
    ]
    built: Annotated[
        str,
        "the tag of the image that was built last; after a promotion, `pinned` beside it lists the content tags of the "
        "trees that an `up` does not build",
    ]
    versions: Annotated[
        list[dict[str, Any]],
        "the versions, the newest first: `number`; `images`, digests by repository; `source`, the content's tag; "
        "`settings`, those that differ from the defaults; `secrets`, a keyed hash of each; `revision` and `message` of "
        "the commit; `deployments`, the last five, each with `started` (UTC), `seconds`, `result` (`deployed`, or "
        "`begun` if it did not end well), `author`, `hosts` and `cause` (`up`, `rollback` or `promotion`); `origin`, "
        "the `stack` and the `number` that it was promoted from, if it was",
    ]


class StackOutputs(TypedDict):
    """A stack's outputs."""

    serviceUrls: Annotated[
        dict[str, list[str]],
        "for each service, its URL on each host, or on each edge if there are any; for one with a domain, its URLs by "
        "that name, which must lead there; `https` with HTTPS; none for one that no proxy asks",
    ]
    serviceEndpoints: Annotated[
        dict[str, list[str]],
        "for each service, `address:port` of the proxy on each host, in the order of `serviceHosts`, or on each edge, "
        "for HTTPS if the service has it; the proxy knows a service with a domain by the request's `Host`. A service "
        "that no proxy asks is not there",
    ]
    servicePorts: Annotated[
        dict[str, list[str]],
        Since("0.10.0"),
        "for each service with public ports, each of them on each host: `203.0.113.7:5353/udp`",
    ]
    serviceHosts: Annotated[
        dict[str, list[str]], "for each service, the hosts that run it, in the order of the roll-out"
    ]
    serviceSchedules: Annotated[
        dict[str, str], "for each service that is a job, its schedule in cron's syntax, and the time zone"
    ]
    serviceBackups: Annotated[
        dict[str, str],
        Since("0.10.0"),
        "for each service that is backed up, on which host and when: `data-1 at 03:00 UTC`",
    ]
    serviceTls: Annotated[
        dict[str, Literal["own", "acme", "given"]],
        "for each service with HTTPS, who signed its certificate: `own`, the stack's authority in "
        "`servicesCaCertificate`; `acme`, an authority that was asked by ACME; or `given`, someone else",
    ]
    acmeCertificates: Annotated[
        dict[str, AcmeOutputs],
        Since("0.10.0"),
        "for each service with `tls: auto`, what became of its certificate's order",
    ]
    servicesCaCertificate: Annotated[
        str,
        "the authority to trust for services with `tls: own`, PEM; two during a CA rotation; empty without such a "
        "service",
    ]
    servicesCaGeneration: Annotated[
        int, "the generation of this authority that all hosts had certificates of when an `up` last succeeded"
    ]
    serviceDomains: Annotated[
        dict[str, str],
        "for each service that has one, the name by which the proxy knows it, since its last roll-out that succeeded",
    ]
    serviceHealthPaths: Annotated[
        dict[str, str],
        "for each service, the path of its health check, since its last roll-out that succeeded",
    ]
    serviceProbePaths: Annotated[
        dict[str, str],
        "for each service, a path that visitors reach it by: its health path, or, if its `path` has no health path in "
        "it, that; since its last roll-out that succeeded",
    ]
    images: Annotated[
        dict[str, str],
        "for each service, its image by digest, since its last roll-out that succeeded on all its hosts; a failed or "
        "targeted `up` leaves it as it was",
    ]
    wantedImages: Annotated[
        dict[str, str],
        "for each service, the image by digest that the last `up` built; it differs from `images` while no roll-out of "
        "it has succeeded",
    ]
    revisions: Annotated[
        dict[str, list[RevisionOutputs]],
        "for each service and each base image of a service, the commits of its last 20 tags, the newest first",
    ]
    versions: Annotated[
        dict[str, HistoryOutputs],
        Since("0.10.0"),
        "for each service, its last versions: as many good ones as `registry.retention.keep` says, and as many others",
    ]
    mirror: Annotated[
        dict[str, str], "for each image of `registry.mirror` and of a service, its copy by digest"
    ]
    registryAddress: Annotated[
        str, "`host:port` of the registry, as the hosts call it: the first part of image names"
    ]
    registryPublicAddress: Annotated[str, "`host:port` of the registry, as you reach it"]
    registryCaCertificate: Annotated[
        str,
        "the authority to trust for the registry, PEM; two during a CA rotation; empty if every machine trusts it, "
        "and with plain HTTP",
    ]
    registryMode: Annotated[
        Literal["own", "insecure", "external"],
        "`own`: the stack's registry, behind TLS; `insecure`: the same over plain HTTP; `external`: someone else's",
    ]
    registryRetention: Annotated[
        RetentionOutputs, "the rule of `registry.retention`; empty if the registry keeps all images"
    ]
    registryBackup: Annotated[
        str,
        Since("0.10.0"),
        "on which host and when the registry is backed up, such as `yard at 04:00`; empty without `registry.backup`",
    ]
    registryMetricsUrl: Annotated[
        str, "where the registry's metrics are; empty without `registry.metricsPort`"
    ]
    registryAccounts: Annotated[list[str], "names of the registry's accounts, but for those of single hosts"]
    registryHostAccounts: Annotated[
        dict[str, str], "for each host, the account by which it pulls; empty for an external registry"
    ]
    registryPasswords: Annotated[
        dict[str, str], SECRET, "for each account, its password; those of hosts, too"
    ]
    registryClientCertificates: Annotated[
        dict[str, str],
        "for each account, the certificate that it shows the registry, PEM; empty without "
        "`registry.clientCertificates`",
    ]
    registryClientKeys: Annotated[dict[str, str], SECRET, "the keys of these certificates, PEM"]
    registryCaGeneration: Annotated[
        int, "the generation of the registry's authority that all hosts trusted when an `up` last succeeded"
    ]
    engineCaGeneration: Annotated[
        int, "the generation of the engines' authority that all hosts trusted when an `up` last succeeded"
    ]
    hosts: Annotated[dict[str, HostOutputs], "for each host, how to reach it"]
    sshPrivateKey: Annotated[str, SECRET, "the key that logs in to the hosts"]
    engineEndpoints: Annotated[dict[str, str], "for each host, its Docker Engine's address"]
    engineCaCertificate: Annotated[str, "the authority of the engines' certificates, PEM"]
    engineClientCertificate: Annotated[str, "the client certificate that the engines accept, PEM"]
    engineClientKey: Annotated[str, SECRET, "the key of that certificate, PEM"]
    operatorCertificates: Annotated[
        dict[str, str], "for each of `operators`, their own client certificate for the engines, PEM"
    ]
    operatorKeys: Annotated[dict[str, str], SECRET, "the keys of these certificates, PEM"]
    platform: Annotated[Literal["local", "aws"], "the platform's kind"]
    resolvers: Annotated[
        list[str], "the name servers that hosts on your machine were made with; empty on other platforms"
    ]
    reviewGuests: Annotated[
        int, Since("0.10.0"), "how many review environments may be on the hosts of this stack at once"
    ]
    stackProtected: Annotated[bool, "whether Pulumi refuses to delete hosts and data"]


def structures() -> dict[str, type]:
    """The outputs that are or contain maps with fixed keys, by output, each such map once."""
    found: dict[type, str] = {}
    for one in described(StackOutputs):
        inner = one.type
        while arguments := get_args(inner):
            inner = arguments[-1]
        if is_typeddict(inner):
            found.setdefault(inner, one.key)
    return {key: structure for structure, key in found.items()}
