"""Names, paths, labels and pinned images that all parts of Slipway share. Imports nothing of Slipway."""

import hashlib
from pathlib import Path

# The stack's configuration.
NAMESPACE = "slipway"
"""Every key of Slipway's starts with `slipway:`, whatever the project is called."""
SETTINGS = (
    "platform",
    "hosts",
    "registry",
    "services",
    "proxy",
    "rollout",
    "hooks",
    "notify",
    "acme",
    "passwords",
    "secrets",
    "certificates",
    "operators",
    "cleanup",
    "stateBackup",
    "review",
    "protect",
)
"""The settings at the top, as in `configuration/settings.py`, which is slow to import."""

DEFAULT_STACK = "local"
"""The stack of commands without `-s`."""
REVIEW_TEMPLATE = "review"
"""The stack whose file review environments are made from."""
EMULATED = "-emulated"
"""The suffix of an emulated stack's name after the real stack's name."""

# Ports.
SSH_PORT, ENGINE_PORT, HTTP_PORT, HTTPS_PORT = 2200, 23760, 8080, 8443
"""TCP ports on 127.0.0.1 of a local host with slot 0, without `platform.portOffset`."""
REGISTRY_PORT = 5000
"""Default TCP port of the registry, which is also the default of its program, distribution."""

# Labels on containers, networks and volumes.
PROJECT_LABEL = "slipway.project"
"""The Pulumi project, on resources of the operator's own engine."""
STACK_LABEL = "slipway.stack"
"""The stack's name without an organization, on everything that Slipway makes on an engine."""
STATE_LABEL = "slipway.state"
"""The id of the state that a resource was made from (`state_id`), on resources of the operator's own engine.

Stacks of two clones can have the same name, but not the same id. Resources of older versions lack it.
"""
CLONE_LABEL = "slipway.clone"
"""The directory of the clone that made a resource, to show people where its state is."""
HOST_LABEL = "slipway.host"
"""The host's name, on a local host and its volumes."""
REVIEW_LABEL = "slipway.review"
"""The number of the pull request, on what a review environment has on the operator's own engine."""
SERVICE_LABEL = "slipway.service"
"""The service's name, on its containers and in-use markers."""
RELEASE_LABEL = "slipway.release"
"""The service's name, on the container of its release command."""
RUN_LABEL = "slipway.run"
"""The service's name, on the container of a person's command."""
RESTORE_LABEL = "slipway.restore"
"""The service's name, on the container in which a backup is tried before it is put in place."""
TEMPLATE_LABEL = "slipway.template"
"""`job` on the container of a job, which never runs itself: each run has a twin of it."""
JOB_LABEL = "slipway.job"
"""The service's name, on the container of each run of a job."""
VOLUME_LABEL = "slipway.volume"
"""The service's name, on its volumes."""
ROLE_LABEL = "slipway.role"
"""`proxy` or `registry`, on Slipway's own containers."""
DEPLOYED_LABEL = "slipway.deployed"
"""On an in-use marker: the images that a service is to run, `repository@digest`, separated by blanks."""
SERVING_LABEL = "slipway.serving"
"""On an in-use marker: the images that a service serves on one host, in the same form."""
SERVED_LABEL = "slipway.served"
"""On an in-use marker: images that a service has served at some time, in the same form."""

# Containers on the hosts.
PROXY_CONTAINER = "slipway-proxy"
REGISTRY_CONTAINER = "slipway-registry"
REGISTRY_PROXY_CONTAINER = "slipway-registry-proxy"
"""HAProxy before the registry: it listens on the registry's port, and knows who may do what."""

# Stacks.
EMULATED = "-emulated"
"""What the name of a stack that runs in an emulated AWS account has after the real stack's name."""

# Accounts of the registry.
HOSTS_ACCOUNT = "hosts"
"""The account by which the build host pushes and pulls. People have others."""


def review_stack(pull_request: int) -> str:
    """The name of the stack that is the review environment of a pull request."""
    return f"pr-{pull_request}"


GUEST_SERVICE = "pr-[1-9][0-9]*-.*"
"""The names of the services of review environments on the hosts of another stack, as a regular expression: the stack's
name, a hyphen, and the name in the template. Scripts on the hosts know guests by it (scripts/switch.sh).
"""


def guest_account(slot: int) -> str:
    """The account by which a review environment on this stack's hosts pushes and pulls, and the first part of its
    repositories' names.
    """
    return f"review-{slot}"


def host_account(host: str) -> str:
    """The account by which another host pulls. No name of a person's account has a slash."""
    return f"host/{host}"


# Users on the hosts, by their numbers. None of them has a name, and nobody logs in. systemd's list of numbers says that
# 60578 to 61183 are in no use (https://systemd.io/UIDS-GIDS), and Debian gives none of them to a package.
REGISTRY_USER = 60601
"""The user of the registry and of the proxy before it: who connects to a socket has to be its owner, since distribution
lets nobody else write to it. The group of the registry's settings, which the proxy is not in."""
REGISTRY_PROXY_GROUP = 60602
"""The group of the settings of the proxy before the registry, which the registry is not in."""

# Paths on the hosts.
SCRIPTS_PATH = "/usr/local/lib/slipway"
"""Where engine.sh and registry.sh install the scripts that run later."""
SWITCH_SCRIPT_PATH = f"{SCRIPTS_PATH}/switch"
"""scripts/switch.sh, on every host."""
WAIT_SCRIPT_PATH = f"{SCRIPTS_PATH}/wait-for-registry"
"""scripts/wait-for-registry.sh, on every host."""
OWN_DATA_SCRIPT_PATH = f"{SCRIPTS_PATH}/own-registry-data"
"""What scripts/registry.sh leaves on the registry's host, to give the registry's folder to its user."""
RETENTION_SCRIPT_PATH = f"{SCRIPTS_PATH}/retention"
"""scripts/retention.sh, on the registry's host."""
SECRETS_PATH = "/run/slipway/secrets"
"""Where an app host has the secrets of its services, in memory: a folder for each service and version of them."""
SERVICE_FILES_PATH = "/etc/slipway/files"
"""Where hosts keep the files that services get besides their images: readable by root only, by service and version."""
PROXY_SETTINGS_PATH = "/etc/slipway/proxy"
"""Where an app host keeps the proxy's configuration, which its scripts make."""
MAINTENANCE_HEADER = "X-Maintenance"
"""What a proxy adds to the page that it sends in place of a service under maintenance."""
REFUSAL_HEADER = "X-Refused"
"""What a proxy adds to its own refusal of a visitor: `network`, `password` or `rate`."""
STOPPED_HEADER = "X-Stopped"
"""What a proxy adds to its answer in place of a service that an operator has stopped."""
REGISTRY_SETTINGS_PATH = "/etc/slipway/registry"
"""Where a registry's host keeps the registry's configuration and accounts: readable by root and the registry only."""
REGISTRY_PROXY_SETTINGS_PATH = "/etc/slipway/registry-proxy"
"""Where it keeps the configuration, rights and certificate of the proxy before it: readable by root and that proxy
only."""
REGISTRY_SOCKET_PATH = "/var/lib/slipway/registry-socket"
"""The directory on a registry's host in which the registry listens for the proxy before it."""
REGISTRY_DATA_PATH = "/var/lib/slipway/registry"
"""Where a registry's host keeps the registry's data: every platform mounts a volume there."""

STAGED_CONTEXTS_PATH = Path(".slipway/contexts")
"""Where a clone keeps the copies of build contexts that images are built from, by stack and image; relative to it."""

# Third-party images, with the versions that the toolchain builds where Docker Hub is out of reach.
DEBIAN_VERSION = "12"
DEBIAN_IMAGE = f"debian:{DEBIAN_VERSION}"
"""What local hosts and the sample app are built on."""
REGISTRY_VERSION = "3.1.1"
REGISTRY_IMAGE = f"registry:{REGISTRY_VERSION}"
"""distribution 3.1.1: earlier releases have known security holes (its release notes)."""
PROXY_VERSION = "3.0.11"
PROXY_IMAGE = f"haproxy:{PROXY_VERSION}"
"""HAProxy 3.0, a release with long-term support, and the version of Debian 13."""

IMAGE_DIGESTS = {
    DEBIAN_IMAGE: "sha256:9344f8b8992482f80cba753f323adeaf17690076c095ccff6cc9536be98185dc",
    REGISTRY_IMAGE: "sha256:1be55279f18a2fe1a74edf2664cac61c1bea305b7b4642dab412e7affdcb3e33",
    PROXY_IMAGE: "sha256:e16665b485f76ed893bef9442ccc209907d8d0f6c271120bf7f1970abe51e240",
}
"""What these images are pulled as: the digests of their indexes at Docker Hub, August 2026; HAProxy's as the record of
Docker's official images had it in August 2025, built on Debian 13.

Whoever can move a tag there cannot change what hosts run. Images that the toolchain builds have other digests: what is
on an engine under one of the names above is taken as it is.
"""


def by_digest(image: str) -> str:
    """The name to pull an image by: with its digest instead of its tag, if the digest is known; else as it is."""
    digest = IMAGE_DIGESTS.get(image)
    return f"{image.rpartition(':')[0]}@{digest}" if digest else image


ROLLBACK_VARIABLE = "SLIPWAY_ROLLBACK"
"""The variable that orders an update to take services back to versions: `web=41,api=7`."""
RECOVER_VARIABLE = "SLIPWAY_RECOVER"
"""The variable that tells an update of versions that the state does not have, as JSON (components/recovered.py)."""
FORWARD_VARIABLE = "SLIPWAY_FORWARD"
"""The variable that orders an update to deploy what a rollback left: `web,api`."""
KEEP_VARIABLE = "SLIPWAY_KEEP"
"""The variable that orders an update to keep services at the versions that they have: `web,api`, or `*` for all."""
KEEP_ALL = "*"
PROMOTE_VARIABLE = "SLIPWAY_PROMOTE"
"""The variable that orders an update to deploy versions of another stack, as JSON (components/promotion.py)."""

TAKEN_NAME = "this machine has a stack '{stack}' from another state already, so no host was made:"
"""The refusal of a stack whose name another clone's stack has on this machine."""


def state_id(public_key: str) -> str:
    """The id of a stack's state, from the public key that the stack makes once and keeps: 16 hexadecimal digits.

    Args:
        public_key: the stack's SSH key, in OpenSSH's format.
    """
    return hashlib.sha256(public_key.strip().encode()).hexdigest()[:16]
