"""Planning and running: windows and tiles, here or on a cluster."""
