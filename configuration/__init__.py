"""The stack's settings: their models, their checks, and their reference. `load.py` is how other packages read them."""
