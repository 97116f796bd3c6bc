"""The API: passes calls to moto and applies their effect to this machine."""

import base64
import io
import json
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.wrappers import Request, Response

from emulation import quotas, selections
from emulation.account import Account
from emulation.actions import Actions
from emulation.errors import Refused, failed
from emulation.faults import Fault, Faults
from emulation.reconciler import Reconciler
from emulation.request import Call, refusal

Environment = dict[str, Any]
StartResponse = Callable[..., Any]

CONTROL = "/slipway/"
"""Prefix of the paths that control the emulation: `ping`, `faults` and `end`."""


class Api:
    """A WSGI application."""

    def __init__(
        self, account: Account, reconciler: Reconciler, key: str, actions: Path, end: Callable[[], None]
    ) -> None:
        """Answer requests.

        Args:
            account: the account in moto.
            reconciler: brings this machine to the account's state.
            key: the access key by which requests have to be signed.
            actions: the file that lists the actions that were asked for.
            end: what a request to end calls.
        """
        self._account = account
        self._reconciler = reconciler
        self._key = key
        self._end = end
        self._faults = Faults()
        self._actions = Actions(actions)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._changing = threading.Lock()

    def __call__(self, environment: Environment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        request = Request(environment)
        response = self._control(request) if request.path.startswith(CONTROL) else self._answer(request)
        return response(environment, start)

    def _answer(self, request: Request) -> Response:
        call = Call.of(request)
        self._actions.note(call.service, call.action)
        if call.key != self._key:
            # Only the account's owner has the key: who can make instances is root on this machine.
            return refusal(call, _unknown_key(call), 401 if call.service == "ec2" else 403)
        try:
            self._faults.check(call.action)
            if call.action == "GetConsoleOutput":
                return self._console(call)
            if call.reads:
                return self._ask_moto(request)
            with self._changing:
                return self._change(request, call)
        except Refused as refused:
            return refusal(call, refused)
        except Exception as error:  # noqa: BLE001 - without an answer in its protocol, an SDK repeats the call
            traceback.print_exc()
            return refusal(call, failed(f"{type(error).__name__}: {error}"))

    def _change(self, request: Request, call: Call) -> Response:
        if call.action == "DetachVolume":
            self._reconciler.refuse_detaching(call.values["VolumeId"])
        before = {machine.instance for machine in self._account.machines()}
        response = self._ask_moto(request)
        if response.status_code < 400:
            try:
                if call.action == "RebootInstances":
                    for instance in _listed(call, "InstanceId"):
                        self._reconciler.reboot(instance)
                if call.service == "ec2":
                    self._reconciler.reconcile()
            except Refused:
                if call.action == "RunInstances":
                    self._undo(before)
                raise
            finally:
                self._account.save()
        return response

    def _undo(self, before: set[str]) -> None:
        """Terminate the instances of a failed call, as EC2 does: the call then made none."""
        for machine in self._account.machines():
            if machine.instance not in before:
                self._account.instance(machine.instance).terminate()
        self._reconciler.reconcile()

    def _ask_moto(self, request: Request) -> Response:
        if response := selections.answer(request, self._account.selections) or quotas.answer(request):
            return response
        # The body was read already, so moto gets a copy.
        body = request.get_data(cache=True)
        environment = {**request.environ, "wsgi.input": io.BytesIO(body)}
        return Response.from_app(self._moto, environment, buffered=True)

    def _console(self, call: Call) -> Response:
        instance = call.values["InstanceId"]
        output = base64.b64encode(self._reconciler.console(instance).encode()).decode()
        return Response(
            f"<GetConsoleOutputResponse><instanceId>{instance}</instanceId><output>{output}</output>"
            "</GetConsoleOutputResponse>",
            mimetype="text/xml",
        )

    def _control(self, request: Request) -> Response:
        if request.headers.get("X-Slipway-Key") != self._key:
            return Response("wrong key\n", 403)
        what = request.path.removeprefix(CONTROL)
        if what == "faults" and request.method == "POST":
            self._faults.add(Fault(**json.loads(request.get_data())))
        elif what == "end" and request.method == "POST":
            try:
                with self._changing:
                    self._reconciler.end()
            except Refused as refused:
                return Response(f"{refused.message}\n", 500)
            self._end()
        elif what != "ping":
            return Response("not found\n", 404)
        return Response("ok\n")


def _unknown_key(call: Call) -> Refused:
    """AWS's error for an unknown or expired access key."""
    expired = call.key.startswith("EXPIRED")
    if call.service == "ec2":
        if expired:
            return Refused("RequestExpired", "Request has expired.")
        return Refused("AuthFailure", "AWS was not able to validate the provided access credentials")
    if expired:
        return Refused("ExpiredToken", "The security token included in the request is expired")
    return Refused("InvalidClientTokenId", "The security token included in the request is invalid.")


def _listed(call: Call, name: str) -> list[str]:
    """The values of `Name.1`, `Name.2` and so on."""
    return [value for key, value in call.values.items() if key.rpartition(".")[0] == name]
