"""Stand-ins for Pulumi's provider plugins, for machines that cannot download the official ones.

`start` is the program that the Pulumi engine starts, `protocol` speaks the provider protocol, and `bridge` does what
Pulumi's bridge to Terraform's providers does. Each plugin is a package: `tls`, `command`, `aws`, `docker`. README.md
says what they support.
"""
