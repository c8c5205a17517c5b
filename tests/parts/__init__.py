"""Parts that only the tests install: what later issues will
add, in the smallest working form, each through the hooks alone.
"""
