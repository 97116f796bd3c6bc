"""Slipway's program: from the settings to hosts, engines, a registry, images, services and the stack's outputs."""

import startup  # noqa: F401  # isort: skip  # it makes the imports below faster

import signal

from components.authorities import make_authorities
from components.backup import make_backups
from components.checkout import require_commits
from components.engine import make_engines
from components.hosts.platforms import make_hosts
from components.https import make_https
from components.images.first_images import first_images
from components.images.image import make_images
from components.outputs import export
from components.registry.mirror import make_mirror
from components.registry.registries import make_registry
from components.registry_access import registry_access
from components.rollbacks import make_rollbacks
from components.service import make_services
from configuration import load as configuration

if __name__ == "__main__":
    # Pulumi interrupts the program of a failed update. With its own handler Python would wait for answers of the engine
    # that no longer come, until Pulumi kills it after 5 s; the operator would see the error that much later.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# Wrong settings end the program here, before anything is changed.
settings = configuration.load()
require_commits(settings)

# Who may drive the engines: the engine CA and the operator's client certificate.
authorities = make_authorities(settings)

# Machines that answer SSH with a known host key, on whichever platform.
hosts, announce = make_hosts(settings, authorities)

# The stack's own registry or an external one: its address, its CA, its accounts.
access = registry_access(settings, hosts, authorities)

# From here on, everything on a host is made through the provider of its engine.
engines = make_engines(settings, hosts, authorities, access, first_images(settings, hosts, access))

# The registry's container and settings; or a check that every host can log in to the external one.
registry = make_registry(settings, engines, authorities, access)

# Copies of third-party base images in the registry, if the settings name any.
mirror = make_mirror(settings, engines, registry, authorities.previous_outputs)

# Services that a rollback keeps at a version, with their settings as they were.
rollbacks = make_rollbacks(settings, engines, authorities.previous_outputs)
settings = rollbacks.settings

# Images of the services: built on the build host, pushed, used by digest.
images = make_images(settings, engines, registry, mirror, rollbacks.held)

# Certificates of the services with HTTPS: signed by the stack's own authority, or from elsewhere.
https = make_https(settings, authorities)

# Roll-out of the services: host after host, each switched over once its new container is healthy.
services, serving = make_services(
    settings, engines, images, registry, https, rollbacks.served_before, rollbacks.returned
)

# The stack's names lead to the hosts that serve by now.
announce(serving)

# Backups of the registry and of the services that have them, by a timer on each one's host.
make_backups(settings, engines, services, registry)

# The stack's outputs, for people, for `slip` and for other projects.
export(settings, hosts, authorities, access, engines, registry, images, mirror, https, services, rollbacks)
