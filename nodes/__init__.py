"""Who says the bytes, and over what: trio actors, carriers, stores."""
