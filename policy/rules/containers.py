"""What a container may do, and what it may fill."""

from collections.abc import Iterator

from policy.resource import Resource
from policy.rule import rule
from well_known import HOST_LABEL

POWERS = frozenset({"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO"})
"""Linux capabilities by which a process takes over the host (man 7 capabilities)."""


@rule("docker:index/container:Container")
def no_privileged_container(resource: Resource) -> Iterator[str]:
    """No container is privileged. Only a local host, which is a machine in a container, has capabilities of a host."""
    if resource.get("privileged") is True:
        yield "is privileged. Add the one capability that it needs."
    added = resource.get("capabilities", "adds")
    names = {str(name).removeprefix("CAP_") for name in added} if isinstance(added, (list, tuple)) else set()
    if resource.knows("labels") and HOST_LABEL not in resource.labels and (found := sorted(names & POWERS)):
        yield f"has the capability {', '.join(found)} of its host. Leave it out."


@rule("docker:index/container:Container")
def rotated_logs(resource: Resource) -> Iterator[str]:
    """The log of each container has an end, so that it does not fill the disk. Local hosts have a journal of theirs."""
    if HOST_LABEL in resource.labels or not resource.knows("labels", "logOpts", "logDriver"):
        return
    options = resource.get("logOpts")
    driver = resource.get("logDriver")
    if driver in {"local", "json-file", None} and not (isinstance(options, dict) and options.get("max-size")):
        yield "has a log without an end. Set `logOpts` with `max-size` and `max-file`."
