"""Regalia: a self-hosted managed PKI for device fleets."""

__all__ = ["__version__"]

__version__ = "0.1.0"
