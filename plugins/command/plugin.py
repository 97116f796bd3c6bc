"""A stand-in for pulumi-command: local commands, remote commands, and copies to remote hosts.

The output of a command is shown beside its resource while the command runs, and kept as `stdout` and `stderr`. What
Slipway does not use is refused by name: proxies, SSH agents, a remote `environment`, `archivePaths`, and the functions
`run`.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from plugins.command import shell
from plugins.command.output import Transcript
from plugins.protocol.inputs import Field, validate
from plugins.protocol.messages import (
    Change,
    CheckFailure,
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DeleteRequest,
    DiffRequest,
    DiffResponse,
    Failure,
    Features,
    InvokeRequest,
    PropertyDiff,
    ReadRequest,
    ReadResponse,
    Unimplemented,
    UpdateRequest,
    UpdateResponse,
)
from plugins.protocol.properties import UNKNOWN, Archive, Asset, Properties, Secret, plain
from plugins.protocol.provider import Provider

if TYPE_CHECKING:
    from plugins.command import shell, ssh

LOCAL: Final = "command:local:Command"
REMOTE: Final = "command:remote:Command"
COPY: Final = "command:remote:CopyToRemote"

GO_PROVIDER: Final = {"__pulumi-go-provider-version": "1.2.0"}
"""The official plugin's framework adds this to the provider's configuration."""

EMPTY_ARCHIVE_HASH: Final = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
"""The SHA-256 of 1024 zero bytes, an empty tar file."""

_COMMAND: Final = {
    "create": Field(),
    "update": Field(),
    "delete": Field(),
    "stdin": Field(),
    "logging": Field(choices=("stdout", "stderr", "stdoutAndStderr", "none")),
    "addPreviousOutputInEnv": Field(bool),
    "triggers": Field(list),
}

_CONNECTION: Final = {
    "host": Field(required=True),
    "port": Field(int, minimum=1),
    "user": Field(),
    "privateKey": Field(),
    "privateKeyPassword": Field(),
    "password": Field(),
    "hostKey": Field(),
    "dialErrorLimit": Field(int, minimum=-1),
    "perDialTimeout": Field(int, minimum=0),
}
_CONNECTION_DEFAULTS: Final = {"dialErrorLimit": 10, "perDialTimeout": 15, "port": 22, "user": "root"}
_CONNECTION_SECRETS: Final = ("privateKey", "privateKeyPassword", "password")

INPUTS: Final = {
    LOCAL: {
        **_COMMAND,
        "interpreter": Field(list, items=Field()),
        "dir": Field(),
        "environment": Field(dict, items=Field()),
        "assetPaths": Field(list, items=Field()),
        "archivePaths": Field(list),
    },
    REMOTE: {**_COMMAND, "connection": Field(dict, required=True, fields=_CONNECTION)},
    COPY: {
        "connection": Field(dict, required=True, fields=_CONNECTION),
        "source": Field((Asset, Archive), required=True),
        "remotePath": Field(required=True),
        "triggers": Field(list),
    },
}


class Task(NamedTuple):
    """One command of a command resource."""

    type: str
    urn: str
    command: str
    inputs: Properties
    """The resource's inputs, without `Secret`s."""
    previous: Properties
    """The resource's previous state, without `Secret`s."""
    timeout: float


class Command(Provider):
    """The resources of `INPUTS`."""

    name, version = "command", "1.2.1"
    features = Features(accept_secrets=True, accept_resources=True, accept_outputs=True)

    def __init__(self) -> None:
        super().__init__()
        self._shell: shell.Shell | None = None
        self._operations: set[ssh.Operation] = set()
        """The operations that run on remote hosts."""
        self._lock = threading.Lock()

    def check_config(self, request: CheckRequest) -> CheckResponse:
        failures = [
            CheckFailure(name, f"Slipway's stand-in for pulumi-command has no provider setting {name!r}")
            for name in request.news
            if name != "version" and name not in GO_PROVIDER
        ]
        return CheckResponse({**GO_PROVIDER, **request.news}, failures)

    def diff_config(self, request: DiffRequest) -> NoReturn:
        raise Unimplemented("DiffConfig is not implemented")

    def check(self, request: CheckRequest) -> CheckResponse:
        if request.type not in INPUTS:
            return CheckResponse({}, [CheckFailure("", _unknown_type(request.type))])
        failures = validate(request, INPUTS[request.type], request.type.removeprefix("command:"))
        inputs = dict(request.news)
        failures += _check_details(inputs)
        if not failures and "connection" in inputs:
            inputs["connection"] = _complete_connection(inputs["connection"])
        if not failures and isinstance(source := inputs.get("source"), (Asset, Archive)):
            inputs["source"] = _complete(source)
        return CheckResponse(inputs, failures)

    def diff(self, request: DiffRequest) -> DiffResponse:
        _need_type(request.type)
        olds = request.old_inputs or {
            name: value for name, value in request.olds.items() if name in INPUTS[request.type]
        }
        detailed: dict[str, PropertyDiff] = {}
        for name in sorted(olds.keys() | request.news.keys()):
            _compare(name, olds.get(name, _ABSENT), request.news.get(name, _ABSENT), detailed)
        diffs = dict.fromkeys(path.split(".")[0].split("[")[0] for path in detailed)
        return DiffResponse(bool(diffs), diffs=diffs, detailed=detailed)

    def create(self, request: CreateRequest) -> CreateResponse:
        _need_type(request.type)
        if request.type == COPY:
            if request.preview:
                return CreateResponse("", {**request.properties, "source": UNKNOWN})
            return CreateResponse(
                os.urandom(4).hex(), self._copy(request.properties, request.urn, request.timeout)
            )
        identifier = f"{request.name}{os.urandom(4).hex()}"
        if request.preview:
            return CreateResponse(identifier, {**request.properties, "stdout": UNKNOWN, "stderr": UNKNOWN})
        command = request.properties.get("create")
        return CreateResponse(identifier, self._perform(request, request.properties, {}, command))

    def update(self, request: UpdateRequest) -> UpdateResponse:
        _need_type(request.type)
        if request.type == COPY:
            if request.preview:
                return UpdateResponse({**request.news, "source": UNKNOWN})
            olds, news = request.olds, request.news
            moved = olds.get("remotePath") != news["remotePath"]
            if moved or olds["source"].hash != news["source"].hash:
                return UpdateResponse(self._copy(news, request.urn, request.timeout))
            return UpdateResponse({**news, "source": _complete(news["source"])})
        if request.preview:
            return UpdateResponse({**request.news, "stdout": UNKNOWN, "stderr": UNKNOWN})
        command = request.news.get("update")
        if command is None:
            command = request.news.get("create")
        return UpdateResponse(self._perform(request, request.news, request.olds, command))

    def read(self, request: ReadRequest) -> ReadResponse:
        _need_type(request.type)
        if not request.properties:
            raise Failure(
                f"{request.type} cannot be imported: a command leaves nothing that could be looked up"
            )
        return ReadResponse(request.id, _with_assets(request.properties), _with_assets(request.inputs))

    def delete(self, request: DeleteRequest) -> None:
        _need_type(request.type)
        command = request.properties.get("delete")
        if request.type != COPY and command is not None:
            self._perform(request, request.properties, request.properties, command)

    def invoke(self, request: InvokeRequest) -> NoReturn:
        raise Failure(f"Slipway's stand-in for pulumi-command has no function {request.token}")

    def cancel(self) -> None:
        with self._lock:
            if self._shell:
                self._shell.stop()
            for operation in self._operations:
                operation.stop()

    def _perform(
        self,
        request: CreateRequest | UpdateRequest | DeleteRequest,
        inputs: Properties,
        previous: Properties,
        command: Any,
    ) -> Properties:
        """Run `command`, unless it is None, and return the state of its resource."""
        if command is None:
            return {**inputs, **{name: previous.get(name, "") for name in ("stdout", "stderr")}}
        if self.cancelled.is_set():
            raise Failure("cancelled")
        bare = plain(inputs)
        task = Task(request.type, request.urn, plain(command), bare, plain(previous), request.timeout)
        transcript = Transcript(bare.get("logging"), self._show(request.urn))
        assets: Properties = {}
        if task.type == LOCAL:
            assets = self._run_locally(task, transcript)
        else:
            self._run_remotely(task, transcript)
        return {**inputs, "stdout": transcript["stdout"], "stderr": transcript["stderr"], **assets}

    def _show(self, urn: str) -> Callable[[str], None]:
        return lambda line: self.engine.log("info", line, urn, ephemeral=True)

    def _run_locally(self, task: Task, transcript: Transcript) -> Properties:
        from plugins.command import shell

        with self._lock:
            self._shell = self._shell or shell.Shell()
        job = shell.Job(
            command=task.command,
            interpreter=task.inputs.get("interpreter") or ("/bin/sh", "-c"),
            directory=task.inputs.get("dir"),
            environment={**(task.inputs.get("environment") or {}), **_previous_output(task)},
            stdin=task.inputs.get("stdin"),
            timeout=task.timeout,
        )
        self._shell.run(job, transcript)
        outputs: Properties = {}
        if task.inputs.get("assetPaths") is not None:
            outputs["assets"] = shell.find_assets(task.inputs.get("dir"), task.inputs["assetPaths"])
        if task.inputs.get("archivePaths") is not None:
            outputs["archive"] = Archive(assets={}, path="", uri="", hash=EMPTY_ARCHIVE_HASH)
        return outputs

    def _run_remotely(self, task: Task, transcript: Transcript) -> None:
        from plugins.command import ssh

        job = ssh.Job(task.command, _previous_output(task), task.inputs.get("stdin"))
        with self._operation(task.inputs, task.urn, task.timeout) as operation:
            operation.run(job, transcript)

    def _copy(self, inputs: Properties, urn: str, timeout: float) -> Properties:
        if self.cancelled.is_set():
            raise Failure("cancelled")
        source = inputs["source"]
        # A directory with a slash at its end stands for its contents.
        contents = source.path.endswith("/")
        with self._operation(plain(inputs), urn, timeout) as operation:
            operation.copy(Path(source.path).resolve(), inputs["remotePath"], contents=contents)
        return {**inputs, "source": _complete(source)}

    @contextlib.contextmanager
    def _operation(self, inputs: Properties, urn: str, timeout: float) -> Iterator["ssh.Operation"]:
        """Give an operation on the host of `inputs`, which `cancel` stops."""
        from plugins.command import ssh

        given = {**_CONNECTION_DEFAULTS, **inputs["connection"]}
        connection = ssh.Connection(
            host=given["host"],
            port=given["port"],
            user=given["user"],
            private_key=given.get("privateKey"),
            private_key_password=given.get("privateKeyPassword"),
            password=given.get("password"),
            host_key=given.get("hostKey"),
            dial_error_limit=given["dialErrorLimit"],
            per_dial_timeout=given["perDialTimeout"],
        )
        operation = ssh.Operation(connection, timeout, self._show(urn))
        with self._lock:
            self._operations.add(operation)
        try:
            yield operation
        finally:
            with self._lock:
                self._operations.discard(operation)


def _unknown_type(name: str) -> str:
    return f"Slipway's stand-in for pulumi-command has no resource {name}; it has {', '.join(INPUTS)}"


def _need_type(name: str) -> None:
    if name not in INPUTS:
        raise Failure(_unknown_type(name))


def _check_details(inputs: Properties) -> list[CheckFailure]:
    """Return the bad values among inputs whose names and types are right."""
    failures = []
    if inputs.get("archivePaths"):
        failures.append(CheckFailure("archivePaths", "Slipway's stand-in plugin cannot make archives"))
    source = inputs.get("source")
    if isinstance(source, (Asset, Archive)) and not source.path:
        failures.append(CheckFailure("source", "source has to be a FileAsset or a FileArchive with a path"))
    return failures


def _complete_connection(connection: Any) -> Any:
    """Return `connection` with its defaults, as a secret in which the credentials are secrets, too."""
    bare = plain(connection)
    if not isinstance(bare, dict):
        return Secret(bare)
    for name in _CONNECTION_SECRETS:
        if name in bare:
            bare[name] = Secret(bare[name])
    return Secret({**_CONNECTION_DEFAULTS, **bare})


def _complete(source: Asset | Archive) -> Asset | Archive:
    """Return `source` with all the fields that the official plugin writes."""
    if isinstance(source, Asset):
        return source._replace(text=source.text or "", path=source.path or "", uri=source.uri or "")
    return source._replace(assets=source.assets or {}, path=source.path or "", uri=source.uri or "")


def _with_assets(properties: Properties) -> Properties:
    """Return `properties` as a refresh writes them: archives always have `assets`."""
    return {
        name: value._replace(assets=value.assets or {}) if isinstance(value, Archive) else value
        for name, value in properties.items()
    }


def _previous_output(task: Task) -> dict[str, str]:
    """Return the environment variables that hold the output of the previous command."""
    if task.inputs.get("addPreviousOutputInEnv") is False:
        return {}
    previous = {
        "PULUMI_COMMAND_STDOUT": task.previous.get("stdout"),
        "PULUMI_COMMAND_STDERR": task.previous.get("stderr"),
    }
    return {name: text for name, text in previous.items() if text}


_ABSENT: Final = object()


def _compare(path: str, old: Any, new: Any, found: dict[str, PropertyDiff]) -> None:
    """Add to `found` every path, at `path` or below it, at which `new` differs from `old`."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            _compare(f"{path}.{name}", old.get(name, _ABSENT), new.get(name, _ABSENT), found)
        return
    if isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            one = old[index] if index < len(old) else _ABSENT
            other = new[index] if index < len(new) else _ABSENT
            _compare(f"{path}[{index}]", one, other, found)
        return
    if isinstance(old, (Asset, Archive)) and isinstance(new, (Asset, Archive)):
        old, new = (type(old), old.hash), (type(new), new.hash)
    if plain(old) == plain(new):
        return
    kind: Change = "UPDATE"
    if old is _ABSENT:
        kind = "ADD"
    elif new is _ABSENT:
        kind = "DELETE"
    found[path] = PropertyDiff(kind)
