"""What several tests need, and programs whose output is committed."""
