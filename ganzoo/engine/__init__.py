"""What one update is and how it runs: losses,
penalties on gradients, eager, compiled and captured.
"""
