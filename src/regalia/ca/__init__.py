"""Certification authority: is this exact certificate right? Then sign it. Knows no protocol.

In: an `IssueOrder` or an administrator's word. Out: certificates, CRLs, the status of a serial.
May import: ports, model, wire, errors, reasons, cryptography, pkilint.
"""
