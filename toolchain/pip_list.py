"""Put ahead of `pip/__main__.py` in an environment that Slipway makes: answers `pip list -v --format json` at once.

Pulumi's language host asks that at every preview and update, to find the provider plugins, and pip takes a second.
"""

import sys


def _slipway_lists() -> str:
    import itertools
    import json
    from pathlib import Path

    found = []
    for entry in sys.path:
        for folder in sorted(Path(entry).glob("*.dist-info")) if entry else ():
            with (folder / "METADATA").open(encoding="utf-8", errors="replace") as file:
                # Its headers end at an empty line.
                headers = itertools.takewhile(str.strip, file)
                fields = dict(line.strip().partition(": ")[::2] for line in headers)
            installer = folder / "INSTALLER"
            found.append(
                {
                    "name": fields["Name"],
                    "version": fields["Version"],
                    "location": entry,
                    "installer": installer.read_text().strip() if installer.exists() else "",
                }
            )
    return json.dumps(sorted(found, key=lambda package: package["name"].lower()))


if __name__ == "__main__" and sys.argv[1:] == ["list", "-v", "--format", "json"]:
    print(_slipway_lists())
    sys.exit()
