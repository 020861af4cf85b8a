"""The one reviewed file of a key ceremony: what it may say, and all that is wrong with it at once."""

from __future__ import annotations

import hashlib
import posixpath
import tomllib
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import KeyKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

__all__ = ["CeremonyPlan", "CrlStep", "CrossStep", "IssuingStep", "RootStep", "read_ceremony"]

_NAME: Final = r"^[a-z][a-z0-9-]{0,39}$"
_URL: Final = r"^https?://[^/\s?#]+/?$"


def _seen(text: str) -> str:
    """Refuse letters that show nothing or turn the others round: witnesses sign for what they see."""
    if not text.isprintable():
        raise ValueError("it has characters that cannot be seen")
    return text


Name = Annotated[str, Field(pattern=_NAME)]
File = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,255}$"), AfterValidator(_seen)]
Url = Annotated[str, Field(pattern=_URL)]
Text = Annotated[str, Field(pattern=r"^\S(?:[^\x00-\x1f\x7f|]{0,62}\S)?$"), AfterValidator(_seen)]
Kind = Annotated[KeyKind, BeforeValidator(lambda text: KeyKind(text) if isinstance(text, str) else text)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RootStep(_Part):
    """A root that is made."""

    name: Name
    key: Kind = KeyKind.P384
    certificate: File
    """Where its certificate goes."""


class IssuingStep(_Part):
    """A request that a root signs."""

    name: Name
    root: Name
    request: File
    """The CSR that was brought."""
    key_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of the key it must be for, told by the machine that made it."""
    url: Url | None = None
    """The system that serves the root's CRL, where the request does not say."""
    days: Annotated[int, Field(ge=1, le=7305)] = 2922
    certificate: File


class CrossStep(_Part):
    """Two roots that certify each other."""

    old: Name
    new: Name
    url: Url
    old_by_new: File
    new_by_old: File


class CrlStep(_Part):
    """A root's CRL."""

    root: Name
    out: File


class CeremonyPlan(_Part):
    """What is done, in this order: roots, issuing authorities, cross-certificates, CRLs, the record."""

    title: Text
    organisation: Text | None = None
    """Stands in the roots' names."""
    witnesses: Annotated[tuple[Text, ...], Field(min_length=2, max_length=9, strict=False)]
    """Who confirms: at least two persons."""
    record: File
    """Where the printable record goes (Markdown)."""
    transcript: File
    """Where a copy of the transcript goes."""
    root: Annotated[tuple[RootStep, ...], Field(strict=False)] = ()
    issuing: Annotated[tuple[IssuingStep, ...], Field(strict=False)] = ()
    cross: Annotated[tuple[CrossStep, ...], Field(strict=False)] = ()
    crl: Annotated[tuple[CrlStep, ...], Field(strict=False)] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All files that are written."""
        crosses = chain.from_iterable((step.old_by_new, step.new_by_old) for step in self.cross)
        made = (*(step.certificate for step in self.root), *(step.certificate for step in self.issuing))
        return (*made, *crosses, *(step.out for step in self.crl), self.record, self.transcript)

    @model_validator(mode="after")
    def _consistent(self) -> CeremonyPlan:
        faults = list(_contradictions(self))
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _contradictions(plan: CeremonyPlan) -> Iterator[str]:
    names = [*(step.name for step in plan.root), *(step.name for step in plan.issuing)]
    yield from (f"the name {name} stands twice" for name in sorted({n for n in names if names.count(n) > 1}))
    files = [posixpath.normpath(name) for name in plan.outputs]
    yield from (f"the file {name} is written twice" for name in sorted({n for n in files if files.count(n) > 1}))
    persons = [person.casefold() for person in plan.witnesses]
    if len(set(persons)) < len(persons):
        yield "a witness stands twice: two persons are needed"
    if not (plan.root or plan.issuing or plan.cross or plan.crl):
        yield "nothing is to be done"
    yield from (f"{step.old} cannot certify itself" for step in plan.cross if step.old == step.new)


def read_ceremony(octets: bytes) -> tuple[CeremonyPlan, str]:
    """Read a ceremony's TOML file; return it and the file's SHA-256. Raises `AdminError` ADM-034 with all faults."""
    try:
        document = tomllib.loads(octets.decode("utf-8"))
        return CeremonyPlan.model_validate(document), hashlib.sha256(octets).hexdigest()
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AdminError(reasons.CEREMONY_REFUSED, f"it is not TOML: {error}") from error
    except ValidationError as error:
        told = "\n".join(map(_in_words, error.errors(include_url=False)))
        raise AdminError(reasons.CEREMONY_REFUSED, told) from None


def _in_words(fault: ErrorDetails) -> str:
    place = ".".join(str(part + 1 if isinstance(part, int) else part) for part in fault["loc"])
    told = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {told}" if place else told
