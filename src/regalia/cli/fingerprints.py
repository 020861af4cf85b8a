"""What a person compares to know a certificate."""

from regalia.verbs.wording import fingerprints

__all__ = ["fingerprints"]
