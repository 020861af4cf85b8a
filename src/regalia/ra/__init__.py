"""Registration authority: who may have which certificate? One path, `decide`, for all protocols.

In: a protocol's bytes and the peer's address. Out: a `Decision`, and the protocol's answer.
May import: ca, ports, model, wire, errors, reasons.
"""
