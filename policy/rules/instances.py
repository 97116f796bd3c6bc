"""What an instance tells about itself."""

from collections.abc import Iterator

from policy.resource import UNKNOWN, Resource
from policy.rule import rule


@rule("aws:ec2/instance:Instance")
def instance_metadata_by_token(resource: Resource) -> Iterator[str]:
    """The instance's metadata are given for a token only (IMDSv2), so that no request through an app reads them."""
    if not resource.knows("metadataOptions"):
        return
    options = resource.get("metadataOptions")
    options = options if isinstance(options, dict) else {}
    if options.get("httpEndpoint") != "disabled" and options.get("httpTokens") not in {"required", UNKNOWN}:
        yield "gives its metadata without a token. Set `metadataOptions.httpTokens` to `required`."
