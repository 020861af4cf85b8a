"""Where a key lies, in a few words."""

from regalia.verbs.authority_facts import ELSEWHERE, HERE, custody

__all__ = ["ELSEWHERE", "HERE", "custody"]
