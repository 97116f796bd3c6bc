"""The tls stand-in against the recordings of pulumi-tls, and its certificates against each other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from plugins.protocol.messages import (
    CheckRequest,
    CreateRequest,
    DiffRequest,
    Failure,
    ReadRequest,
    UpdateRequest,
)
from plugins.protocol.properties import UNKNOWN, Secret, plain
from plugins.tls.plugin import KINDS, Tls
from tests.plugins.replay import Call, answer, bare, differences, recorded

KEY = "tls:index/privateKey:PrivateKey"
REQUEST = "tls:index/certRequest:CertRequest"
SELF_SIGNED = "tls:index/selfSignedCert:SelfSignedCert"
LOCALLY_SIGNED = "tls:index/locallySignedCert:LocallySignedCert"

# Values that depend on chance and time: keys, serial numbers, signatures, timestamps.
BASE64 = r"[A-Za-z0-9+/=\n]+"
MOMENT = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z"


def then() -> int:
    return int(WHEN_RECORDED.timestamp() * 1e9)


def pem(label: str) -> str:
    return f"-----BEGIN {label}-----\n{BASE64}-----END {label}-----\n"


NEW_KEY = {
    "id": "[0-9a-f]{40}",
    "properties.id": "[0-9a-f]{40}",
    "properties.privateKeyOpenssh.value": pem("OPENSSH PRIVATE KEY"),
    "properties.privateKeyPem.value": r"-----BEGIN (RSA |EC )?PRIVATE KEY-----\n" + BASE64 + r".*\n",
    "properties.privateKeyPemPkcs8.value": pem("PRIVATE KEY"),
    "properties.publicKeyFingerprintMd5": "([0-9a-f]{2}:){15}[0-9a-f]{2}",
    "properties.publicKeyFingerprintSha256": "SHA256:[A-Za-z0-9+/]{43}",
    "properties.publicKeyOpenssh": r"(ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/=]+\n",
    "properties.publicKeyPem": pem("PUBLIC KEY"),
}
NEW_REQUEST = {
    "id": "[0-9a-f]{40}",
    "properties.id": "[0-9a-f]{40}",
    "properties.certRequestPem": pem("CERTIFICATE REQUEST"),
}
NEW_CERTIFICATE = {
    "id": r"\d{20,39}",
    "properties.id": r"\d{20,39}",
    "properties.certPem": pem("CERTIFICATE"),
    "properties.validityStartTime": MOMENT,
    "properties.validityEndTime": MOMENT,
}
WHEN_RECORDED = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
SHAPES = {KEY: NEW_KEY, REQUEST: NEW_REQUEST, SELF_SIGNED: NEW_CERTIFICATE, LOCALLY_SIGNED: NEW_CERTIFICATE}


@pytest.mark.parametrize(
    "call",
    [
        call
        for method in ("CheckConfig", "DiffConfig", "Configure", "Check", "Diff", "Read", "Delete")
        for call in recorded("tls", method=method)
    ]
    + recorded("tls", method="Create", preview=True),
    ids=str,
)
def test_answers_exactly_as_recorded(call: Call) -> None:
    assert differences(call, answer(Tls(then), call)) == []


@pytest.mark.parametrize("call", recorded("tls", method="Create", preview=False), ids=str)
def test_makes_what_was_recorded(call: Call) -> None:
    assert differences(call, answer(Tls(then), call), SHAPES[call.type]) == []


@pytest.mark.parametrize(
    "call",
    [
        call
        for call in recorded("tls", method="Create", kind="*Cert", preview=False)
        + recorded("tls", method="Create", kind="*CertRequest", preview=False)
        if call.response
    ],
    ids=str,
)
def test_certificates_say_what_the_recorded_ones_say(call: Call) -> None:
    theirs, ours = parse(bare(call.response)), parse(bare(answer(Tls(then), call)))
    assert subject(ours) == subject(theirs)
    assert ours.signature_algorithm_oid == theirs.signature_algorithm_oid
    assert extensions(ours) == extensions(theirs)
    assert ours.public_key() == theirs.public_key()
    if isinstance(ours, x509.Certificate) and isinstance(theirs, x509.Certificate):
        assert ours.issuer == theirs.issuer or subject(ours) == attributes(ours.issuer)
        hours = timedelta(hours=call.request["properties"]["validityPeriodHours"])
        assert ours.not_valid_after_utc - ours.not_valid_before_utc == hours


@pytest.mark.parametrize("call", recorded("tls", method="Diff"), ids=str)
def test_a_refresh_rebuilds_every_recorded_state(call: Call) -> None:
    olds = call.request["olds"]
    made = {name: value for name, value in olds.items() if not name.startswith("__")}
    request = ReadRequest(call.request["urn"], "it", call.type, olds["id"], made, {})
    assert plain(Tls(then).read(request).properties) == olds


Parsed = x509.Certificate | x509.CertificateSigningRequest


def parse(response: dict[str, Any]) -> Parsed:
    properties = response["properties"]
    if "certPem" in properties:
        return x509.load_pem_x509_certificate(properties["certPem"].encode())
    return x509.load_pem_x509_csr(properties["certRequestPem"].encode())


def attributes(name: x509.Name) -> list[tuple[str, str]]:
    return sorted((attribute.oid.dotted_string, str(attribute.value)) for attribute in name)


def subject(parsed: Parsed) -> list[tuple[str, str]]:
    return attributes(parsed.subject)


def extensions(parsed: Parsed) -> dict[str, tuple[bool, x509.ExtensionType]]:
    return {ext.oid.dotted_string: (ext.critical, ext.value) for ext in parsed.extensions}


def make(kind: str, **properties: Any) -> dict[str, Any]:
    urn = f"urn:pulumi:dev::test::{kind}::it"
    checked = Tls().check(CheckRequest(urn, "it", kind, {}, properties))
    assert list(checked.failures) == []
    return dict(Tls().create(CreateRequest(urn, "it", kind, plain(checked.inputs))).properties)


def key(algorithm: str = "ECDSA", **more: Any) -> str:
    if algorithm == "ECDSA":
        more.setdefault("ecdsaCurve", "P256")
    return str(plain(make(KEY, algorithm=algorithm, **more)["privateKeyPem"]))


@pytest.mark.parametrize(
    ("algorithm", "more"),
    [
        ("ED25519", {}),
        ("RSA", {"rsaBits": 2048}),
        *(("ECDSA", {"ecdsaCurve": c}) for c in ("P256", "P384", "P521")),
    ],
)
def test_all_forms_of_a_key_are_the_same_key(algorithm: str, more: dict[str, Any]) -> None:
    made = plain(make(KEY, algorithm=algorithm, **more))
    public = serialization.load_pem_public_key(made["publicKeyPem"].encode())
    for name in ("privateKeyPem", "privateKeyPemPkcs8"):
        assert serialization.load_pem_private_key(made[name].encode(), None).public_key() == public
    ssh = serialization.load_ssh_private_key(made["privateKeyOpenssh"].encode(), None)
    assert ssh.public_key() == public
    assert serialization.load_ssh_public_key(made["publicKeyOpenssh"].encode()) == public


def test_the_forms_of_a_p224_key_that_openssh_lacks_are_empty() -> None:
    made = plain(make(KEY, algorithm="ECDSA"))
    assert (made["privateKeyOpenssh"], made["publicKeyOpenssh"]) == ("", "")
    assert made["ecdsaCurve"] == "P224"


def test_a_leaf_is_verified_by_its_authority() -> None:
    ca_key, leaf_key = key(), key("ED25519")
    authority = make(
        SELF_SIGNED,
        privateKeyPem=ca_key,
        subject={"commonName": "Test CA", "organization": "Test"},
        allowedUses=["cert_signing", "crl_signing"],
        isCaCertificate=True,
        maxPathLength=0,
        validityPeriodHours=24,
    )
    asked = make(REQUEST, privateKeyPem=leaf_key, dnsNames=["a.test"], ipAddresses=["127.0.0.1"])
    leaf = make(
        LOCALLY_SIGNED,
        certRequestPem=asked["certRequestPem"],
        caCertPem=authority["certPem"],
        caPrivateKeyPem=ca_key,
        allowedUses=["server_auth"],
        validityPeriodHours=12,
    )
    root = x509.load_pem_x509_certificate(authority["certPem"].encode())
    store = x509.verification.Store([root])
    builder = x509.verification.PolicyBuilder().store(store)
    chain = builder.build_server_verifier(x509.DNSName("a.test")).verify(
        x509.load_pem_x509_certificate(leaf["certPem"].encode()), []
    )
    assert chain[-1] == root
    with pytest.raises(x509.verification.VerificationError):
        builder.build_server_verifier(x509.DNSName("b.test")).verify(
            x509.load_pem_x509_certificate(leaf["certPem"].encode()), []
        )


def state_with(hours_left: float, early: int, *, ready: bool = False) -> dict[str, Any]:
    end = datetime.now(UTC) + timedelta(hours=hours_left)
    return {
        "privateKeyPem": "k",
        "allowedUses": [],
        "validityPeriodHours": 100,
        "earlyRenewalHours": early,
        "isCaCertificate": False,
        "setSubjectKeyId": False,
        "setAuthorityKeyId": False,
        "readyForRenewal": ready,
        "validityEndTime": end.isoformat().replace("+00:00", "Z"),
    }


def diff(olds: dict[str, Any], news: dict[str, Any]) -> tuple[list[str], list[str]]:
    inputs = {"privateKeyPem": "k", "allowedUses": [], "validityPeriodHours": 100, **news}
    answered = Tls().diff(DiffRequest("urn", "it", SELF_SIGNED, "1", olds, inputs, inputs))
    return list(answered.diffs), list(answered.replaces)


def test_a_certificate_is_replaced_once_its_early_renewal_has_begun() -> None:
    assert diff(state_with(11, 10), {"earlyRenewalHours": 10}) == ([], [])
    assert diff(state_with(9, 10), {"earlyRenewalHours": 10}) == (["readyForRenewal"], ["readyForRenewal"])


def test_early_renewal_is_changed_in_place() -> None:
    assert diff(state_with(50, 10), {"earlyRenewalHours": 20}) == (["earlyRenewalHours"], [])
    news = {"privateKeyPem": "k", "allowedUses": [], "validityPeriodHours": 100, "earlyRenewalHours": 20}
    olds = state_with(50, 10)
    updated = Tls().update(UpdateRequest("urn", "it", SELF_SIGNED, "1", olds, news, news)).properties
    assert updated["earlyRenewalHours"] == 20
    assert updated["validityEndTime"] == olds["validityEndTime"]
    assert updated["privateKeyPem"] == Secret("k")


def test_a_refresh_notices_that_renewal_is_due() -> None:
    found = Tls().read(ReadRequest("urn", "it", SELF_SIGNED, "1", state_with(9, 10), {}))
    assert found.properties["readyForRenewal"] is True


def test_only_a_state_can_be_read() -> None:
    with pytest.raises(Failure, match="cannot be imported"):
        Tls().read(ReadRequest("urn", "it", KEY, "1", {}, {}))


def failures(kind: str, **news: Any) -> list[tuple[str, str]]:
    checked = Tls().check(CheckRequest("urn", "it", kind, {}, news))
    return [(failure.property, failure.reason) for failure in checked.failures]


@pytest.mark.parametrize(
    ("kind", "news", "where", "what"),
    [
        (KEY, {"algorithm": "DSA"}, "algorithm", "RSA, ECDSA, ED25519"),
        (KEY, {}, "algorithm", "Missing required"),
        (KEY, {"algorithm": "RSA", "rsaBits": 512}, "rsaBits", "1024 or more"),
        (KEY, {"algorithm": "RSA", "rsaBits": "2048"}, "rsaBits", "a whole number"),
        (KEY, {"algorithm": "ECDSA", "ecdsaCurve": "P25519"}, "ecdsaCurve", "P224, P256, P384, P521"),
        (KEY, {"algorithm": "ED25519", "curve": "X"}, "curve", "does not support 'curve' of PrivateKey"),
        (REQUEST, {"privateKeyPem": "x", "dnsNames": "a"}, "dnsNames", "a list"),
        (REQUEST, {"privateKeyPem": "x", "subject": {"cn": "a"}}, "subject.cn", "subject.cn"),
        (
            SELF_SIGNED,
            {"privateKeyPem": "x", "validityPeriodHours": 1, "allowedUses": ["serve"]},
            "allowedUses[0]",
            "server_auth",
        ),
        (
            SELF_SIGNED,
            {"privateKeyPem": "x", "validityPeriodHours": -1, "allowedUses": []},
            "validityPeriodHours",
            "0 or more",
        ),
        ("tls:index/getCertificate:getCertificate", {}, "", "has no resource"),
    ],
)
def test_bad_inputs_are_refused_by_name(kind: str, news: dict[str, Any], where: str, what: str) -> None:
    found = failures(kind, **news)
    assert [at for at, _ in found] == [where]
    assert what in found[0][1]


def test_unknown_inputs_are_no_mistake() -> None:
    assert failures(KEY, algorithm=UNKNOWN) == []
    assert failures(REQUEST, privateKeyPem=Secret(UNKNOWN), dnsNames=[UNKNOWN]) == []


@pytest.mark.parametrize("name", ["caCertPem", "caPrivateKeyPem", "certRequestPem"])
def test_each_bad_pem_is_named(name: str) -> None:
    ca_key = key()
    good = {
        "caPrivateKeyPem": ca_key,
        "caCertPem": make(
            SELF_SIGNED, privateKeyPem=ca_key, allowedUses=[], validityPeriodHours=1, isCaCertificate=True
        )["certPem"],
        "certRequestPem": make(REQUEST, privateKeyPem=key())["certRequestPem"],
        "allowedUses": [],
        "validityPeriodHours": 1,
    }
    what = {
        "caCertPem": "CA certificate",
        "caPrivateKeyPem": "CA private key",
        "certRequestPem": "certificate request",
    }[name]
    with pytest.raises(Failure, match=f"Failed to parse {what} PEM"):
        make(LOCALLY_SIGNED, **{**good, name: "nonsense"})
    label = good[name].splitlines()[0]
    with pytest.raises(Failure, match=f"Failed to parse {what} PEM"):
        make(LOCALLY_SIGNED, **{**good, name: f"{label}\nAAAA\n{label.replace('BEGIN', 'END')}\n"})


def test_every_kind_hides_its_private_keys() -> None:
    assert set(KINDS) == {KEY, REQUEST, SELF_SIGNED, LOCALLY_SIGNED}
    pem_text = key()
    for kind, name in ((REQUEST, "privateKeyPem"), (SELF_SIGNED, "privateKeyPem")):
        more = {} if kind == REQUEST else {"allowedUses": [], "validityPeriodHours": 1}
        assert make(kind, **{name: pem_text}, **more)[name] == Secret(pem_text)
    made = make(KEY, algorithm="ED25519")
    secret = {name for name, value in made.items() if isinstance(value, Secret)}
    assert secret == {"privateKeyPem", "privateKeyPemPkcs8", "privateKeyOpenssh"}
