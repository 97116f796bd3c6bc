"""A stand-in for the process of HAProxy: its answers to the runtime commands of scripts/routes.sh.

It answers `nsenter … bash -c … - COMMAND…`, and its state is in the folder; without a `-`, commands come on standard
input. It reads the configuration at a `reload` only, as the real one does.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any, TextIO


def main(folder: Path, arguments: list[str], stdin: str, output: TextIO) -> None:
    if "-" in arguments:
        _tell(folder, arguments[arguments.index("-") + 1 :], output)
    else:
        _take(folder, stdin, output)


def _tell(folder: Path, commands: list[str], output: TextIO) -> None:
    state = folder / "process.json"
    if not state.exists():
        sys.exit(1)
    process = json.loads(state.read_text())
    servers: dict[str, list[str]] = process["servers"]
    for command in commands:
        if not re.search(r" show |^show |^quit$", command):
            with (folder / "told").open("a") as log:
                log.write(f"{command}\n")
        verb = command.removeprefix("@1 ")
        words = verb.split()
        if verb == "show info":
            print(f"Name: HAProxy\ndescription: {process['mark']}\n", file=output)
        elif verb == "show servers state":
            print("1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state", file=output)
            for name, (address, port, operation, admin) in servers.items():
                backend, _, server = name.partition("/")
                print(1, backend, 1, server, address, operation, admin, *["-"] * 11, port, file=output)
            print(file=output)
        elif verb == "show proc":
            print("#<PID> <type>\n1 master\n7 worker\n8 worker", file=output)
        elif "show stat" in verb:
            busy = folder / "busy"
            count = int(busy.read_text()) if busy.exists() else 0
            busy.write_text(str(max(0, count - 1)))
            for name in servers:
                print(",".join([*name.split("/"), "0", "0", str(count)]), file=output)
        elif words[:2] == ["add", "server"]:
            address, _, port = words[3].partition(":")
            servers[words[2]] = [address, port, "0", "1"]
        elif words[:2] == ["del", "server"]:
            del servers[words[2]]
        elif words[:2] == ["set", "server"] and words[3] == "state":
            servers[words[2]][2:] = {"ready": ["2", "0"], "drain": ["2", "8"], "maint": ["0", "1"]}[words[4]]
        elif words[:2] == ["set", "server"] and words[3] == "addr":
            servers[words[2]][:2] = [words[4], words[6]]
        elif verb == "reload":
            process = load((folder / "etc/slipway/proxy/haproxy.cfg").read_text())
            servers = process["servers"]
            print("Success=1", file=output)
        elif "shutdown sessions" not in verb and verb != "quit":
            sys.exit(f"unknown command: {command}")
    state.write_text(json.dumps(process | {"servers": servers}))


def load(text: str) -> dict[str, Any]:
    """The process that has read a configuration."""
    servers, backend = {}, ""
    for line in text.splitlines():
        words = line.split()
        if line.startswith("backend "):
            backend = words[1]
        elif line.startswith("  server "):
            address, _, port = words[2].partition(":")
            servers[f"{backend}/{words[1]}"] = [
                address,
                port,
                *(("0", "5") if "disabled" in words else ("2", "0")),
            ]
    found = re.search(r"^  description (.*)$", text, re.MULTILINE)
    certificates = dict.fromkeys(re.findall(r" crt (\S+)", text), "")
    return {"mark": found[1] if found else "", "servers": servers, "certificates": certificates}


def _take(folder: Path, text: str, output: TextIO) -> None:
    """Take certificates, as `set ssl cert NAME <<` and `commit ssl cert NAME` bring them."""
    state = folder / "process.json"
    process = json.loads(state.read_text())
    found = re.findall(r"@1 set ssl cert (\S+) <<\n(.+?)\n\n@1 commit ssl cert (\S+)\n", text, re.DOTALL)
    for name, content, committed in found:
        assert name == committed
        if name not in process["certificates"]:
            print("Can't replace a certificate which is not referenced by the configuration!", file=output)
            continue
        process["certificates"][name] = content
        print("Success!", file=output)
        with (folder / "told").open("a") as log:
            log.write(f"certificate {name}\n")
    state.write_text(json.dumps(process))
