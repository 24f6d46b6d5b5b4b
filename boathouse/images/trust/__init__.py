"""Whom an image comes from: signatures in cosign's format, verified by public keys."""
