"""What an administrator asked for and cannot have."""

from __future__ import annotations

from regalia.errors import Reason, Stage

__all__ = [
    "ACKNOWLEDGEMENT_NEEDED",
    "ADMINISTRATION_STATE",
    "ALREADY_REVOKED",
    "AUDIT_FOUND",
    "AUTHORITY_CERTIFICATE_REFUSED",
    "AUTHORITY_CRL_REFUSED",
    "AUTHORITY_KEY_REFUSED",
    "AUTHORITY_REQUEST_REFUSED",
    "AUTHORITY_STATE",
    "BACKUP_KEY_REFUSED",
    "BACKUP_REFUSED",
    "BINDING_REFUSED",
    "BLOCKLIST_REFUSED",
    "CA_AS_RA_REFUSED",
    "CEREMONY_REFUSED",
    "CERTIFICATE_STATE",
    "CHAIN_BROKEN",
    "CHALLENGE_NOT_OPEN",
    "CHECKPOINT_COPY_DIVERGED",
    "CHECKPOINT_REFUSED",
    "CONFIG_REFUSED",
    "CONTENT_REFUSED",
    "CRL_NAME_TAKEN",
    "CRL_PLAN_TOO_LARGE",
    "CURSOR_REFUSED",
    "DATABASE_UNFIT",
    "ENROLMENT_DECIDED",
    "EXAMPLE_DIFFERS",
    "FILE_REFUSED",
    "GRANT_TOO_MUCH",
    "GROUP_STATE",
    "HOME_MISSING",
    "HOME_USED",
    "INIT_UNFINISHED",
    "JOB_UNATTENDED",
    "KNOWN_CRL_REFUSED",
    "LAST_ADMINISTRATOR",
    "LISTENER_REFUSED",
    "MASTER_KEY_REFUSED",
    "NAME_REFUSED",
    "NAME_TAKEN",
    "NOT_FOUND",
    "PENDING_OUTDATED",
    "PERMISSIONS_REFUSED",
    "PROFILE_REFUSED",
    "PROPOSAL_NOT_YOURS",
    "PROPOSAL_OUTDATED",
    "PROPOSAL_SECRET",
    "REPLACEMENT_WAITS",
    "RIGHT_MISSING",
    "ROLLOVER_REFUSED",
    "ROOT_KEY_ELSEWHERE",
    "SCHEMA_OLD",
    "SECRET_REFUSED",
    "SHARES_REFUSED",
    "TOKEN_LIFE",
    "TOO_MUCH",
    "TRANSCRIPT_BROKEN",
    "USAGE",
]

# --- Administration ------------------------------------------------------------------------------------------------
HOME_USED = Reason(
    "ADM-001",
    Stage.ADMIN,
    "this home is already in use",
    "Nothing was touched. Choose another --home, or go on with the one that is there.",
)
HOME_MISSING = Reason(
    "ADM-002", Stage.ADMIN, "no Regalia lives in this home", "Run `regalia init` first, or name the right --home."
)
NAME_TAKEN = Reason("ADM-003", Stage.ADMIN, "the name is taken", "Choose another name.")
NOT_FOUND = Reason(
    "ADM-004", Stage.ADMIN, "there is no such object", "List what is there with the noun's `list` command."
)
NAME_REFUSED = Reason(
    "ADM-005",
    Stage.ADMIN,
    "the name is not usable",
    "Names have 1 to 40 characters: lower-case letters, digits and hyphens, beginning with a letter.",
)
CONFIG_REFUSED = Reason(
    "ADM-006", Stage.ADMIN, "the configuration is not valid", "Correct what is listed, then run `regalia config check`."
)
PROFILE_REFUSED = Reason(
    "ADM-007", Stage.ADMIN, "the profile is not valid", "Correct what is listed, then run `regalia profile check`."
)
ALREADY_REVOKED = Reason("ADM-008", Stage.ADMIN, "it is already revoked", "Nothing to do; revocation is final.")
ROOT_KEY_ELSEWHERE = Reason(
    "ADM-009",
    Stage.ADMIN,
    "the root key is not on this machine",
    "Bring the medium with the file KEY.key, and name its directory with --root-key DIR.",
)
MASTER_KEY_REFUSED = Reason(
    "ADM-010",
    Stage.ADMIN,
    "the master key is missing, unreadable or not the right one",
    "Set REGALIA_MASTER_KEY_FILE or the systemd credential regalia-master to the key that this home was made with.",
)
PERMISSIONS_REFUSED = Reason(
    "ADM-011",
    Stage.ADMIN,
    "a key or configuration file is readable by others",
    "chmod 600 the file and chmod 700 its directory.",
)
SCHEMA_OLD = Reason(
    "ADM-012", Stage.ADMIN, "the database schema is not the one this version needs", "Run `regalia db upgrade`."
)
ACKNOWLEDGEMENT_NEEDED = Reason(
    "ADM-013",
    Stage.ADMIN,
    "this needs an explicit acknowledgement",
    "Read what the message says and repeat with the flag that it names.",
)
CHALLENGE_NOT_OPEN = Reason(
    "ADM-014",
    Stage.ADMIN,
    "the challenge is not open",
    "Only a challenge that was neither used nor revoked can be revoked.",
)
BINDING_REFUSED = Reason(
    "ADM-015",
    Stage.ADMIN,
    "the binding's names are not usable",
    "Correct the named value; DNS names are fully qualified and without wildcards.",
)
CHAIN_BROKEN = Reason(
    "ADM-016",
    Stage.ADMIN,
    "the event log was altered",
    "Treat the database as tampered with: compare with a backup and with what the SIEM holds from before the named record.",
)
AUTHORITY_STATE = Reason("ADM-017", Stage.ADMIN, "the authority is not in a state for this", "See `regalia ca show`.")
USAGE = Reason(
    "ADM-018",
    Stage.ADMIN,
    "the command was used in a way it does not understand",
    "Add -h for its options and two examples.",
)
LISTENER_REFUSED = Reason(
    "ADM-019",
    Stage.ADMIN,
    "a listener cannot be opened",
    "Another program holds the address, or it is not one of this machine's: choose another with --listen or --admin-listen.",
)
FILE_REFUSED = Reason("ADM-020", Stage.ADMIN, "a file cannot be read or written", "Check the path and its permissions.")
INIT_UNFINISHED = Reason(
    "ADM-021",
    Stage.ADMIN,
    "an earlier init was ended before it was done",
    "Nothing of it is in use. Remove what is named, or make a new empty database, and run `regalia init` again.",
)
DATABASE_UNFIT = Reason(
    "ADM-022",
    Stage.ADMIN,
    "the database is not fit to hold a Regalia",
    "Name an empty database that its user owns: CREATE DATABASE regalia OWNER regalia.",
)
ENROLMENT_DECIDED = Reason(
    "ADM-023",
    Stage.ADMIN,
    "the enrolment does not wait for a decision",
    "Somebody decided it already, or it expired: see `regalia enrolment show`.",
)
SECRET_REFUSED = Reason(
    "ADM-024",
    Stage.ADMIN,
    "the static challenge is too short or too simple",
    "Leave it out, and a random one is made; or give at least 20 printable characters of which 8 differ.",
)
AUTHORITY_CERTIFICATE_REFUSED = Reason(
    "ADM-030",
    Stage.ADMIN,
    "the authority's certificate cannot be accepted",
    "Have its issuer make one in which what is listed is right; nothing was changed here.",
)
AUTHORITY_REQUEST_REFUSED = Reason(
    "ADM-031",
    Stage.ADMIN,
    "the authority's request cannot be signed",
    "Make the request anew with `regalia ca request`, or with what is listed put right.",
)
AUTHORITY_CRL_REFUSED = Reason(
    "ADM-032",
    Stage.ADMIN,
    "the CRL cannot be taken over",
    "Bring the newest CRL of exactly this authority; the one that is served stays.",
)
AUTHORITY_KEY_REFUSED = Reason(
    "ADM-033",
    Stage.ADMIN,
    "the authority's key cannot be imported",
    "Name the key that belongs to the certificate, and its passphrase; a weak key is replaced, not imported.",
)
CEREMONY_REFUSED = Reason(
    "ADM-034",
    Stage.ADMIN,
    "the ceremony cannot be held as its file says",
    "Correct what is listed, have the file reviewed again, and look at it with --dry-run.",
)
SHARES_REFUSED = Reason(
    "ADM-035",
    Stage.ADMIN,
    "the shares do not open the key",
    "Bring as many shares of this one key as its file says, each typed as it was written.",
)
TRANSCRIPT_BROKEN = Reason(
    "ADM-036",
    Stage.ADMIN,
    "the transcript was altered",
    "Compare it with the copies that the witnesses kept, from the named line on.",
)
BACKUP_REFUSED = Reason(
    "ADM-060",
    Stage.ADMIN,
    "the backup cannot be used",
    "Try the one before it, and name the private key that belongs to the public key it was made with.",
)
BACKUP_KEY_REFUSED = Reason(
    "ADM-061",
    Stage.ADMIN,
    "this is no key for backups",
    "`regalia backup key` makes a pair: backups are made with the public file and opened with the private one.",
)
KNOWN_CRL_REFUSED = Reason(
    "ADM-062",
    Stage.ADMIN,
    "the CRL is none of these authorities'",
    "Name a CRL as it was published by an authority of this home, from a mirror or a node's `crl` directory.",
)
CHECKPOINT_COPY_DIVERGED = Reason(
    "ADM-055",
    Stage.ADMIN,
    "the copy of the checkpoints holds what the log does not",
    "Run `regalia event verify --against DIR`. After a restore, begin a new directory and keep the old one.",
)
CHECKPOINT_REFUSED = Reason(
    "ADM-056",
    Stage.ADMIN,
    "what was given is no checkpoint, or no key for one",
    "Name a directory or file that `regalia event checkpoint` wrote, or a public key in PEM.",
)
CA_AS_RA_REFUSED = Reason(
    "ADM-037",
    Stage.ADMIN,
    "the authority cannot be its own RA",
    "Only an RSA key in software can; leave --ca-as-ra out, and the group gets an RA credential of its own.",
)
ROLLOVER_REFUSED = Reason(
    "ADM-038",
    Stage.ADMIN,
    "the group's authority cannot be rolled over now",
    "See `regalia group show`: what is said must be finished first.",
)
GROUP_STATE = Reason(
    "ADM-039",
    Stage.ADMIN,
    "the group is not in a state for this",
    "See `regalia group show`.",
)
REPLACEMENT_WAITS = Reason(
    "ADM-040",
    Stage.ADMIN,
    "the replacement waits for the root's key",
    "Do what is listed, then give the same command again: it goes on from there.",
)
BLOCKLIST_REFUSED = Reason(
    "ADM-046",
    Stage.ADMIN,
    "the list of keys cannot be read",
    "Nothing was imported. See that the file is of the format that --format names.",
)
AUDIT_FOUND = Reason(
    "ADM-047",
    Stage.ADMIN,
    "what was issued is not what it must be",
    "Look at each certificate that is named: the database may have been altered, or a key is no longer to be trusted.",
)
CRL_PLAN_TOO_LARGE = Reason(
    "ADM-050",
    Stage.ADMIN,
    "a CRL could grow beyond the limit",
    "Spread new certificates among as many partial CRLs as it says: `regalia ca crl-plan NAME --shards N --full off`.",
)
CRL_NAME_TAKEN = Reason(
    "ADM-051",
    Stage.ADMIN,
    "an authority and a CRL of another one would have the same name",
    "Choose another name for the new authority, or fewer partial CRLs for the old one.",
)
CERTIFICATE_STATE = Reason(
    "ADM-052",
    Stage.ADMIN,
    "the certificate is not in a state for this",
    "See `regalia cert show`: what is good can be held, what is held can be released, what is revoked stays so.",
)
PENDING_OUTDATED = Reason(
    "ADM-044",
    Stage.ADMIN,
    "the profile makes other names now than those that wait for approval",
    "Deny the enrolment; the device asks again, and is then held with the names of today.",
)
EXAMPLE_DIFFERS = Reason(
    "ADM-043",
    Stage.ADMIN,
    "an example of the profile ends otherwise than it says",
    "Correct the profile, or what the example expects, then run `regalia profile check`.",
)
RIGHT_MISSING = Reason(
    "ADM-070",
    Stage.ADMIN,
    "your roles do not allow this",
    "Ask an administrator for a role that does; `regalia admin show` says which you have.",
)
CURSOR_REFUSED = Reason(
    "ADM-086",
    Stage.ADMIN,
    "the cursor does not belong to this list",
    "Ask for the first page again, and give `next` of each page as `after` with the same filters.",
)
CONTENT_REFUSED = Reason(
    "ADM-083",
    Stage.ADMIN,
    "what was given cannot be read",
    "See that it is what the field asks for, whole and unchanged; certificates, requests and CRLs are given as PEM.",
)
TOO_MUCH = Reason(
    "ADM-084",
    Stage.ADMIN,
    "that is more than is given or taken at a time",
    "Ask for less at a time, as the detail says; or give the command on the machine itself, which has no such limit.",
)
GRANT_TOO_MUCH = Reason(
    "ADM-071",
    Stage.ADMIN,
    "nobody grants what they do not have",
    "Give a role that you have yourself, in groups in which you have it; or ask somebody who has it.",
)
TOKEN_LIFE = Reason(
    "ADM-072",
    Stage.ADMIN,
    "a token does not live as long as that",
    "Give a shorter time, and replace the token before it ends.",
)
LAST_ADMINISTRATOR = Reason(
    "ADM-073",
    Stage.ADMIN,
    "nobody would be left who can administer this Regalia",
    "Give somebody else the role admin everywhere and a way to sign in first.",
)
ADMINISTRATION_STATE = Reason(
    "ADM-074",
    Stage.ADMIN,
    "it is not in a state for this",
    "Look at it again: somebody may have been faster.",
)
PROPOSAL_NOT_YOURS = Reason(
    "ADM-075",
    Stage.ADMIN,
    "a proposal is approved by another person than who made it",
    "Ask another administrator with the same right to approve it, signed in as themselves: no token can.",
)
PROPOSAL_OUTDATED = Reason(
    "ADM-076",
    Stage.ADMIN,
    "what was proposed would do something else now",
    "Refuse the proposal and have it proposed anew, so that both have agreed to the same.",
)
PROPOSAL_SECRET = Reason(
    "ADM-077",
    Stage.ADMIN,
    "what holds a secret cannot wait for a second person",
    "Give the command on the machine itself.",
)
JOB_UNATTENDED = Reason(
    "ADM-089",
    Stage.ADMIN,
    "no server runs that would do the job",
    "Start `regalia serve`: jobs run there, and those that are due run at its start.",
)
