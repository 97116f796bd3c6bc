"""The registry's accounts and images, for the people who use it."""
