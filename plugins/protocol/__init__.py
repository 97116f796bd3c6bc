"""Pulumi's provider protocol. Nothing here depends on a particular plugin, or on how a plugin starts."""
