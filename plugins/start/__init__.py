"""How a plugin process starts."""
