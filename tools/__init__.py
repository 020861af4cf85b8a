"""The programs behind the repository's verbs: `./regalia test` runs `python -m tools.test`, and so on."""
