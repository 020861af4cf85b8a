"""What a request asked for beside what its profile, and whoever vouches for it, give: field by field."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from regalia import reasons
from regalia.ca.keycheck import check_key
from regalia.ca.profile import forbidden_extensions, key_usages
from regalia.errors import PeerError
from regalia.model import EnrolmentState
from regalia.verbs.verb import Record
from regalia.verbs.wording import key_text
from regalia.wire import der, oids
from regalia.wire.certificate import read_extended_key_usage, read_key_usage
from regalia.wire.csr import read_csr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import timedelta

    from regalia.model import Enrolment, Names, Profile
    from regalia.wire.certificate import Extension
    from regalia.wire.csr import Csr

__all__ = ["ComparedField", "Part", "Verdict", "compared"]

_DAY = 86_400


class Part(StrEnum):
    """Which part of a certificate a field belongs to."""

    SUBJECT = "subject"
    ALTERNATIVE_NAME = "alternative-name"
    SID = "sid"
    """The extension for a Windows SID."""
    KEY = "key"
    KEY_USAGE = "key-usage"
    EXTENDED_KEY_USAGE = "extended-key-usage"
    VALIDITY = "validity"
    OTHER = "other"
    """What nothing is given for: further extensions and attributes of the request."""


class Verdict(StrEnum):
    """How the two sides of a field compare."""

    SAME = "same"
    ALLOWED = "allowed"
    ADDED = "added"
    """Given without having been asked for."""
    REPLACED = "replaced"
    """Something else is given, and the request was not refused for it."""
    LEFT_OUT = "left-out"
    """Asked for, and not given, which does no harm."""
    DIFFERS = "differs"
    """Something else is given, in a request that was refused."""
    NOT_ALLOWED = "not-allowed"
    NOT_JUDGED = "not-judged"
    """It was refused before anybody said what is given."""


class ComparedField(Record):
    """One field on both sides."""

    part: Part
    kind: Annotated[str, Field(description="Kind of name, as `cn` or `dns`; empty but for names.")] = ""
    given: Annotated[tuple[str, ...], Field(description="What the profile and whoever vouches give.")]
    asked: Annotated[tuple[str, ...], Field(description="What the request asked for.")]
    verdict: Verdict


def compared(enrolment: Enrolment, profile: Profile | None) -> tuple[ComparedField, ...]:
    """Put both sides of every field beside one another; nothing where the profile is not known any more."""
    if profile is None:
        return ()
    try:
        csr = read_csr(enrolment.csr) if enrolment.csr else None
    except PeerError:
        csr = None
    fields = list(_names(enrolment))
    if csr is not None:
        fields += [_key(enrolment, csr, profile), *_usages(csr, profile)]
    fields.append(
        ComparedField(part=Part.VALIDITY, given=tuple(_validity(profile)), asked=(), verdict=Verdict.ADDED),
    )
    return (*fields, *(_others(csr, profile) if csr is not None else ()))


# --- names ----------------------------------------------------------------------------------------------------------

_Kind = tuple[Part, str]


def _names(enrolment: Enrolment) -> Iterator[ComparedField]:
    given, asked = _by_kind(enrolment.allowed), _by_kind(enrolment.asked)
    order = list(Part)
    for part, kind in sorted({**given, **asked}, key=lambda each: order.index(each[0])):
        ours, theirs = given.get((part, kind), ()), asked.get((part, kind), ())
        verdict = _of_names(ours, theirs, enrolment) if given else Verdict.NOT_JUDGED
        yield ComparedField(part=part, kind=kind, given=ours, asked=theirs, verdict=verdict)


def _by_kind(names: Names) -> dict[_Kind, tuple[str, ...]]:
    found: dict[_Kind, list[str]] = {}
    if names.cn is not None:
        found[Part.SUBJECT, "cn"] = [names.cn]
    for keyword, text in names.rdns:
        found.setdefault((Part.SUBJECT, keyword), []).append(text)
    for san in sorted(names.sans):
        found.setdefault((Part.ALTERNATIVE_NAME, san.kind.value), []).append(san.value)
    if names.sid is not None:
        found[Part.SID, "sid"] = [names.sid]
    return {kind: tuple(texts) for kind, texts in found.items()}


def _of_names(given: Sequence[str], asked: Sequence[str], enrolment: Enrolment) -> Verdict:
    if set(asked) <= set(given):
        return Verdict.SAME if set(asked) == set(given) else Verdict.ADDED
    if enrolment.state is EnrolmentState.REFUSED:
        return Verdict.DIFFERS if given else Verdict.NOT_ALLOWED
    return Verdict.REPLACED if given else Verdict.LEFT_OUT


# --- key, usages, validity ------------------------------------------------------------------------------------------


def _key(enrolment: Enrolment, csr: Csr, profile: Profile) -> ComparedField:
    return ComparedField(
        part=Part.KEY,
        given=tuple(_keys(profile)),
        asked=(key_text(csr.public_key),),
        verdict=Verdict.ALLOWED if _may_have(enrolment, csr, profile) else Verdict.NOT_ALLOWED,
    )


def _may_have(enrolment: Enrolment, csr: Csr, profile: Profile) -> bool:
    if enrolment.reason_id in {reasons.KEY_REFUSED.id, reasons.KEY_WEAK.id}:
        return False
    try:
        # Whether its endpoint takes small exponents was said by that reason.
        check_key(csr.public_key, profile, small_exponents=True)
    except PeerError:
        return False
    return True


def _keys(profile: Profile) -> Iterator[str]:
    """Name the keys that a profile allows, as one could ask for them, in no language."""
    if profile.rsa_bits:
        yield from (f"RSA-{bits}" for bits in profile.rsa_bits)
    elif profile.rsa_min_bits:
        yield f"RSA ≥ {profile.rsa_min_bits}"
    yield from (curve.upper() for curve in profile.curves)
    if profile.ed25519:
        yield "Ed25519"
    yield from (name.upper() for name in profile.ml_dsa)


def _usages(csr: Csr, profile: Profile) -> Iterator[ComparedField]:
    wanted = {extension.oid: extension for extension in csr.extensions}
    purposes = tuple(oids.describe(each) for each in profile.extended_key_usage)
    yield _usage(
        Part.KEY_USAGE, key_usages(profile, csr.public_key), wanted.get(oids.CE_KEY_USAGE), read_key_usage, profile
    )
    yield _usage(
        Part.EXTENDED_KEY_USAGE,
        purposes,
        wanted.get(oids.CE_EXT_KEY_USAGE),
        lambda value: tuple(oids.describe(each) for each in read_extended_key_usage(value)),
        profile,
    )


def _usage(
    part: Part,
    given: tuple[str, ...],
    extension: Extension | None,
    read: Callable[[bytes], tuple[str, ...]],
    profile: Profile,
) -> ComparedField:
    asked: tuple[str, ...] = ()
    if extension is not None:
        try:
            asked = read(extension.value)
        except der.DerError:
            asked = ("?",)
    if extension is not None and forbidden_extensions(profile, (extension,))[0]:
        verdict = Verdict.NOT_ALLOWED
    elif set(asked) <= set(given):
        verdict = Verdict.SAME if set(asked) == set(given) else Verdict.ADDED
    else:
        verdict = Verdict.LEFT_OUT
    return ComparedField(part=part, given=given, asked=asked, verdict=verdict)


def _validity(profile: Profile) -> Iterator[str]:
    """Say how long a certificate of a profile is valid at most, in units that are alike in every language."""
    yield f"≤ {_length(profile.validity.duration)}"
    if profile.expiry is not None and profile.expiry.until is not None:
        yield f"≤ {profile.expiry.until:%Y-%m-%d}"


def _length(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    return f"{seconds // _DAY} d" if seconds % _DAY == 0 else f"{seconds // 3600} h"


def _others(csr: Csr, profile: Profile) -> Iterator[ComparedField]:
    usages = {oids.CE_KEY_USAGE, oids.CE_EXT_KEY_USAGE}
    forbidden, dropped = forbidden_extensions(profile, [each for each in csr.extensions if each.oid not in usages])
    if forbidden:
        yield ComparedField(part=Part.OTHER, given=(), asked=forbidden, verdict=Verdict.NOT_ALLOWED)
    if left := (*csr.dropped, *dropped):
        yield ComparedField(part=Part.OTHER, given=(), asked=left, verdict=Verdict.LEFT_OUT)
