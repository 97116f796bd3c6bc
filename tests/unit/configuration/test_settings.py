"""The settings: their defaults, their messages for invalid values, and that secrets stay secret."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from configuration.documentation import models
from configuration.load import load, validate
from configuration.problems import SettingsError, path_of
from configuration.settings import StackSettings
from tests.unit.program import OPERATORS_KEY

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "a-secret-password"
SECRET_KEYS = frozenset({"passwords", "secrets"})
GOOD: dict[str, Any] = {
    "platform": {"kind": "local"},
    "hosts": {
        "yard": {"roles": ["registry", "build"]},
        "web-1": {"roles": ["app"]},
        "web-2": {"roles": ["app"]},
    },
    "registry": {"users": ["alice"]},
    "services": {"web": {"build": {"context": "app"}}},
    "passwords": {"hosts": PASSWORD, "alice": PASSWORD},
}
MISTAKES: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "mistakes.yaml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two build contexts, and directories that are none."""
    directory = tmp_path_factory.mktemp("project")
    for context in ("app", "app/base", "docs", ".git"):
        (directory / context).mkdir()
    for context in ("app", "app/base"):
        (directory / context / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    (directory / "app/needs-an-argument").write_text("ARG BASE\nFROM ${BASE}\n", encoding="utf-8")
    (directory / "app/ignores-badly").write_text("FROM scratch\n", encoding="utf-8")
    (directory / "app/ignores-badly.dockerignore").write_text("logs[\n", encoding="utf-8")
    return directory


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z])?", fullmatch=True).filter(
    lambda name: name not in ("localhost", "registry", "proxy")
)
accounts = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True).filter(
    lambda name: name != "hosts"
)
ports = st.integers(1, 65535)
passwords = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=72)


def good(**changes: Any) -> dict[str, Any]:
    """GOOD with whole keys changed, or removed if the change is None."""
    return {key: value for key, value in {**GOOD, **changes}.items() if value is not None}


def problems(
    configuration: Mapping[str, Any],
    directory: Path,
    secret_keys: frozenset[str] = SECRET_KEYS,
    stack: str = "STACK",
) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        validate(configuration, directory, secret_keys, stack)
    return [str(problem) for problem in caught.value.problems]


def put_into_pulumi(configuration: Mapping[str, Any], secret_keys: frozenset[str] = SECRET_KEYS) -> None:
    """Set the program's configuration as the CLI does: maps and lists as JSON, all other values as text."""
    texts = {
        f"slipway:{key}": value if isinstance(value, str) else json.dumps(value)
        for key, value in configuration.items()
    }
    pulumi.runtime.set_all_config(texts, [f"slipway:{key}" for key in secret_keys & configuration.keys()])


class NoResources(pulumi.runtime.Mocks):
    """Fails if reading the settings makes a resource."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> Any:
        raise AssertionError(args.name)

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:
        raise AssertionError(args.token)


@pytest.fixture
def in_pulumi() -> Iterator[None]:
    pulumi.runtime.set_mocks(NoResources(), project="slipway", stack="test")
    yield
    pulumi.runtime.set_all_config({}, [])


class TestDefaults:
    def test_nothing_but_a_password_is_one_host_with_a_registry(self, project: Path) -> None:
        stack = validate({"passwords": {"hosts": PASSWORD}}, project)
        assert {name: host.roles for name, host in stack.hosts.items()} == {
            "box": ("registry", "build", "app")
        }
        assert stack.platform.kind == "local"
        assert stack.services == {}
        assert stack.registry_address == "box:5000"
        assert stack.protect is False

    def test_a_service_needs_its_context_only(self, project: Path) -> None:
        stack = validate(
            {"services": {"web": {"build": {"context": "app"}}}, "passwords": {"hosts": PASSWORD}}, project
        )
        web = stack.services["web"]
        assert (web.port, web.health_path, web.health_timeout, web.drain_timeout, web.memory) == (
            8080,
            "/up",
            30,
            30,
            512,
        )
        assert web.build
        assert web.build.dockerfile_path == "app/Dockerfile"
        assert stack.service_hosts("web") == ("box",)

    def test_the_stack_that_up_writes_is_valid(self) -> None:
        stack = yaml.safe_load((ROOT / "cli" / "stack" / "local-stack.yaml").read_text(encoding="utf-8"))
        written = {key.removeprefix("slipway:"): value for key, value in stack["config"].items()}
        users = ["hosts", *written["registry"]["users"]]
        assert validate({**written, "passwords": dict.fromkeys(users, PASSWORD)}, ROOT).services.keys() == {
            "web"
        }

    def test_certificates_are_renewed_well_before_they_end(self, project: Path) -> None:
        certificates = validate(GOOD, project).certificates
        assert certificates.validity_hours == 365 * 24
        assert certificates.early_renewal_hours == 30 * 24
        assert certificates.authority_validity_hours == 3650 * 24

    def test_the_configuration_is_not_changed(self, project: Path) -> None:
        wrong = good(hosts={"yard": {"roles": ["registry", "biuld"]}})
        before = json.dumps(wrong)
        problems(wrong, project)
        assert json.dumps(wrong) == before

    def test_settings_are_frozen(self, project: Path) -> None:
        stack = validate(GOOD, project)
        with pytest.raises(ValidationError):
            stack.protect = True
        with pytest.raises(ValidationError):
            stack.services["web"].port = 1


class TestDerived:
    def test_hosts_by_role(self, project: Path) -> None:
        stack = validate(GOOD, project)
        assert stack.hosts_with("app") == ("web-1", "web-2")
        assert (stack.registry_host, stack.build_host) == ("yard", "yard")

    def test_no_build_host_is_needed_without_services(self, project: Path) -> None:
        stack = validate(good(hosts={"yard": {"roles": ["registry"]}}, services=None), project)
        assert stack.build_host is None

    @pytest.mark.parametrize(
        ("name", "slot"), [("yard", 0), ("web-1", 1), ("web12", 12), ("web-07", 7), ("w3b", 0), ("a-99", 99)]
    )
    def test_the_slot_is_the_number_at_the_end(self, project: Path, name: str, slot: int) -> None:
        stack = validate(good(hosts={name: {"roles": ["registry", "build", "app"]}}), project)
        assert stack.slot(name) == slot

    def test_a_configured_slot_wins(self, project: Path) -> None:
        stack = validate(good(hosts={"web-1": {"roles": ["registry", "build", "app"], "slot": 0}}), project)
        assert stack.slot("web-1") == 0

    def test_local_ports_move_by_slot_and_offset(self, project: Path) -> None:
        stack = validate(good(platform={"portOffset": 100}), project)
        web = stack.local_ports("web-2")
        assert (web.ssh, web.engine, web.http) == (2302, 23862, 8182)
        assert stack.registry_port == 5100
        assert list(stack.published_ports("yard")) == [2300, 23860], "no HTTP without an app"

    def test_a_registry_port_is_taken_as_it_is(self, project: Path) -> None:
        stack = validate(good(platform={"portOffset": 100}, registry={"port": 5555}), project)
        assert stack.registry_address == "yard:5555"

    def test_a_port_that_no_host_publishes_is_free_for_the_registry(self, project: Path) -> None:
        # 8080 would be HTTP of yard, but yard has no role app.
        assert validate(good(registry={"port": 8080}), project).registry_port == 8080

    def test_services_of_a_host_and_hosts_of_a_service(self, project: Path) -> None:
        services = {
            "api": {"build": {"context": "app"}, "hosts": ["web-2"], "domain": "api.example.com"},
            "web": {"build": {"context": "app"}},
        }
        stack = validate(good(services=services), project)
        assert stack.service_hosts("api") == ("web-2",)
        assert stack.services_on("web-1") == ("web",)
        assert stack.services_on("web-2") == ("api", "web")

    def test_the_order_of_a_roll_out_is_the_users(self, project: Path) -> None:
        services = {"web": {"build": {"context": "app"}, "hosts": ["web-2", "web-1"]}}
        assert validate(good(services=services), project).service_hosts("web") == ("web-2", "web-1")

    def test_the_hosts_own_account_comes_first(self, project: Path) -> None:
        assert validate(GOOD, project).accounts == ("hosts", "alice")

    def test_a_number_in_the_environment_is_its_text(self, project: Path) -> None:
        services = {
            "web": {"build": {"context": "app", "args": {"JOBS": 4}}, "env": {"WORKERS": 2, "A": "x"}}
        }
        web = validate(good(services=services), project).services["web"]
        assert web.env == {"WORKERS": "2", "A": "x"}
        assert web.build
        assert web.build.args == {"JOBS": "4"}

    def test_an_argument_for_the_base_is_free_without_a_base_of_our_own(self, project: Path) -> None:
        services = {"web": {"build": {"context": "app", "args": {"BASE_IMAGE": "debian:12"}}}}
        build = validate(good(services=services), project).services["web"].build
        assert build
        assert build.args["BASE_IMAGE"] == "debian:12"


class TestMistakes:
    def test_every_case_has_a_name_of_its_own(self) -> None:
        names = [case["name"] for case in MISTAKES]
        assert len(names) == len(set(names)) >= 30

    @pytest.mark.parametrize("case", MISTAKES, ids=[case["name"] for case in MISTAKES])
    def test_exactly_the_mistakes_are_reported(self, case: dict[str, Any], project: Path) -> None:
        configuration = good(**case.get("config", {}))
        found = problems(configuration, project, frozenset(case.get("secretKeys", SECRET_KEYS)))
        assert len(found) == len(case["expect"]), "\n".join(found)
        for expected, line in zip(case["expect"], found, strict=True):
            assert line.startswith(expected["path"])
            assert expected["wrong"] in line
            assert expected["remedy"] in line.partition(expected["wrong"])[2], line
            assert "\n" not in line
        assert not leaked(configuration, "\n".join(found))

    @pytest.mark.parametrize("case", MISTAKES, ids=[case["name"] for case in MISTAKES])
    @pytest.mark.usefixtures("in_pulumi")
    def test_pulumi_prints_them_as_one_error(self, case: dict[str, Any], project: Path) -> None:
        configuration = good(**case.get("config", {}))
        secret_keys = frozenset(case.get("secretKeys", SECRET_KEYS))
        put_into_pulumi(configuration, secret_keys)
        with pytest.raises(pulumi.RunError) as caught:
            load(project, check_ports=False)
        first, *lines = str(caught.value).splitlines()
        assert first.startswith("the configuration of stack test has ")
        assert first.endswith("nothing was touched:")
        assert lines == [
            f"  {line}"
            for line in problems(configuration, project, secret_keys & configuration.keys(), stack="test")
        ]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__

    def test_passwords_do_not_show(self, project: Path) -> None:
        stack = validate(GOOD, project)
        assert PASSWORD not in f"{stack!r}{stack}{stack.model_dump()}{stack.model_dump_json()}"
        assert stack.passwords["alice"].get_secret_value() == PASSWORD


def leaked(configuration: Mapping[str, Any], text: str) -> list[str]:
    """The secrets in a text: a configuration's values below the secret keys, and what follows a colon in a name."""
    words = [word for key in SECRET_KEYS for word in texts(configuration.get(key))]
    words += [word.partition(":")[2] for user in texts(configuration.get("registry")) for word in [user]]
    return [word for word in words if len(word) >= 8 and word in text]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key.partition(":")[2]
            yield from texts(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from texts(entry)


@pytest.mark.usefixtures("in_pulumi")
class TestLoad:
    def test_it_reads_the_configuration_from_pulumi(self, project: Path) -> None:
        put_into_pulumi(good(protect=True))
        pulumi_settings = load(project, check_ports=False)
        assert pulumi_settings == validate(good(protect=True), project)
        assert pulumi_settings.protect is True

    @pytest.mark.parametrize("key", ["services", "hosts", "registry", "certificates", "platform"])
    def test_a_key_without_a_value_is_not_taken_for_a_missing_one(self, project: Path, key: str) -> None:
        put_into_pulumi({**GOOD, key: ""})
        with pytest.raises(
            pulumi.RunError, match=rf"slipway:{key} = null: has no value\. Write keys and values"
        ):
            load(project, check_ports=False)

    def test_keys_of_others_are_left_alone(self, project: Path) -> None:
        put_into_pulumi(GOOD)
        pulumi.runtime.set_config("aws:region", "eu-central-1")
        pulumi.runtime.set_config("other:services", "x")
        assert load(project, check_ports=False).services.keys() == {"web"}

    @given(st.dictionaries(st.sampled_from([*StackSettings.model_fields, "other"]), json_values))
    @hypothesis_settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_every_configuration_loads_or_is_one_run_error(
        self, project: Path, values: dict[str, Any]
    ) -> None:
        put_into_pulumi(values)
        try:
            assert load(project, check_ports=False).hosts
        except pulumi.RunError as error:
            assert "nothing was touched:\n  slipway:" in str(error)  # noqa: PT017

    def test_importing_the_settings_does_not_import_pulumi(self) -> None:
        code = (
            "import sys, configuration.load; sys.exit(any(m.split('.')[0] == 'pulumi' for m in sys.modules))"
        )
        assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode == 0


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid configuration of the platform `local`."""
    names = draw(st.lists(labels, min_size=1, max_size=8, unique=True))
    slots = draw(st.lists(st.integers(0, 99), min_size=len(names), max_size=len(names), unique=True))
    hosts: dict[str, Any] = {
        name: {"roles": [], "slot": slot} for name, slot in zip(names, slots, strict=True)
    }
    hosts[draw(st.sampled_from(names))]["roles"].append("registry")
    hosts[draw(st.sampled_from(names))]["roles"].append("build")
    for name in names:
        if not hosts[name]["roles"] or draw(st.booleans()):
            hosts[name]["roles"].append("app")
    app_hosts = [name for name in names if "app" in hosts[name]["roles"]]
    services: dict[str, Any] = {}
    for name in draw(st.lists(labels, max_size=3, unique=True)) if app_hosts else []:
        services[name] = {
            "build": {"context": draw(st.sampled_from(["app", "app/base"]))},
            "port": draw(ports),
            "health": draw(st.from_regex(r"/[a-z/?=&]{0,20}", fullmatch=True)),
            "healthTimeout": draw(st.integers(1, 3600)),
            "domain": f"{name}.example.com",
            "hosts": draw(st.permutations(app_hosts)),
            "env": draw(
                st.dictionaries(
                    st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), st.text() | st.integers(), max_size=3
                )
            ),
        }
    users = draw(st.lists(accounts, max_size=3, unique=True))
    return {
        "platform": {"kind": "local", "portOffset": draw(st.integers(0, 41000))},
        "hosts": hosts,
        # Below the hosts' ports with any offset.
        "registry": {"users": users, "port": draw(st.integers(1000, 2199))},
        "services": services,
        "passwords": {account: draw(passwords) for account in ["hosts", *users]},
        "protect": draw(st.booleans()),
    }


def maps(value: Any, location: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Every map in a configuration whose keys are settings, not names that users choose."""
    if isinstance(value, dict):
        if location not in (("hosts",), ("services",), ("passwords",)) and location[-1:] != ("env",):
            yield location, value
        for key, entry in value.items():
            yield from maps(entry, (*location, key))


class TestProperties:
    @given(configurations())
    @hypothesis_settings(max_examples=60)
    def test_every_valid_configuration_is_accepted(
        self, project: Path, configuration: dict[str, Any]
    ) -> None:
        stack = validate(configuration, project, SECRET_KEYS)
        published = [port for name in stack.hosts for port in stack.published_ports(name)] + [
            stack.registry_port
        ]
        assert len(published) == len(set(published))
        assert all(1 <= port <= 65535 for port in published)
        for name in stack.services:
            assert set(stack.service_hosts(name)) == set(stack.hosts_with("app"))

    @given(configurations(), st.data())
    @hypothesis_settings(max_examples=60)
    def test_an_unknown_key_is_refused_by_its_name(
        self, project: Path, configuration: dict[str, Any], data: st.DataObject
    ) -> None:
        assume(not is_refused(configuration, project))
        location, place = data.draw(st.sampled_from(list(maps(configuration))), label="place")
        known = {info.alias for model in models() for info in model.model_fields.values()}
        key = data.draw(st.text(min_size=1, max_size=12).filter(lambda text: text not in known), label="key")
        place[key] = data.draw(json_values, label="value")
        (line,) = problems(configuration, project)
        assert line.startswith(f"{path_of((*location, key))}: unknown key. ")

    @given(configurations(), passwords, st.data())
    @hypothesis_settings(max_examples=150)
    def test_no_message_contains_a_password_wherever_it_is_written(
        self, project: Path, configuration: dict[str, Any], password: str, data: st.DataObject
    ) -> None:
        configuration |= {"secrets": {"DATABASE_URL": password}}
        location, place = data.draw(
            st.sampled_from([(("passwords",), configuration["passwords"]), *maps(configuration)])
        )
        key = data.draw(st.sampled_from([*place, "carol"]), label=f"key in {location}")
        stray: list[Any] = [
            password,
            f"carol:{password}",
            [password],
            {"carol": password},
            {password: {"a": password}},
        ]
        place[key] = data.draw(st.sampled_from(stray), label="value")
        try:
            text = repr(validate(configuration, project).passwords)
        except SettingsError as error:
            text = f"{error}{error.problems!r}"
        assert password not in text
        assert json.dumps(password)[1:-1] not in text


def is_refused(configuration: dict[str, Any], project: Path) -> bool:
    try:
        validate(configuration, project)
    except SettingsError:
        return True
    return False


def test_an_operators_key_is_taken_without_its_comment() -> None:
    settings = validate(
        {
            "operators": {"alice": f"{OPERATORS_KEY} alice@laptop, the old one"},
            "passwords": {"hosts": PASSWORD},
        },
        ROOT,
    )
    assert settings.operators == {"alice": OPERATORS_KEY}
