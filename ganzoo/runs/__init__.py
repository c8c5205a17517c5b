"""The runs that there are: listed, compared, and what ails them."""
