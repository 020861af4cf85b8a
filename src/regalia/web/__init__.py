"""The faces: the device app (SCEP, CRL, OCSP, CA certificates, health) and the admin app (health, metrics).

Each handler parses, makes one call in a bounded thread pool, renders.
May import: ra, ca, ports, model, wire, errors, reasons, starlette, uvicorn, prometheus_client; never an adapter.
"""
