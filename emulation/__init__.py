"""EC2 on this machine: moto answers the API, and each instance is a container that boots.

It is a server (`python -m emulation`), so any client of EC2's API can use it.
"""
