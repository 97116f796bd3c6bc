"""Requests to AWS's APIs: service, action and access key; and errors in each API's protocol."""

import json
import re
from dataclasses import dataclass
from urllib.parse import parse_qs
from uuid import uuid4
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from emulation.actions import by_path
from emulation.errors import Refused

READING = re.compile(r"(Describe|Get|List|Lookup|Search)")
"""The beginnings of the names of actions that change nothing."""
CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/[^/]*/[^/]*/([^/]+)/aws4_request")


@dataclass(frozen=True)
class Call:
    """One call of an API."""

    service: str
    """The service in the signature, such as `ec2`; empty if the call is not signed."""
    key: str
    """The access key's id."""
    action: str
    """From the form, the target header or the path; empty if the service has no such action."""
    values: dict[str, str]
    """The form's fields."""
    method: str

    @classmethod
    def of(cls, request: Request) -> "Call":
        """Read a request. Its body stays readable."""
        signed = CREDENTIAL.search(request.headers.get("Authorization", ""))
        key, service = (signed[1], signed[2]) if signed else ("", "")
        form = request.mimetype == "application/x-www-form-urlencoded"
        body = request.get_data(cache=True).decode(errors="replace") if form else ""
        values = {name: found[-1] for name, found in parse_qs(body, keep_blank_values=True).items()}
        target = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
        action = values.get("Action") or target or by_path(service, request.method, request.path)
        return cls(service, key, action, values, request.method)

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing."""
        return bool(READING.match(self.action)) if self.action else self.method in {"GET", "HEAD"}


def refusal(call: Call, refused: Refused, status: int = 400) -> Response:
    """The error in the format of the service's protocol."""
    code, message = escape(refused.code), escape(refused.message)
    if call.service in {"ec2", ""}:
        text = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
            f"<RequestID>{uuid4()}</RequestID></Response>"
        )
        return Response(text, status, mimetype="text/xml")
    if call.service in {"sts", "iam", "route53"}:
        text = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
            f"<RequestId>{uuid4()}</RequestId></ErrorResponse>"
        )
        return Response(text, status, mimetype="text/xml")
    body = json.dumps({"__type": refused.code, "message": refused.message})
    return Response(body, status, {"X-Amzn-ErrorType": refused.code}, mimetype="application/x-amz-json-1.1")
