"""The command line: what `./slip` runs.

`app.py` declares the commands and their options. Each command imports what it needs when it runs, which keeps
`--help`, shell completion and the everyday `up` quick.
"""
