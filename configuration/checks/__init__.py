"""Checks of what several settings mean together, and what they mean on this disk. No Pulumi, no network."""
