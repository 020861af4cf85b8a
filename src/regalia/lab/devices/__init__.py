"""Simulated devices: SCEP clients that behave as those of Windows, iOS, macOS and Android do, and not as ours does.

They are written apart from the server and from our own client, octet for octet, so that a rehearsal shows what a real
device would meet. What they do is in `platforms`, each habit with where it is known from.
"""
