"""What runs by itself: CRL publication, recovery of interrupted issuance, renewal of our own credentials.

One file each, run by `loop.py` under a lease, so that each job runs once in a cluster.
May import: ra, ca, ports, model, errors, reasons; never an adapter.
"""
