"""Key backends and the signer: private keys in software, encrypted at rest under a master key.

In: key ids and the ids of committed intents. Out: signatures and decrypted octets; never a key.
May import: ca (scopes and serials), ports, model, wire, errors, reasons, cryptography.
"""
