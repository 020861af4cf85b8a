"""The command line: one module a noun. Imports lazily, so that --help answers at once.

In: arguments. Out: words for people or JSON for programs, and an exit code: 0 ok, 1 failed, 2 usage, 3 found problems.
A noun's module has a typer app named `app`, and a line in `main.NOUNS`. May import: everything below.
"""
