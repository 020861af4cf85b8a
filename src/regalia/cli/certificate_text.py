"""A certificate in words."""

from regalia.verbs.wording import certificate_text

__all__ = ["certificate_text"]
