"""What depends on what is about to end: how many devices, in words."""

from regalia.verbs.authority_facts import counted

__all__ = ["counted"]
