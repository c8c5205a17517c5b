"""What runs and their generators are worth: scores, comparisons, and what ails a run."""
