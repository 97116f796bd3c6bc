"""A stack: its configuration, its state, and the Pulumi CLI that works on it."""
