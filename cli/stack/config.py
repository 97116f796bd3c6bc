"""What the command needs to know of a stack's configuration before Pulumi reads it.

The settings themselves are read and checked by the program (`settings.py`), which reports every mistake. So anything
of an unexpected shape counts as absent here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from well_known import HOSTS_ACCOUNT

EARLY_RENEWAL_HOURS = 720
"""What `certificates.earlyRenewalHours` is by default, as in `settings.py`."""


@dataclass(frozen=True)
class StackConfig:
    """The parsed `Pulumi.<stack>.yaml`."""

    content: dict[str, Any]
    project: str

    @classmethod
    def read(cls, path: Path, project: str) -> "StackConfig":
        """The configuration in a file; an empty one if there is none, or it is no YAML (Pulumi says so better)."""
        import yaml

        try:
            loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            content = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - a safe loader, in C
        except (OSError, yaml.YAMLError):
            content = None
        return cls(content if isinstance(content, dict) else {}, project)

    def setting(self, key: str) -> Any:
        """The value of `<project>:<key>`, parsed if it is an object in a string."""
        values = self.content.get("config")
        value = values.get(f"{self.project}:{key}") if isinstance(values, dict) else None
        if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def _object(self, key: str) -> dict[str, Any]:
        value = self.setting(key)
        return value if isinstance(value, dict) else {}

    @property
    def platform(self) -> str:
        """The kind of platform; `local` where the configuration names none."""
        platform = self.setting("platform")
        kind = platform.get("kind") if isinstance(platform, dict) else platform
        return kind if isinstance(kind, str) else "local"

    @property
    def region(self) -> str:
        """The region, on the platform `aws`; empty where the configuration names none."""
        platform = self.setting("platform")
        region = platform.get("region") if isinstance(platform, dict) else None
        return region if isinstance(region, str) else ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts."""
        return tuple(str(name) for name in self._object("hosts"))

    @property
    def users(self) -> tuple[str, ...]:
        """The registry's accounts of people, without the one of the stack's hosts."""
        users = self._object("registry").get("users")
        return tuple(user for user in users if isinstance(user, str)) if isinstance(users, list) else ()

    @property
    def has_external_registry(self) -> bool:
        """Whether someone else's registry is in the place of the stack's own, so that accounts are made there."""
        return bool(self._object("registry").get("external"))

    @property
    def users_can_be_edited(self) -> bool:
        """Whether Pulumi can change the list of users in its place: what holds it is YAML, not an object in a text.

        Pulumi would put a new object in place of the whole text, and lose what it says.
        """
        values = self.content.get("config")
        registry = values.get(f"{self.project}:registry") if isinstance(values, dict) else None
        if registry is None:
            return True
        users = registry.get("users", []) if isinstance(registry, dict) else None
        return isinstance(users, list) and all(isinstance(user, str) for user in users)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account of the stack's own registry."""
        return () if self.has_external_registry else (HOSTS_ACCOUNT, *self.users)

    @property
    def accounts_with_password(self) -> frozenset[str]:
        """The accounts whose password is in the configuration, encrypted or not."""
        return frozenset(self._object("passwords"))

    @property
    def early_renewal_hours(self) -> int:
        """Hours before its end from which on an `up` renews a certificate."""
        hours = self._object("certificates").get("earlyRenewalHours")
        return hours if isinstance(hours, int) else EARLY_RENEWAL_HOURS

    @property
    def is_protected(self) -> bool:
        """Whether the stack asks for care. `pulumi config set` of any other key writes this one anew, as a text."""
        value = self.setting("protect")
        return value is True or value == "true"

    @property
    def has_passphrase(self) -> bool:
        """Whether secrets of this configuration were encrypted with a passphrase already."""
        return "encryptionsalt" in self.content

    @property
    def has_secrets_provider(self) -> bool:
        """Whether secrets are encrypted by a key service, which asks for no passphrase."""
        return bool(self.content.get("secretsprovider"))
