"""`python -m regalia`."""

from regalia.cli.main import run

if __name__ == "__main__":
    run()
