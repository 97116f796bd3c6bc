"""More stacks: a new one, and a list of all."""
