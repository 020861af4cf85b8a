"""Public keys in a word."""

from regalia.verbs.wording import key_text

__all__ = ["key_text"]
