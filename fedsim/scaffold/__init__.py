"""A package of one's own for a new adversary or attack, written from templates."""

from fedsim.scaffold.writing import TEMPLATES, write_package

__all__ = ["TEMPLATES", "write_package"]
