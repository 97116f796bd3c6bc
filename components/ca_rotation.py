"""Which generation of an authority a stack has: how a new one takes over while everything runs.

An authority cannot be renewed as a leaf certificate is, since everybody has to trust the new one first. So there is a
new *generation* of it, which takes over in two updates, however often one of them is killed half-way:

1. Everybody trusts both; then the leaf certificates are signed by the new one, which the old one has signed too.
2. Nobody trusts the old one any more, and it is gone.

Where a stack stands between the two it tells in its own outputs, which only an update that ends well writes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.certificates import CertificateAuthority, CertificateAuthorityArgs

READ_PATIENCE = 5.0
"""Seconds that another write of the state may keep us from reading it; one takes some milliseconds."""

AUTHORITIES = ("engine", "registry")
"""Who may drive an engine, and which registry to trust."""


def setting(what: str) -> str:
    """The setting of `slipway:certificates` that tells an authority's generation, and the output of the same name."""
    return f"{what}CaGeneration"


@dataclass(frozen=True)
class Takeover:
    """The generations of one authority that an update deals with."""

    wanted: int
    finished: int | None
    """The one that everybody trusted when an update last ended well. None in a new stack."""

    @property
    def predecessor(self) -> int | None:
        """The generation that is still trusted beside the one that is wanted."""
        return self.finished if self.finished is not None and self.finished < self.wanted else None

    def mistake(self, what: str) -> str:
        """What is wrong with the generation that is wanted, and what to write instead; empty if nothing is."""
        if self.finished is None or self.finished <= self.wanted <= self.finished + 1:
            return ""
        path = f"slipway:certificates.{setting(what)} = {self.wanted}"
        if self.wanted < self.finished:
            return (
                f"{path}: lower than {self.finished}, which this stack has, and its authority before that is gone. "
                f"Set {self.finished}, or {self.finished + 1} for a new one."
            )
        return (
            f"{path}: this stack has {self.finished}, and hosts can follow one step at a time. "
            f"Set {self.finished + 1}, run `./slip up` twice, and go on from there."
        )


def takeovers(wanted: Mapping[str, int], outputs: Mapping[str, object]) -> dict[str, Takeover]:
    """What an update does with each authority.

    Args:
        wanted: the generation of each, as configured.
        outputs: the stack's, as the last update that ended well left them; none in a new stack.

    Raises:
        pulumi.RunError: one, which tells every generation that cannot be reached.
    """
    found = {what: Takeover(wanted[what], _finished(outputs, what)) for what in AUTHORITIES}
    if mistakes := [mistake for what, takeover in found.items() if (mistake := takeover.mistake(what))]:
        raise pulumi.RunError(
            f"stack {pulumi.get_stack()} cannot get there; nothing was touched:\n"
            + "\n".join(f"  {mistake}" for mistake in mistakes)
        )
    return found


def _finished(outputs: Mapping[str, object], what: str) -> int | None:
    if not outputs:
        return None
    known = outputs.get(setting(what))
    # A stack from before there were generations has the first.
    return int(known) if isinstance(known, (int, float)) else 1


def _read_outputs(name: str) -> Any:
    deadline = time.monotonic() + READ_PATIENCE
    while True:
        try:
            return pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name})
        except Exception as error:
            # In a backend of files the engine may be writing the state at this very moment, and not in one step.
            if "failed to load checkpoint" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def own_outputs() -> Mapping[str, object]:
    """This stack's outputs, as the last update that ended well left them."""
    return outputs_of(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")


def outputs_of(name: str) -> Mapping[str, object]:
    """The outputs of a stack by its full name, secret ones in clear text; none if there is no such stack."""
    # What a StackReference asks for, without a resource of its own in every stack's state.
    answer = _read_outputs(name)
    outputs: Mapping[str, object] = (answer.value or {}).get("outputs") or {}
    return outputs


def authority(what: str, takeover: Takeover, validity_hours: int) -> CertificateAuthority:
    """The authority that is wanted, beside its predecessor where it is only just taking over."""

    def generation(number: int, predecessor: CertificateAuthority | None) -> CertificateAuthority:
        suffix = "" if number == 1 else f" {number}"
        return CertificateAuthority(
            f"{what}-ca" + suffix.replace(" ", "-"),
            CertificateAuthorityArgs(
                common_name=f"Slipway {pulumi.get_stack()} {what} CA{suffix}",
                validity_hours=validity_hours,
                predecessor=predecessor,
            ),
        )

    before = None if takeover.predecessor is None else generation(takeover.predecessor, None)
    return generation(takeover.wanted, before)


def reached(
    takeover: Takeover, ca: CertificateAuthority | None, applied: Sequence[pulumi.Output[str | None]]
) -> pulumi.Output[int]:
    """The generation that the stack has once this update has ended well.

    Args:
        takeover: what the update does.
        ca: the authority. None where someone else's does: one of the stack's own would begin anew.
        applied: what was handed to whoever has to know it. An update of chosen targets leaves some as they were.
    """
    if ca is None:
        return pulumi.Output.from_input(takeover.wanted)

    def generation(texts: list[str | None]) -> int:
        certificate, *handed = ((text or "").strip() for text in texts)
        everybody = all(certificate in text for text in handed)
        return takeover.wanted if everybody or takeover.finished is None else takeover.finished

    return pulumi.Output.unsecret(pulumi.Output.all(ca.certificate_pem, *applied).apply(generation))
