"""A plugin made for a ganzoo that never was."""

raise RuntimeError("needs ganzoo 99\nand a better world")
