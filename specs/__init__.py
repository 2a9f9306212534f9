"""What are the bytes: declarations only (see specs/README.md)."""
