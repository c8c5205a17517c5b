"""How fast a pipeline trains on this machine."""
