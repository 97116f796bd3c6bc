"""Clients for a stack that runs: its hosts, their engines, its registry."""
