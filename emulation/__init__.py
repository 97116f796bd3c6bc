"""EC2 on this machine: moto answers the API, and each instance is a container that boots.

A server of its own (`python -m emulation`), not a part of a plugin: whatever speaks EC2's API can use it.
"""
