"""Deploys what is pushed: a git remote over SSH, and a receiver of a forge's webhook."""
