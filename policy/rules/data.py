"""Data that nobody can make again."""

from collections.abc import Iterator

from policy.resource import Resource
from policy.rule import rule
from well_known import DEPLOYED_LABEL, HOST_LABEL, SERVED_LABEL, SERVING_LABEL

MARKS = frozenset({DEPLOYED_LABEL, SERVED_LABEL, SERVING_LABEL})
"""On volumes without data, which only mark what is in use."""


@rule("aws:ebs/volume:Volume")
def protected_data(resource: Resource) -> Iterator[str]:
    """A protected volume on AWS also stays when it is taken out of the program, or replaced."""
    if resource.protect and resource.retain is False:
        yield "is protected, but goes when its resource is replaced. Set `retain_on_delete`, too."


@rule("docker:index/volume:Volume")
def kept_data(resource: Resource) -> Iterator[str]:
    """A volume with data of its own stays when its resource goes. The disk of a local host belongs to that host."""
    if not resource.knows("labels"):
        return
    is_disk = HOST_LABEL in resource.labels and resource.name.endswith("-docker")
    is_mark = bool(MARKS & resource.labels.keys())
    if resource.retain is False and not (resource.protect or is_disk or is_mark):
        yield "goes with its resource, and its data with it. Set `retain_on_delete` or `protect`."
