"""What a machine needs before `pulumi up` can run, and how it gets there."""
