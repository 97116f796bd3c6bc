"""What a resource is to a person: a host, an image, a service on a host, the registry, a certificate.

The program's components name their children `<name>-<role>`, so type, name and parent say all of it. The resources that
the program makes are recorded in tests/unit/components/resources.
"""

from dataclasses import dataclass
from enum import Enum

from cli.screen.events import Step


class Part(Enum):
    """The part that a resource plays."""

    HOST = "host"
    HOST_IMAGE = "image of the local hosts"
    HOST_BOOT = "first boot"
    HOST_SETUP = "set-up"
    HOST_IMAGES = "first images"
    HOST_ADDRESS = "address"
    PROXY = "proxy"
    HTTPS_PORT = "HTTPS port of"
    PUBLIC_PORT = "public port of"
    IMAGE = "image"
    PULL = "pull"
    CONTAINER = "container"
    SWITCH = "switch"
    SECRETS = "secret file"
    FILES = "file of a service"
    RELEASE = "release command"
    BACKUP = "backup"
    MARKER = "in-use marker"
    REGISTRY = "registry"
    REGISTRY_SETTINGS = "registry's settings"
    REGISTRY_ANSWERS = "registry's answer"
    REGISTRY_LOGIN = "log-in to the external registry"
    REGISTRY_DATA = "registry's data"
    MIRROR = "copy of a base image"
    CERTIFICATE = "certificate"
    AUTHORITY = "certificate authority"
    KEY = "key"
    NETWORK = "network"
    FIREWALL = "firewall"
    SNAPSHOTS = "snapshots"
    VOLUME = "volume"
    CONNECTION = "connection"
    COMPONENT = "component"
    OTHER = "other"


@dataclass(frozen=True)
class Subject:
    """What a resource is."""

    part: Part
    of: str = ""
    """Whose: the name of a service, a host, a certificate's owner, or the resource's own name."""
    host: str = ""
    """The host that it is on, if the names tell."""

    def __str__(self) -> str:
        """The subject of a sentence: `web on web-1`."""
        match self.part:
            case Part.HOST | Part.HOST_BOOT | Part.HOST_SETUP | Part.HOST_IMAGES | Part.HOST_ADDRESS:
                return f"host {self.host}"
            case Part.HOST_IMAGE:
                return "image of hosts"
            case Part.PROXY:
                return f"proxy on {self.host}"
            case Part.IMAGE:
                return f"image {self.of}"
            case Part.PULL | Part.CONTAINER | Part.SWITCH:
                return f"{self.of} on {self.host}"
            case Part.SECRETS:
                return f"secrets of {self.of} on {self.host}"
            case Part.FILES:
                return f"files of {self.of} on {self.host}"
            case Part.RELEASE:
                return f"release of {self.of}"
            case Part.BACKUP:
                return f"backups of {self.of}" if self.of else f"backups kept on {self.host}"
            case Part.REGISTRY | Part.REGISTRY_SETTINGS | Part.REGISTRY_ANSWERS | Part.REGISTRY_DATA:
                return "registry"
            case Part.REGISTRY_LOGIN:
                return f"registry from {self.host}"
            case Part.MIRROR:
                return f"copy {self.of}"
            case Part.CERTIFICATE:
                return f"certificate of {self.of}"
            case Part.AUTHORITY:
                return self.of
            case Part.COMPONENT | Part.OTHER:
                return self.of
            case _:
                return f"{self.part.value} {self.of}"


def subject(step: Step) -> Subject:
    """What the step's resource is. An unknown one is `OTHER`, with its type and name."""
    if step.is_component:
        return Subject(Part.COMPONENT, step.name)
    if step.type.startswith("pulumi:providers:"):
        return Subject(Part.CONNECTION, step.name.removesuffix("-docker"))
    parent = step.types[-2] if len(step.types) > 1 else ""
    kind = step.type.rpartition(":")[2]
    name, owner = step.name, step.parent_name
    found: Subject | None = None
    match parent.rpartition(":")[2]:
        case "Service":
            found = _of_service(kind, name, owner)
        case "AppImage":
            found = (
                Subject(Part.IMAGE, name.removesuffix("-image"))
                if kind == "Image"
                else Subject(Part.MARKER, name)
                if kind == "Volume"
                else None
            )
        case "Proxy":
            found = Subject(Part.PROXY, kind, owner.removesuffix("-proxy"))
        case "DockerEngine":
            found = _of_engine(name, owner)
        case "Registry":
            found = _of_registry(kind, name)
        case "ExternalRegistry":
            found = Subject(Part.REGISTRY_LOGIN, name, name.removesuffix("-registry-login"))
        case "Mirror":
            found = Subject(Part.MARKER if kind == "Volume" else Part.MIRROR, name.removeprefix("mirror-"))
        case "Certificate":
            found = Subject(_of_certificate(kind), _certified(owner))
        case "AcmeAccount" | "AcmeCertificate":
            what = Part.KEY if kind == "PrivateKey" else Part.CERTIFICATE
            found = Subject(what, _certified(owner))
        case "Operator":
            what = Part.KEY if kind == "PrivateKey" else Part.CERTIFICATE
            found = Subject(what, f"the operator {owner.removeprefix('operator-')}")
        case "CertificateAuthority":
            found = Subject(Part.KEY if kind == "PrivateKey" else Part.AUTHORITY, _authority(owner))
        case "LocalPlatform":
            found = _of_local_platform(kind, name)
        case "AwsHost":
            found = _of_aws_host(kind, name, owner)
        case "AwsNetwork":
            found = Subject(Part.NETWORK, name)
        case "SecurityGroups":
            found = Subject(Part.FIREWALL, name)
        case "Snapshots":
            found = Subject(Part.SNAPSHOTS, name)
        case "RegistryVolume":
            found = Subject(Part.REGISTRY_DATA, name)
    if found is None and kind == "Command" and name.endswith("-backup-store"):
        found = Subject(Part.BACKUP, "", name.removesuffix("-backup-store"))
    if found is None and kind in {"PrivateKey", "KeyPair"}:
        found = Subject(Part.KEY, name)
    return found or Subject(Part.OTHER, f"{step.type} {name}")


def _of_service(kind: str, name: str, service: str) -> Subject | None:
    rest = name.removeprefix(f"{service}-")
    match kind:
        case "RemoteImage":
            return Subject(Part.PULL, service, rest.removesuffix("-image"))
        case "Container":
            return Subject(Part.CONTAINER, service, rest)
        case "Command" if rest.endswith("-switch"):
            return Subject(Part.SWITCH, service, rest.removesuffix("-switch"))
        case "Command" if rest.endswith("-secrets"):
            return Subject(Part.SECRETS, service, rest.removesuffix("-secrets"))
        case "Command" if rest.endswith("-files"):
            return Subject(Part.FILES, service, rest.removesuffix("-files"))
        case "Command" if rest.endswith("-backup"):
            return Subject(Part.BACKUP, service, rest.removesuffix("-backup"))
        case "Command" if rest == "release":
            return Subject(Part.RELEASE, service)
        case "Volume":
            return Subject(Part.VOLUME if name.endswith("-volume") else Part.MARKER, name)
    return None


def _of_engine(name: str, host: str) -> Subject | None:
    match name.removeprefix(f"{host}-"):
        case "setup":
            return Subject(Part.HOST_SETUP, host, host)
        case "images":
            return Subject(Part.HOST_IMAGES, host, host)
    return None


def _of_registry(kind: str, name: str) -> Subject | None:
    match kind, name.rpartition("-")[2]:
        case (("Container" | "RemoteImage"), _):
            return Subject(Part.REGISTRY, name)
        case "Command", ("settings" | "owner"):
            return Subject(Part.REGISTRY_SETTINGS, name)
        case "Command", "answers":
            return Subject(Part.REGISTRY_ANSWERS, name)
        case "Command", "backup":
            return Subject(Part.BACKUP, "the registry")
    return None


def _of_local_platform(kind: str, name: str) -> Subject | None:
    match kind:
        case "Container" if name.endswith(".https"):
            return Subject(Part.HTTPS_PORT, name.removesuffix(".https"))
        case "Container" if "." in name:
            return Subject(Part.PUBLIC_PORT, name.partition(".")[0])
        case "Container":
            return Subject(Part.HOST, name, name)
        case "Image":
            return Subject(Part.HOST_IMAGE, name)
        case "Network":
            return Subject(Part.NETWORK, name)
        case "Volume":
            return Subject(Part.REGISTRY_DATA if name.endswith("-registry") else Part.VOLUME, name)
    return None


def _of_aws_host(kind: str, name: str, host: str) -> Subject | None:
    match kind, name.removeprefix(f"{host}-"):
        case "Instance", _:
            return Subject(Part.HOST, name, name)
        case "Command", "boot":
            return Subject(Part.HOST_BOOT, host, host)
        case (("Eip" | "EipAssociation"), _):
            return Subject(Part.HOST_ADDRESS, name, host)
        case (("VolumeAttachment" | "Command"), _):
            return Subject(Part.REGISTRY_DATA, name, host)
    return None


def _of_certificate(kind: str) -> Part:
    """The certificate itself counts; its key and its request are steps on the way to it."""
    return Part.CERTIFICATE if kind == "LocallySignedCert" else Part.KEY


def _certified(owner: str) -> str:
    """Whose certificate it is, in words, from the name of its component."""
    if owner == "registry-server":
        return "the registry"
    if owner == "operator":
        return "the operator"
    if owner.endswith("-registry-client"):
        return f"the account {owner.removesuffix('-registry-client')}"
    if owner.endswith("-engine"):
        return f"{owner.removesuffix('-engine')}'s engine"
    if owner.endswith(("-https", "-acme")):
        return f"the service {owner.rpartition('-')[0]}"
    return owner


def _authority(owner: str) -> str:
    """The authority in words, with its generation from the second one on."""
    for prefix, words in (
        ("engine-ca", "engine CA"),
        ("registry-ca", "registry CA"),
        ("services-ca", "services CA"),
    ):
        if owner == prefix:
            return words
        if owner.startswith(f"{prefix}-"):
            return f"{words} (generation {owner.removeprefix(f'{prefix}-')})"
    return owner
