"""Records of versions in a registry, and what `history`, `diff` and `rollback` read of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from cli.errors import CommandError
from cli.running.registry_api import RegistryApi
from cli.running.version_document import ARTIFACT_TYPE, is_version, whole
from cli.running.version_records import VersionRecords
from cli.stack.stack import Stack
from cli.update import records, rollback, version_table, versions
from tests.support.authority import Authority
from tests.unit.cli.servers import PASSWORD, api_of, server_context, serving
from tests.unit.cli.test_image_copy import OCI_INDEX, Store
from tests.unit.cli.test_versions import version as state_version

KEY, OTHER_KEY = "a key that only the state has", "the key of another state"


def version(image: str, number: int, *results: str, **changes: Any) -> dict[str, Any]:
    """A version as the state has it."""
    return state_version(
        number, *results or ("deployed",), source="1a2b", **{"images": {"web": image}, **changes}
    )


def outputs(
    registry: RegistryApi, ca: str, *found: dict[str, Any], current: int, key: str = KEY
) -> dict[str, Any]:
    return {
        "registryAddress": "yard:5000",
        "registryPublicAddress": registry.address,
        "registryCaCertificate": ca,
        "registryAccounts": ["deploy"],
        "registryPasswords": {"deploy": PASSWORD},
        "hosts": {"web-1": {"sshHostKey": "ssh-ed25519 AAAA"}},
        "engineEndpoints": {},
        "engineCaCertificate": "",
        "engineClientCertificate": "",
        "engineClientKey": "",
        "serviceUrls": {"web": []},
        "serviceHosts": {"web": ["web-1"]},
        "wantedImages": {"web": "yard:5000/web@sha256:1"},
        "sshPrivateKey": key,
        "versions": {"web": {"current": float(current), "left": [], "versions": list(found)}},
    }


@dataclass
class Backend:
    directory: Path | None = Path()


@dataclass
class Project:
    private: Path


@dataclass
class FakeStack:
    """A stack with these outputs."""

    known: dict[str, Any]
    project: Project
    backend: Backend = field(default_factory=Backend)
    name: str = "prod"
    short_name: str = "prod"
    option: str = " -s prod"
    key: str = "0123"

    def deployment(self) -> dict[str, Any]:
        return {"resources": [{"type": "pulumi:pulumi:Stack", "outputs": self.known}]}

    def outputs(self) -> dict[str, Any]:
        return self.known


@dataclass
class Place:
    """A registry in memory, and stacks that use it."""

    store: Store
    api: RegistryApi
    ca: str
    folder: Path
    images: list[str]

    def stack(self, *found: dict[str, Any], key: str = KEY, current: int = 0, clone: str = "") -> Stack:
        known = outputs(self.api, self.ca, *found, current=current or int(found[0]["number"]), key=key)
        return cast("Stack", FakeStack(known, Project(self.folder / f"clone{clone}")))

    def listed(self, image: str) -> list[dict[str, Any]]:
        """What refers to an image, by the tag that stands for the list."""
        found: list[dict[str, Any]] = json.loads(self.store.manifests[image.replace(":", "-")][1])[
            "manifests"
        ]
        return found

    def documents(self) -> list[dict[str, Any]]:
        """All records in the registry."""
        manifests = [json.loads(text) for _, text in self.store.manifests.values()]
        layers = {one["layers"][0]["digest"] for one in manifests if one.get("artifactType") == ARTIFACT_TYPE}
        return [json.loads(self.store.blobs[one]) for one in sorted(layers)]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    authority, store = Authority("the registry's"), Store()
    with (
        serving(store, server_context(authority, tmp_path)) as port,
        api_of(port, authority) as api,
    ):
        yield Place(store, api, authority.pem, tmp_path, [store.image(f"layer {one}") for one in range(3)])


def names(stack: Stack) -> list[str]:
    known = versions.of(cast("FakeStack", stack).known, "web", "")
    return [one.name for one in records.lost(stack, known, 100)]


def test_a_record_is_an_artifact_that_refers_to_its_image(place: Place) -> None:
    one = version(place.images[0], 41, settings={"memory": 256.0}, secrets={"TOKEN": "1122334455667788"})
    records.catch_up(place.stack(one), has_changed=True)
    (listed,) = place.listed(place.images[0])
    manifest = json.loads(place.store.manifests[listed["digest"]][1])
    assert manifest["artifactType"] == listed["artifactType"] == ARTIFACT_TYPE
    assert manifest["subject"]["digest"] == place.images[0]
    assert manifest["annotations"] == listed["annotations"]
    assert {
        key: manifest["annotations"][key]
        for key in ("slipway.stack", "slipway.service", "slipway.version", "slipway.result")
    } == {
        "slipway.stack": "prod",
        "slipway.service": "web",
        "slipway.version": "41",
        "slipway.result": "deployed",
    }
    assert place.documents() == [{"stack": "prod", "service": "web", "version": whole(one)}]
    assert KEY not in json.dumps([place.store.blobs, place.store.manifests])


def test_a_record_is_written_once(place: Place) -> None:
    stack = place.stack(version(place.images[0], 1))
    records.catch_up(stack, has_changed=True)
    pushes = [*place.store.pushes]
    records.catch_up(stack, has_changed=True)
    # Another clone does not know that they are there; it looks, and writes nothing.
    records.catch_up(place.stack(version(place.images[0], 1), clone="2"), has_changed=True)
    # A deployment again, by a rollback for example, is no other version.
    again = version(place.images[0], 1, "deployed", "deployed")
    records.catch_up(place.stack(again), has_changed=True)
    assert place.store.pushes == pushes


def test_without_a_change_the_registry_is_not_asked(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = place.stack(version(place.images[0], 1))
    records.catch_up(stack, has_changed=True)
    monkeypatch.setattr(RegistryApi, "ask", lambda *_, **__: pytest.fail("the registry was asked"))
    records.catch_up(stack, has_changed=False)
    cast("FakeStack", stack).backend.directory = None
    monkeypatch.setattr(FakeStack, "deployment", lambda _: pytest.fail("the state was read"))
    records.catch_up(stack, has_changed=False)


def test_a_version_that_failed_and_is_good_now_has_one_record(place: Place) -> None:
    records.catch_up(place.stack(version(place.images[0], 1, "begun")), has_changed=True)
    assert [one["annotations"]["slipway.result"] for one in place.listed(place.images[0])] == ["failed"]
    records.catch_up(place.stack(version(place.images[0], 1, "begun", "deployed")), has_changed=True)
    assert [one["annotations"]["slipway.result"] for one in place.listed(place.images[0])] == ["deployed"]


def test_retention_keeps_what_the_last_good_versions_name(place: Place) -> None:
    """It counts from the last push of an image, so the images are pushed again in the order of the versions."""
    first, second, third = place.images
    found = (
        version(first, 4, settings={"memory": 1}),
        version(third, 3, "begun"),
        version(second, 2),
        version(first, 1),
    )
    records.catch_up(place.stack(*found, current=4), has_changed=True)
    assert [one for one in place.store.pushes if one in place.images] == [first, second, first]
    assert len(place.listed(first)) == 2
    assert len(place.listed(third)) == 1


def test_other_referrers_of_the_image_stay_in_the_list(place: Place) -> None:
    image = place.images[0]
    signature = place.store.image("a signature")
    place.store.keep({"manifests": [place.store.described(signature)]}, OCI_INDEX, image.replace(":", "-"))
    records.catch_up(place.stack(version(image, 1)), has_changed=True)
    assert place.listed(image)[0]["digest"] == signature
    assert len(place.listed(image)) == 2


def test_a_registry_that_lists_referrers_gets_no_tag(place: Place) -> None:
    place.store.lists = True
    place.store.manifests["built-1"] = place.store.manifests[place.images[0]]
    records.catch_up(place.stack(version(place.images[0], 7)), has_changed=True)
    assert place.images[0].replace(":", "-") not in place.store.manifests
    assert names(place.stack(version(place.images[1], 6), clone="2")) == ["7"]


@pytest.mark.parametrize("trouble", ["refuses", "silent"])
def test_a_registry_in_trouble_fails_nothing_and_gets_the_record_next_time(
    place: Place, trouble: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = place.stack(version(place.images[0], 1))
    known = cast("FakeStack", stack).known
    good = known["registryPublicAddress"]
    place.store.refuses = trouble == "refuses"
    known["registryPublicAddress"] = "127.0.0.1:1" if trouble == "silent" else good
    records.catch_up(stack, has_changed=True)
    said = "".join(capsys.readouterr())
    assert "does not have the records of all versions yet" in said
    assert "`./slip up -s prod` writes them" in said
    place.store.refuses, known["registryPublicAddress"] = False, good
    records.catch_up(stack, has_changed=False)
    assert len(place.documents()) == 1


def test_a_registry_that_takes_no_artifacts_is_asked_once_a_version(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.store.takes_artifacts = False
    stack = place.stack(version(place.images[0], 1))
    records.catch_up(stack, has_changed=True)
    assert "takes no records of versions, so only the state has them" in "".join(capsys.readouterr())
    monkeypatch.setattr(RegistryApi, "ask", lambda *_, **__: pytest.fail("the registry was asked"))
    records.catch_up(stack, has_changed=True)


def test_an_image_that_the_registry_has_removed_gets_no_record(place: Place) -> None:
    records.catch_up(place.stack(version(f"sha256:{'0' * 64}", 1)), has_changed=True)
    assert place.documents() == []


def test_what_an_old_state_does_not_have_is_found(place: Place) -> None:
    records.catch_up(
        place.stack(version(place.images[1], 37), version(place.images[0], 36)), has_changed=True
    )
    old = place.stack(version(place.images[0], 36), version(place.images[2], 35))
    known = versions.of(cast("FakeStack", old).known, "web", "")
    (found,) = records.lost(old, known, 10)
    assert (found.name, found.is_verified) == ("37", True)
    assert found.version == whole(version(place.images[1], 37))
    assert records.find(old, known, "37") == found
    assert records.lost(old, known, 0 + 1) == [found]
    with pytest.raises(CommandError, match=r"has no version 12. Versions: 36, 35; in the registry: 37"):
        records.find(old, known, "12")


def test_a_number_that_is_taken_by_now_has_the_digest_behind_it(place: Place) -> None:
    """The state was restored from an old copy, and deployed since."""
    records.catch_up(place.stack(version(place.images[0], 36)), has_changed=True)
    later = place.stack(version(place.images[1], 36), version(place.images[2], 35))
    digest = place.listed(place.images[0])[0]["digest"].removeprefix("sha256:")
    assert names(later) == [f"36@{digest[:8]}"]
    known = versions.of(cast("FakeStack", later).known, "web", "")
    target = rollback._target(later, known, f"36@{digest[:8]}", unverified=False)
    assert (target["number"], target["images"]) == (37, {"web": place.images[0]})


def test_a_rollback_takes_no_number_that_only_the_registry_has(place: Place) -> None:
    """The state was lost, and its numbers have begun anew."""
    lost = place.stack(version(place.images[1], 2), version(place.images[0], 1), key=OTHER_KEY)
    records.catch_up(lost, has_changed=True)
    fresh = place.stack(version(place.images[2], 1), clone="2")
    known = versions.of(cast("FakeStack", fresh).known, "web", "")
    (old,) = (name for name in names(fresh) if name.startswith("1@"))
    assert rollback._target(fresh, known, old, unverified=True)["number"] == 3


def test_records_of_other_stacks_and_services_are_not_this_ones(place: Place) -> None:
    for stack, service in (("staging", "web"), ("prod", "api")):
        one = whole(version(place.images[0], 5, images={"web": place.images[0], "api": place.images[0]}))
        assert VersionRecords(place.api, "web", KEY).write(stack, service, one)
    assert names(place.stack(version(place.images[1], 1))) == []


def test_another_states_record_is_only_taken_on_request(place: Place) -> None:
    records.catch_up(place.stack(version(place.images[0], 41), key=OTHER_KEY), has_changed=True)
    fresh = place.stack(version(place.images[1], 1), clone="2")
    known = versions.of(cast("FakeStack", fresh).known, "web", "")
    (found,) = records.lost(fresh, known, 10)
    assert (found.name, found.is_verified) == ("41", False)
    with pytest.raises(CommandError, match="not of this stack's state") as refused:
        rollback._target(fresh, known, "41", unverified=False)
    assert "./slip rollback web --to 41 --unverified -s prod" in refused.value.remedy
    assert rollback._target(fresh, known, "41", unverified=True) == found.version


def test_whoever_may_push_cannot_write_a_verified_record(place: Place) -> None:
    """Neither with a seal of another record, nor in one that is changed."""
    records.catch_up(place.stack(version(place.images[0], 41)), has_changed=True)
    (listed,) = place.listed(place.images[0])
    manifest = json.loads(place.store.manifests[listed["digest"]][1])
    document = json.loads(place.store.blobs[manifest["layers"][0]["digest"]])
    document["version"]["settings"] = {"capabilities": ["SYS_ADMIN"]}
    forged = {**manifest, "layers": [place.store.blob(json.dumps(document))]}
    digest = place.store.keep(forged, "application/vnd.oci.image.manifest.v1+json")
    place.store.keep(
        {"manifests": [{**listed, "digest": digest}]}, OCI_INDEX, place.images[0].replace(":", "-")
    )
    fresh = place.stack(version(place.images[1], 1), clone="2")
    known = versions.of(cast("FakeStack", fresh).known, "web", "")
    assert [one.is_verified for one in records.lost(fresh, known, 10)] == [False]


NONSENSE: list[object] = [
    None,
    [],
    {},
    {**whole(version("sha256:" + "1" * 64, 1)), "number": True},
    {**whole(version("sha256:" + "1" * 64, 1)), "number": -1},
    {**whole(version("sha256:" + "1" * 64, 1)), "images": {"web": "latest"}},
    {**whole(version("sha256:" + "1" * 64, 1)), "deployments": []},
    {**whole(version("sha256:" + "1" * 64, 1)), "deployments": [{"started": "yesterday"}]},
    {**whole(version("sha256:" + "1" * 64, 1)), "secrets": {"TOKEN": 1}},
    {**whole(version("sha256:" + "1" * 64, 1)), "origin": {"stack": 1}},
]


@pytest.mark.parametrize("value", NONSENSE, ids=range(len(NONSENSE)))
def test_what_is_no_version_is_not_read(place: Place, value: object) -> None:
    assert not is_version(value)
    document = {"stack": "prod", "service": "web", "version": value}
    manifest: dict[str, object] = {
        "artifactType": ARTIFACT_TYPE,
        "config": place.store.blob("{}"),
        "layers": [place.store.blob(json.dumps(document))],
        "subject": {"digest": place.images[0]},
        "annotations": {"slipway.stack": "prod", "slipway.service": "web", "slipway.version": "9"},
    }
    digest = place.store.keep(manifest, "application/vnd.oci.image.manifest.v1+json")
    listed = [place.store.described(digest), {"artifactType": ARTIFACT_TYPE}, 7]
    place.store.keep({"manifests": listed}, OCI_INDEX, place.images[0].replace(":", "-"))
    assert names(place.stack(version(place.images[1], 1))) == []


def test_history_shows_both(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    records.catch_up(place.stack(version(place.images[1], 3), version(place.images[0], 2)), has_changed=True)
    records.catch_up(place.stack(version(place.images[0], 41), key=OTHER_KEY, clone="2"), has_changed=True)
    stack = place.stack(version(place.images[0], 2), version(place.images[2], 1))
    capsys.readouterr()
    version_table.show(stack, "web", count=10, as_json=False)
    said = capsys.readouterr()
    rows = [line for line in said.out.splitlines() if line[:1].isdigit()]
    assert [row.split()[0] for row in rows] == ["41", "3", "2", "1"]
    assert "deployed, in the registry, unverified" in rows[0]
    assert "deployed, in the registry  " in rows[1]
    assert "deployed, current" in rows[2]
    assert "another state has recorded it" in said.out + said.err
    version_table.show(stack, "web", count=3, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert [(one["number"], one["current"], one.get("registry")) for one in found] == [
        (41, False, {"name": "41", "verified": False}),
        (3, False, {"name": "3", "verified": True}),
        (2, True, None),
    ]
    version_table.show_difference(stack, "web", "3", None, as_json=True)
    assert json.loads(capsys.readouterr().out)["versions"] == [3, 2]


def test_history_without_a_registry_shows_what_the_state_has(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = place.stack(version(place.images[0], 2))
    cast("FakeStack", stack).known["registryPublicAddress"] = "127.0.0.1:1"
    version_table.show(stack, "web", count=10, as_json=True)
    said = capsys.readouterr()
    assert [one["number"] for one in json.loads(said.out)] == [2]
    assert "The registry was not asked for versions that the state does not have" in said.err
