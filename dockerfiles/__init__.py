"""Reads Dockerfiles and .dockerignore files by Docker's own rules. Imports nothing of Slipway."""
