"""Measures what an update costs, against a plain script and an empty program. `make bench` runs it."""
