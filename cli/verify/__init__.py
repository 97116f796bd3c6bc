"""`slip verify`: checks of a running stack."""
