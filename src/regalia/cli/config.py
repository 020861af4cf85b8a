"""`regalia config`: the configuration that is in force."""

from regalia.cli.faults import FoundError
from regalia.cli.options import Home, Json, examples, noun_app
from regalia.cli.output import print_table
from regalia.config import ConfigRefusedError, load_config

__all__ = ["app"]

app = noun_app("The configuration that is in force.")


@app.command(epilog=examples("config check", "config check --home DIR --json"))
def check(*, home: Home = None, as_json: Json = False) -> None:
    """Print every setting with its value and where it came from. Exit code 3 with all that is wrong."""
    try:
        config = load_config(home=home)
    except ConfigRefusedError as error:
        raise FoundError(error.reason, error.detail) from error
    rows = [{"setting": one.key, "value": one.value, "source": one.source} for one in config.effective()]
    print_table(rows, ("setting", "value", "source"), as_json=as_json)


@app.callback()
def _noun() -> None:
    """Keep `check` a verb, although it is the only one."""
