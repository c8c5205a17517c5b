"""Sweeps: many trainings of one pipeline under other settings and seeds, and what they say."""
