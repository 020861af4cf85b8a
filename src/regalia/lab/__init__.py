"""A laboratory: Entra ID, Microsoft Graph and Intune's partner API, emulated on this machine.

Not canned answers: tokens are signed and judged, challenges are real CMS and are compared with the request that carries
them, state changes and shows in deltas, faults come on order. Whoever writes the connector must not write what checks
it, so this room shares no code with the product: what both read, each reads for itself.
May import: `regalia.client`, and nothing else of ours.
"""
