"""The check on HTTPS: who signed the certificate, how long it lasts, and that plain HTTP leads there."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.running.http import get
from cli.running.https import https_context
from cli.running.stack import Failed, RunningStack
from cli.verify import https
from cli.verify.found import Warned
from tests.support.authority import HOUR, Authority
from tests.unit.cli.servers import outputs, server_context_of, serving

SUBJECT = "shop.test of web on web-1"


@contextlib.contextmanager
def stack(
    tmp_path: Path,
    signer: Authority,
    trusted: Authority,
    *,
    tls: str = "own",
    name: str = "shop.test",
    location: str = "https://shop.test/up",
    lasts: timedelta = 90 * 24 * HOUR,
    answer: tuple[int, str, dict[str, str]] = (200, "well", {}),
    plainly: tuple[int, str, dict[str, str]] | None = None,
) -> Iterator[RunningStack]:
    context = server_context_of(*signer.leaf(name, lasts), tmp_path)
    redirect = {"Location": location} if location else {}
    with (
        serving(lambda _: answer, context) as port,
        serving(lambda _: plainly or (308 if location else 200, "", redirect)) as plain,
    ):
        found: dict[str, Any] = outputs(
            trusted,
            serviceUrls={"web": [f"https://shop.test:{port}/", f"https://*.shop.test:{port}/"]},
            serviceEndpoints={"web": [f"127.0.0.1:{port}"]},
            serviceHosts={"web": ["web-1"]},
            serviceDomains={"web": "shop.test"},
            serviceTls={"web": tls},
            servicesCaCertificate=trusted.pem,
        )
        found["hosts"] = {"web-1": {"address": "127.0.0.1", "httpPort": plain}}
        yield RunningStack.of(found, timedelta(days=15))


@pytest.fixture
def own() -> Authority:
    return Authority("the services'")


def test_the_proxys_own_refusal_is_no_failure(own: Authority, tmp_path: Path) -> None:
    asks = (401, "", {"X-Refused": "password"})
    with stack(tmp_path, own, own, answer=asks) as running:
        assert https.answers(running, SUBJECT).startswith("HTTP 401 by ")
    # Whoever has no access is refused by plain HTTP, too.
    keeps_out = (403, "", {"X-Refused": "network"})
    with stack(tmp_path, own, own, answer=keeps_out, plainly=keeps_out) as running:
        assert https.answers(running, SUBJECT).startswith("HTTP 403 by ")
    with stack(tmp_path, own, own, answer=(401, "", {})) as running, pytest.raises(Failed, match="HTTP 401"):
        https.answers(running, SUBJECT)


def test_each_name_is_looked_at_on_each_host(own: Authority, tmp_path: Path) -> None:
    with stack(tmp_path, own, own) as running:
        assert https.subjects(running) == [SUBJECT, "*.shop.test of web on web-1"]
        found = https.answers(running, SUBJECT)
        assert found.startswith("HTTP 200 by ")
        assert "89 days left" in found
        assert found.endswith("HTTP redirects")
        place = running.place("web", "web-1")
        context = https_context(place, running.services_authority)
        assert get(f"https://{place.address}/up", context, host="shop.test").body == "well"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"lasts": -HOUR}, "expired"),
        ({"lasts": 30 * HOUR}, "30 hours left|29 hours left"),
        ({"name": "other.test"}, "Hostname mismatch"),
        ({"location": ""}, "plain HTTP does not redirect: HTTP 200"),
        ({"location": "http://shop.test/"}, "plain HTTP does not redirect: HTTP 308"),
    ],
)
def test_what_visitors_would_refuse_fails(
    own: Authority, tmp_path: Path, options: dict[str, Any], found: str
) -> None:
    with stack(tmp_path, own, own, **options) as running, pytest.raises(Failed, match=found):
        https.answers(running, SUBJECT)


def test_another_authority_in_the_place_of_the_stacks_own_fails(own: Authority, tmp_path: Path) -> None:
    with stack(tmp_path, Authority("a stranger"), own) as running, pytest.raises(Failed, match="issuer"):
        https.answers(running, SUBJECT)


def test_a_given_one_that_this_machine_does_not_know_is_a_warning(own: Authority, tmp_path: Path) -> None:
    with stack(tmp_path, Authority("a stranger"), own, tls="given") as running:
        found = https.answers(running, SUBJECT)
    assert isinstance(found, Warned)
    assert "does not accept it" in found


def test_one_by_acme_may_be_short_but_fails_when_it_was_not_renewed(own: Authority, tmp_path: Path) -> None:
    with stack(tmp_path, Authority("a stranger"), own, tls="acme", lasts=30 * HOUR) as running:
        assert "hours left" in https.answers(running, SUBJECT)
    with stack(tmp_path, Authority("a stranger"), own, tls="acme", lasts=HOUR / 6) as running:
        told = {"acmeCertificates": {"web": {"problem": "too many certificates"}}}
        refused = replace(running, outputs={**running.outputs, **told})
        with pytest.raises(Failed, match="0 hours left") as failed:
            https.answers(refused, SUBJECT)
    assert failed.value.remedy.startswith("mend why it was not renewed: too many certificates\n./slip up")
