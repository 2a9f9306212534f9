"""Certificates between devices and cloud: the authority, a device's credentials (specs/10-key-life-cycle.md)."""
