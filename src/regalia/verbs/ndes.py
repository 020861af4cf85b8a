"""Pages that hand out challenges as Microsoft's NDES does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from regalia import reasons
from regalia.errors import AdminError
from regalia.model import NamesFrom, NdesEncoding, Right
from regalia.ra.ndes_pages import NdesOptions
from regalia.verbs.challenge import ChallengeDoubt
from regalia.verbs.fields import Name, Secret, is_empty
from regalia.verbs.finding import found_endpoint, seen_endpoints
from regalia.verbs.verb import Asked, Desk, Record, Time, Verb

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regalia.model import Endpoint, NdesPage

__all__ = [
    "CLOSE",
    "SET",
    "VERBS",
    "ClosePage",
    "NdesClosed",
    "NdesRecord",
    "NdesSet",
    "SetPage",
    "ndes_fields",
]

_Network = Annotated[str, Field(max_length=64, examples=["192.0.2.0/24"])]
_MOST = 1_000_000_000


class ClosePage(Asked):
    """Whose page."""

    name: Annotated[Name, Field(description="Name of the endpoint.")]


class SetPage(ClosePage):
    """What is to be set; what is not given stays as it is, or as it is at first."""

    user: Annotated[str | None, Field(max_length=64, description="Whom the MDM logs in as.")] = None
    password: Annotated[Secret | None, Field(repr=False, description="14 to 128 characters; kept as a hash.")] = None
    digits: Annotated[
        int | None, Field(ge=0, le=_MOST, description="Hexadecimal digits of a challenge; 32 at first.")
    ] = None
    acknowledge_short: Annotated[
        bool, Field(description="Yes, fewer than 32 digits are fewer than 128 random bits.")
    ] = False
    encoding: Annotated[NdesEncoding | None, Field(description="How the page is encoded; utf-16le at first.")] = None
    cache: Annotated[
        int | None, Field(ge=0, le=_MOST, description="Challenges open at a time; 0, as at first, for any number.")
    ] = None
    rate: Annotated[int | None, Field(ge=0, le=_MOST, description="Challenges in 60 seconds; 300 at first.")] = None
    networks: Annotated[
        tuple[_Network, ...] | None,
        Field(max_length=100, description="From where it may be asked; `any` alone takes the list away."),
    ] = None
    certsrv: Annotated[bool | None, Field(description="Serve Microsoft's own paths below /certsrv, too.")] = None
    allow_binding: Annotated[
        bool | None, Field(description="Let the page's URL name device, cn, dns, email, uri and ip.")
    ] = None


class NdesRecord(Record):
    """A page, without what is secret of it."""

    endpoint: str
    page: Annotated[str, Field(description="Its path, or its two: below which host, the network decides.")]
    user: str
    digits: int
    encoding: NdesEncoding
    cache: int
    rate: int
    networks: tuple[str, ...]
    certsrv: bool
    allow_binding: bool
    changed_at: Time


class NdesSet(NdesRecord):
    """A page as it is now."""

    doubts: Annotated[
        tuple[ChallengeDoubt, ...],
        Field(exclude_if=is_empty, description="What is to be known of the challenges that it hands out; or left out."),
    ] = ()


class NdesClosed(Record):
    """An endpoint without a page."""

    endpoint: str
    page: None


def set_page(desk: Desk, asked: SetPage) -> NdesSet:
    """Open or change the page.

    Raises `AdminError`: ADM-003 another endpoint has /certsrv, ADM-004 no such endpoint, or none with one-time
    challenges, ADM-013 fewer than 32 digits and nobody acknowledged that, ADM-018 a value that cannot be, NDES-020 a
    password that is too short or too simple.
    """
    endpoint = found_endpoint(desk, asked.name)
    try:
        page = desk.services.ndes_pages.set(
            endpoint.name, _options(asked), actor=desk.actor, acknowledged=asked.acknowledge_short
        )
    except AdminError as error:
        raise _seen(desk, error) from None
    return NdesSet(**ndes_fields(page), doubts=tuple(_doubts(desk, endpoint, page)))


def plan_page(desk: Desk, asked: SetPage) -> tuple[str, ...]:
    """Say what is opened to whom."""
    endpoint = found_endpoint(desk, asked.name)
    try:
        page = desk.services.ndes_pages.check(endpoint.name, _options(asked), acknowledged=asked.acknowledge_short)
    except AdminError as error:
        raise _seen(desk, error) from None
    return (f"open the page {_paths(page)} for {page.user}",)


def close_page(desk: Desk, asked: ClosePage) -> NdesClosed:
    """Close the page; challenges that it handed out stay good. Raises `AdminError` ADM-004 where there is none."""
    endpoint = found_endpoint(desk, asked.name)
    desk.services.ndes_pages.remove(endpoint.name, actor=desk.actor)
    return NdesClosed(endpoint=endpoint.name, page=None)


def plan_closing(desk: Desk, asked: ClosePage) -> tuple[str, ...]:
    """Say who gets no challenge any more."""
    page = desk.services.store.ndes_page(found_endpoint(desk, asked.name).name)
    if page is None:
        raise AdminError(reasons.NOT_FOUND, f"endpoint {asked.name} has no NDES page")
    return (f"close the page {_paths(page)}: no MDM gets a challenge there any more; those handed out stay good",)


def ndes_fields(page: NdesPage) -> dict[str, Any]:
    """Say what a page is."""
    return {
        "endpoint": page.endpoint,
        "page": _paths(page),
        "user": page.user,
        "digits": page.digits,
        "encoding": page.encoding,
        "cache": page.cache,
        "rate": page.per_minute,
        "networks": page.networks,
        "certsrv": page.certsrv,
        "allow_binding": page.allow_binding,
        "changed_at": page.changed_at,
    }


def _options(asked: SetPage) -> NdesOptions:
    return NdesOptions(
        user=asked.user,
        password=asked.password,
        digits=asked.digits,
        encoding=asked.encoding,
        cache=asked.cache,
        per_minute=asked.rate,
        networks=asked.networks or None,
        certsrv=asked.certsrv,
        allow_binding=asked.allow_binding,
    )


def _seen(desk: Desk, error: AdminError) -> AdminError:
    """Tell who has /certsrv only to somebody who sees that endpoint (AUTHZ-4)."""
    if error.reason is not reasons.NAME_TAKEN or desk.services.store.certsrv_endpoint() in seen_endpoints(desk):
        return error
    return AdminError(reasons.NAME_TAKEN, "/certsrv leads to another endpoint")


def _paths(page: NdesPage) -> str:
    """Name the page by its path: which host and port lead there over TLS, the network around us decides."""
    return f"/mscep_admin/{page.endpoint}" + (" and /certsrv/mscep_admin/" if page.certsrv else "")


def _doubts(desk: Desk, endpoint: Endpoint, page: NdesPage) -> Iterator[ChallengeDoubt]:
    if page.allow_binding:
        return
    profile = desk.services.store.profile(endpoint.profile)
    from_csr = profile is not None and profile.names_from is NamesFrom.CSR
    yield ChallengeDoubt.NAMED_BY_DEVICE if from_csr else ChallengeDoubt.NAMED_BY_SERVER


SET = Verb(
    "endpoint.ndes-page",
    "POST",
    "/endpoints/{name}/ndes-page",
    Right.ARRANGE,
    SetPage,
    NdesSet,
    set_page,
    "Open or change the page where an MDM fetches one-time challenges. What is not given stays as it is.",
    plan=plan_page,
    secret=True,
)
CLOSE = Verb(
    "endpoint.ndes-page-off",
    "DELETE",
    "/endpoints/{name}/ndes-page",
    Right.ARRANGE,
    ClosePage,
    NdesClosed,
    close_page,
    "Close the page of an endpoint.",
    plan=plan_closing,
)

VERBS = (SET, CLOSE)
