"""The device listener: SCEP, NDES, CRL, OCSP, CA certificates, hooks, health; and no administration (WEB-8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route, Router

from regalia.web.answers import NOT_FOUND, READING_ONLY, URL_OCTETS, URL_TOO_LONG
from regalia.web.ca_certificates import CaCertificatesFace
from regalia.web.crl import CrlFace
from regalia.web.edge import Edge
from regalia.web.health import ALIVE, ReadyFace
from regalia.web.hooks import HOOKS, HooksFace
from regalia.web.ndes import NdesFace, is_ndes_path
from regalia.web.ocsp import OcspFace
from regalia.web.scep import ScepFace, ScepLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from regalia.ca.status import OcspResponder
    from regalia.ports import Catalogue, Clock, CrlFiles
    from regalia.ra.hooks import HookDesk
    from regalia.ra.ndes import NdesService
    from regalia.ra.scep import ScepService
    from regalia.web.ca_certificates import CaCertificatesStore
    from regalia.web.health import Readiness
    from regalia.web.metrics import Metrics
    from regalia.web.pool import Pools

__all__ = ["device_app"]


def device_app(  # noqa: PLR0913 - one for each service
    *,
    scep: ScepService,
    doors: Catalogue,
    ocsp: OcspResponder,
    authorities: CaCertificatesStore,
    crl_files: CrlFiles,
    readiness: Readiness,
    pools: Pools,
    metrics: Metrics,
    clock: Clock,
    limits: ScepLimits | None = None,
    ndes: NdesService | None = None,
    hooks: HookDesk | None = None,
) -> ASGIApp:
    """Put the faces together. The services are those of `app.App`; the limits are R7's where none are given.

    Without `ndes` or `hooks` there is nothing at their paths.
    """
    scep_face = ScepFace(
        service=scep, doors=doors, pool=pools.enrolment, limits=limits or ScepLimits(), metrics=metrics
    )
    ocsp_face = OcspFace(ocsp, pools.status, metrics, clock)
    ca_certificates = CaCertificatesFace(authorities, pools.status)
    ca_certificates.learn()
    rest = Router(
        [
            Route("/crl/{file}", CrlFace(crl_files, pools.files)),
            Route("/ca/{file}", ca_certificates),
            Route("/healthz", _Reading(ALIVE)),
            Route("/readyz", _Reading(ReadyFace(readiness, pools.status))),
        ],
        redirect_slashes=False,
        default=NOT_FOUND,
    )
    ndes_face = NdesFace(ndes, scep_face, pools.enrolment) if ndes is not None else NOT_FOUND
    hooks_face = HooksFace(hooks, pools.enrolment) if hooks is not None else NOT_FOUND
    return Edge(_Device(scep_face, ocsp_face, ndes_face, hooks_face, rest), "device", metrics, ocsp_face.from_memory)


class _Device:
    """Chooses by the first part of the path. OCSP comes before the router: most of its answers cost less than that."""

    def __init__(self, scep: ASGIApp, ocsp: ASGIApp, ndes: ASGIApp, hooks: ASGIApp, rest: ASGIApp) -> None:
        self._scep = scep
        self._ocsp = ocsp
        self._ndes = ndes
        self._hooks = hooks
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path.startswith("/scep/"):
            await self._scep(scope, receive, send)
        elif is_ndes_path(path):
            await self._ndes(scope, receive, send)
        elif len(scope["raw_path"]) + len(scope["query_string"]) > URL_OCTETS:
            await URL_TOO_LONG(scope, receive, send)
        elif path.startswith("/ocsp/"):
            await self._ocsp(scope, receive, send)
        elif path.startswith(HOOKS):
            await self._hooks(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class _Reading:
    """Lets GET and HEAD through."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if scope["method"] in {"GET", "HEAD"} else READING_ONLY
        await app(scope, receive, send)
