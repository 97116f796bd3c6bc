"""What `slip verify` prints about certificates: those in the outputs, and those that servers present."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificate

from cli.running import certificates
from cli.running.stack import Failed, RunningStack
from cli.stack.config import StackConfig
from components.engine import still_valid
from configuration.certificates import CertificateSettings
from tests.support.authority import HOUR, Authority
from tests.unit.cli.servers import engine, outputs, server_context, serving

AGES = timedelta(days=365_250)
"""The tests' authority ends before this."""

MOMENT = timedelta(minutes=1)
"""A certificate lasts this much longer than its test says, since the test takes time."""


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the stack's")


@pytest.mark.parametrize(
    ("lasts", "said"),
    [
        (timedelta(days=3650), "3650 days left, until "),
        (timedelta(days=3), "3 days left, until "),
        (timedelta(days=2, hours=20), "68 hours left, until "),
        (HOUR, "1 hour left, until "),
        (timedelta(), "0 hours left, until "),
        (-2 * HOUR, "expired 1 hour ago, until "),
        (timedelta(days=-30), "expired 29 days ago, until "),
    ],
)
def test_a_certificates_time_is_told_in_days_and_in_hours_where_they_are_few(
    lasts: timedelta, said: str
) -> None:
    certificate, _ = Authority().leaf(lasts=lasts + MOMENT)
    assert certificates.validity(load_pem_x509_certificate(certificate.encode())).startswith(said)


@pytest.mark.parametrize(("lasts", "valid"), [(HOUR, True), (-HOUR, False)])
def test_a_preview_uses_a_certificate_before_only_while_it_lasts(lasts: timedelta, valid: bool) -> None:
    pem, _ = Authority().leaf(lasts=lasts + MOMENT)
    assert still_valid(pem + "another") == valid


def test_what_a_server_shows_counts_and_not_what_it_was_given(authority: Authority, tmp_path: Path) -> None:
    with serving(lambda _: (200, "", {}), server_context(authority, tmp_path)) as port:
        stack = outputs(authority, registryPublicAddress=f"127.0.0.1:{port}")
        assert certificates.inspect(RunningStack.of(stack), "registry").startswith("0 hours left")
        with pytest.raises(Failed, match="0 hours left") as caught:
            certificates.inspect(RunningStack.of(stack, 2 * HOUR), "registry")
    assert "earlyRenewalHours" in caught.value.remedy


def test_an_engine_shows_its_certificate_to_the_operator(authority: Authority, tmp_path: Path) -> None:
    with engine(authority, tmp_path, mutual=True) as running:
        assert certificates.inspect(running, "engine of yard").startswith("0 hours left")


@pytest.mark.parametrize(("subject", "remedy"), [("registry CA", "registryCaG"), ("engine CA", "engineCaG")])
def test_an_authority_is_replaced_by_its_next_generation(
    subject: str, remedy: str, authority: Authority
) -> None:
    stack = outputs(authority)
    assert certificates.inspect(RunningStack.of(stack), subject).endswith("UTC")
    with pytest.raises(Failed, match="days left") as caught:
        certificates.inspect(RunningStack.of(stack, AGES), subject)
    assert f"raise slipway:certificates.{remedy}eneration by one" in caught.value.remedy


def test_a_ca_rotation_is_mentioned(authority: Authority) -> None:
    before = Authority("the one before")
    stack = outputs(authority, registryCaCertificate=authority.pem + before.pem)
    said = certificates.inspect(RunningStack.of(stack), "registry CA")
    assert "replaces the previous CA" in said
    assert "people have to `./slip login` again" in said


def test_a_stack_without_an_authority_of_its_own_for_the_registry_has_one_less(authority: Authority) -> None:
    stack = RunningStack.of(outputs(authority, registryCaCertificate=""))
    assert certificates.subjects(stack) == ["engine CA", "engine of yard", "operator"]


def test_an_operator_whose_certificate_has_ended_is_told_so(authority: Authority) -> None:
    ended, _ = Authority().leaf(lasts=timedelta(days=-30) + MOMENT)
    stack = outputs(authority, engineClientCertificate=ended)
    with pytest.raises(Failed, match="expired 29 days ago"):
        certificates.inspect(RunningStack.of(stack), "operator")


@pytest.mark.parametrize(
    ("begins", "said"), [(timedelta(days=730, hours=1), "in 730 days"), (2 * HOUR, "in 1 hour")]
)
def test_a_certificate_of_a_wrong_clock_is_not_yet_valid(
    begins: timedelta, said: str, authority: Authority
) -> None:
    pem, _ = Authority().leaf(lasts=timedelta(days=1000), begins=begins)
    early = load_pem_x509_certificate(pem.encode())
    assert certificates.validity(early).startswith(f"not yet valid: it begins {said}, ")
    with pytest.raises(Failed, match="not yet valid") as caught:
        certificates.inspect(RunningStack.of(outputs(authority, engineClientCertificate=pem)), "operator")
    assert caught.value.remedy.startswith("./slip up ")


def test_the_threshold_follows_the_settings() -> None:
    default = CertificateSettings().early_renewal_hours
    assert StackConfig({}, "slipway").early_renewal_hours == default
    content = {"config": {"slipway:certificates": {"earlyRenewalHours": 48}}}
    assert StackConfig(content, "slipway").early_renewal_hours == 48
