"""Checks of passwords and secrets: that each is set, and encrypted."""

from collections.abc import Iterator

from configuration.checks.context import Check, Checks
from configuration.containers import FromSecret
from configuration.problems import Problem, command, path_of, suggestion


def passwords(checks: Checks) -> Iterator[Problem]:
    """Each account of the stack's own registry has a password."""
    settings = checks.settings
    if settings.registry.external:
        return
    for account in settings.accounts:
        if account not in settings.passwords and checks.is_valid("passwords", account):
            location = ("passwords", account)
            others = [name for name in settings.passwords if name not in settings.accounts]
            yield Problem(
                location,
                "not set",
                f"{suggestion(account, others)}{command('up', checks.stack)} makes it. Without slip: "
                f"`pulumi config set --secret --path '{path_of(location)}'`.",
            )


def service_secrets(checks: Checks) -> Iterator[Problem]:
    """Each secret that a service names is set."""
    settings = checks.settings
    unset = {
        secret: None
        for service in settings.services.values()
        for secret in service.secrets
        if secret not in settings.secrets and checks.is_valid("secrets", secret)
    }
    for name, service in settings.services.items():
        for index, secret in enumerate(service.secrets):
            if secret in unset:
                yield Problem(
                    ("services", name, "secrets", index),
                    f"{path_of(('secrets', secret))} is not set",
                    f"{suggestion(secret, settings.secrets)}{'Set it' if len(unset) == 1 else 'Set them'}: "
                    f"{checks.set_secret(*unset)}.",
                    secret,
                )


def notices(checks: Checks) -> Iterator[Problem]:
    """Each secret that is the address of a webhook is set."""
    settings = checks.settings
    for index, notice in enumerate(settings.notify):
        if not isinstance(notice.url, FromSecret) or not checks.is_valid("notify"):
            continue
        secret = notice.url.secret
        if secret not in settings.secrets and checks.is_valid("secrets", secret):
            yield Problem(
                ("notify", index, "url", "secret"),
                f"{path_of(('secrets', secret))} is not set",
                f"{suggestion(secret, settings.secrets)}Set it: {checks.set_secret(secret)}.",
                secret,
            )


def encryption(checks: Checks) -> Iterator[Problem]:
    """Passwords and secrets are encrypted in the stack's file, and no other key holds a secret."""
    settings, secret_keys = checks.settings, checks.secret_keys
    if secret_keys is None:
        return
    plain = "in plain text in the stack's file"
    if settings.passwords and "passwords" not in secret_keys:
        yield Problem(("passwords",), plain, f"Remove them: {command('up', checks.stack)} makes new ones.")
    if settings.secrets and "secrets" not in secret_keys:
        yield Problem(
            ("secrets",),
            plain,
            f"Remove them, choose new values, and set them: {checks.set_secret(*settings.secrets)}.",
        )
    for key in sorted(secret_keys - {"passwords", "secrets"}):
        yield Problem(
            (key,),
            "holds a secret, which the state would show in plain text",
            "Set it in slipway:secrets and name it in the secrets of the services that need it.",
        )


CHECKS: tuple[Check, ...] = (passwords, service_secrets, notices, encryption)
