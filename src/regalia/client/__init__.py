"""Our SCEP client: a library, and what `regalia scep` runs.

In: a URL, a key, names, a challenge. Out: certificates, or an error that says what to do.
May import: wire, model, errors, reasons, httpx2.
"""
