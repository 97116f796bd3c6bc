"""The component resources that make up Slipway's line, one noun a file."""
