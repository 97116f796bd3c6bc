"""`slip webhook`: deploys what a forge says was pushed.

Debian's program `webhook` takes the requests and compares the signature. What is deployed is what the forge's branch is
at then, by a fetch of our own: a request names no address, and decides nothing but that there is something to fetch.
"""

import ipaddress
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import child_environment
from cli import console
from cli.errors import CommandError
from cli.push.deploy import Push, deploy
from cli.push.log import opened
from cli.push.remote import Remote
from cli.push.repository import Repository
from cli.push.screen import Screen
from cli.stack.file_lock import in_turn
from cli.stack.project import write_private, write_private_once
from cli.text import without_credentials

HOOK = "deploy"
"""The last part of the address that the forge gets."""
BY = "the webhook"
KEPT = 10_000
"""How many signatures are remembered. An older delivery names a commit that the branch has long had."""
_EVENT, _REFERENCE, _AFTER, _SIGNATURE = (
    f"SLIPWAY_HOOK_{name}" for name in ("EVENT", "REF", "AFTER", "SIGNATURE")
)
_HEADS = "refs/heads/"


def secret(remote: Remote) -> str:
    """The secret by which the forge signs, made at first use."""
    path = _secret_file(remote)
    if not path.exists():
        write_private_once(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text(encoding="utf-8").strip()


def _secret_file(remote: Remote) -> Path:
    return remote.folder / "webhook-secret"


def hooks(launcher: Path, key: str) -> list[dict[str, Any]]:
    """The configuration of `webhook`, 2.8.0 (https://github.com/adnanh/webhook/tree/2.8.0/docs).

    Args:
        launcher: the script that starts `slip`.
        key: the secret.

    """
    values = [
        ("header", "X-GitHub-Event", _EVENT),
        ("payload", "ref", _REFERENCE),
        ("payload", "after", _AFTER),
        ("header", "X-Hub-Signature-256", _SIGNATURE),
    ]
    return [
        {
            "id": HOOK,
            "execute-command": str(launcher),
            "command-working-directory": "/",
            "pass-arguments-to-command": [
                {"source": "string", "name": word} for word in ("webhook", "receive")
            ],
            "pass-environment-to-command": [
                {"source": source, "name": name, "envname": variable} for source, name, variable in values
            ],
            "http-methods": ["POST"],
            "incoming-payload-content-type": "application/json",
            "include-command-output-in-response": True,
            "include-command-output-in-response-on-error": True,
            # In an "or", a wrong signature is a mismatch like any other; alone it would be an error, with HTTP 500.
            "trigger-rule": {
                "or": [
                    {
                        "match": {
                            "type": "payload-hmac-sha256",
                            "secret": key,
                            "parameter": {"source": "header", "name": "X-Hub-Signature-256"},
                        }
                    }
                ]
            },
            "trigger-signature-soft-failures": True,
            "trigger-rule-mismatch-http-response-code": 403,
        }
    ]


def serve(remote: Remote, source: str, listen: str, certificate: str, key: str) -> NoReturn:
    """Become the receiver, until it is ended.

    Args:
        remote: the remote.
        source: where the forge's repository is fetched from.
        listen: `address:port`.
        certificate: the file with the certificate for HTTPS; empty for plain HTTP.
        key: the file with its key.

    Raises:
        CommandError: it cannot be started like this.

    """
    address, port = endpoint(listen, has_certificate=bool(certificate))
    if bool(certificate) != bool(key):
        raise CommandError("HTTPS needs --certificate and --key", "Pass both.", status=2)
    branches = remote.settings.branches
    if not branches:
        raise CommandError(
            "pushes deploy nothing yet", "Run `./slip git-remote add BRANCH -s STACK` first.", status=2
        )
    if source.startswith("-") or not source:
        raise CommandError(
            f"--from {source}: not the address of a repository", "Name what `git clone` takes.", status=2
        )
    program = shutil.which("webhook")
    if not program:
        raise CommandError("this machine has no `webhook`", "Install it: `apt-get install webhook`.")
    write_private(remote.folder / "source", source + "\n")
    file = remote.folder / "hooks.json"
    write_private(file, json.dumps(hooks(remote.launcher, secret(remote)), indent=2) + "\n")
    scheme = "https" if certificate else "http"
    console.facts(
        "The receiver of the forge's webhook",
        [
            ("Address", f"{scheme}://{listen}/hooks/{HOOK}"),
            ("Content", "application/json"),
            ("Secret", "./slip webhook secret"),
            ("Deploys", ", ".join(f"{branch} to {stack}" for branch, stack in sorted(branches.items()))),
            ("Fetches", without_credentials(source)),
        ],
    )
    encryption = ["-secure", "-cert", certificate, "-key", key] if certificate else []
    words = [
        "webhook",
        "-hooks",
        str(file),
        "-ip",
        address,
        "-port",
        port,
        "-urlprefix",
        "hooks",
        *encryption,
    ]
    os.execve(program, words, child_environment.of("webhook"))  # noqa: S606 - no shell


def endpoint(listen: str, *, has_certificate: bool) -> tuple[str, str]:
    """Address and port to listen at. Without a certificate only this machine's own.

    Raises:
        CommandError: it is none.

    """
    host, _, port = listen.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        address = None
    if address is None or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise CommandError(
            f"--listen {listen}: not ADDRESS:PORT", "For example: --listen 127.0.0.1:9000", status=2
        )
    if not (address.is_loopback or has_certificate):
        raise CommandError(
            f"--listen {listen}: without a certificate, everybody on the way could read what is pushed",
            "Listen at 127.0.0.1, behind a server with HTTPS; or pass --certificate and --key.",
            status=2,
        )
    return str(address), port


def receive(remote: Remote, environment: Mapping[str, str]) -> int:
    """Answer a request whose signature is right: begin a deployment, or refuse. Returns the exit status.

    `webhook` sends what this prints to the forge, with HTTP 200 for the status 0 and 500 for any other. A forge waits
    ten seconds, so the deployment is a process of its own.
    """
    event, name = environment.get(_EVENT, ""), environment.get(_REFERENCE, "")
    after, signature = environment.get(_AFTER, ""), environment.get(_SIGNATURE, "")
    if event == "ping":
        print("slipway: ready")
        return 0
    # `webhook` takes a list of signatures of which one is right: another list would be another delivery.
    if not re.fullmatch(r"sha256=[0-9a-f]{64}", signature):
        return _refuse("the header X-Hub-Signature-256 has to be one signature, in lower case")
    if event != "push" or not name or not re.fullmatch(r"[0-9a-f]{40,64}", after):
        return _refuse("this is not about a push, as JSON")
    branch = name.removeprefix(_HEADS)
    stack = remote.settings.branches.get(branch, "") if name.startswith(_HEADS) else ""
    if not stack:
        print(f"slipway: refused: {name} is not deployed to any stack, so nothing is done")
        return 0
    if not after.strip("0"):
        return _refuse(f"{branch} was deleted; the stack {stack} runs on")
    if not _is_new(remote, signature):
        return _refuse("this delivery was here before: a replay deploys nothing")
    _begin(remote, branch, after, stack)
    print(
        f"slipway: {after[:12]} is to be deployed to the stack {stack}; `./slip git-remote list` shows how it ends"
    )
    return 0


def _refuse(text: str) -> int:
    print(f"slipway: refused: {text}")
    return 1


def _is_new(remote: Remote, signature: str) -> bool:
    """Note a signature, and say whether it was not there. It is that of one secret and one content."""
    path = remote.folder / "deliveries"
    with in_turn(remote.folder / "deliveries.lock"):
        known = path.read_text(encoding="utf-8").split() if path.exists() else []
        if signature in known:
            return False
        write_private(path, "".join(f"{one}\n" for one in [*known, signature][-KEPT:]))
    return True


def _begin(remote: Remote, branch: str, after: str, stack: str) -> None:
    folder = remote.folder / "stacks" / stack
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with opened(folder / "webhook-log", anew=False) as log:
        subprocess.Popen(
            [str(remote.launcher), "webhook", "deploy", branch, after],
            cwd="/",
            env=child_environment.of("pushed"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def deploy_fetched(remote: Remote, branch: str, after: str) -> int:
    """Fetch the forge's branch and deploy it. Returns the exit status.

    Raises:
        CommandError: it cannot be fetched, or is refused.

    """
    stack = remote.settings.branches.get(branch, "")
    if not stack:
        raise CommandError(f"pushes to {branch} deploy nothing", status=1)
    bare = Repository(remote.repository)
    source = (remote.folder / "source").read_text(encoding="utf-8").strip()
    fetched = f"refs/slipway/fetched/{branch}"
    with in_turn(remote.folder / "fetch.lock"):
        bare.run("fetch", "--quiet", "--no-tags", "--end-of-options", source, f"+{_HEADS}{branch}:{fetched}")
        revision = bare.run("rev-parse", "--verify", fetched).decode().strip()
    if not (bare.has(after) and bare.contains(revision, after)):
        raise CommandError(
            f"the forge's {branch} is at {revision[:12]} and does not have {after[:12]}", status=1
        )
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, here
    return deploy(remote, Push(branch, stack, revision, BY, bare), Screen(), moves=True)
