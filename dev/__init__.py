"""Programs for work on Slipway."""
