"""Lints a sample of what was issued with pkilint in full: a second opinion on the native lint of every leaf (R8)."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from regalia import reasons
from regalia.ca.lint import lint_full
from regalia.errors import AdminError
from regalia.jobs.loop import Scope
from regalia.model import CertificateKind
from regalia.ports import CertificateFilter

if TYPE_CHECKING:
    from datetime import datetime

    from regalia.ports import Certificates

__all__ = ["LintSample"]

SAMPLE = 20
"""At 3 ms each it costs less than one CRL."""


class LintSample:
    """Looks at the newest leaves every hour. A finding is the job's failure: `doctor` and the log show it."""

    name = "lint-sample"
    every = timedelta(hours=1)
    scope = Scope.CLUSTER

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates

    def run(self, now: datetime) -> None:
        """Lint them. Raises `AdminError` CA-001 with every finding and its serial."""
        del now
        sample = self._certificates.certificates(CertificateFilter(kind=CertificateKind.LEAF, limit=SAMPLE))
        findings = [
            f"{certificate.serial:x}: {finding}"
            for certificate in sample
            if certificate.der is not None
            for finding in lint_full(certificate.der)
        ]
        if findings:
            raise AdminError(reasons.LINT_REFUSED, "; ".join(findings))
