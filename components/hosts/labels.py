"""Labels of resources on the operator's own engine, which every clone and every stack of this machine shares."""

from pathlib import Path

import pulumi

from well_known import CLONE_LABEL, HOST_LABEL, PROJECT_LABEL, REVIEW_LABEL, STACK_LABEL, STATE_LABEL


def labels(
    state: pulumi.Output[str], host: str | None = None, *, review: int | None = None
) -> dict[str, pulumi.Input[str]]:
    """The labels that distinguish this stack's resources from those of other stacks and other clones.

    Args:
        state: the id of the state, from the operator's key, which is made once per state.
        host: the host that the resource belongs to; None if all hosts share it.
        review: the pull request that the stack is for; None if it is no review environment.
    """
    found: dict[str, pulumi.Input[str]] = {
        PROJECT_LABEL: pulumi.get_project(),
        STACK_LABEL: pulumi.get_stack(),
        STATE_LABEL: state,
        CLONE_LABEL: str(Path.cwd()),
    }
    if host is not None:
        found[HOST_LABEL] = host
    if review is not None:
        found[REVIEW_LABEL] = str(review)
    return found


def keep_labels(opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """The options, with the labels fixed at creation.

    A change of labels replaces the resource: a stack of an older version, or a clone that was moved, would lose its
    hosts. A resource that is replaced for another reason gets the present labels.
    """
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(ignore_changes=["labels"]))
