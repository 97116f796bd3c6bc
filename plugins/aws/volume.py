"""Disks: ebs.Volume and ec2.VolumeAttachment."""

import zlib
from typing import Any

from plugins.aws.errors import Refused
from plugins.aws.kind import ARN, ARN_PATTERN, REGION, TAGS, Kind, Work, forced, minutes, output, tags_of
from plugins.aws.running import instance_of, stop, wait_until_running
from plugins.bridge.schema import Attribute, Schema, State
from plugins.protocol.messages import Failure


def _create(work: Work) -> str:
    new = work.new
    made = work(
        "create_volume",
        AvailabilityZone=new["availabilityZone"],
        Encrypted=new["encrypted"],
        Iops=new["iops"],
        KmsKeyId=new["kmsKeyId"],
        MultiAttachEnabled=new["multiAttachEnabled"],
        Size=new["size"],
        SnapshotId=new["snapshotId"],
        Throughput=new["throughput"],
        VolumeType=new["type"],
        TagSpecifications=work.tagged("volume"),
    )
    return str(made["VolumeId"])


def _volume(work: Work, volume_id: str) -> dict[str, Any] | None:
    try:
        return work.one("describe_volumes", "Volumes", VolumeIds=[volume_id])
    except Refused as refused:
        if refused.code == "InvalidVolume.NotFound":
            return None
        raise


def _settle(work: Work) -> None:
    if not work.is_new:
        return

    def ready() -> bool:
        state = (_volume(work, work.id) or {}).get("State")
        if state == "error":
            raise Failure(
                f"volume {work.id} could not be created: its state is `error`. Is its KMS key accessible?"
            )
        return state in ("available", "in-use")

    work.until(f"volume {work.id} is available", ready)


def _observe(work: Work) -> State | None:
    volume = _volume(work, work.id)
    if volume is None or volume["State"] in ("deleting", "deleted"):
        return None
    created = volume.get("CreateTime")
    return {
        **tags_of(volume),
        "arn": work.arn(f"volume/{work.id}"),
        "availabilityZone": volume["AvailabilityZone"],
        "createTime": created.strftime("%Y-%m-%dT%H:%M:%SZ") if created else None,
        "encrypted": bool(volume.get("Encrypted")),
        "iops": volume.get("Iops") or 0,
        "kmsKeyId": volume.get("KmsKeyId") or "",
        "multiAttachEnabled": bool(volume.get("MultiAttachEnabled")),
        "size": volume["Size"],
        "snapshotId": volume.get("SnapshotId") or "",
        "throughput": volume.get("Throughput") or 0,
        "type": volume["VolumeType"],
    }


def _update(work: Work) -> None:
    changes = {
        key: work.new[name]
        for name, key in (
            ("size", "Size"),
            ("type", "VolumeType"),
            ("iops", "Iops"),
            ("throughput", "Throughput"),
        )
        if work.has_changed(name) and work.new[name]
    }
    if changes:
        work("modify_volume", VolumeId=work.id, **changes)
        wait_for_modification(work, work.id)


def wait_for_modification(work: Work, volume_id: str) -> None:
    """Wait until the new size and type of a volume can be used; EC2 goes on optimizing the volume after that."""

    def done() -> bool:
        try:
            found = work("describe_volumes_modifications", VolumeIds=[volume_id])["VolumesModifications"]
        except Refused as refused:
            if refused.code == "InvalidVolumeModification.NotFound":
                return True
            raise
        latest: dict[str, Any] = max(found, key=lambda each: str(each.get("StartTime", "")), default={})
        if latest.get("ModificationState") == "failed":
            raise Failure(
                f"volume {volume_id} could not be changed: {latest.get('StatusMessage') or 'EC2 gives no reason'}"
            )
        return latest.get("ModificationState") in ("optimizing", "completed", None)

    work.until(f"volume {volume_id} is changed", done)


def _delete(work: Work) -> None:
    work("delete_volume", VolumeId=work.id)


def _removed(work: Work) -> None:
    work.until(
        f"volume {work.id} is deleted",
        lambda: (_volume(work, work.id) or {}).get("State", "deleted") == "deleted",
    )


VOLUME = Kind(
    pulumi_type="aws:ebs/volume:Volume",
    schema=Schema(
        timeouts=minutes(create=5, delete=10, update=5),
        attributes={
            **(ARN | REGION | TAGS),
            "availabilityZone": forced(required=True),
            "createTime": output(),
            "encrypted": forced("boolean", computed=True),
            "finalSnapshot": Attribute("boolean", supported=False),
            "iops": Attribute("integer", computed=True),
            "kmsKeyId": forced(computed=True, pattern=ARN_PATTERN),
            "multiAttachEnabled": forced("boolean"),
            "size": Attribute("integer", computed=True, minimum=1),
            "snapshotId": forced(computed=True),
            "throughput": Attribute("integer", computed=True, minimum=125, maximum=1000),
            "type": Attribute(computed=True),
        },
    ),
    create=_create,
    settle=_settle,
    observe=_observe,
    update=_update,
    delete=_delete,
    removed=_removed,
    gone=("InvalidVolume.NotFound",),
    # The volume is still being detached.
    busy=("VolumeInUse",),
)


def _attach(work: Work) -> str:
    device, instance, volume = work.new["deviceName"], work.new["instanceId"], work.new["volumeId"]
    now = _attachment(work)
    if now is None:
        wait_until_running(work, instance)
        work.until(f"volume {volume} is free", lambda: not _being_detached(work, volume))
        work("attach_volume", Device=device, InstanceId=instance, VolumeId=volume)
    # Terraform's id, made from the three names.
    return f"vai-{zlib.crc32(f'{device}-{instance}-{volume}-'.encode())}"


def _being_detached(work: Work, volume: str) -> bool:
    """Say whether an instance is detaching a volume, or shutting down, which detaches it.

    If an instance keeps the volume, EC2 refuses the next call.
    """
    for attachment in (_volume(work, volume) or {}).get("Attachments") or []:
        instance = instance_of(work, attachment["InstanceId"]) or {}
        state = (instance.get("State") or {}).get("Name")
        if attachment.get("State") == "detaching" or state == "shutting-down":
            return True
    return False


def _attachment(work: Work) -> dict[str, Any] | None:
    volume = _volume(work, work.new["volumeId"]) or {}
    for attachment in volume.get("Attachments") or []:
        if attachment["InstanceId"] == work.new["instanceId"] and attachment.get("State") != "detached":
            return dict(attachment)
    return None


def _settle_attachment(work: Work) -> None:
    def attached() -> bool:
        return (_attachment(work) or {}).get("State") == "attached"

    if work.is_new:
        work.until(f"volume {work.new['volumeId']} is attached to {work.new['instanceId']}", attached)


def _observe_attachment(work: Work) -> State | None:
    attachment = _attachment(work)
    if attachment is None or attachment.get("State") == "detaching":
        return None
    return {
        "deviceName": attachment["Device"],
        "instanceId": attachment["InstanceId"],
        "volumeId": attachment["VolumeId"],
    }


def _detach(work: Work) -> None:
    attachment = _attachment(work)
    if work.new.get("skipDestroy") or attachment is None:
        return
    instance, volume = work.new["instanceId"], work.new["volumeId"]
    if work.new.get("stopInstanceBeforeDetaching"):
        stop(work, instance)
    if attachment.get("State") != "detaching":
        work(
            "detach_volume",
            Device=attachment["Device"],
            Force=bool(work.new.get("forceDetach")),
            InstanceId=instance,
            VolumeId=volume,
        )
    work.until(f"volume {volume} is detached from {instance}", lambda: _attachment(work) is None)


VOLUME_ATTACHMENT = Kind(
    pulumi_type="aws:ec2/volumeAttachment:VolumeAttachment",
    schema=Schema(
        timeouts=minutes(create=5, delete=5),
        attributes={
            **REGION,
            "deviceName": forced(required=True),
            "forceDetach": Attribute("boolean"),
            "instanceId": forced(required=True),
            "skipDestroy": Attribute("boolean"),
            "stopInstanceBeforeDetaching": Attribute("boolean"),
            "volumeId": forced(required=True),
        },
    ),
    create=_attach,
    settle=_settle_attachment,
    observe=_observe_attachment,
    delete=_detach,
    gone=("InvalidVolume.NotFound", "InvalidAttachment.NotFound"),
)

KINDS = (VOLUME, VOLUME_ATTACHMENT)
