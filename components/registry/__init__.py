"""The registry of a stack: its own or an external one."""
