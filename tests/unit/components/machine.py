"""A folder in place of a host, for tests of the scripts that run there."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from components import script as scripts
from components.script import assignments


@dataclass(frozen=True)
class Machine:
    """A folder in place of a machine: its files, its commands, and a list of the commands called."""

    root: Path

    def command(self, name: str, body: str = "") -> None:
        path = self.root / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.root}/called"\n{body}\n')
        path.chmod(0o755)

    def run(self, script: str, values: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as hosts get it, with this folder in place of `/`."""
        text = scripts.text(script).replace("patience=120", "patience=1")
        for folder in ("/etc/systemd/system/", "/etc/slipway/files", "/run/", "/var/log/"):
            (self.root / folder.strip("/")).mkdir(parents=True, exist_ok=True)
            text = text.replace(folder, f"{self.root}{folder}")
        return subprocess.run(
            ["/bin/bash", "-s", *arguments],
            input=assignments(values) + text,
            env={"PATH": f"{self.root}/bin:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def installed(self, script: str) -> Path:
        """A script as hosts have it in a file."""
        path = self.root / script
        path.write_text(scripts.text(script))
        return path

    @property
    def called(self) -> list[str]:
        return (self.root / "called").read_text().splitlines()

    def calls(self, name: str) -> list[str]:
        return [line for line in self.called if line.startswith(f"{name} ")]
