"""Measures updates, compared with a plain script and an empty program. `make bench` runs it."""
