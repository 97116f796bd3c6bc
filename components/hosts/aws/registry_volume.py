"""The volume of the registry's data."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


def refuse_shrinking(args: pulumi.ResourceHookArgs) -> None:
    """Refuse to shrink a volume, which EC2 cannot do: a hook of an update and of its preview.

    Raises:
        pulumi.RunError: names the setting and the volume's size.

    """
    old, new = ((inputs or {}).get("size") for inputs in (args.old_inputs, args.new_inputs))
    if old is not None and new is not None and new < old:
        raise pulumi.RunError(
            f"slipway:registry.dataSize = {int(new)}: the volume has {int(old)} GiB, and no volume gets smaller. "
            f"Set {int(old)} or more."
        )


@dataclass(frozen=True, kw_only=True)
class RegistryVolumeArgs:
    """What the volume is made from."""

    label: str
    """Its name in AWS's console."""
    zone: pulumi.Input[str]
    """The zone of the registry's host: a volume cannot leave its zone."""
    size_gib: int
    """Its size, GiB."""
    snapshot: str | None
    """The snapshot that a new volume is made from; None for a blank one. Another snapshot makes another volume."""
    protect: bool
    """Whether Pulumi refuses to delete it."""


class RegistryVolume(pulumi.ComponentResource):
    """An encrypted volume that stays when the registry's host is replaced."""

    volume: aws.ebs.Volume
    """The volume."""

    def __init__(
        self, name: str, args: RegistryVolumeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:hosts:RegistryVolume", name, None, opts)
        self.volume = aws.ebs.Volume(
            f"{name}-volume",
            availability_zone=args.zone,
            size=args.size_gib,
            snapshot_id=args.snapshot,
            type="gp3",
            encrypted=True,
            tags={"Name": args.label},
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.protect,
                retain_on_delete=args.protect,
                # EC2 refuses to attach it to a host in another zone. An empty volume would lose the images. One that is
                # made from a snapshot is made in the zone of the host.
                ignore_changes=["availabilityZone"],
                hooks=pulumi.ResourceHookBinding(before_update=[_never_smaller()]),
            ),
        )
        self.register_outputs({"id": self.volume.id})


def _never_smaller() -> pulumi.ResourceHook:
    return pulumi.ResourceHook(
        "volumes-never-shrink", refuse_shrinking, opts=pulumi.ResourceHookOptions(on_dry_run=True)
    )
