"""CA rotation: how a new generation of a certificate authority replaces the old one while everything runs.

A CA cannot be renewed as a leaf certificate is, since every host must trust the new CA first. So a CA has
*generations*, and a new generation replaces the old one in two updates, however often one of them is killed:

1. Every host trusts both CAs; then the new CA signs the leaf certificates. The old CA cross-signs the new one.
2. Every host trusts the new CA only; the old CA is deleted.

The engine CA signs the engines' certificates and their clients'; the registry CA signs the registry's; the services CA
signs those of services with `tls: own`, so that nobody who trusts the registry trusts a web site with it.

The stack's own outputs say which of the two updates comes next, since only a successful update writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.certificates import Authority, CertificateAuthority, CertificateAuthorityArgs


def setting(ca: str) -> str:
    """The setting of `slipway:certificates` for a CA's generation; the output has the same name."""
    return f"{ca}CaGeneration"


@dataclass(frozen=True)
class Rotation:
    """The generations of one CA in an update."""

    desired: int
    finished: int | None
    """The generation that every host trusted at the end of the last successful update; None in a new stack."""

    @property
    def predecessor(self) -> int | None:
        """The old generation, while it is still trusted beside the desired one."""
        return self.finished if self.finished is not None and self.finished < self.desired else None

    def mistake(self, ca: str) -> str:
        """Why the desired generation is refused, and what to set instead; empty if it is accepted."""
        if self.finished is None or self.finished <= self.desired <= self.finished + 1:
            return ""
        path = f"slipway:certificates.{setting(ca)} = {self.desired}"
        if self.desired < self.finished:
            return (
                f"{path}: lower than {self.finished}, the stack's present generation; older CAs are deleted. "
                f"Set {self.finished}, or {self.finished + 1} for a new one."
            )
        return (
            f"{path}: this stack has {self.finished}, and hosts can follow one step at a time. "
            f"Set {self.finished + 1}, run `./slip up` twice, and then set the next one."
        )


def rotations(desired: Mapping[str, int], previous_outputs: Mapping[str, object]) -> dict[str, Rotation]:
    """The rotation of each CA in this update.

    Args:
        desired: each CA's configured generation.
        previous_outputs: the stack's outputs of the last successful update; empty in a new stack.

    Raises:
        pulumi.RunError: lists every generation that a rotation cannot reach from the present one.
    """
    found = {ca: Rotation(wanted, _finished(previous_outputs, ca)) for ca, wanted in desired.items()}
    if mistakes := [mistake for ca, rotation in found.items() if (mistake := rotation.mistake(ca))]:
        raise pulumi.RunError(
            f"stack {pulumi.get_stack()} cannot rotate its CAs like this; nothing was changed:\n"
            + "\n".join(f"  {mistake}" for mistake in mistakes)
        )
    return found


def _finished(previous_outputs: Mapping[str, object], ca: str) -> int | None:
    if not previous_outputs or (ca == "services" and not previous_outputs.get("servicesCaCertificate")):
        return None  # no service had a certificate of it
    known = previous_outputs.get(setting(ca))
    # Versions of Slipway without generations had the first one.
    return int(known) if isinstance(known, (int, float)) else 1


def make_authority(ca: str, rotation: Rotation, validity_hours: int) -> CertificateAuthority:
    """The CA of the desired generation; during a rotation its predecessor, too."""

    def generation(number: int, predecessor: CertificateAuthority | None) -> CertificateAuthority:
        suffix = "" if number == 1 else f" {number}"
        return CertificateAuthority(
            f"{ca}-ca" + suffix.replace(" ", "-"),
            CertificateAuthorityArgs(
                common_name=f"Slipway {pulumi.get_stack()} {ca} CA{suffix}",
                validity_hours=validity_hours,
                predecessor=predecessor,
            ),
        )

    predecessor = None if rotation.predecessor is None else generation(rotation.predecessor, None)
    return generation(rotation.desired, predecessor)


def reached(
    rotation: Rotation, ca: Authority | None, applied: Sequence[pulumi.Output[str | None]]
) -> pulumi.Output[int]:
    """The generation to export at the end of this update.

    Args:
        rotation: the CA's rotation in this update.
        ca: the CA; None for an external registry, whose CA is not the stack's.
        applied: the texts that set up each client and server of the CA. An update with `--target` skips some.
    """
    if ca is None:
        return pulumi.Output.from_input(rotation.desired)

    def generation(texts: list[str | None]) -> int:
        certificate, *others = ((text or "").strip() for text in texts)
        complete = all(certificate in text for text in others)
        return rotation.desired if complete or rotation.finished is None else rotation.finished

    return pulumi.Output.unsecret(pulumi.Output.all(ca.certificate_pem, *applied).apply(generation))
