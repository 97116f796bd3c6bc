"""A stand-in for pulumi-tls: keys, certificate requests and certificates.

Resources exist only in the stack's state: `read` returns the state, and `delete` does nothing. A change of inputs
replaces a resource; only `earlyRenewalHours` can be changed in place. Any update replaces a certificate that is in its
last `earlyRenewalHours`. The functions and resources that Slipway does not use are refused.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn

from plugins.protocol.inputs import Field, validate
from plugins.protocol.messages import (
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
    ReadRequest,
    ReadResponse,
    UpdateRequest,
    UpdateResponse,
)
from plugins.protocol.properties import UNKNOWN, Properties, Secret, has_unknown, plain
from plugins.protocol.provider import Provider
from plugins.tls.names import EXTENDED_KEY_USAGES, KEY_USAGES, SUBJECT, TEXTS

CURVES: Final = ("P224", "P256", "P384", "P521")

_NAMES: Final = {
    "subject": Field(dict, fields=SUBJECT),
    "dnsNames": TEXTS,
    "ipAddresses": TEXTS,
    "uris": TEXTS,
}

_TERMS: Final = {
    "allowedUses": Field(list, required=True, items=Field(choices=(*KEY_USAGES, *EXTENDED_KEY_USAGES))),
    "validityPeriodHours": Field(int, required=True, minimum=0),
    "earlyRenewalHours": Field(int, minimum=0),
    "isCaCertificate": Field(bool),
    "maxPathLength": Field(int, minimum=-1),
    "setSubjectKeyId": Field(bool),
}

_SECRETS: Final = {
    "privateKeyOpenssh",
    "privateKeyPem",
    "privateKeyPemPkcs8",
    "caPrivateKeyPem",
}


class Kind(NamedTuple):
    """One type of resource."""

    inputs: Mapping[str, Field]
    defaults: Mapping[str, Any]
    computed: tuple[str, ...]
    """The outputs that are known only after the creation."""

    @property
    def is_certificate(self) -> bool:
        """Say whether it is a certificate, which expires."""
        return "certPem" in self.computed


_ISSUED: Final = ("id", "certPem", "validityStartTime", "validityEndTime")
_RENEWAL: Final = {
    "earlyRenewalHours": 0,
    "isCaCertificate": False,
    "readyForRenewal": False,
    "setSubjectKeyId": False,
}

KINDS: Final = {
    "tls:index/privateKey:PrivateKey": Kind(
        inputs={
            "algorithm": Field(required=True, choices=("RSA", "ECDSA", "ED25519")),
            "ecdsaCurve": Field(choices=CURVES),
            "rsaBits": Field(int, minimum=1024),
        },
        defaults={"ecdsaCurve": "P224", "rsaBits": 2048},
        computed=(
            "id",
            "privateKeyOpenssh",
            "privateKeyPem",
            "privateKeyPemPkcs8",
            "publicKeyFingerprintMd5",
            "publicKeyFingerprintSha256",
            "publicKeyOpenssh",
            "publicKeyPem",
        ),
    ),
    "tls:index/certRequest:CertRequest": Kind(
        inputs={"privateKeyPem": Field(required=True), **_NAMES},
        defaults={},
        computed=("id", "certRequestPem", "keyAlgorithm"),
    ),
    "tls:index/selfSignedCert:SelfSignedCert": Kind(
        inputs={
            "privateKeyPem": Field(required=True),
            **_NAMES,
            **_TERMS,
            "setAuthorityKeyId": Field(bool),
        },
        defaults={**_RENEWAL, "setAuthorityKeyId": False},
        computed=(*_ISSUED, "keyAlgorithm"),
    ),
    "tls:index/locallySignedCert:LocallySignedCert": Kind(
        inputs={
            "caCertPem": Field(required=True),
            "caPrivateKeyPem": Field(required=True),
            "certRequestPem": Field(required=True),
            **_TERMS,
        },
        defaults=_RENEWAL,
        computed=(*_ISSUED, "caKeyAlgorithm"),
    ),
}


class Tls(Provider):
    """The resources of `KINDS`."""

    name, version = "tls", "5.5.1"
    features = Features(accept_resources=True, supports_autonaming_configuration=True)

    def __init__(self, clock: Callable[[], int] = time.time_ns) -> None:
        """Take the clock, which returns the nanoseconds since 1970."""
        super().__init__()
        self._clock = clock

    def check_config(self, request: CheckRequest) -> CheckResponse:
        failures = [
            CheckFailure(
                name, f"Slipway's stand-in for pulumi-tls has no provider setting {name!r}: leave it out"
            )
            for name in request.news
            if name != "version"
        ]
        return CheckResponse(request.news, failures)

    def check(self, request: CheckRequest) -> CheckResponse:
        if request.type not in KINDS:
            return CheckResponse({}, [CheckFailure("", _unknown_type(request.type))])
        failures = validate(request, KINDS[request.type].inputs, request.type.rpartition(":")[2])
        return CheckResponse(_hide(request.news), failures)

    def diff(self, request: DiffRequest) -> DiffResponse:
        kind = _kind(request.type)
        wanted = {**kind.defaults, **request.news}
        changed = {
            name
            for name in kind.inputs
            # A property that the plugin sets if the program does not is no change.
            if (name in wanted or name in request.old_inputs) and wanted.get(name) != request.olds.get(name)
        }
        replaces = changed - {"earlyRenewalHours"}
        if kind.is_certificate and _is_due(request.olds, wanted["earlyRenewalHours"], self._clock()):
            replaces.add("readyForRenewal")
        diffs = sorted(changed | replaces)
        return DiffResponse(bool(diffs), diffs=diffs, replaces=sorted(replaces))

    def create(self, request: CreateRequest) -> CreateResponse:
        kind = _kind(request.type)
        state = {**kind.defaults, **plain(request.properties)}
        if request.preview:
            return CreateResponse("", _predict(kind, state))
        if kind.is_certificate:
            state.update(_validity(state, self._clock()))
        state.update(_make(request.type, state))
        return CreateResponse(state["id"], _finish(kind, state))

    def read(self, request: ReadRequest) -> ReadResponse:
        kind = _kind(request.type)
        if not request.properties:
            raise Failure(f"{request.type} cannot be imported: it exists only in the state of a stack")
        state = dict(request.properties)
        if kind.is_certificate:
            state["readyForRenewal"] = _is_due(state, state.get("earlyRenewalHours", 0), self._clock())
        return ReadResponse(request.id, _finish(kind, state), _hide(request.inputs))

    def update(self, request: UpdateRequest) -> UpdateResponse:
        kind = _kind(request.type)
        state = {**request.olds, **kind.defaults, **plain(request.news)}
        state["readyForRenewal"] = request.olds.get("readyForRenewal", False)
        return UpdateResponse(_finish(kind, state))

    def delete(self, request: DeleteRequest) -> None:
        """Do nothing: the resource exists only in the state."""

    def invoke(self, request: InvokeRequest) -> NoReturn:
        raise Failure(f"Slipway's stand-in for pulumi-tls has no function {request.token}")


def _unknown_type(name: str) -> str:
    return f"Slipway's stand-in for pulumi-tls has no resource {name}; it has {', '.join(KINDS)}"


def _kind(name: str) -> Kind:
    if name not in KINDS:
        raise Failure(_unknown_type(name))
    return KINDS[name]


def _hide(properties: Properties) -> Properties:
    """Return `properties` with the private keys marked as secrets."""
    return {
        name: Secret(value) if name in _SECRETS and not isinstance(value, Secret) else value
        for name, value in properties.items()
    }


def _predict(kind: Kind, state: Properties) -> Properties:
    """Return the state of a new resource as far as a preview knows it."""
    predicted = {**dict.fromkeys(kind.computed, UNKNOWN), **state}
    if kind.is_certificate:
        predicted.setdefault("maxPathLength", UNKNOWN)
        hours = predicted["validityPeriodHours"], predicted["earlyRenewalHours"]
        predicted["readyForRenewal"] = UNKNOWN if has_unknown(list(hours)) else hours[1] >= hours[0]
    hidden = _hide(predicted)
    # The official plugin does not mark an unknown key secret; the engine treats it as a secret anyway.
    return {
        name: UNKNOWN if isinstance(value, Secret) and has_unknown(value) else value
        for name, value in hidden.items()
    }


def _validity(state: Properties, start: int) -> Properties:
    """Return the validity of a certificate made at `start`, and whether its renewal is due at once."""
    end = start + state["validityPeriodHours"] * 3_600_000_000_000
    return {
        "validityStartTime": _timestamp(start),
        "validityEndTime": _timestamp(end),
        "readyForRenewal": state["earlyRenewalHours"] >= state["validityPeriodHours"],
    }


def _timestamp(nanoseconds: int) -> str:
    """Return `nanoseconds` since 1970 in Go's RFC3339Nano, which has no trailing zeros."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{fraction:09}".rstrip("0").rstrip(".") + "Z"


def _is_due(state: Properties, early_hours: Any, now: int) -> bool:
    """Say whether the certificate in `state` expires within `early_hours` from `now`."""
    end = state.get("validityEndTime")
    if not isinstance(end, str) or not isinstance(early_hours, int):
        return False
    left = datetime.fromisoformat(end) - datetime.fromtimestamp(now / 1e9, UTC)
    return left <= timedelta(hours=early_hours)


def _make(type_name: str, state: Properties) -> Properties:
    """Create the resource with the inputs in `state`, and return its other outputs."""
    from plugins.tls import x509 as certificates

    if type_name.endswith(":PrivateKey"):
        key = certificates.generate(state["algorithm"], state["rsaBits"], state["ecdsaCurve"])
        return dict(certificates.describe_key(key))
    if type_name.endswith(":LocallySignedCert"):
        asked = certificates.load_request(state["certRequestPem"])
        authority = certificates.load_certificate(state["caCertPem"])
        key = certificates.load_key(state["caPrivateKeyPem"], "CA private key")
        identifier, pem = certificates.signed_by(certificates.Signer(authority, key), asked, _terms(state))
        return {"id": identifier, "certPem": pem, "caKeyAlgorithm": certificates.algorithm_of(key)}
    key = certificates.load_key(state["privateKeyPem"])
    names = certificates.Names(
        state.get("subject"),
        state.get("dnsNames") or (),
        state.get("ipAddresses") or (),
        state.get("uris") or (),
    )
    algorithm = certificates.algorithm_of(key)
    if type_name.endswith(":CertRequest"):
        identifier, pem = certificates.request(key, names)
        return {"id": identifier, "certRequestPem": pem, "keyAlgorithm": algorithm}
    identifier, pem = certificates.self_signed(key, names, _terms(state))
    return {"id": identifier, "certPem": pem, "keyAlgorithm": algorithm}


def _terms(state: Properties) -> Any:
    from plugins.tls import x509 as certificates

    length = state.get("maxPathLength")
    return certificates.Terms(
        allowed_uses=state["allowedUses"],
        start=datetime.fromisoformat(state["validityStartTime"]),
        end=datetime.fromisoformat(state["validityEndTime"]),
        is_ca=state["isCaCertificate"],
        max_path_length=None if length in (None, -1) else length,
        set_subject_key_id=state["setSubjectKeyId"],
        set_authority_key_id=state.get("setAuthorityKeyId", False),
    )


# How the state differs from Terraform's form: which values are null or lists there, or have another name. The official
# plugin rebuilds Terraform's form from it (`pkg/tfbridge/rawstate.go` of pulumi-terraform-bridge).
_RAW_STATE_DELTA: Final = "__pulumi_raw_state_delta"


def _finish(kind: Kind, state: Properties) -> Properties:
    """Return the whole `state` in the form in which the engine keeps it."""
    finished = {name: value for name, value in state.items() if not name.startswith("__")}
    if "ecdsaCurve" in kind.inputs:
        finished["__meta"] = '{"schema_version":"1"}'
        finished[_RAW_STATE_DELTA] = {"obj": {}}
    else:
        finished[_RAW_STATE_DELTA] = _object_delta(kind.inputs, state)
    return _hide(finished)


def _object_delta(fields: Mapping[str, Field], state: Mapping[str, Any]) -> Properties:
    deltas: Properties = {}
    renamed: dict[str, str] = {}
    for name, field in fields.items():
        value = state.get(name)
        if name == "streetAddresses":
            renamed[name] = "street_address"
        if field.fields is not None:
            # In Terraform, `subject` is a list of at most one item.
            deltas[name] = (
                Secret({"replace": {"raw": []}})
                if value is None
                else {"plu": {"i": _object_delta(field.fields, value)}}
            )
        elif value is None:
            deltas[name] = Secret({"replace": {"raw": None}})
        elif field.kind is list:
            deltas[name] = {"arr": {}}
    delta: Properties = {"ps": deltas} if deltas else {}
    if renamed:
        delta["renamed"] = renamed
    return {"obj": delta}
