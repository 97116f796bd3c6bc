"""Refuses the stack of a clone while another clone's stack on this machine has its name.

`slip up` refuses it before the program starts. This is for `pulumi up`, which would make a second network and volumes,
and then fail at the first name that is taken.
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pulumi

import engine_socket
from engine_socket import EngineUnreachable
from well_known import CLONE_LABEL, PROJECT_LABEL, STACK_LABEL, STATE_LABEL, TAKEN_NAME

SOCKET = "/var/run/docker.sock"
TIMEOUT = 2.0
"""Seconds for the Docker Engine's answer."""


def unless_taken(state: str) -> str:
    """Return the id of the stack's state, unless containers of another state have the stack's name.

    Containers of older versions do not name their state. An engine that is not on a local socket is not asked.

    Raises:
        pulumi.RunError: there are such containers.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    others = [
        (container, labels.get(CLONE_LABEL, ""))
        for container in containers(project, stack)
        if (labels := container.get("Labels") or {}).get(STATE_LABEL, state) != state
    ]
    if not others:
        return state
    listed = "".join(
        f"\n  container {str((container.get('Names') or ['/?'])[0]).removeprefix('/')}, of the clone {clone}"
        for container, clone in others
    )
    here = os.path.realpath(Path.cwd())
    clones = sorted({clone for _, clone in others})
    ways = [
        "They are from another state of this clone, in another backend or lost. "
        f"`./slip up -s {stack}` says what to do."
        if clone == here
        else f"To remove those of {clone} with their data: `cd {shlex.quote(clone)} && ./slip down --purge -s {stack}`."
        for clone in clones
        if clone
    ]
    if clones != [here]:
        ways.insert(0, "Give this stack another name, and another slipway:platform.portOffset.")
    raise pulumi.RunError("\n".join([f"{TAKEN_NAME.format(stack=stack)}{listed}", *ways]))


def containers(project: str, stack: str) -> list[dict[str, Any]]:
    """The containers with the labels of this project and stack, running or not; none if no engine answers."""
    address = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
    if not address.startswith("unix://"):
        return []
    filters = json.dumps({"label": [f"{PROJECT_LABEL}={project}", f"{STACK_LABEL}={stack}"]})
    question = f"/containers/json?all=1&filters={quote(filters)}"
    try:
        return list(json.loads(engine_socket.get(address.removeprefix("unix://"), question, TIMEOUT)))
    except (EngineUnreachable, ValueError):
        return []
