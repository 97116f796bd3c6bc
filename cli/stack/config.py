"""The part of a stack's configuration that the command line needs before Pulumi reads it.

The program validates the settings (`configuration/`) and reports every mistake. So a value of an unexpected type counts
as absent here.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batches import Batches, batches
from stackfile.document import Document, UnreadableFile
from well_known import HOSTS_ACCOUNT, NAMESPACE

EXTERNAL_PASSWORD = "REGISTRY_PASSWORD"  # noqa: S105 - a name
"""The secret that is an external registry's password, as in `configuration/registry.py`."""
BACKUP_PASSWORD = "BACKUP_PASSWORD"  # noqa: S105 - a name
"""The secret that encrypted all backups in older versions, as in `configuration/backup.py`."""
REGISTRY, STATE = "registry", "state"
"""The names of the backups of the registry and of the state among those of services."""

HOOK_LIMIT = 300
"""The default of `hooks.timeLimit` in seconds, as in `configuration/`."""

EARLY_RENEWAL_HOURS = 720
"""The default of `certificates.earlyRenewalHours`, as in `configuration/`, which is slow to import."""


@dataclass(frozen=True)
class StackConfig:
    """The parsed `Pulumi.<stack>.yaml`."""

    content: dict[str, Any]
    project: str
    """The Pulumi project's name, which is not the namespace of Slipway's keys."""

    @classmethod
    def read(cls, path: Path, project: str) -> "StackConfig":
        """The configuration in a file; empty if the file is missing, or invalid, which `open_stack` reports."""
        try:
            return cls(Document.read(path).content, project)
        except UnreadableFile:
            return cls({}, project)

    @classmethod
    def read_text(cls, text: str, project: str) -> "StackConfig":
        """The configuration in the text of a file; empty if it is invalid."""
        try:
            return cls(Document.parse(text.encode()).content, project)
        except UnreadableFile:
            return cls({}, project)

    def setting(self, key: str) -> Any:
        """The value of `slipway:<key>`; JSON in a string is parsed."""
        values = self.content.get("config")
        value = values.get(f"{NAMESPACE}:{key}") if isinstance(values, dict) else None
        if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def has(self, key: str) -> bool:
        """Whether the file has the key `slipway:<key>`, with a value or without one."""
        values = self.content.get("config")
        return isinstance(values, dict) and f"{NAMESPACE}:{key}" in values

    def _object(self, key: str) -> dict[str, Any]:
        value = self.setting(key)
        return value if isinstance(value, dict) else {}

    @property
    def platform(self) -> str:
        """The kind of platform, by default `local`."""
        platform = self.setting("platform")
        kind = platform.get("kind") if isinstance(platform, dict) else platform
        return kind if isinstance(kind, str) else "local"

    @property
    def region(self) -> str:
        """The region on the platform `aws`; empty if the configuration has none."""
        platform = self.setting("platform")
        region = platform.get("region") if isinstance(platform, dict) else None
        return region if isinstance(region, str) else ""

    @property
    def pull_request(self) -> int | None:
        """The pull request that a review environment is for; None for any other stack."""
        number = self._object("review").get("pullRequest")
        return number if isinstance(number, int) else None

    @property
    def host_stack(self) -> str:
        """The stack on whose hosts a review environment is; empty for any other stack."""
        name = self._object("review").get("hostsOf")
        return name if isinstance(name, str) and self.pull_request is not None else ""

    @property
    def has_hosts_here(self) -> bool:
        """Whether the stack has hosts of its own that are containers of this machine."""
        return self.platform == "local" and not self.host_stack

    @property
    def contexts(self) -> dict[str, str]:
        """The build context of each service's image and of its base image, by the repository's name."""
        found: dict[str, str] = {}
        for service, settings in self._object("services").items():
            build = settings.get("build") if isinstance(settings, dict) else None
            step = build if isinstance(build, dict) else {"context": build}
            base = step.get("base")
            for name, one in ((service, step), (f"{service}-base", base)):
                context = one.get("context") if isinstance(one, dict) else one
                if isinstance(context, str):
                    found[name] = context
        return found

    @property
    def hosts(self) -> tuple[str, ...]:
        """The names of the hosts."""
        return tuple(str(name) for name in self._object("hosts"))

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(str(name) for name in self._object("services"))

    def followers(self, service: str) -> tuple[str, ...]:
        """The services that run the image of this one, by `from`."""
        sources = {
            name: settings.get("from") if isinstance(settings, dict) else None
            for name, settings in self._object("services").items()
        }
        found = [service]
        for one in found:
            found += [name for name, source in sources.items() if source == one and name not in found]
        return tuple(str(name) for name in found[1:])

    def hook(self, name: str) -> list[str]:
        """The command of a hook, as words; none without one."""
        command = self._object("hooks").get(name)
        if isinstance(command, str) and command.strip():
            return ["/bin/sh", "-c", command]
        return [str(word) for word in command] if isinstance(command, list) else []

    @property
    def hook_limit(self) -> int:
        """Seconds that a hook may take."""
        limit = self._object("hooks").get("timeLimit")
        return limit if isinstance(limit, int) and limit > 0 else HOOK_LIMIT

    @property
    def notices(self) -> tuple[dict[str, Any], ...]:
        """The webhooks: each with `url`, and perhaps with `on` and `format`."""
        found = self.setting("notify")
        known = found if isinstance(found, list) else ()
        return tuple(one for one in known if isinstance(one, dict) and "url" in one)

    @property
    def moves_back(self) -> bool:
        """Whether hosts go back to the last good version if a new one fails on a later host."""
        return self._object("rollout").get("onFailure") != "stop"

    @property
    def batches(self) -> dict[str, Batches]:
        """In which batches hosts get a version, by service; without the services that say nothing of it."""
        app_hosts = [
            str(name)
            for name, host in sorted(self._object("hosts").items())
            if isinstance(host, dict) and "app" in (host.get("roles") or ())
        ]
        found = {}
        for name, settings in self._object("services").items():
            rollout = settings.get("rollout") if isinstance(settings, dict) else None
            if isinstance(rollout, dict):
                hosts = settings.get("hosts") or app_hosts
                parallel, canary = rollout.get("parallel", 1), rollout.get("canary", 0)
                found[str(name)] = Batches(batches(hosts, parallel, canary), rollout.get("pause", 0))
        return found

    @property
    def secrets(self) -> frozenset[str]:
        """The names of the secrets that are set."""
        return frozenset(self._object("secrets"))

    @property
    def secret_users(self) -> dict[str, list[str]]:
        """What uses each secret: services, webhooks, accounts at other registries, and the external registry."""
        used: dict[str, list[str]] = {}
        if self.has_external_registry and not self.host_stack:
            used[EXTERNAL_PASSWORD] = ["the external registry"]
        for service, settings in self._object("services").items():
            names = settings.get("secrets") if isinstance(settings, dict) else None
            variables = settings.get("env") if isinstance(settings, dict) else None
            in_variables = [
                value.get("secret")
                for value in (variables.values() if isinstance(variables, dict) else ())
                if isinstance(value, dict)
            ]
            for name in dict.fromkeys([*(names if isinstance(names, list) else ()), *in_variables]):
                if isinstance(name, str):
                    used.setdefault(name, []).append(service)
        for service, target in self.backups.items():
            own = [name for name in (BACKUP_PASSWORD, password_name(service)) if name in self.secrets]
            for name in (*own, target.get("keyId"), target.get("key")):
                if isinstance(name, str):
                    used.setdefault(name, []).append(f"the backup of {service}")
        sources = self._object("registry").get("sources")
        for server, account in sources.items() if isinstance(sources, dict) else ():
            password = account.get("password") if isinstance(account, dict) else None
            name = password.get("secret") if isinstance(password, dict) else None
            if isinstance(name, str):
                used.setdefault(name, []).append(f"the account at {server}")
        for notice in self.notices:
            name = notice["url"].get("secret") if isinstance(notice["url"], dict) else None
            if isinstance(name, str) and "a webhook" not in used.get(name, ()):
                used.setdefault(name, []).append("a webhook")
        return used

    @property
    def backups(self) -> dict[str, dict[str, Any]]:
        """Where backups go, as the configuration says it: of the services that have them, `REGISTRY` and `STATE`."""
        backups = {
            str(service): settings.get("backup")
            for service, settings in self._object("services").items()
            if isinstance(settings, dict)
        }
        backups |= {REGISTRY: self._object("registry").get("backup"), STATE: self.setting("stateBackup")}
        found = {}
        for name, backup in backups.items():
            if isinstance(backup, dict):
                target = backup.get("to")
                found[name] = target if isinstance(target, dict) else {}
        return found

    @property
    def users(self) -> tuple[str, ...]:
        """The registry's accounts for people, without the account of the stack's hosts."""
        users = self._object("registry").get("users")
        return (
            tuple(user for user in users if isinstance(user, str)) if isinstance(users, (list, dict)) else ()
        )

    @property
    def users_have_rights(self) -> bool:
        """Whether the accounts are a map with the rights of each, not a list."""
        return isinstance(self._object("registry").get("users"), dict)

    @property
    def operators(self) -> frozenset[str]:
        """The names of the operators."""
        return frozenset(self._object("operators"))

    @property
    def operator_keys(self) -> dict[str, str]:
        """The public SSH key of each operator."""
        return {name: key for name, key in self._object("operators").items() if isinstance(key, str)}

    @property
    def has_external_registry(self) -> bool:
        """Whether the stack uses an external registry, which has its own accounts."""
        return bool(self._object("registry").get("external"))

    @property
    def users_can_be_edited(self) -> bool:
        """Whether Pulumi can change the list of users: the registry's settings are YAML, not JSON in a string.

        Pulumi would replace the whole string by a new object, and lose its content.
        """
        values = self.content.get("config")
        registry = values.get(f"{NAMESPACE}:registry") if isinstance(values, dict) else None
        if registry is None:
            return True
        users = registry.get("users", []) if isinstance(registry, dict) else None
        return isinstance(users, (list, dict)) and all(isinstance(user, str) for user in users)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Every account of the stack's own registry."""
        return () if self.has_external_registry else (HOSTS_ACCOUNT, *self.users)

    @property
    def accounts_with_password(self) -> frozenset[str]:
        """The accounts with a password in the configuration, encrypted or not."""
        return frozenset(self._object("passwords"))

    @property
    def early_renewal_hours(self) -> int:
        """How many hours before its end an `up` renews a certificate."""
        hours = self._object("certificates").get("earlyRenewalHours")
        return hours if isinstance(hours, int) else EARLY_RENEWAL_HOURS

    @property
    def is_protected(self) -> bool:
        """Whether the stack is protected. `pulumi config set` of any other key rewrites this value as a string."""
        value = self.setting("protect")
        return value is True or value == "true"

    @property
    def has_passphrase(self) -> bool:
        """Whether secrets in this configuration are encrypted with a passphrase."""
        return "encryptionsalt" in self.content

    @property
    def has_secrets_provider(self) -> bool:
        """Whether a key service encrypts the secrets, so that no passphrase is needed."""
        return bool(self.content.get("secretsprovider"))


def password_name(name: str) -> str:
    """The secret that encrypts backups of this name, as in `configuration/backup.py`. `up` makes it."""
    return f"{BACKUP_PASSWORD}_{name.upper().replace('-', '_')}"
