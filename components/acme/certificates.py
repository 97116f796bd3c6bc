"""The certificates of services with `tls: auto`, and what answers the authority's challenges.

An account's key is enough to answer every challenge (RFC 8555, 8.1): the answer is its token, a dot and the key's
thumbprint. So each host's proxy has the thumbprint, and it does not matter which host the authority asks.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pulumi
import pulumi_command as command
import pulumi_tls as tls

from components import script
from components.acme import renewals
from components.acme.thumbprint import thumbprint
from components.certificates import new_key
from components.host import Host
from components.proxy import Proxy
from configuration.files import read_text
from configuration.settings import StackSettings

OUTPUT = "acmeCertificates"
"""The stack's output about the orders."""
ORDER = "exec .venv/bin/python -m components.acme.order"
"""Orders a certificate. The working directory is the project's, where each way to run the program has this
environment."""
LIMIT = "20m"
"""Limit of an order. `components.acme.order` has a shorter one of its own."""


class AcmeAccount(pulumi.ComponentResource):
    """The stack's account at ACME authorities: a key. The first order registers it."""

    private_key_pem: pulumi.Output[str]
    """Its key, PEM. Secret."""
    thumbprint: pulumi.Output[str]
    """The thumbprint of the key. Public: the proxies tell it whoever asks."""

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:index:AcmeAccount", name, None, opts)
        key = new_key(f"{name}-account-key", self)
        self.private_key_pem = pulumi.Output.secret(key.private_key_pem)
        self.thumbprint = key.public_key_pem.apply(thumbprint)
        self.register_outputs({})


@dataclass(frozen=True, kw_only=True)
class AcmeCertificateArgs:
    """What a certificate is ordered with."""

    service: str
    """The service, for messages."""
    account: AcmeAccount
    """Who orders it."""
    directory: str
    """URL of the authority's directory."""
    directory_ca: str = ""
    """The certificates by which the directory is known, PEM; empty for what this machine trusts."""
    email: str = ""
    """Address to which the authority may write; empty for none."""
    external_account: tuple[str, str] | None = None
    """Key identifier and HMAC key of an external account. Secret."""
    names: list[str]
    """The names that it vouches for."""
    order: int
    """The order's number: a higher one orders the certificate again."""
    by_dns: bool = False
    """Whether the names are proved by records in Route 53."""
    challenged: list[pulumi.Resource]
    """What has to be there before the authority asks: the answers of all hosts that the names may lead to. With
    `by_dns`, orders that may make the same record."""


class AcmeCertificate(pulumi.ComponentResource):
    """A certificate that an authority signs by ACME, and its key. An `up` in the last third of its time renews it."""

    pair_pem: pulumi.Output[str]
    """The certificate chain and the key, PEM. Secret."""
    told: pulumi.Output[dict[str, object]]
    """What the stack's outputs say about it. Public."""
    ordered: pulumi.Resource
    """The order."""

    def __init__(
        self, name: str, args: AcmeCertificateArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("slipway:index:AcmeCertificate", name, None, opts)
        key: tls.PrivateKey = new_key(f"{name}-key", self)
        # Secret, since the keys are.
        request = pulumi.Output.all(account=args.account.private_key_pem, key=key.private_key_pem).apply(
            lambda keys: json.dumps(
                {
                    "service": args.service,
                    "directory": args.directory,
                    "directoryCa": args.directory_ca,
                    "email": args.email,
                    "eab": args.external_account,
                    "names": args.names,
                    "order": args.order,
                    "accountKey": keys["account"],
                    "key": keys["key"],
                    **({"dns": True} if args.by_dns else {}),
                },
                sort_keys=True,
            )
        )
        ordered = command.local.Command(
            f"{name}-order",
            create=ORDER,
            stdin=request,
            logging=command.local.Logging.NONE,
            # An update gets the certificate that it has, and keeps it if the authority refuses another one.
            add_previous_output_in_env=True,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=args.challenged,
                additional_secret_outputs=["stdout", "stderr"],
                custom_timeouts=pulumi.CustomTimeouts(create=LIMIT, update=LIMIT),
            ),
        )
        answer = ordered.stdout.apply(json.loads)
        self.pair_pem = pulumi.Output.secret(
            pulumi.Output.concat(answer.apply(lambda found: found["certificate"]), key.private_key_pem)
        )
        self.ordered = ordered
        self.told = pulumi.Output.unsecret(answer.apply(lambda found: renewals.output(args.order, found)))
        self.told.apply(lambda found: _warn(args.service, str(found["problem"])))
        self.register_outputs({})


def _warn(service: str, problem: str) -> None:
    if problem:
        pulumi.warn(f"{service} keeps the certificate that it has, since it could not be renewed: {problem}")


@dataclass(frozen=True)
class AcmeCertificates:
    """The certificates of all services with `tls: auto`."""

    settings: StackSettings
    """The stack's."""
    previous_outputs: Mapping[str, object]
    """The stack's outputs of the last successful update."""
    by_service: dict[str, AcmeCertificate] = field(default_factory=dict)
    """Those that this update has. Services with the same names share one."""

    def order(self, hosts: Mapping[str, Host], proxies: Mapping[str, Proxy]) -> None:
        """Have the proxies answer challenges, then order the certificates that are new or due.

        Args:
            hosts: the hosts with a proxy of services: app hosts and edges, by name.
            proxies: their proxies, by the name of the host.
        """
        services = [name for name in self.settings.services if self.settings.acme_directory(name)]
        if not services:
            return
        account = AcmeAccount("acme")
        answers = {
            name: _answer(account, hosts[name], proxy)
            for name, proxy in proxies.items()
            if self.settings.acme_on(name)
        }
        known = self.previous_outputs.get(OUTPUT)
        previous = known if isinstance(known, Mapping) else {}
        shared: dict[tuple[str | None, tuple[str, ...]], AcmeCertificate] = {}
        for name in services:
            which = self.settings.acme_directory(name), tuple(sorted(self.settings.services[name].names))
            if which not in shared:
                # Other services with the same names may run on other hosts.
                alike = [other for other in services if {*which[1]} & {*self.settings.services[other].names}]
                on = [host for other in alike for host in self.settings.doors(other)]
                challenged = [answers[host] for host in dict.fromkeys(on) if host in answers]
                if self.settings.acme.dns:
                    # A name and its wildcard have the same record, so one order follows another.
                    challenged += [certificate.ordered for certificate in shared.values()][-1:]
                shared[which] = self._order(
                    name, account, renewals.number(previous.get(name), datetime.now(UTC)), challenged
                )
            self.by_service[name] = shared[which]

    def _order(
        self, service: str, account: AcmeAccount, number: int, challenged: list[pulumi.Resource]
    ) -> AcmeCertificate:
        acme, secrets = self.settings.acme, self.settings.secrets
        is_configured = self.settings.acme_directory(service) == acme.directory
        return AcmeCertificate(
            f"{service}-acme",
            AcmeCertificateArgs(
                service=service,
                account=account,
                directory=self.settings.acme_directory(service) or acme.directory,
                directory_ca=read_text(Path.cwd() / acme.ca) if acme.ca and is_configured else "",
                email=acme.email or "",
                external_account=(acme.eab.kid, secrets[acme.eab.key].get_secret_value())
                if acme.eab and is_configured
                else None,
                names=list(self.settings.services[service].names),
                order=number,
                by_dns=self.settings.acme.dns is not None,
                challenged=challenged,
            ),
        )

    @property
    def told(self) -> dict[str, pulumi.Output[dict[str, object]]]:
        """What the stack's outputs say, by service."""
        return {name: certificate.told for name, certificate in self.by_service.items()}


def _answer(account: AcmeAccount, host: Host, proxy: Proxy) -> pulumi.Resource:
    """Have a host's proxy answer challenges, without a reload that loses a request."""
    return script.remote_command(
        f"{host.name}-acme",
        host,
        "acme.sh",
        {"THUMBPRINT": account.thumbprint},
        pulumi.ResourceOptions(
            parent=proxy,
            depends_on=[*proxy.ready],
            # The last switch takes the answer away when no service needs it; the host may be down.
            retain_on_delete=True,
        ),
    )
