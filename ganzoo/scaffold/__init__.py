"""New plugin projects."""
