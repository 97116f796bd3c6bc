"""Certificates that an authority signs by ACME (RFC 8555)."""
