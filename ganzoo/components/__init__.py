"""What components are and where they come from: hooks,
options, the registry, loading plugins, the catalogue.
"""
