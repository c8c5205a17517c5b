"""What a metric found, under which protocol, and how it is found."""

from .records import Figure, Score, differs, text_of

__all__ = ["Figure", "Score", "differs", "text_of"]
