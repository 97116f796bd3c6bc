"""Whether an instance runs: asked by instances, and by the volumes attached to them."""

from typing import Any

from plugins.aws.errors import Refused
from plugins.aws.kind import Work
from plugins.protocol.messages import Failure

NOT_FOUND = "InvalidInstanceID.NotFound"


def instance_of(work: Work, instance_id: str) -> dict[str, Any] | None:
    """Return the instance as EC2 describes it; None if EC2 does not know the id (yet, or any more)."""
    try:
        reservations = work("describe_instances", InstanceIds=[instance_id])["Reservations"]
    except Refused as refused:
        if refused.code == NOT_FOUND:
            return None
        raise
    for reservation in reservations:
        for instance in reservation["Instances"]:
            return {**instance, "OwnerId": reservation.get("OwnerId", "")}
    return None


def state_of(work: Work, instance_id: str) -> str:
    """Return the name of an instance's state; empty if EC2 does not know the instance."""
    return str(((instance_of(work, instance_id) or {}).get("State") or {}).get("Name", ""))


def wait_until_running(work: Work, instance_id: str) -> None:
    """Wait until an instance runs; Failure, with EC2's reason, if it ends instead."""

    def running() -> bool:
        instance = instance_of(work, instance_id) or {}
        state = (instance.get("State") or {}).get("Name")
        if state in ("shutting-down", "terminated"):
            reason = (instance.get("StateReason") or {}).get("Message") or instance.get(
                "StateTransitionReason"
            )
            raise Failure(
                f"instance {instance_id} did not start, it is {state}: {reason or 'EC2 gives no reason'}"
            )
        return bool(state == "running")

    work.until(f"instance {instance_id} runs", running)


def stop(work: Work, instance_id: str) -> None:
    """Stop an instance, and wait until it has stopped."""
    work("stop_instances", InstanceIds=[instance_id])
    work.until(f"instance {instance_id} is stopped", lambda: state_of(work, instance_id) == "stopped")
