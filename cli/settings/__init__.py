"""The settings of a stack, one by one: what they mean, which values are in force, and how they are set."""
