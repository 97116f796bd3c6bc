"""Names that are made of several names of the settings, for the program and for the checks of them."""

AUTONAME_LENGTH = 8
"""Characters that Pulumi adds to a container's name: a hyphen and seven hexadecimal digits."""
DNS_LABEL_LENGTH = 63
"""Characters of a container's name that Docker's DNS server resolves at most (RFC 1035)."""


def container(service: str, host: str) -> str:
    """A service's container on a host; the first part of the names of all its resources there."""
    return f"{service}-{host}"


def base_image(service: str) -> str:
    """The repository of a service's own base image, beside the repository with the service's name."""
    return f"{service}-base"
