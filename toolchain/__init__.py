"""Installs what a machine needs for `pulumi up`."""
