"""The platform `aws`, with the stacks that come with the project: resources, reachability, encryption."""

import json
from typing import Any

import pulumi
import pytest
import yaml

from components.hosts.aws.catalogue import SubnetFacts, check_placement, zones_for
from components.hosts.aws.cloud_config import CloudConfigArgs, cloud_config
from components.hosts.aws.names import NameRule, resource_name
from components.hosts.aws.network import subnet_cidrs
from components.hosts.aws.quotas import ADDRESSES, VCPUS, Demand, problems, standard_vcpus
from components.hosts.aws.registry_volume import refuse_shrinking
from components.hosts.aws.snapshots import PLAN_NAME, ROLE_NAME, VAULT_NAME
from configuration.aws import architecture_of, has_cpu_credits, partition_of
from configuration.load import validate
from configuration.problems import SettingsError
from tests.unit.components.test_program import text_outside_secrets
from tests.unit.program import CALLS, PASSWORDS, ROOT, Account, Program, Registered, Secret, run
from tests.unit.program import run_stack as run_program

ADMIN = "192.168.7.0/24"
SECRETS = [*PASSWORDS.values(), "private key of", "openssh key of"]
HOSTS = {"dev": ["box"], "prod": ["depot", "yard", "web-1", "web-2"]}


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
    monkeypatch.setattr("configuration.local_ports.occupied", lambda *_: [])


def configuration_of(stack: str) -> dict[str, Any]:
    """The configuration in the stack's file, with an administrator's network."""
    written = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    found = {key.removeprefix("slipway:"): value for key, value in written.items()}
    found["platform"]["adminCidrs"] = [ADMIN]
    return found | {"passwords": {"hosts": PASSWORDS["hosts"], "deploy": PASSWORDS["alice"]}}


def run_stack(
    stack: str,
    platform: dict[str, Any] | None = None,
    before: dict[str, Any] | None = None,
    **changes: Any,
) -> Program:
    configuration = configuration_of(stack)
    configuration["platform"] |= platform or {}
    return run(json.dumps(configuration | changes), before=json.dumps(before or {}))


SHOP: dict[str, Any] = {"web": {"build": {"context": "app/base"}, "domain": "shop.example.com"}}


def with_edges(*edges: str) -> dict[str, Any]:
    """As many hosts as the account has addresses for, of which these are edges."""
    return {
        "yard": {"roles": ["registry", "build"]},
        **{name: {"roles": ["app"]} for name in ("web-1", "web-2")},
        **{name: {"roles": ["edge"]} for name in edges},
    }


def waits_for(program: Program, name: str) -> list[str]:
    """The commands that a record comes after, of those that make hosts serve visitors."""
    needed = program.named(name, "Record").request.dependencies
    return sorted(urn.rpartition("::")[2] for urn in needed if urn.endswith(("-backends", "-routes")))


@pytest.fixture(params=["dev", "prod"])
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def program(stack: str) -> Program:
    return run_stack(stack)


def of_aws(program: Program) -> list[Registered]:
    return [r for r in program.resources.values() if r.request.type.startswith("aws:")]


class TestWhatThereIs:
    def test_each_host_is_an_instance_with_an_address(self, stack: str, program: Program) -> None:
        assert {r.request.name for r in program.of_type("instance:Instance")} == set(HOSTS[stack])
        for host in HOSTS[stack]:
            assert program.named(host, "Instance").parent == host
            assert program.named(f"{host}-address-association").inputs["allocationId"] == f"{host}-address-id"
            assert program.outputs["hosts"][host]["address"] == f"public {host}-address"
            assert program.outputs["hosts"][host]["privateAddress"] == f"private address of {host}"

    def test_the_committed_stacks_ask_who_may_administer(
        self, stack: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        written = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
        configuration = {key.removeprefix("slipway:"): value for key, value in written.items()}
        with pytest.raises(SettingsError, match="a network for documentation, which no machine is in"):
            validate(configuration | {"passwords": configuration_of(stack)["passwords"]}, ROOT)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        validate(configuration | {"passwords": configuration_of(stack)["passwords"]}, ROOT)

    def test_the_outputs_are_those_of_local(self, program: Program) -> None:
        assert program.outputs.keys() == run().outputs.keys()

    def test_everything_has_a_parent_and_none_the_default_provider(self, program: Program) -> None:
        for resource in of_aws(program):
            assert resource.parent in {
                *("hosts", "network", "firewall", "registry-data", "registry-snapshots"),
                *program.outputs["hosts"],
            }, resource.urn
            assert "pulumi:providers:aws::aws::" in resource.request.provider, resource.urn

    def test_everything_that_can_have_a_name_has_one(self, program: Program) -> None:
        nameless = {"Record", "Selection", "Association", "EgressRule", "IngressRule", "Attachment"}
        for resource in of_aws(program):
            if not any(resource.request.type.endswith(kind) for kind in nameless):
                assert resource.inputs["tags"]["Name"].startswith("slipway-test"), resource.urn

    def test_the_provider_tags_every_resource(self, program: Program) -> None:
        provider = program.named("aws", "providers:aws").inputs
        tags = {"slipway:project": "slipway", "slipway:stack": "test"}
        assert json.loads(provider["defaultTags"]) == {"tags": tags}
        assert provider["region"] == "eu-central-1"
        assert "endpoints" not in provider

    def test_app_hosts_are_spread_over_two_zones(self) -> None:
        program = run_stack("prod")
        subnets = {host: program.named(host, "Instance").inputs["subnetId"] for host in HOSTS["prod"]}
        assert subnets == {
            "depot": "network-1-id",
            "yard": "network-1-id",
            "web-1": "network-1-id",
            "web-2": "network-2-id",
        }
        zones = {r.request.name: r.inputs["availabilityZone"] for r in program.of_type("subnet:Subnet")}
        assert zones == {"network-1": "eu-central-1a", "network-2": "eu-central-1b"}

    def test_a_subnet_stays_where_it_is(self, program: Program) -> None:
        for subnet in program.of_type("subnet:Subnet"):
            assert list(subnet.request.ignoreChanges) == ["availabilityZone"]

    def test_a_machine_waits_for_its_way_out(self, stack: str, program: Program) -> None:
        for host in HOSTS[stack]:
            needed = {urn.rpartition("::")[2] for urn in program.named(host, "Instance").request.dependencies}
            assert {"network-1-routes", "host-https-to-0.0.0.0-0"} <= needed

    def test_the_default_vpc_and_given_subnets_take_no_network_of_their_own(self) -> None:
        given = ["subnet-00000000000000002", "subnet-00000000000000001"]
        for network, first in (({"default": True}, given[1]), ({"subnets": given}, given[0])):
            program = run_stack("prod", {"network": network})
            assert not program.of_type("vpc:Vpc")
            assert program.named("web-1", "Instance").inputs["subnetId"] == first
            assert program.named("firewall-host").inputs["vpcId"] == "vpc-1"

    def test_a_private_stack_has_no_public_address(self) -> None:
        subnets = ["subnet-00000000000000001", "subnet-00000000000000002"]
        program = run_stack("prod", {"connect": "private", "network": {"subnets": subnets}})
        assert not program.of_type("Eip")
        assert program.named("web-1", "Instance").inputs["associatePublicIpAddress"] is False
        assert program.outputs["hosts"]["web-1"]["address"] == "private address of web-1"
        names = program.named("web-1-engine-request").inputs["ipAddresses"]
        assert names == ["private address of web-1"]

    def test_names_in_the_zone_get_records(self) -> None:
        services = {"web": {"build": {"context": "app/base"}, "domain": "shop.example.com"}}
        registry = {"users": ["deploy"], "domain": "registry.example.com"}
        program = run_stack("prod", {"zone": "example.com"}, services=services, registry=registry)
        records = {r.request.name: r.inputs for r in program.of_type("record:Record")}
        assert records.keys() == {"registry.example.com", "shop.example.com"}
        shop = records["shop.example.com"]
        assert shop["records"] == ["public web-1-address", "public web-2-address"]
        assert shop["zoneId"] == "zone of example.com"
        assert program.outputs["registryPublicAddress"] == "registry.example.com:5000"

    def test_behind_edges_names_lead_to_them_and_they_to_app_hosts(self) -> None:
        program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=with_edges("edge-1"))
        record = program.named("shop.example.com", "Record").inputs
        assert record["records"] == ["public edge-1-address"]
        assert "setIdentifier" not in record
        assert not list(program.of_type("healthCheck:HealthCheck"))
        assert program.outputs["hosts"]["edge-1"]["healthCheckId"] == ""
        known = program.named("web-1-routes").inputs["create"]
        assert known.endswith(" edges=private address of edge-1")
        told = program.named("edge-1-backends").inputs["stdin"]
        assert isinstance(told, Secret)
        assert "host web-2 private address of web-2\n" in str(told.value)
        assert program.outputs["serviceUrls"] == {"web": ["http://shop.example.com/"]}

    def test_each_of_several_edges_has_a_record_that_goes_while_it_does_not_answer(self) -> None:
        registry = {"users": ["deploy"], "domain": "registry.example.com"}
        hosts = with_edges("edge-1", "edge-2")
        program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=hosts, registry=registry)
        for edge in ("edge-1", "edge-2"):
            check = program.named(f"{edge}-health", "HealthCheck").inputs
            assert (check["ipAddress"], check["port"], check["type"]) == (f"public {edge}-address", 80, "TCP")
            assert check["tags"] == {"Name": f"slipway-test-{edge}"}
            record = program.named(f"shop.example.com-{edge}", "Record").inputs
            assert record["name"] == "shop.example.com"
            assert record["records"] == [f"public {edge}-address"]
            assert (record["setIdentifier"], record["multivalueAnswerRoutingPolicy"]) == (edge, True)
            assert record["healthCheckId"] == program.outputs["hosts"][edge]["healthCheckId"]
        # Nobody else's name has two hosts, and no check asks the registry.
        plain = program.named("registry.example.com", "Record").inputs
        assert "setIdentifier" not in plain
        assert len(list(program.of_type("healthCheck:HealthCheck"))) == 2

    def test_a_plain_record_becomes_that_of_an_edge_that_serves(self) -> None:
        hosts, before = with_edges("edge-1", "edge-2"), {"hosts": {"edge-2": {"address": "192.0.2.2"}}}
        program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=hosts, before=before)
        served = program.named("shop.example.com-edge-2", "Record")
        assert [alias.spec.name for alias in served.request.aliases] == ["shop.example.com"]
        new = program.named("shop.example.com-edge-1", "Record")
        assert not new.request.aliases
        # Route 53 takes no other record beside a plain one.
        assert served.full_urn in new.request.dependencies

    def test_a_name_leads_to_a_host_once_the_host_serves(self) -> None:
        before = {"hosts": {"edge-1": {}}, "serviceUrls": {"web": ["http://shop.example.com/"]}}
        hosts = with_edges("edge-1", "edge-2")
        registry = {"users": ["deploy"], "domain": "registry.example.com"}
        program = run_stack(
            "prod", {"zone": "example.com"}, services=SHOP, hosts=hosts, registry=registry, before=before
        )
        for edge in ("edge-1", "edge-2"):
            assert waits_for(program, f"shop.example.com-{edge}") == [f"{edge}-backends"]
        # The build host pushes by that name before anything serves.
        assert waits_for(program, "registry.example.com") == []

    def test_a_name_in_use_comes_to_other_hosts_once_they_serve(self) -> None:
        before = {"serviceUrls": {"web": ["https://shop.example.com/up"]}}
        app_hosts = ["web-1-routes", "web-2-routes"]
        for hosts, last in ((with_edges("edge-1"), ["edge-1-backends"]), (with_edges(), app_hosts)):
            program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=hosts, before=before)
            assert waits_for(program, "shop.example.com") == last

    def test_an_acme_authority_finds_a_new_name_before_anything_serves(self) -> None:
        program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=with_edges())
        assert waits_for(program, "shop.example.com") == []
        hosts = with_edges("edge-1", "edge-2")
        program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=hosts)
        assert waits_for(program, "shop.example.com-edge-1") == []
        # By then the name leads to the first one.
        assert waits_for(program, "shop.example.com-edge-2") == ["edge-2-backends"]

    def test_hosts_with_checks_keep_them(self) -> None:
        before = {"hosts": {"edge-2": {"healthCheckId": "check-2"}}}
        for hosts, door in ((with_edges("edge-1"), "edge-1"), (with_edges(), "web-1")):
            program = run_stack("prod", {"zone": "example.com"}, services=SHOP, hosts=hosts, before=before)
            assert program.named(f"shop.example.com-{door}", "Record").inputs["setIdentifier"] == door

    def test_route_53_checks_nobody_whom_it_cannot_reach(self) -> None:
        closed = {"web": SHOP["web"] | {"allowedCidrs": ["84.17.3.0/24"]}}
        subnets = {"connect": "private", "network": {"subnets": ["subnet-00000000000000001"]}}
        for services, platform in ((closed, {}), (SHOP, subnets)):
            hosts = with_edges("edge-1", "edge-2")
            program = run_stack("prod", {"zone": "example.com", **platform}, services=services, hosts=hosts)
            assert len(program.named("shop.example.com", "Record").inputs["records"]) == 2
            assert not list(program.of_type("healthCheck:HealthCheck"))

    def test_an_endpoint_is_asked_for_everything(self) -> None:
        endpoint = "http://127.0.0.1:4566"
        provider = run_stack("dev", {"endpoint": endpoint}).named("aws", "providers:aws").inputs
        services = {"backup", "ec2", "iam", "route53", "servicequotas", "ssm", "sts"}
        assert json.loads(provider["endpoints"]) == [dict.fromkeys(services, endpoint)]


class TestSafety:
    def test_the_metadata_service_wants_a_token_and_stays_near(self, program: Program) -> None:
        for instance in program.of_type("instance:Instance"):
            assert instance.inputs["metadataOptions"] == {
                "httpEndpoint": "enabled",
                "httpTokens": "required",
                "httpPutResponseHopLimit": 1,
            }

    def test_every_volume_is_encrypted(self, stack: str, program: Program) -> None:
        for instance in program.of_type("instance:Instance"):
            root = instance.inputs["rootBlockDevice"]
            assert (root["encrypted"], root["volumeType"], root["deleteOnTermination"]) == (True, "gp3", True)
        data = program.named("registry-data-volume").inputs
        assert (data["encrypted"], data["type"]) == (True, "gp3")
        assert data["size"] == {"dev": 20, "prod": 100}[stack]

    def test_rules_are_those_of_the_firewall_and_nothing_else(self, stack: str, program: Program) -> None:
        def line(rule: Registered) -> tuple[Any, ...]:
            inputs = rule.inputs
            other = inputs.get("cidrIpv4") or inputs["referencedSecurityGroupId"]
            ports = (inputs.get("fromPort"), inputs.get("toPort"))
            return inputs["securityGroupId"], inputs["ipProtocol"], *ports, other

        assert {line(rule) for rule in program.of_type("IngressRule")} == {
            ("firewall-host-id", "tcp", 22, 22, ADMIN),
            ("firewall-host-id", "tcp", 2376, 2376, ADMIN),
            ("firewall-registry-id", "tcp", 5000, 5000, ADMIN),
            ("firewall-registry-id", "tcp", 5000, 5000, "firewall-app-id"),
            ("firewall-registry-id", "tcp", 5000, 5000, "firewall-build-id"),
            ("firewall-http-id", "tcp", 80, 80, "0.0.0.0/0"),
            ("firewall-http-id", "tcp", 443, 443, "0.0.0.0/0"),
        }
        for group in program.of_type("securityGroup:SecurityGroup"):
            assert not {"ingress", "egress"} & group.inputs.keys()
        everything = [rule for rule in program.of_type("EgressRule") if rule.inputs["ipProtocol"] == "-1"]
        assert [rule.inputs["securityGroupId"] for rule in everything] == ["firewall-app-id"]

    def test_secrets_are_secret_in_every_input(self, program: Program) -> None:
        for resource in program.resources.values():
            if resource.request.type.startswith("tls:"):
                continue  # the plugin's own schema marks these
            shown = text_outside_secrets(resource.inputs)
            assert not [secret for secret in SECRETS if secret in shown], resource.urn

    def test_secrets_are_secret_in_every_output(self, program: Program) -> None:
        assert not [secret for secret in SECRETS if secret in text_outside_secrets(program.outputs)]

    def test_no_secret_is_in_a_commands_text_or_environment(self, program: Program) -> None:
        for command in program.of_type(":Command"):
            inputs = command.inputs
            visible = [inputs["create"], inputs.get("delete", ""), inputs.get("environment", "")]
            assert not [secret for secret in SECRETS if secret in str(visible)], command.urn

    def test_root_is_reached_by_sudo_only(self, program: Program) -> None:
        for command in program.of_type("remote:Command"):
            connection = command.inputs["connection"]
            known = connection.value if isinstance(connection, Secret) else connection
            assert known["user"] == "admin"
            assert known["hostKey"].startswith("ssh-ed25519 ")
            for key in ("create", "delete"):
                assert command.inputs.get(key, "sudo -n ").startswith("sudo -n "), command.urn

    def test_a_protected_stack_keeps_its_hosts_and_their_data(self, stack: str, program: Program) -> None:
        protected = stack == "prod"
        assert validate(configuration_of(stack), ROOT).protect is protected
        for host in HOSTS[stack]:
            instance = program.named(host, "Instance")
            assert instance.request.protect is protected
            assert instance.inputs["disableApiTermination"] is protected
        data = program.named("registry-data-volume").request
        assert (data.protect, data.retainOnDelete) == (protected, protected)
        assert program.named("registry-snapshots-vault").inputs["forceDestroy"] is not protected


class TestMachines:
    def test_a_newer_image_or_other_user_data_replace_no_machine(self, program: Program) -> None:
        for instance in program.of_type("instance:Instance"):
            assert list(instance.request.ignoreChanges) == ["ami", "associatePublicIpAddress", "userData"]
            assert instance.inputs["ami"] == "ami of debian-12-amd64-*"
            assert instance.inputs["associatePublicIpAddress"] is False
            assert instance.request.deleteBeforeReplace

    @pytest.mark.parametrize(
        ("platform", "replaces"),
        [
            ({"distribution": "ubuntu-24.04"}, True),
            ({"engineVersion": "28.5.2"}, True),
            ({"connect": "private", "network": {"subnets": ["subnet-00000000000000001"]}}, True),
            ({"instanceType": "t3.medium"}, False),
            ({"sshTimeout": 900}, False),
            ({"cpuCredits": "standard"}, False),
        ],
    )
    def test_what_a_machine_gets_at_its_birth_only_replaces_it(
        self, platform: dict[str, Any], replaces: bool
    ) -> None:
        def birth(program: Program) -> str:
            trigger = program.named("box", "Instance").request.replacement_trigger
            return str(trigger.string_value)

        before = birth(run_stack("dev"))
        assert "admin=ssh-ed25519 ssh-key host=ssh-ed25519 box-host-key" in before
        assert (birth(run_stack("dev", platform)) != before) is replaces

    def test_the_trigger_is_the_one_of_the_stacks_that_exist(self) -> None:
        """Another text would replace every machine of every stack."""
        trigger = run_stack("dev").named("box", "Instance").request.replacement_trigger.string_value
        assert trigger == (
            "distribution=debian-12 engine= address=public admin=ssh-ed25519 ssh-key "
            "host=ssh-ed25519 box-host-key"
        )

    def test_everything_is_installed_over_ssh(self) -> None:
        program = run_stack("dev", {"engineVersion": "28.5.2"})
        script = program.named("box-boot").inputs["stdin"].value
        assert "PACKAGES='docker.io iptables curl ca-certificates xfsprogs'\n" in script
        assert "ENGINE_VERSION=28.5.2\n" in script
        assert "SETTING=slipway:platform.engineVersion\n" in script
        urn = program.named("box", "Instance").full_urn
        assert f"./slip up -s test -- --replace '\"'\"'{urn}" in script

    @pytest.mark.parametrize(
        ("instance_type", "expected"), [("t3.small", {"cpuCredits": "standard"}), ("m7i.large", None)]
    )
    def test_credits_are_for_the_types_that_have_them(
        self, instance_type: str, expected: dict[str, str] | None
    ) -> None:
        program = run_stack("dev", {"cpuCredits": "standard", "instanceType": instance_type})
        assert program.named("box", "Instance").inputs.get("creditSpecification") == expected
        assert "creditSpecification" not in run_stack("dev").named("box", "Instance").inputs

    @pytest.mark.parametrize(
        ("distribution", "instance_type", "image", "user"),
        [
            ("debian-12", "t4g.small", "debian-12-arm64-*", "admin"),
            ("debian-13", "t3.small", "debian-13-amd64-*", "admin"),
            (
                "ubuntu-24.04",
                "t3.small",
                "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
                "ubuntu",
            ),
            (
                "amazon-linux-2023",
                "t3.small",
                "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64",
                "ec2-user",
            ),
        ],
    )
    def test_a_distribution_has_its_image_and_its_user(
        self, distribution: str, instance_type: str, image: str, user: str
    ) -> None:
        program = run_stack("dev", {"distribution": distribution, "instanceType": instance_type})
        assert program.named("box", "Instance").inputs["ami"] == f"ami of {image}"
        assert program.outputs["hosts"]["box"]["sshUser"] == user

    def test_one_host_can_get_another_engine_while_the_others_serve(self) -> None:
        hosts = configuration_of("prod")["hosts"]
        hosts["web-1"] |= {"engineVersion": "28.5.2", "distribution": "ubuntu-24.04"}
        changed, before = run_stack("prod", hosts=hosts), run_stack("prod")

        def born_with(program: Program, host: str) -> Any:
            return program.named(host, "Instance").request.replacement_trigger.string_value

        assert born_with(changed, "web-1") != born_with(before, "web-1")
        assert born_with(changed, "web-2") == born_with(before, "web-2")
        assert {host: its["sshUser"] for host, its in changed.outputs["hosts"].items()} == {
            **dict.fromkeys(HOSTS["prod"], "admin"),
            "web-1": "ubuntu",
        }

    def test_images_are_built_for_the_build_hosts_architecture(self) -> None:
        for instance_type, platform in (("t3.small", "linux/amd64"), ("t4g.small", "linux/arm64")):
            program = run_stack("dev", {"instanceType": instance_type})
            assert program.named("web-image", "image:Image").inputs["build"]["platform"] == platform

    def test_work_on_a_host_waits_for_its_boot(self, stack: str, program: Program) -> None:
        for host in HOSTS[stack]:
            boot = program.named(f"{host}-boot", "remote:Command")
            needed = {urn.rpartition("::")[2] for urn in boot.request.dependencies}
            assert {host, f"{host}-address-association"} <= needed
            assert (boot.request.customTimeouts.create, boot.request.customTimeouts.update) == (
                "600s",
                "600s",
            )
            assert (
                f"KIND={program.named(host, 'Instance').inputs['instanceType']}\n"
                in boot.inputs["stdin"].value
            )
            assert boot.request.deletedWith.endswith(f"::{host}")
            setup = program.named(f"{host}-setup", "remote:Command").request.dependencies
            assert f"{host}-boot" in {urn.rpartition("::")[2] for urn in setup}

    def test_the_firewall_of_a_host_names_all_others(self, stack: str, program: Program) -> None:
        for host in HOSTS[stack]:
            others = sorted(f"=private address of {other}" for other in HOSTS[stack] if other != host)
            line = f"FIREWALL='{' '.join(['=', *others])}'\n" if others else "FIREWALL==\n"
            assert line in program.named(f"{host}-setup", "remote:Command").inputs["stdin"].value

    def test_the_registrys_volume_is_there_before_its_engine(self, stack: str, program: Program) -> None:
        host = HOSTS[stack][0]
        mount = program.named("registry-data-mount", "remote:Command")
        assert {"registry-data-attachment", f"{host}-boot"} <= {
            urn.rpartition("::")[2] for urn in mount.request.dependencies
        }
        setup = program.named(f"{host}-setup", "remote:Command").request.dependencies
        assert "registry-data-mount" in {urn.rpartition("::")[2] for urn in setup}

    def test_a_new_machine_gets_the_volume_attached_and_mounted_anew(
        self, stack: str, program: Program
    ) -> None:
        host = HOSTS[stack][0]
        for name in ("registry-data-attachment", "registry-data-mount"):
            request = program.named(name).request
            assert [urn.rpartition("::")[2] for urn in request.replace_with] == [host]
            # Not with the machine: Pulumi would then detach the volume ahead of it.
            assert request.deletedWith.endswith(f"::{host}-boot")
        assert program.named("registry-data-attachment").request.deleteBeforeReplace
        assert not program.named("registry-data-volume").request.replace_with

    def test_every_host_knows_the_registrys_host(self, stack: str, program: Program) -> None:
        for host in HOSTS[stack]:
            script = program.named(f"{host}-setup", "remote:Command").inputs["stdin"].value
            assert f"REGISTRY_HOST_ADDRESS='private address of {HOSTS[stack][0]}'\n" in script

    def test_certificates_carry_public_and_private_addresses(self) -> None:
        registry = {"users": ["deploy"], "domain": "registry.example.com"}
        request = run_stack("prod", registry=registry).named("registry-server-request").inputs
        assert request["ipAddresses"] == ["public depot-address", "private address of depot"]
        assert request["dnsNames"] == ["depot", "registry.example.com"]

    def test_snapshots_are_daily_and_end(self, stack: str, program: Program) -> None:
        (rule,) = program.named("registry-snapshots-plan").inputs["rules"]
        assert rule["schedule"] == "cron(0 3 * * ? *)"
        assert rule["lifecycle"] == {"deleteAfter": {"dev": 7, "prod": 30}[stack]}
        selection = program.named("registry-snapshots-selection").inputs
        assert selection["resources"] == ["arn of registry-data-volume"]

    def test_a_stack_can_do_without_snapshots(self) -> None:
        program = run_stack("dev", registry={"users": ["deploy"], "snapshotDays": 0})
        assert not [r for r in of_aws(program) if "snapshots" in r.request.name]


class TestRefusals:
    def test_subnets_of_two_vpcs(self) -> None:
        subnets = [SubnetFacts("subnet-1", "vpc-1", "a"), SubnetFacts("subnet-2", "vpc-2", "b")]
        with pytest.raises(pulumi.RunError, match=r"subnets\[1\] = subnet-2: it is in vpc-2, and the first"):
            check_placement({"box": "t3.small"}, {"box": 0}, subnets, {"t3.small": {"a", "b"}})

    def test_a_zone_without_the_instance_type(self) -> None:
        subnets = [SubnetFacts("subnet-1", "vpc-1", "a")]
        with pytest.raises(pulumi.RunError, match=r"hosts\.box\.type = m7i\.large: a, where its subnet is"):
            check_placement({"box": "m7i.large"}, {"box": 0}, subnets, {"m7i.large": {"b"}})

    def test_a_region_without_the_instance_type(self) -> None:
        with pytest.raises(pulumi.RunError, match="the region has no such instance type"):
            zones_for({"box": "x2gd.large"}, ["a"], {"x2gd.large": set()}, 2)

    def test_no_zone_with_all_instance_types(self) -> None:
        offers = {"t3.small": {"a"}, "m7i.large": {"b"}}
        with pytest.raises(pulumi.RunError, match=r"all of m7i\.large and t3\.small"):
            zones_for({"x": "t3.small", "y": "m7i.large"}, ["a", "b"], offers, 2)

    def test_zones_are_those_that_have_everything(self) -> None:
        offers = {"t3.small": {"a", "b", "c"}, "t4g.small": {"b", "c"}}
        assert zones_for({"x": "t3.small", "y": "t4g.small"}, ["a", "b", "c"], offers, 2) == ["b", "c"]
        assert zones_for({"x": "t3.small"}, ["a", "b", "c"], offers, 1) == ["a"]

    @pytest.mark.parametrize(("old", "new", "wrong"), [(20, 19, True), (20, 20, False), (20, 21, False)])
    def test_a_volume_does_not_shrink(self, old: float, new: float, wrong: bool) -> None:
        change = pulumi.ResourceHookArgs(
            "urn", "id", "data", "type", {"size": new}, {"size": old}, None, None
        )
        if not wrong:
            return refuse_shrinking(change)
        with pytest.raises(pulumi.RunError, match=r"registry\.dataSize = 19: the volume has 20 GiB"):
            refuse_shrinking(change)
        return None


class TestUserData:
    def of(self) -> dict[str, Any]:
        text = cloud_config(
            CloudConfigArgs(
                name="box",
                host_private_key="-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END",
                host_public_key="ssh-ed25519 AAAA",
                admin_public_key="ssh-ed25519 BBBB",
            )
        )
        assert text.startswith("#cloud-config\n")
        # EC2 takes 16 KiB, in Base64.
        assert len(text.encode()) < 16 * 1024
        loaded: dict[str, Any] = yaml.safe_load(text)
        return loaded

    def test_the_host_has_its_key_its_name_and_its_administrator(self) -> None:
        data = self.of()
        assert data["hostname"] == "box"
        # Amazon Linux takes EC2's own name without it.
        assert data["prefer_fqdn_over_hostname"] is False
        assert data["ssh_keys"]["ed25519_private"] == "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END"
        assert data["ssh_authorized_keys"] == ["ssh-ed25519 BBBB"]
        assert data["ssh_pwauth"] is False

    def test_the_first_boot_needs_no_network(self) -> None:
        assert (
            not {"packages", "package_update", "runcmd", "bootcmd", "write_files", "apt"} & self.of().keys()
        )

    def test_the_locale_is_a_text_as_cloud_inits_schema_asks(self) -> None:
        assert self.of()["locale"] == "false"


class TestSecurityGroups:
    def test_a_new_group_can_be_made_beside_the_old_one(self, program: Program) -> None:
        groups = program.of_type("securityGroup:SecurityGroup")
        assert groups
        for group in groups:
            assert "name" not in group.inputs
            assert group.request.deleteBeforeReplaceDefined
            assert not group.request.deleteBeforeReplace
            # Those of an older version keep the name that they have.
            assert list(group.request.ignoreChanges) == ["name", "description"]

    def test_descriptions_are_ec2s(self, program: Program) -> None:
        for group in program.of_type("securityGroup:SecurityGroup"):
            assert len(group.inputs["description"]) <= 255


class TestData:
    def test_a_snapshot_makes_another_volume(self) -> None:
        registry = {"users": ["deploy"], "dataSnapshot": "snap-0123456789abcdef0"}
        program = run_stack("dev", registry=registry)
        assert program.named("registry-data-volume").inputs["snapshotId"] == "snap-0123456789abcdef0"
        assert "snapshotId" not in run_stack("dev").named("registry-data-volume").inputs

    def test_a_snapshot_that_is_larger_than_the_volume_is_refused(self) -> None:
        registry = {"users": ["deploy"], "dataSnapshot": "snap-0123456789abcdef0", "dataSize": 10}
        with pytest.raises(
            pulumi.RunError, match=r"dataSize = 10: the snapshot snap-\w+ is of a volume of 15 GiB"
        ):
            run_stack("dev", registry=registry)

    def test_an_existing_volume_is_used_and_not_made(self) -> None:
        registry = {"users": ["deploy"], "dataVolume": "vol-0123456789abcdef0"}
        program = run_stack("dev", registry=registry)
        assert not program.of_type("ebs/volume:Volume")
        assert program.named("registry-data-attachment").inputs["volumeId"] == "vol-0123456789abcdef0"
        script = program.named("registry-data-mount").inputs["stdin"].value
        assert "VOLUME=vol-0123456789abcdef0\nSIZE=30\n" in script
        selection = program.named("registry-snapshots-selection").inputs
        assert selection["resources"] == ["arn of vol-0123456789abcdef0"]

    def test_an_existing_volume_in_another_zone_is_refused(self) -> None:
        hosts = {"box": {"roles": ["registry", "build", "app"], "subnet": 2}}
        registry = {"users": ["deploy"], "dataVolume": "vol-0123456789abcdef0"}
        with pytest.raises(
            pulumi.RunError, match=r"dataVolume = vol-\w+: it is in eu-central-1a, and box in eu-central-1b"
        ):
            run_stack("dev", registry=registry, hosts=hosts)

    def test_a_volume_is_unmounted_before_it_is_detached(self, program: Program) -> None:
        mount = program.named("registry-data-mount")
        assert mount.inputs["triggers"] == ["registry-data-attachment-id"]
        assert mount.inputs["delete"] == "sudo -n bash -s undo"
        assert mount.request.deleteBeforeReplace
        # tests/plugins/test_aws_with_pulumi.py shows what that does.
        assert "triggers" in mount.request.replaceOnChanges
        assert not mount.request.retainOnDelete
        # With its machine it goes without a command: the machine may be down.
        assert mount.request.deletedWith.endswith("-boot")


class TestQuotas:
    def first_up(self) -> Program:
        return run_program("test", configuration_of("prod"), {})

    @pytest.fixture(autouse=True)
    def _account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.unit.program.ACCOUNT", Account())

    def test_too_small_an_account_is_told_before_anything_is_made(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        small = Account(
            {"L-1216C47A": 5.0, "L-0263D0A3": 5.0}, other_addresses=2, other_instances={"i-1": "m5.xlarge"}
        )
        monkeypatch.setattr("tests.unit.program.ACCOUNT", small)
        with pytest.raises(pulumi.RunError) as raised:
            self.first_up()
        addresses, vcpus = str(raised.value).splitlines()
        assert addresses.startswith(
            "slipway:hosts needs 4 Elastic IPs; the account has 5 in eu-central-1, and 2 are in use. Ask for more "
            "(aws service-quotas request-service-quota-increase --region eu-central-1 --service-code ec2 "
            "--quota-code L-0263D0A3 --desired-value 6)"
        )
        assert vcpus.startswith(
            "slipway:hosts needs 8 vCPUs of running instances; the account has 5 in eu-central-1, and 4 are in use."
        )

    def test_what_an_update_before_has_made_counts_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        after_failure = Account({"L-1216C47A": 8.0, "L-0263D0A3": 5.0}, own_addresses=4)
        monkeypatch.setattr("tests.unit.program.ACCOUNT", after_failure)
        assert self.first_up().outputs["hosts"]

    def test_an_account_that_may_not_ask_is_warned_and_not_stopped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        warnings: list[str] = []
        monkeypatch.setattr("pulumi.log.warn", warnings.append)

        def refuse(**_: Any) -> None:
            raise RuntimeError("invoke of aws:x failed: invocation of aws:x returned an error: AccessDenied")

        monkeypatch.setattr("pulumi_aws.servicequotas.get_service_quota", refuse)
        assert self.first_up().outputs["hosts"]
        assert warnings[0] == (
            "the quota of Elastic IPs (L-0263D0A3) was not checked: AccessDenied. Allow "
            "servicequotas:GetServiceQuota to be told before an update fails."
        )

    def test_a_stack_without_new_hosts_is_not_asked(self) -> None:
        before: dict[str, Any] = {"hosts": {host: {} for host in HOSTS["prod"]}}
        CALLS.clear()
        run_program("prod", configuration_of("prod"), before)
        assert not [token for token, _ in CALLS if "Quota" in token or "Eips" in token]

    def test_only_standard_types_count(self) -> None:
        types = {"a": "t3.small", "b": "g4dn.xlarge", "c": "c7g.large", "d": "inf2.xlarge", "e": "x2gd.large"}
        vcpus = {"t3.small": 2, "g4dn.xlarge": 4, "c7g.large": 2, "inf2.xlarge": 4, "x2gd.large": 2}
        assert standard_vcpus(types, vcpus) == 8

    def test_a_quota_that_is_just_enough_suffices(self) -> None:
        assert problems([Demand(VCPUS, 4, 1, 5), Demand(ADDRESSES, 5, 0, 5)], "r") == []
        assert len(problems([Demand(VCPUS, 4, 2, 5), Demand(ADDRESSES, 6, 0, 5)], "r")) == 2


class TestNames:
    @pytest.mark.parametrize(
        ("name", "rule", "made"),
        [
            ("slipway-prod-images", VAULT_NAME, "slipway-prod-images"),
            ("slipway-my.stack-images", VAULT_NAME, "slipway-my-stack-images-88b1d5e9"),
            ("slipway-my.stack-images", PLAN_NAME, "slipway-my.stack-images"),
            ("x" * 50, VAULT_NAME, "x" * 50),
            ("slipway-prod-images-ap-southeast-1", ROLE_NAME, "slipway-prod-images-ap-southeast-1"),
        ],
    )
    def test_a_name_stays_where_it_is_allowed(self, name: str, rule: NameRule, made: str) -> None:
        assert resource_name(name, rule) == made

    def test_long_names_stay_different(self) -> None:
        first, second = (resource_name("x" * 60 + end, VAULT_NAME) for end in "ab")
        assert first != second
        assert len(first) == len(second) == 50


def test_metrics_are_for_private_networks_and_app_hosts_only() -> None:
    registry = {"users": ["deploy"], "metricsPort": 5001, "metricsCidrs": ["10.9.0.0/16"]}
    program = run_stack("prod", registry=registry)
    rules = {
        r.request.name: r.inputs
        for r in program.of_type("SecurityGroupIngressRule")
        if r.inputs.get("fromPort") == 5001
    }
    assert len(rules) == 2
    assert {inputs.get("cidrIpv4") for inputs in rules.values()} == {"10.9.0.0/16", None}
    ports = {int(p["internal"]): p.get("ip") for p in program.named("registry-container").inputs["ports"]}
    # The instance's private address, so that not even a wrong rule makes it public.
    assert ports[5001] == program.outputs["hosts"]["depot"]["privateAddress"]
    assert program.outputs["registryMetricsUrl"] == f"http://{ports[5001]}:5001/metrics"


def test_someone_elses_registry_needs_no_volume_and_no_way_in() -> None:
    program = run_stack(
        "prod",
        hosts={"yard": {"roles": ["build"]}, "web-1": {"roles": ["app"]}},
        registry={"external": {"server": "r.example.com:5443", "username": "bot"}},
        secrets={"REGISTRY_PASSWORD": "password-of-the-bot"},
    )
    assert not [r for r in of_aws(program) if "registry" in r.request.name and "build" not in r.request.name]
    ways_out = {
        (r.inputs.get("fromPort"), r.inputs.get("cidrIpv4"))
        for r in program.of_type("SecurityGroupEgressRule")
    }
    assert (5443, "0.0.0.0/0") in ways_out
    assert program.outputs["registryAddress"] == "r.example.com:5443"


@pytest.mark.parametrize(
    ("instance_type", "architecture"),
    [
        *[
            (kind, "arm64")
            for kind in ("a1.large", "t4g.small", "c6gn.xlarge", "im4gn.large", "is4gen.large")
        ],
        *[(kind, "arm64") for kind in ("g5g.xlarge", "x2gd.metal", "hpc7g.16xlarge", "m8gd.48xlarge")],
        *[
            (kind, "amd64")
            for kind in ("t3.small", "g4dn.xlarge", "m7i-flex.large", "gr6.4xlarge", "c6a.large")
        ],
        *[(kind, "amd64") for kind in ("u-6tb1.metal", "u7i-12tb.224xlarge", "p5en.48xlarge", "g6e.xlarge")],
        *[(kind, None) for kind in ("mac1.metal", "mac2-m2pro.metal", "small", "t3", "T3.small", "")],
    ],
)
def test_the_architecture_follows_from_the_instance_types_name(
    instance_type: str, architecture: str | None
) -> None:
    assert architecture_of(instance_type) == architecture


def test_a_network_is_divided_into_quarters() -> None:
    assert subnet_cidrs("10.83.0.0/22", 2) == ["10.83.0.0/24", "10.83.1.0/24"]
    assert subnet_cidrs("10.0.0.0/16", 2) == ["10.0.0.0/18", "10.0.64.0/18"]


@pytest.mark.parametrize(
    ("instance_type", "has"),
    [("t2.micro", True), ("t4g.small", True), ("trn1.2xlarge", False), ("m7i.large", False)],
)
def test_types_with_cpu_credits(instance_type: str, has: bool) -> None:
    assert has_cpu_credits(instance_type) is has


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("eusc-de-east-1", "aws-eusc"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"),
        ("us-east-1", "aws"),
    ],
)
def test_a_region_is_in_a_partition(region: str, partition: str) -> None:
    assert partition_of(region) == partition
