"""Our SCEP client: a library, and what `regalia scep` runs.

`scep.ScepClient` holds the conversation, `authorities` decides which certificates of a server are believed, `crl` which
CRLs, `capabilities` what a server is worth, `transport` is HTTP and `exchange` the patience with it, `keys` says what a
key can, `requests` makes what is sent inside the messages, `files` keeps keys and certificates on disk, `transaction` a
request whose outcome is open. In: a URL, a key, names, a challenge. Out: certificates, or a `RegaliaError` with one of
the reasons CLI-001 to CLI-011 that says what to do.
May import: wire, model, ports, errors, reasons, httpx2.
"""
