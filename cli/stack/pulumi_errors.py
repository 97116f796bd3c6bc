"""The Pulumi CLI's own errors, before any resource: a lock, a passphrase, a backend, a plugin. In Slipway's words.

The patterns are from the sources of CLI 3.259: backend/diy/lock.go, secrets/passphrase, sdk/go/common/workspace.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

_LOCK = re.compile(r"created by (?P<user>[^@\n]*)@(?P<host>\S+) \(pid (?P<pid>\d+)\) at (?P<since>\S+)")


@dataclass(frozen=True)
class Trouble:
    """Why Pulumi did not start its work, and what to do."""

    reason: str
    remedy: str
    is_passphrase: bool = False
    """Whether the passphrase is missing or wrong."""


def _lock(text: str, stack: str, option: str) -> Trouble:
    found = _LOCK.search(text)
    if not found:
        return Trouble(
            f"another update of the stack '{stack}' runs", "Wait until it ends, then run this command again."
        )
    return Trouble(
        f"another update of the stack '{stack}' runs: process {found['pid']} of {found['user']} on {found['host']}, "
        f"since {_clock(found['since'])}",
        "Wait until it ends, or interrupt it in its terminal. If it no longer runs, `./slip up"
        f"{option}` on {found['host']} removes its lock.",
    )


def _clock(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text).astimezone():%H:%M:%S}"
    except ValueError:
        return text


def _no_passphrase(_text: str, stack: str, _option: str) -> Trouble:
    return Trouble(
        f"the secrets of the stack '{stack}' are encrypted with a passphrase, and none is set",
        "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the passphrase.",
        is_passphrase=True,
    )


def _wrong_passphrase(_text: str, stack: str, _option: str) -> Trouble:
    return Trouble(
        f"the passphrase does not decrypt the secrets of the stack '{stack}'",
        "Set PULUMI_CONFIG_PASSPHRASE_FILE to a file with the passphrase of this stack. The clone's own is in "
        ".slipway/passphrase, and counts while neither that variable nor PULUMI_CONFIG_PASSPHRASE is set.",
        is_passphrase=True,
    )


def _no_plugin(text: str, _stack: str, _option: str) -> Trouble:
    found = re.search(r"no \w+ plugin '([^']+)' found[^\n]*?(?: at version (v[\w.-]+))?", text)
    name = found[1] if found else "a plugin"
    return Trouble(
        f"Pulumi did not find {name}, which this stack needs",
        "Unset PULUMI_HOME and PULUMI_PYTHON_CMD if you set them, and run the command again: Slipway installs its "
        "plugins by itself.",
    )


def _no_backend(text: str, stack: str, _option: str) -> Trouble:
    return Trouble(
        f"the backend of the stack '{stack}' does not answer, or refuses: {_last(text)}",
        "Check PULUMI_BACKEND_URL and the access to it. Nothing was changed.",
    )


def _in_use(_text: str, stack: str, _option: str) -> Trouble:
    return Trouble(
        f"another update of the stack '{stack}' runs", "Wait until it ends, then run this command again."
    )


_KNOWN: tuple[tuple[str, Callable[[str, str, str], Trouble]], ...] = (
    (r"currently locked by", _lock),
    (r"Another update is currently in progress|\[409\] Conflict", _in_use),
    (r"incorrect passphrase|cipher: message authentication failed", _wrong_passphrase),
    (r"passphrase must be set with|unable to find either `?PULUMI_CONFIG_PASSPHRASE", _no_passphrase),
    (r"no \w+ plugin '[^']+' found|could not find plugin|failed to load plugin", _no_plugin),
    (
        (
            r"(?:unable|failed) to open bucket|could not (?:open|list) bucket|failed to list|problem logging in|"
            r"invalid access token|could not get cloud url|dial tcp|no such host|connection refused|"
            r"failed to (?:load|save) (?:checkpoint|snapshot)|NoCredentialProviders|blob \(|read \.?pulumi"
        ),
        _no_backend,
    ),
)


def trouble(text: str, stack: str, option: str = "") -> Trouble | None:
    """What a message of the CLI means; None for one that is not known.

    Args:
        text: what the CLI wrote.
        stack: the stack's name.
        option: the option that names the stack on the command line.

    """
    for pattern, words in _KNOWN:
        if re.search(pattern, text):
            return words(text, stack, option)
    return None


def last_error(stderr: str) -> str:
    """The CLI's last error, which ended it, with the lines after it."""
    lines = stderr.strip().splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    return "\n".join(lines[starts[-1] :]).removeprefix("error: ") if starts else "\n".join(lines[-3:])


def _last(text: str) -> str:
    """The end of a chain of reasons, each after a colon: the last one that says something."""
    line = next((line for line in last_error(text).splitlines() if line.strip()), "").strip()
    return line if len(line) <= 200 else f"…{line[-199:]}"
