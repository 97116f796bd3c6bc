"""What Pulumi's bridge does with any of Terraform's providers: pulumi-docker and pulumi-aws are both made with it.

`schema` is the language in which a resource's properties are described; from such a table `inputs` checks and
completes, `state` plans and writes down, and `differences` says what a change means.
"""
