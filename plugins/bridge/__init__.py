"""What Pulumi's bridge to Terraform's providers does. The official pulumi-docker and pulumi-aws are built on it.

`schema` describes a resource's properties in a table. With this table `inputs` checks and completes inputs, `state`
plans and writes the state, and `differences` finds changes and replacements.
"""
