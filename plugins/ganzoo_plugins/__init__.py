"""ganzoo's own plugins, a folder each; those of others are packages of their own."""
