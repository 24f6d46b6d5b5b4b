"""Connections of our own process to hosts that users name: which addresses are permitted. Knows no registry and no cloud."""
