"""The command that brings a host back that gives no answer."""

from cli.running.ssh import remedy_of_foreign_key
from cli.running.stack import RunningStack
from well_known import HOST_LABEL, STACK_LABEL

_COMMANDS = {"paused": "unpause", "running": "restart", "restarting": "restart"}
"""The `docker` command for a local host's container in each state; `start` for all others."""


def remedy(running: RunningStack, host: str) -> str:
    """The command for a host that gives no answer. The operator's engine knows why a local host gives none."""
    report = running.reports.get(host)
    if report and report.has_foreign_key:
        return remedy_of_foreign_key(host, running.option)
    lost = f"./slip forget {host}{running.option} && ./slip up{running.option}"
    if running.outputs.get("platform") != "local":
        return f"start the machine of {host}; if it is lost for good:\n{lost}"
    from cli.running.engine import ERRORS, connected

    labels = [f"{STACK_LABEL}={running.name}", f"{HOST_LABEL}={host}"]
    try:
        with connected("", timeout=5) as engine:
            found = engine.containers(all=True, filters={"label": labels})
    except ERRORS:
        return "systemctl start docker   # this machine's own Docker Engine does not answer"
    if not found:
        return lost
    command = _COMMANDS.get(found[0]["State"], "start")
    return f"docker {command} {found[0]['Names'][0].removeprefix('/')}"
