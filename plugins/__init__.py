"""Stand-ins for Pulumi's provider plugins, for machines that cannot download the official ones.

`host` speaks the provider protocol, `main` is the program that the Pulumi engine starts, and each plugin is a
module (or package) of its own: `tls`, `command`, `aws`, `docker`.  README.md says what they do and refuse.
"""
