"""`slip trust`: puts the services authority of a stack into this machine's and its browsers' stores, or takes it out.

The stores know it by a name of the stack and of the clone, so stacks stand side by side.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import child_environment
from cli import console
from cli.errors import CommandError
from cli.outputs import read
from cli.stack.stack import Stack

Run = Callable[[Sequence[str]], None]
"""Runs a command; raises CommandError if it fails."""


@dataclass(frozen=True)
class Store:
    """A folder of this machine's authorities, and the command that reads it anew."""

    folder: Path
    update: tuple[str, ...]


STORES = (
    Store(Path("/usr/local/share/ca-certificates"), ("update-ca-certificates",)),
    Store(Path("/etc/pki/ca-trust/source/anchors"), ("update-ca-trust", "extract")),
)
"""Debian's and Fedora's."""
KEYCHAIN = "/Library/Keychains/System.keychain"
"""macOS's."""
BROWSERS = (
    ".pki/nssdb",
    ".mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    "snap/chromium/current/.pki/nssdb",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
)
"""Where Chromium and Firefox keep their own authorities on Linux, below the home folder: folders with a cert9.db."""


def run(stack: Stack, *, remove: bool) -> int:
    """Trust the services authority of a stack on this machine, or trust it no more. Returns the exit status.

    Raises:
        CommandError: the stack has no such authority, or a store cannot be changed.

    """
    name = name_of(stack.short_name, stack.project.root)
    if remove:
        done = list(withdraw(name, _run))
    else:
        authority = str(read(stack, show_secrets=False).get("servicesCaCertificate") or "")
        if not authority:
            raise CommandError(
                f"no service of {stack.name} has a certificate of the stack's own authority",
                f"Set slipway:services.SERVICE.domains, and tls to own; then run `./slip up{stack.option}`.",
                status=1,
            )
        done = list(install(name, authority, _run))
    for line in done:
        console.say(line)
    if not done:
        what = "has it" if remove else "is known here"
        where = (
            "Nothing was changed."
            if remove
            else f"`./slip output servicesCaCertificate{stack.option}` prints it."
        )
        console.say(f"No store that Slipway knows {what}. {where}")
    elif not remove:
        console.say(
            f"A browser that runs reads it when it starts again. `./slip trust --remove{stack.option}` undoes it."
        )
    return 0 if done or remove else 1


def name_of(stack: str, root: Path) -> str:
    """The name by which stores know a stack's authority. Two clones can have stacks of the same name."""
    return f"slipway-{stack}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


def install(name: str, authority: str, run_: Run, home: Path | None = None) -> Iterator[str]:
    """Put an authority into each store of this machine; yields what was done.

    Args:
        name: the stores' name of it.
        authority: its certificates, PEM: two during a rotation.
        run_: runs a command.
        home: where browsers keep theirs.

    """
    # During a rotation both are trusted, each as a file of its own: stores read one certificate from a file.
    parts = [
        f"{part.strip()}\n-----END CERTIFICATE-----\n"
        for part in authority.split("-----END CERTIFICATE-----")[:-1]
    ]
    # One that an earlier rotation has left.
    changed = {store.folder for store in _machine_stores() if _files(store, name)}
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, part in enumerate(parts):
            file = Path(folder) / f"{name}{f'-{number}' if number else ''}.crt"
            file.write_text(part, encoding="utf-8")
            files.append(file)
        for store in _machine_stores():
            if store.folder in changed:
                run_(["rm", "-f", *map(str, _files(store, name))])
            for file in files:
                run_(["install", "-m", "0644", str(file), str(store.folder / file.name)])
            run_(store.update)
            yield f"This machine trusts it: {store.folder / files[0].name}, {' '.join(store.update)}."
        if sys.platform == "darwin":
            for file in files:
                run_(["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", KEYCHAIN, str(file)])
            yield f"This machine trusts it: {KEYCHAIN}."
        for database in _browsers(home or Path.home()):
            _forget(database, name)
            for file in files:
                _certutil(database, "-A", "-t", "C,,", "-n", file.stem, "-i", str(file))
            yield f"The browser with {database} trusts it."


def withdraw(name: str, run_: Run, home: Path | None = None) -> Iterator[str]:
    """Take an authority out of each store of this machine; yields what was done."""
    for store in _machine_stores():
        if files := _files(store, name):
            run_(["rm", "-f", *map(str, files)])
            run_(store.update)
            yield f"This machine trusts it no more: {store.folder / files[0].name}, {' '.join(store.update)}."
    if sys.platform == "darwin":
        stack = name.removeprefix("slipway-").rpartition("-")[0]
        run_(["security", "delete-certificate", "-c", f"Slipway {stack} services CA", "-t", KEYCHAIN])
        yield f"This machine trusts it no more: {KEYCHAIN}."
    for database in _browsers(home or Path.home()):
        if _forget(database, name):
            yield f"The browser with {database} trusts it no more."


def _machine_stores() -> list[Store]:
    return [store for store in STORES if store.folder.is_dir() and shutil.which(store.update[0])]


def _files(store: Store, name: str) -> list[Path]:
    return sorted(
        file for file in store.folder.glob(f"{name}*.crt") if file.stem.removeprefix(name) in {"", "-1"}
    )


def _browsers(home: Path) -> list[Path]:
    """The browsers' databases; none without NSS's tool, which Debian has in libnss3-tools."""
    if not shutil.which("certutil"):
        return []
    return sorted(file.parent for pattern in BROWSERS for file in home.glob(f"{pattern}/cert9.db"))


def _forget(database: Path, name: str) -> bool:
    """Take an authority out of a browser's database; false if it has none of this name."""
    found = [_certutil(database, "-D", "-n", each) for each in (name, f"{name}-1")]
    return any(found)


def _certutil(database: Path, *arguments: str) -> bool:
    result = subprocess.run(
        ["certutil", "-d", f"sql:{database}", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=child_environment.of("certutil"),
    )
    if result.returncode and "-D" not in arguments:
        raise CommandError(
            f"certutil cannot write {database}: {result.stderr.strip()}",
            "End the browser, then run the command again.",
            status=1,
        )
    return not result.returncode


def _run(command: Sequence[str]) -> None:
    line = [*command] if os.geteuid() == 0 else ["sudo", *command]
    if line[0] == "sudo":
        console.say(f"$ {' '.join(line)}")
    try:
        # sudo asks for its password on the terminal itself.
        environment = child_environment.of(line[0])
        result = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise CommandError(
            f"{line[0]} cannot run: {error.strerror}", "Run the command as root.", status=1
        ) from None
    if result.returncode:
        raise CommandError(
            f"`{' '.join(line)}` failed: {(result.stderr or result.stdout).strip()}",
            "docs/front_door.md says how to do it by hand.",
            status=1,
        )
