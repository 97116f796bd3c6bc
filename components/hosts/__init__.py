"""Platforms: each gives the stack's hosts, as `Host`, from one file."""

from components.host import Host

__all__ = ["Host"]
