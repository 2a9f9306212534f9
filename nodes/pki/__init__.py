"""Certificates towards the cloud: the authority at its side, the credentials at a device's (specs/10-key-life-cycle.md)."""
