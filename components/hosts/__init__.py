"""Platforms: each returns the stack's hosts, as `Host`."""
