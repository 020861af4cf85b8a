"""Bytes to frozen dataclasses and back: DER, PKCS #10, CMS, SCEP, certificates, CRLs, OCSP, audit records.

No I/O, no clock, no randomness that was not passed in; private-key work enters as a callable.
What comes in is hostile: each reader is bounded and raises `PeerError` with a Reason and nothing else (IN-1).
May import: cryptography, errors, reasons, model.
"""
