"""The one place where everything is wired: services in `build`, listeners and jobs in `serving`.

In: a `Config`. Out: an `App` to work with, or a running server.
May import: everything but cli.
"""

from regalia.app.build import NODE_FILE, App, SystemClock, SystemEntropy, build

__all__ = ["NODE_FILE", "App", "SystemClock", "SystemEntropy", "build"]
