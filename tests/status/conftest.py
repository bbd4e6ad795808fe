"""A results tree in the test's own folder."""

from ..made_up_tree import make_tree

__all__ = ["make_tree"]
