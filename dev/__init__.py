"""What those who work on Slipway run."""
