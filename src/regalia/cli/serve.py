"""`regalia serve`: answer devices and administrators."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_json, say
from regalia.config import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regalia.web.serve import Bound

__all__ = ["app"]

app = noun_app("Answer devices and administrators.")


@app.command(
    epilog=examples(
        "serve --home /srv/pki --listen 0.0.0.0:8080", "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --json"
    )
)
def serve(
    home: Home = None,
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="For devices, plain HTTP.", show_default=False)
    ] = None,
    listen_tls: Annotated[
        str | None,
        typer.Option("--listen-tls", metavar="HOST:PORT", help="For devices that insist on https.", show_default=False),
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option("--admin-listen", metavar="HOST:PORT", help="For administrators, TLS.", show_default=False),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", metavar="N", help="Processes that answer.", show_default="one for each processor", min=1
        ),
    ] = None,
    as_json: Json = False,  # noqa: FBT002 - typer declares a flag so
) -> None:
    """Serve SCEP, OCSP, CRLs and CA certificates until told to stop (SIGTERM, Ctrl-C).

    Says where it listens once all workers answer. A worker that dies is started anew. SIGHUP reads the TLS
    listeners' certificates anew.
    """
    from regalia.app.door import first_link  # noqa: PLC0415 - help must not wait for the server
    from regalia.app.serving import serve as serve_home  # noqa: PLC0415 - help must not wait for the server

    options = {
        "server.listen": listen,
        "server.listen_tls": listen_tls,
        "server.admin_listen": admin_listen,
        "server.workers": str(workers) if workers is not None else None,
    }
    config = load_config(home=home, options={path: value for path, value in options.items() if value is not None})

    def ready(bound: "Sequence[Bound]") -> None:
        link = first_link(config, next(each.port for each in bound if each.name == "admin"))
        if as_json:
            addresses = {each.name: each.url for each in bound}
            print_json(addresses | ({"set_up": link} if link is not None else {}), one_line=True)
        else:
            say("Ready: " + ", ".join(f"{each.name} {each.url}" for each in bound))
            if link is not None:
                say(f"No administrator yet. Become the first one within 24 hours: {link}")
        sys.stdout.flush()

    serve_home(config, ready)
