"""`regalia ca ceremony` and `ca transcript`: keys made before witnesses, as one reviewed file says."""

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regalia import reasons
from regalia.ca.ceremony_file import CeremonyPlan, read_ceremony
from regalia.ca.sign_request import read_wish
from regalia.ca.urls import Urls
from regalia.cli.authorities import found_authority
from regalia.cli.ca_create import make_root_home
from regalia.cli.ceremony_record import Outcome, Step, record_of
from regalia.cli.context import administrator, opened
from regalia.cli.files import certificates_pem, crl_pem, read_file, write_new
from regalia.cli.options import DryRun, Home, Json, RootKey, examples
from regalia.cli.output import note, print_json, print_record, print_table, say
from regalia.cli.publish import publish
from regalia.config import CONFIG_FILE, find_home
from regalia.errors import AdminError
from regalia.model import Action, EventDraft
from regalia.model import Outcome as EventOutcome
from regalia.store.transcript_file import TRANSCRIPT_FILE, append_lines, transcript_of

if TYPE_CHECKING:
    from regalia.app import App
    from regalia.ca.sign_request import Wish

__all__ = ["CEREMONY_EXAMPLES", "TRANSCRIPT_EXAMPLES", "ceremony", "transcript"]

CEREMONY_EXAMPLES = examples(
    "ca ceremony ceremony.toml --dry-run", "ca ceremony ceremony.toml --home /srv/root --root-key /media/usb"
)
TRANSCRIPT_EXAMPLES = examples("ca transcript", "ca transcript copy-of-a-witness.txt --json")

_MAX_FILE = 1 << 20
_TYPED = 16
"""How many digits of the file's hash are repeated: for eight, a second file with the same is found in minutes."""


def ceremony(
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", readable=False, help="The reviewed file, TOML.", show_default=False)
    ],
    root_key: RootKey = None,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Hold a key ceremony: make roots, sign requests and CRLs as one reviewed file says, before named witnesses.

    A home that is not there yet is made for the first root. Whoever runs it types the beginning of the file's SHA-256,
    each witness their name; all files are new, and a record to be printed and signed is the last of them.
    """
    plan, sha256 = read_ceremony(read_file(file, _MAX_FILE))
    place, base = find_home(named=home), file.resolve().parent
    held = _Held(plan, sha256, base)
    fresh = not (place / CONFIG_FILE).exists()
    if fresh:
        held.check(None)
    else:
        with opened(place, root_key=root_key) as regalia:
            held.check(regalia)
    steps = list(held.told(place if fresh else None))
    if dry_run:
        _tell(plan, sha256, steps, as_json=as_json)
        return
    _tell(plan, sha256, steps, as_json=False)
    _confirm(plan, sha256)
    if fresh:
        first = plan.root[0]
        made = make_root_home(place, first.name, organisation=plan.organisation, key_kind=first.key)
        held.wrote(first.certificate, certificates_pem([made.root.certificate_der]))
        held.done.append(Step("root", first.name, (("certificate SHA-256", _sha256(made.root.certificate_der)),)))
    with opened(place, root_key=root_key) as regalia:
        held.hold(regalia, roots=plan.root[1:] if fresh else plan.root)
        print_record(held.finish(regalia), as_json=as_json)


def _tell(plan: CeremonyPlan, sha256: str, steps: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"title": plan.title, "sha256": sha256, "witnesses": list(plan.witnesses), "would": steps})
        return
    say(f"{plan.title}: this will")
    for step in steps:
        say(f"  {step}")
    say(f"Witnesses: {', '.join(plan.witnesses)}")
    say(f"SHA-256 of the file: {sha256}")


def _confirm(plan: CeremonyPlan, sha256: str) -> None:
    """Have the file's hash repeated and each witness named. Raises `AdminError` ADM-034 where something differs."""
    sys.stdout.flush()  # what is to be confirmed stands above the question, also where both go into one pipe
    asked = str(typer.prompt(f"First {_TYPED} digits of the reviewed file's SHA-256", err=True))
    typed = "".join(asked.split()).lower()
    if typed != sha256[:_TYPED]:
        raise AdminError(
            reasons.CEREMONY_REFUSED, f"{typed or 'nothing'} was typed: this is another file than the one reviewed"
        )
    for witness in plan.witnesses:
        named = str(typer.prompt(f"{witness}: I have compared what is shown; my name", err=True)).strip()
        if named.casefold() != witness.casefold():
            raise AdminError(reasons.CEREMONY_REFUSED, f"{witness} did not confirm: {named or 'nothing'} was typed")
    note(f"Confirmed by {len(plan.witnesses)} witnesses.")


@dataclass(slots=True)
class _Held:
    """One ceremony: its plan, and what was done of it."""

    plan: CeremonyPlan
    sha256: str
    base: Path
    done: list[Step] = field(default_factory=list)
    _wishes: dict[str, "Wish"] = field(default_factory=dict)

    # --- before -----------------------------------------------------------------------------------------------------

    def check(self, regalia: "App | None") -> None:
        """See that all of it can be done. Raises `AdminError` ADM-034 with everything that cannot."""
        faults = [*self._file_faults(), *self._authority_faults(regalia)]
        if faults:
            raise AdminError(reasons.CEREMONY_REFUSED, "\n".join(faults))

    def _file_faults(self) -> Iterator[str]:
        for name in self.plan.outputs:
            path = self.base / name
            if os.path.lexists(path):
                yield f"{path} exists: nothing is written over it"
            elif not path.parent.is_dir():
                yield f"{path.parent} is not a directory"
        for step in self.plan.issuing:
            try:
                wish = self._wish(step.request)
            except AdminError as error:
                yield f"request {step.request}: {error.detail}"
                continue
            if wish.key_sha256 != step.key_sha256:
                yield f"request {step.request} is for the key {wish.key_sha256}, not for the one that was reviewed"
            if step.url is None and (wish.crl is None or wish.issuer is None):
                yield f"request {step.request} does not say where the root's CRL is served, and no url does"

    def _authority_faults(self, regalia: "App | None") -> Iterator[str]:
        known = {} if regalia is None else {one.name: one for one in regalia.store.authorities()}
        made = {step.name for step in self.plan.root}
        for name in sorted(known.keys() & (made | {step.name for step in self.plan.issuing})):
            yield f"an authority {name} is there already"
        if regalia is None and not self.plan.root:
            yield "there is no home yet, and no root is to be made"
        signing = {step.root for step in self.plan.issuing} | {step.root for step in self.plan.crl}
        signing |= {name for step in self.plan.cross for name in (step.old, step.new)}
        for name in sorted(signing - made):
            found = known.get(name)
            if found is None:
                yield f"there is no root {name}, and none is to be made"
            elif regalia is not None and not regalia.keys.holds(found.key_id):
                yield f"the key of {name} is not here: name its medium with --root-key"

    def told(self, new_home: Path | None) -> Iterator[str]:
        """Say each step, as it goes on after "this will"."""
        if new_home is not None:
            yield f"make the home {new_home} with a transcript"
        for root in self.plan.root:
            yield f"make root {root.name} with a key {root.key}, certificate to {root.certificate}"
        for step in self.plan.issuing:
            wish = self._wish(step.request)
            crl, _ = _urls(wish, step.root, step.url)
            yield (
                f"have {step.root} sign {step.request} as {step.name} for {step.days} days, key SHA-256 "
                f"{step.key_sha256}, CRL at {crl}, certificate to {step.certificate}"
            )
        for cross in self.plan.cross:
            yield f"have {cross.old} and {cross.new} certify each other, to {cross.new_by_old} and {cross.old_by_new}"
        for crl_step in self.plan.crl:
            yield f"publish the CRL of {crl_step.root}, to {crl_step.out}"
        yield f"write the record to {self.plan.record} and the transcript to {self.plan.transcript}"

    def _wish(self, request: str) -> "Wish":
        """Read a request once: what the witnesses were shown is what is signed, whatever becomes of the file."""
        if request not in self._wishes:
            self._wishes[request] = read_wish(read_file(self.base / request, _MAX_FILE))
        return self._wishes[request]

    # --- while it is held -------------------------------------------------------------------------------------------

    def wrote(self, name: str, octets: bytes) -> None:
        """Write an output."""
        write_new(self.base / name, octets)

    def hold(self, regalia: "App", roots: "tuple[object, ...]") -> None:
        """Do all steps, in their order."""
        actor = administrator()
        for root in self.plan.root:
            if root not in roots:
                continue
            made = regalia.ceremony.create_root(
                root.name, actor=actor, organisation=self.plan.organisation, key_kind=root.key
            )
            self.wrote(root.certificate, certificates_pem([made.certificate_der]))
            self.done.append(Step("root", root.name, (("certificate SHA-256", _sha256(made.certificate_der)),)))
        for step in self.plan.issuing:
            wish = self._wish(step.request)
            crl, issuer = _urls(wish, step.root, step.url)
            above = found_authority(regalia, step.root)
            signed = regalia.hierarchy.sign(
                step.name, wish, root=above, crl=crl, issuer=issuer, actor=actor, lifetime=timedelta(days=step.days)
            )
            self.wrote(step.certificate, certificates_pem([signed.certificate_der]))
            facts = (("key SHA-256", wish.key_sha256), ("certificate SHA-256", _sha256(signed.certificate_der)))
            self.done.append(Step(f"issuing CA under {step.root}", step.name, facts))
        self._hold_crosses(regalia)
        self._hold_crls(regalia)

    def _hold_crosses(self, regalia: "App") -> None:
        for step in self.plan.cross:
            pair = found_authority(regalia, step.old), found_authority(regalia, step.new)
            urls = Urls(step.url.rstrip("/"))
            for (issuer, other), name in zip((pair, pair[::-1]), (step.new_by_old, step.old_by_new), strict=True):
                der = regalia.hierarchy.cross(issuer, other, actor=administrator(), urls=urls)
                self.wrote(name, certificates_pem([der]))
                facts = (("certificate SHA-256", _sha256(der)),)
                self.done.append(Step(f"cross-certificate by {issuer.name}", other.name, facts))

    def _hold_crls(self, regalia: "App") -> None:
        for step in self.plan.crl:
            publish(regalia, step.root)
            last = regalia.store.last_crl(step.root)
            if last is None:
                raise AdminError(reasons.NOT_FOUND, f"the CRL of {step.root}")
            self.wrote(step.out, crl_pem(b"".join(regalia.store.crl_octets(last))))
            facts = (("number", str(last.number)), ("SHA-256", last.sha256.hex()))
            self.done.append(Step("CRL", step.root, facts))

    # --- afterwards -------------------------------------------------------------------------------------------------

    def finish(self, regalia: "App") -> dict[str, object]:
        """Write transcript, event and record; say where they are."""
        actor, now = administrator(), regalia.clock.now()
        path = regalia.config.home / TRANSCRIPT_FILE
        lines = [f"held the ceremony {self.plan.title}, file SHA-256 {self.sha256}"]
        lines += [f"confirmed by {witness}" for witness in self.plan.witnesses]
        lines += [step.line for step in self.done]
        written = append_lines(path, lines, at=now, who=actor.id)
        event = EventDraft(
            at=now,
            actor=actor,
            action=Action.CEREMONY_HELD,
            object="home",
            outcome=EventOutcome.OK,
            details={
                "title": self.plan.title,
                "file_sha256": self.sha256,
                "witnesses": list(self.plan.witnesses),
                "steps": [step.line for step in self.done],
                "transcript_hash": written[-1].hash,
            },
        )
        regalia.store.record((event,))
        self.wrote(self.plan.transcript, path.read_bytes())
        outcome = Outcome(self.plan, self.sha256, tuple(self.done), now, actor.id, written[-1])
        self.wrote(self.plan.record, record_of(outcome).encode())
        return {
            "title": self.plan.title,
            "file_sha256": self.sha256,
            "witnesses": list(self.plan.witnesses),
            "steps": [step.line for step in self.done],
            "record": self.base / self.plan.record,
            "transcript": self.base / self.plan.transcript,
            "transcript_hash": written[-1].hash,
        }


def _urls(wish: "Wish", root: str, url: str | None) -> tuple[str, str]:
    """Say where the root's CRL and certificate will be served."""
    urls = Urls(url.rstrip("/")) if url is not None else None
    return (urls.crl(root) if urls else wish.crl or "-"), (urls.issuer(root) if urls else wish.issuer or "-")


def _sha256(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def transcript(
    *,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", readable=False, help="The home's own if not given.", show_default=False),
    ] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Verify a transcript line by line, and show it."""
    lines = transcript_of(file or find_home(named=home) / TRANSCRIPT_FILE)
    rows = [
        {"number": line.number, "time": line.time, "who": line.who, "what": line.what, "hash": line.hash}
        for line in lines
    ]
    print_table(rows, ("number", "time", "who", "what"), as_json=as_json, empty="Nothing stands in it.")
    if not as_json and lines:
        say(f"Every line holds. The last one's hash: {lines[-1].hash}")
