"""The emulated account: moto's objects in memory, the images it offers, and its copy on disk."""

import itertools
import json
import os
import pickle
from pathlib import Path
from typing import Any

from emulation import desired, images
from emulation.corrections import correct
from emulation.desired import Machine
from emulation.selections import Selections

ACCOUNT = "123456789012"
"""The account's number: moto's default."""
SERVICES = ("ec2", "iam", "backup", "route53")
"""The services whose state is saved. SSM has public parameters only, which are the same at each start."""


class Account:
    """One account in moto, in this process."""

    def __init__(self, directory: Path, network: str) -> None:
        """Load moto, which reads its settings when it is imported: do not import it before.

        Args:
            directory: the directory of the copy.
            network: the first three numbers of the public addresses, such as `127.77.3`.

        """
        self._copy = directory / "account"
        self._network = network
        self.selections: Selections = {}
        """AWS Backup's selections, which moto lacks."""
        offered = directory / "images.json"
        offered.write_text(json.dumps(images.offered()))
        os.environ["MOTO_AMIS_PATH"] = str(offered)
        # moto asks botocore for the regions, which needs credentials; any will do.
        os.environ |= {"AWS_ACCESS_KEY_ID": "emulation", "AWS_SECRET_ACCESS_KEY": "emulation"}
        from moto.backends import get_backend

        self._id = ACCOUNT
        self._services: dict[str, Any] = {name: get_backend(name) for name in SERVICES}  # type: ignore[call-overload]
        correct()
        self._hand_out_addresses()
        self._publish_parameters()

    def _hand_out_addresses(self) -> None:
        """Make public addresses addresses of this machine. moto invents them in two functions."""
        from moto.ec2.models import elastic_ip_addresses, elastic_network_interfaces

        def next_address(*_: object) -> str:
            used = {address.public_ip for ec2 in self._regions() for address in ec2.addresses}
            used |= {machine.public_address for machine in self.machines()}
            candidates = (f"{self._network}.{last}" for last in range(2, 255))
            return next(address for address in candidates if address not in used)

        for module, name in (
            (elastic_ip_addresses, "random_ip"),
            (elastic_network_interfaces, "random_public_ip"),
        ):
            if not hasattr(module, name):
                raise RuntimeError(f"this version of moto has no {module.__name__}.{name}")
            setattr(module, name, next_address)

    def _publish_parameters(self) -> None:
        from moto.ssm import models

        class Parameters(models.ParameterDict):
            def __init__(self, account_id: str, region_name: str) -> None:
                super().__init__(account_id, region_name)
                for name, value in images.parameters().items():
                    self[name].append(_parameter(models, account_id, name, value))

        models.ParameterDict = Parameters  # type: ignore[misc]

    def _regions(self) -> list[Any]:
        return list(self._services["ec2"][self._id].values())

    def machines(self) -> list[Machine]:
        """The account's instances, running or stopped."""
        return list(itertools.chain.from_iterable(desired.machines(ec2) for ec2 in self._regions()))

    def volumes(self) -> dict[str, str]:
        """The account's volumes by id, and the snapshot that each was made from, empty if it was made blank."""
        return {volume: source for ec2 in self._regions() for volume, source in desired.volumes(ec2).items()}

    def snapshots(self) -> dict[str, str]:
        """The account's snapshots by id, and the volume that each was made of."""
        return {
            snapshot: volume for ec2 in self._regions() for snapshot, volume in desired.snapshots(ec2).items()
        }

    def networks(self) -> set[str]:
        """The ids of the account's VPCs."""
        return {identifier for ec2 in self._regions() for identifier in ec2.vpcs}

    def instance(self, identifier: str) -> Any:
        """Moto's object for an instance."""
        for ec2 in self._regions():
            for reservation in ec2.reservations.values():
                for instance in reservation.instances:
                    if instance.id == identifier:
                        return instance
        raise LookupError(identifier)

    def save(self) -> None:
        """Write the copy. An interruption leaves the previous copy."""
        services = {name: dict(backend[self._id]) for name, backend in self._services.items()}
        content = {"services": services, "selections": self.selections}
        new = self._copy.with_suffix(".new")
        new.write_bytes(pickle.dumps(content))
        new.replace(self._copy)

    def restore(self) -> bool:
        """Read the copy, if it exists. Returns whether this version of moto can read it."""
        try:
            # This program wrote it, in a directory that only its user can read.
            content: dict[str, Any] = pickle.loads(self._copy.read_bytes())  # noqa: S301
        except FileNotFoundError:
            return True
        except Exception as error:  # noqa: BLE001 - objects of another version raise anything
            print(f"the saved account cannot be read: {error!r}", flush=True)
            return False
        self.selections = content["selections"]
        for name, regions in content["services"].items():
            for region, backend in regions.items():
                self._services[name][self._id][region] = backend
        return True


def _parameter(models: Any, account: str, name: str, value: str) -> Any:
    return models.Parameter(
        account_id=account,
        name=name,
        value=value,
        parameter_type="String",
        description=None,
        allowed_pattern=None,
        keyid=None,
        last_modified_date=0.0,
        version=1,
        data_type="aws:ec2:image",
    )
