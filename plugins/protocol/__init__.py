"""Pulumi's plugin protocol, without a word about any one plugin."""
