"""A stack of the platform `aws` in an emulated account, as its users and as a client of AWS see it."""

import contextlib
import json
import shlex
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from tests.support.command import Command
from tests.support.docker_command import docker
from tests.support.stack import Stack

REGION = "eu-central-1"


@dataclass(frozen=True)
class EmulatedStack(Stack):
    """The emulation of a stack."""

    @property
    def emulated_name(self) -> str:
        """The name of the emulated stack."""
        return f"{self.name}-emulated"

    @property
    def directory(self) -> Path:
        """The emulation's folder."""
        return self.clone.root / ".slipway/emulation" / self.name

    def start_slip(self, command: str, *options: str) -> Command:
        """Start a command of `./slip` on this stack."""
        return super().start_slip(command, "--emulate", *options)

    def in_prepared_shell(self, line: str) -> tuple[str, ...]:
        """The command for a shell line after `eval "$(./slip env --emulate)"`."""
        return ("bash", "-c", f'eval "$(./slip env --stack {self.name} --emulate)" && {line}')

    @property
    def _state_of(self) -> tuple[Path, str]:
        """The folder of the backend that has the state, and the stack's name there."""
        return self.directory / "state", self.emulated_name

    def container(self, host: str) -> str:
        """The id of the container that is a host."""
        label = f"label=slipway.host=slipway-{self.emulated_name}-{host}"
        return docker("ps", "--all", "--quiet", "--filter", label)

    @cached_property
    def variables(self) -> dict[str, str]:
        """The variables that `./slip env` sets."""
        printed = self.clone.read("./slip", "env", "--stack", self.name, "--emulate")
        words = [shlex.split(line)[1] for line in printed.splitlines()]
        return dict(word.split("=", 1) for word in words)

    def client(self, service: str) -> Any:
        """A client of the account."""
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
        )

    def instance(self, host: str) -> dict[str, Any]:
        """EC2's description of a host's instance, which is not terminated."""
        names = [{"Name": "tag:Name", "Values": [f"slipway-{self.emulated_name}-{host}"]}]
        (found,) = [
            instance
            for reservation in self.client("ec2").describe_instances(Filters=names)["Reservations"]
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ]
        return dict(found)

    def urn(self, host: str) -> str:
        """The URN of a host's instance."""
        types = "slipway:hosts:AwsPlatform$slipway:hosts:AwsHost$aws:ec2/instance:Instance"
        return f"urn:pulumi:{self.emulated_name}::slipway::{types}::{host}"

    def data_volume(self) -> dict[str, Any]:
        """EC2's description of the registry's volume."""
        names = [{"Name": "tag:Name", "Values": [f"slipway-{self.emulated_name}-images"]}]
        (found,) = self.client("ec2").describe_volumes(Filters=names)["Volumes"]
        return dict(found)

    def registry_runs(self) -> bool:
        """Whether the engine of the registry's host is active, and with it the registry."""
        found = subprocess.run(
            ["docker", "exec", self.container("yard"), "systemctl", "is-active", "docker"],
            capture_output=True,
            text=True,
        )
        return found.stdout.strip() == "active"

    def left_in_account(self) -> dict[str, list[Any]]:
        """What the account has beyond AWS's defaults, by kind."""
        ec2, iam, backup = (self.client(service) for service in ("ec2", "iam", "backup"))
        own = [{"Name": "tag:slipway:stack", "Values": [self.emulated_name]}]
        return {
            "instances": [
                instance["InstanceId"]
                for reservation in ec2.describe_instances()["Reservations"]
                for instance in reservation["Instances"]
                if instance["State"]["Name"] != "terminated"
            ],
            "volumes": ec2.describe_volumes()["Volumes"],
            "addresses": ec2.describe_addresses()["Addresses"],
            "key pairs": ec2.describe_key_pairs()["KeyPairs"],
            "security groups": [
                group
                for group in ec2.describe_security_groups()["SecurityGroups"]
                if group["GroupName"] != "default"
            ],
            "networks": [vpc for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]],
            "subnets": ec2.describe_subnets(Filters=own)["Subnets"],
            "gateways": ec2.describe_internet_gateways()["InternetGateways"],
            "roles": iam.list_roles()["Roles"],
            "backup vaults": backup.list_backup_vaults()["BackupVaultList"],
            "backup plans": backup.list_backup_plans()["BackupPlansList"],
        }

    def traces(self) -> dict[str, list[str]]:
        """The stack's containers, networks, volumes and loop devices on this machine, by kind."""
        label = f"label=slipway.stack={self.emulated_name}"
        listed = subprocess.run(
            ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return {
            "container": docker("ps", "--all", "--quiet", "--filter", label).split(),
            "network": docker("network", "ls", "--quiet", "--filter", label).split(),
            "volume": docker("volume", "ls", "--quiet", "--filter", label).split(),
            "loop device": [line.split()[0] for line in listed.splitlines() if str(self.directory) in line],
        }

    def process(self) -> int:
        """The emulation's process id, 0 without one."""
        announced = self.directory / "daemon.json"
        return int(json.loads(announced.read_text())["pid"]) if announced.exists() else 0

    def runs(self, pid: int) -> bool:
        """Whether a process is the emulation, and has not ended."""
        with contextlib.suppress(OSError):
            return str(self.directory) in Path(f"/proc/{pid}/cmdline").read_text()
        return False

    def remove_traces(self) -> None:
        """Remove what this machine has of the stack, without Pulumi."""
        left = self.traces()
        for device in left.pop("loop device"):
            subprocess.run(["losetup", "--detach", device], check=False)
        for kind, names in left.items():
            if names:
                options = ["--force"] if kind in {"container", "volume"} else []
                docker(kind, "rm", *options, *names)
