"""The protocol over gRPC, and the process of a plugin."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import grpc
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from plugins.protocol import server
from plugins.protocol.messages import (
    CheckFailure,
    CheckRequest,
    CheckResponse,
    CreateRequest,
    CreateResponse,
    DiffRequest,
    DiffResponse,
    Failure,
    Features,
    InitFailure,
    PropertyDiff,
    ReadRequest,
    ReadResponse,
)
from plugins.protocol.properties import (
    Secret,
    decode_properties,
    encode_properties,
)
from plugins.protocol.provider import Provider
from tests.support.waiting import PATIENCE

MAIN = Path(server.__file__).parents[1] / "start/main.py"

# The protocol


class Sample(Provider):
    name, version = "sample", "1.2.3"
    features = Features(accept_secrets=True, accept_outputs=True)

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()

    def check(self, request: CheckRequest) -> CheckResponse:
        failures = [
            CheckFailure(name, "it has to go")
            for name, value in request.news.items()
            if value == Secret("bad")
        ]
        mode = request.autonaming.mode if request.autonaming else ""
        return CheckResponse({**request.news, "mode": mode, "seed": request.random_seed.hex()}, failures)

    def diff(self, request: DiffRequest) -> DiffResponse:
        detailed = {"a.b": PropertyDiff("ADD_REPLACE", input_diff=True), "c": PropertyDiff("ADD")}
        return DiffResponse(True, ["a"], ["a"], ["id"], delete_before_replace=True, detailed=detailed)

    def create(self, request: CreateRequest) -> CreateResponse:
        if request.name == "fault":
            return CreateResponse("1", {"size": 1 / len(request.properties)})
        if request.name == "strange":
            self.engine.log("warning", "look at \udcff", request.urn)
            raise Failure("\udcff cannot be read")
        if request.name == "broken":
            raise InitFailure("7", {"a": Secret("b")}, ["it is ill", "really"])
        if request.name == "slow":
            self.reached.set()
            assert self.cancelled.wait(10)
            raise Failure("cancelled")
        self.engine.log("warning", "look", request.urn, ephemeral=True)
        return CreateResponse("1", {**request.properties, "timeout": request.timeout})

    def read(self, request: ReadRequest) -> ReadResponse:
        return ReadResponse("" if request.id == "gone" else request.id, request.properties, request.inputs)


class EngineService(engine_pb2_grpc.EngineServicer):
    """The part of the engine that takes messages."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def Log(self, request: Any, context: Any) -> empty_pb2.Empty:  # noqa: N802  # the protocol's name
        self.messages.append(request)
        return empty_pb2.Empty()


Stub = Any


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def stub(sample: Sample) -> Iterator[Stub]:
    served, port = server.start(sample)
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield provider_pb2_grpc.ResourceProviderStub(channel)
    served.stop(None)


@pytest.fixture
def engine() -> Iterator[tuple[str, EngineService]]:
    from concurrent.futures import ThreadPoolExecutor

    service = EngineService()
    engine_server = grpc.server(ThreadPoolExecutor(2))
    engine_pb2_grpc.add_EngineServicer_to_server(service, engine_server)
    port = engine_server.add_insecure_port("127.0.0.1:0")
    engine_server.start()
    yield f"127.0.0.1:{port}", service
    engine_server.stop(None)


def test_the_handshake_has_features_and_version(stub: Stub) -> None:
    greeted = stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=""))
    assert (greeted.accept_secrets, greeted.accept_resources, greeted.accept_outputs) == (True, False, True)
    assert stub.GetPluginInfo(empty_pb2.Empty()).version == "1.2.3"
    configured = stub.Configure(provider_pb2.ConfigureRequest())
    assert (configured.supportsPreview, configured.acceptSecrets, configured.acceptOutputs) == (
        True,
        True,
        True,
    )


def test_check_carries_seed_and_autonaming(stub: Stub) -> None:
    request = provider_pb2.CheckRequest(news=encode_properties({"a": 1}), randomSeed=b"\x01\xff")
    request.autonaming.mode = provider_pb2.CheckRequest.AutonamingOptions.ENFORCE
    checked = decode_properties(stub.Check(request).inputs)
    assert checked == {"a": 1, "mode": "ENFORCE", "seed": "01ff"}


def test_the_value_of_a_bad_input_is_not_shown(stub: Stub) -> None:
    # Given the property's name, the engine would print its value, secret or not.
    checked = stub.Check(provider_pb2.CheckRequest(news=encode_properties({"a": Secret("bad")})))
    assert [(failure.property, failure.reason) for failure in checked.failures] == [("", "a: it has to go")]
    assert not checked.inputs.fields


def test_a_detailed_diff(stub: Stub) -> None:
    difference = json_format.MessageToDict(stub.Diff(provider_pb2.DiffRequest()))
    assert difference == {
        "changes": "DIFF_SOME",
        "diffs": ["a"],
        "replaces": ["a"],
        "stables": ["id"],
        "deleteBeforeReplace": True,
        "hasDetailedDiff": True,
        "detailedDiff": {"a.b": {"kind": "ADD_REPLACE", "inputDiff": True}, "c": {}},
    }


def test_what_is_gone_has_no_id(stub: Stub) -> None:
    properties = encode_properties({"a": 1})
    found = stub.Read(provider_pb2.ReadRequest(id="1", properties=properties, inputs=properties))
    assert (found.id, decode_properties(found.properties), decode_properties(found.inputs)) == (
        "1",
        {"a": 1},
        {"a": 1},
    )
    assert (
        stub.Read(provider_pb2.ReadRequest(id="gone", properties=properties)) == provider_pb2.ReadResponse()
    )


def failed(call: Callable[[], Any]) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return cast("grpc.Call", raised.value)


def test_a_method_that_a_plugin_lacks_is_unimplemented(stub: Stub) -> None:
    error = failed(lambda: stub.Delete(provider_pb2.DeleteRequest()))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNIMPLEMENTED, "Delete is not implemented")
    assert (
        failed(lambda: stub.GetSchema(provider_pb2.GetSchemaRequest())).code()
        == grpc.StatusCode.UNIMPLEMENTED
    )


def test_a_fault_of_the_plugin_is_reported_as_one(stub: Stub) -> None:
    error = failed(lambda: stub.Create(provider_pb2.CreateRequest(name="fault")))
    assert error.code() == grpc.StatusCode.UNKNOWN
    assert "a fault of Slipway's stand-in for pulumi-sample: ZeroDivisionError" in error.details()
    assert "test_server.py" in error.details()


def test_a_name_that_is_not_utf_8_may_be_in_an_error(stub: Stub, engine: tuple[str, EngineService]) -> None:
    address, service = engine
    stub.Attach(plugin_pb2.PluginAttach(address=address))
    error = failed(lambda: stub.Create(provider_pb2.CreateRequest(name="strange")))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "\\udcff cannot be read")
    assert [message.message for message in service.messages] == ["look at \\udcff"]


def test_a_resource_that_does_not_work_is_kept(stub: Stub) -> None:
    error = failed(lambda: stub.Create(provider_pb2.CreateRequest(name="broken")))
    assert (error.code(), error.details()) == (grpc.StatusCode.UNKNOWN, "it is ill\nreally")
    trailers: dict[Any, Any] = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    detail = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(detail)
    assert (detail.id, list(detail.reasons)) == ("7", ["it is ill", "really"])
    assert decode_properties(detail.properties) == {"a": Secret("b")}


@pytest.mark.parametrize("how", ["Handshake", "Attach"])
def test_messages_reach_the_engine(
    how: Literal["Handshake", "Attach"], stub: Stub, engine: tuple[str, EngineService]
) -> None:
    address, service = engine
    if how == "Handshake":
        stub.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=address))
    else:
        stub.Attach(plugin_pb2.PluginAttach(address=address))
    stub.Create(provider_pb2.CreateRequest(urn="urn", name="fine", timeout=5))
    (message,) = service.messages
    assert (message.severity, message.message, message.urn, message.ephemeral) == (
        engine_pb2.WARNING,
        "look",
        "urn",
        True,
    )


def test_an_engine_that_is_gone_does_not_stop_the_work(
    stub: Stub, sample: Sample, capfd: pytest.CaptureFixture[str]
) -> None:
    sample.engine.attach("127.0.0.1:1")
    created = stub.Create(provider_pb2.CreateRequest(urn="urn", name="fine"))
    assert created.id == "1"
    assert "cannot send this message to the engine: look" in capfd.readouterr().err


def test_cancelling_reaches_what_is_under_way(stub: Stub, sample: Sample) -> None:
    waiting = stub.Create.future(provider_pb2.CreateRequest(name="slow"))
    assert sample.reached.wait(5)
    stub.Cancel(empty_pb2.Empty())
    assert failed(waiting.result).details() == "cancelled"


def test_messages_larger_than_grpc_allows_by_itself(stub: Stub) -> None:
    text = "x" * 6_000_000
    created = stub.Create(provider_pb2.CreateRequest(name="fine", properties=encode_properties({"a": text})))
    assert decode_properties(created.properties)["a"] == text


# The process


def start_plugin(name: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-I", "-S", str(MAIN), name, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def port_of(process: "subprocess.Popen[str]") -> int:
    assert process.stdout
    return int(process.stdout.readline())


@pytest.mark.parametrize(("name", "version"), [("tls", "5.5.1"), ("command", "1.2.1"), ("aws", "7.51.1")])
def test_a_plugin_starts_greets_and_ends(name: str, version: str) -> None:
    process = start_plugin(name, "--logtostderr", "127.0.0.1:1")
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port_of(process)}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            assert stub.GetPluginInfo(empty_pb2.Empty(), wait_for_ready=True).version == version
    finally:
        process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0


def test_an_unknown_plugin_is_refused() -> None:
    process = start_plugin("azure", "127.0.0.1:1")
    assert "aws|command|docker|tls" in process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 1


def test_a_plugin_whose_engine_was_killed_ends_with_all_that_it_runs(tmp_path: Path) -> None:
    # The shell takes the engine's place: the plugin is its child, and the shell is killed.
    script = f"{sys.executable} -I -S {MAIN} command 127.0.0.1:1 & echo $!; wait"
    parent = subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    plugin, port = int(parent.stdout.readline()), int(parent.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        properties = encode_properties({"create": f"echo $$ > {tmp_path}/pid; exec sleep 60"})
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        under_way = stub.Create.future(
            provider_pb2.CreateRequest(name="a", type="command:local:Command", properties=properties),
            wait_for_ready=True,
        )
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
        command = int((tmp_path / "pid").read_text())
        parent.kill()
        parent.wait(5)
        wait_for(lambda: not runs(plugin) and not runs(command))
        under_way.cancel()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("name", ["tls", "command", "aws"])
def test_a_start_imports_nothing_heavy(name: str) -> None:
    heavy = (
        "cryptography",
        "asyncssh",
        "paramiko",
        "docker",
        "requests",
        "boto3",
        "pulumi.resource",
        "pydantic",
    )
    script = (
        f"import importlib, sys; sys.path.insert(0, {str(MAIN.parents[2])!r})\n"
        "from plugins.start.imports import import_common; import_common()\n"
        f"importlib.import_module('plugins.{name}').provider()\n"
        f"print([module for module in {heavy!r} if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
