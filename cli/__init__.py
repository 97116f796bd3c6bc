"""The people's command: what `./slip` runs.

One noun a file. `app.py` says which commands and options there are, and each command imports what it needs when it
runs: that keeps `--help`, shell completion and the everyday `up` quick.
"""
