"""A stand-in for Docker Engine's API, as scripts/routes.sh asks it by curl.

It answers `curl --unix-socket …`, and its state is in the folder. What changes something is noted among the calls of
the machine, in the words of Docker's own command.
"""

import json
import re
from pathlib import Path
from typing import Any, TextIO


def main(folder: Path, arguments: list[str], stdin: str, output: TextIO) -> None:
    method, body = "GET", ""
    for position, word in enumerate(arguments):
        if word == "-X":
            method = arguments[position + 1]
        elif word == "-d":
            body = arguments[position + 1]
            body = stdin if body == "@-" else body
        elif word.startswith("http://docker/"):
            status, answer = _answer(folder, method, word.removeprefix("http://docker"), body)
            print("" if answer is None else json.dumps(answer, separators=(",", ":")), file=output)
            if "-w" in arguments:
                print(f"code {status}", file=output)
            method, body = "GET", ""


def _answer(folder: Path, method: str, path: str, body: str) -> tuple[int, Any]:
    if path.startswith("/containers/json?all=1&filters="):
        return 200, [_listed(line) for line in (folder / "containers").read_text().splitlines()]
    if path.startswith("/containers/create?name="):
        (folder / "created.json").write_text(json.dumps({"name": path.partition("=")[2], **json.loads(body)}))
        return 201, {"Id": "7d" * 32, "Warnings": []}
    found = re.fullmatch(r"/containers/([^/]+)/(json|start|stop|update)(?:\?t=(\d+))?", path)
    assert found, path
    name, verb, seconds = found.groups()
    if verb == "json":
        assert method == "GET"
        return _inspected(folder, name)
    assert method == "POST"
    details = {"stop": f"-t {seconds} {name}", "start": name}
    if verb == "update":
        details["update"] = f"{name} {json.loads(body)['PidsLimit']}"
    with (folder / "called").open("a") as called:
        called.write(f"docker {verb} {details[verb]}\n")
    return (200, {"Warnings": None}) if verb == "update" else (204, None)


def _listed(line: str) -> dict[str, Any]:
    name, service, state, address = [*line.split(), ""][:4]
    return {
        "Id": "5e" * 32,
        "Names": [f"/{name}"],
        "Command": 'sh -c "echo },\\"State\\":\\"dead\\""',
        "Labels": {"State": "paused", "slipway.service": service, "slipway.stack": "dev"},
        "State": state,
        "Status": "Up 2 seconds",
        "NetworkSettings": _network(address),
    }


def _network(address: str) -> dict[str, Any]:
    return {"Networks": {"box-proxy-network": {"IPAMConfig": None, "IPAddress": address, "IPPrefixLen": 16}}}


def _inspected(folder: Path, name: str) -> tuple[int, Any]:
    """What the engine says of a container: the proxy, the new one, whose states come one after another, or another."""
    if name == "slipway-proxy":
        state, pid = (folder / "proxy").read_text(), 4712 if (folder / "process.json").exists() else 0
        return (200, _container(state, pid=pid)) if state else (404, {"message": "No such container"})
    if name != "new":
        return 200, _container("running", pid=4711)
    asked = folder / "asked"
    number = int(asked.read_text()) if asked.exists() else 0
    asked.write_text(str(number + 1 if (folder / f"state-{number + 1}").exists() else number))
    state, code, restarts, out_of_memory, process, address = [
        *(folder / f"state-{number}").read_text().split(),
        "",
    ][:6]
    return 200, _container(state, int(process), int(code), int(restarts), out_of_memory == "true", address)


def _container(
    state: str, pid: int, code: int = 0, restarts: int = 0, out_of_memory: bool = False, address: str = ""
) -> dict[str, Any]:
    return {
        "Id": "5e" * 32,
        "State": {
            "Status": state,
            "OOMKilled": out_of_memory,
            "Dead": False,
            "Pid": pid,
            "ExitCode": code,
            "Error": "",
        },
        "RestartCount": restarts,
        "HostConfig": {"PidMode": "", "PidsLimit": None},
        "Config": {"Env": ['TEXT="Status":"dead","Pid":1,"RestartCount":9'], "Labels": {"State": "paused"}},
        "NetworkSettings": {"IPAddress": "", **_network(address)},
    }
