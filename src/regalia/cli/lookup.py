"""Finding one object by the beginning of its id."""

from regalia.verbs.lookup import by_prefix

__all__ = ["by_prefix"]
