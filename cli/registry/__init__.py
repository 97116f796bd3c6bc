"""The registry's accounts, images and retention, and this machine's login."""
