"""Profiles ready to use, as documents with comments: what `profile ready-made` prints and `--ready-made` takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["READY_MADE", "ReadyMade"]


@dataclass(frozen=True, slots=True)
class ReadyMade:
    """One document."""

    name: str
    title: str
    document: str


_EAP_TLS_DEVICE = """\
# Devices on Wi-Fi, wired 802.1X: EAP-TLS with the device's own certificate.
# The name is the device's id and no person's: over TLS 1.2 everybody near the access point reads it.

[subject]
cn = "{device.id}"                # regalia challenge create --device ID

[[san]]
kind = "dns"
value = "{binding.dns?}"          # --dns, where the RADIUS server or a directory wants one

[validity]
duration = "365d"
backdate = "5m"                   # for devices whose clock is behind

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]   # keyEncipherment is for RSA keys only; SCEP renewals need it
extended-key-usage = ["clientAuth"]

[renewal]
window = "33%"                    # the last third of its life

[limits]
live = 3                          # for each device: one in use, one just renewed, one of a new system

[[example]]
name = "a laptop that an MDM vouched for"
binding = { device = "laptop-17", dns = ["laptop-17.example.com"] }
request = { cn = "laptop-17" }
subject = "CN=laptop-17"

[[example]]
name = "a challenge that names no device"
binding = { cn = "laptop-17" }
expect = "RA-032"
"""

_EAP_TLS_USER = """\
# People on Wi-Fi or wired 802.1X: EAP-TLS with a certificate for a user.
# It names a person, and over TLS 1.2 everybody near the access point reads that: prefer eap-tls-device, or TLS 1.3.

[subject]
cn = "{binding.cn}"               # regalia challenge create --cn ada --upn ada@example.com

[[san]]
kind = "upn"
value = "{binding.upn}"           # what Windows, Entra ID and NPS find the account by

[[san]]
kind = "email"
value = "{binding.email?}"

[validity]
duration = "365d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]
extended-key-usage = ["clientAuth"]

[renewal]
window = "33%"

[[example]]
name = "a user that an MDM vouched for"
binding = { cn = "ada", upn = ["ada@example.com"] }
request = { cn = "ada", upn = ["ada@example.com"] }

[[example]]
name = "a request for somebody else"
binding = { cn = "ada", upn = ["ada@example.com"] }
request = { upn = ["grace@example.com"] }
expect = "RA-020"
"""

_RADIUS_SERVER = """\
# A RADIUS server. Windows and Apple's systems want serverAuth and the very name of the client's profile;
# no wildcard, which Windows refuses in EAP. Order it with `regalia cert issue`.

[subject]
cn = "{binding.cn}"

[[san]]
kind = "dns"
value = "{binding.dns}"

[validity]
duration = "397d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]
extended-key-usage = ["serverAuth", "eapOverLAN"]

[[example]]
name = "radius.example.com"
binding = { cn = "radius.example.com", dns = ["radius.example.com"] }
subject = "CN=radius.example.com"

[[example]]
name = "a wildcard"
binding = { cn = "radius.example.com", dns = ["*.example.com"] }
expect = "RA-023"
"""

_VPN = """\
# VPN clients: IKEv2 (strongSwan, Windows, iOS) and TLS (OpenVPN, AnyConnect). Gateways take tls-server.

[subject]
cn = "{device.id}"

[[san]]
kind = "dns"
value = "{binding.dns?}"          # strongSwan compares a client's identity with an alternative name

[[san]]
kind = "email"
value = "{binding.email?}"

[validity]
duration = "365d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]
extended-key-usage = ["clientAuth", "ipsecIKE"]

[renewal]
window = "33%"

[limits]
live = 3

[[example]]
name = "a laptop"
binding = { device = "laptop-17", dns = ["laptop-17.vpn.example.com"] }
"""

_NPS_AD_LOGON = """\
# Logon at Active Directory: NPS with certificate mapping, smart card logon, RDP.
# The issuing CA must stand in NTAuth. The SID makes the strong mapping of KB5014754: an administrator
# vouches for it (regalia challenge create --sid), no request can.

[subject]
cn = "{binding.cn}"

[[san]]
kind = "upn"
value = "{binding.upn}"

[microsoft]
sid = "{binding.sid}"
sid-forms = ["extension"]         # "uri" as well for domain controllers that read only tag:microsoft.com

[validity]
duration = "365d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]
extended-key-usage = ["clientAuth", "msSmartcardLogon"]

[renewal]
window = "33%"

[[example]]
name = "a user whose SID is known"
binding = { cn = "ada", upn = ["ada@example.com"], sid = "S-1-5-21-1004336348-1177238915-682003330-1104" }

[[example]]
name = "a user without a SID"
binding = { cn = "ada", upn = ["ada@example.com"] }
expect = "RA-032"
"""

_SMIME_SIGNING = """\
# Signing e-mail, not encrypting it: nobody but the user has the key, so nothing is lost with it.

[subject]
cn = "{binding.cn?}"

[[san]]
kind = "email"
value = "{binding.email}"

[validity]
duration = "730d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature"]
extended-key-usage = ["emailProtection"]

[[example]]
name = "a mailbox"
binding = { cn = "Ada Lovelace", email = ["ada@example.com"] }
"""

_TLS_SERVER = """\
# Servers inside your network: web, LDAP, databases, VPN gateways. Browsers look at the DNS names alone.

[[san]]
kind = "dns"
value = "{binding.dns}"

[[san]]
kind = "ip"
value = "{binding.ip?}"

[validity]
duration = "90d"

[keys]
rsa-min-bits = 2048
curves = ["p-256", "p-384"]

[usage]
key-usage = ["digitalSignature", "keyEncipherment"]
extended-key-usage = ["serverAuth"]

[[example]]
name = "an intranet server"
binding = { dns = ["intranet.example.com", "www.intranet.example.com"] }
request = { cn = "intranet.example.com", dns = ["intranet.example.com"] }
expect = "RA-020"

[[example]]
name = "the same, asked for by DNS names alone"
binding = { dns = ["intranet.example.com", "www.intranet.example.com"] }
request = { dns = ["intranet.example.com"] }
"""

_SHORT_LIVED = """\
# Certificates of a day for workloads and zero-trust clients: they end before a revocation would matter.
# By SCEP such keys need an endpoint with --non-rsa, and a new key for each renewal.

[subject]
cn = "{device.id}"

[[san]]
kind = "uri"
value = "urn:device:{device.id}"

[validity]
duration = "24h"
backdate = "5m"

[keys]
rsa-min-bits = 0                  # small keys, quick to make
curves = ["p-256"]
reuse = "never"

[usage]
key-usage = ["digitalSignature"]
extended-key-usage = ["clientAuth"]

[renewal]
window = "50%"

[limits]
per-day = 10

[[example]]
name = "a workload"
binding = { device = "payments-7" }

[[example]]
name = "an RSA key"
key = "rsa-2048"
binding = { device = "payments-7" }
expect = "SCEP-054"
"""

READY_MADE: Final = {
    each.name: each
    for each in (
        ReadyMade("eap-tls-device", "devices on Wi-Fi and wired 802.1X", _EAP_TLS_DEVICE),
        ReadyMade("eap-tls-user", "people on Wi-Fi and wired 802.1X", _EAP_TLS_USER),
        ReadyMade("radius-server", "RADIUS servers", _RADIUS_SERVER),
        ReadyMade("vpn", "VPN clients", _VPN),
        ReadyMade("nps-ad-logon", "logon at Active Directory", _NPS_AD_LOGON),
        ReadyMade("smime-signing", "signed e-mail", _SMIME_SIGNING),
        ReadyMade("tls-server", "servers inside your network", _TLS_SERVER),
        ReadyMade("short-lived", "certificates of a day", _SHORT_LIVED),
    )
}
