"""`make sbom`: what Slipway installs and runs, as a CycloneDX document, `sbom.json`.

The Python packages come from the lock of `requirements.txt`, with the hashes of their files. Pulumi's CLI and plugins,
the programs that are built from Go modules, and the images from Docker Hub come from where they are pinned. Works
without a network. Runs in the environment of `requirements-supply.txt`, which has CycloneDX's own tool.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import child_environment
import well_known
from toolchain import go, locks, versions

TARGET = versions.REPOSITORY / "sbom.json"
_MODULES = {
    "pulumi-language-python": "github.com/pulumi/pulumi/sdk/v3",
    "registry": "github.com/distribution/distribution/v3",
}
"""The programs that are built on closed networks: the folder of `toolchain/go`, and the module that it pins."""


def main() -> int:
    """Write the document. Returns 0, or 1 if it is not valid."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    document = _python_packages()
    document["metadata"]["component"] = {
        "bom-ref": "slipway",
        "type": "application",
        "name": "slipway",
        "version": _version(),
    }
    document["components"] += [*_pulumi(), *_go_modules(), *_images()]
    text = json.dumps(document, indent=2, sort_keys=True) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        print(f"sbom: the document does not follow CycloneDX 1.6: {error}", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    print(f"✓ {TARGET.name}: {len(document['components'])} components")
    return 0


def _version() -> str:
    """Slipway's version, from the text: the command's modules import packages that this environment lacks."""
    found = re.search(
        r'^VERSION = "(.+)"$', (versions.REPOSITORY / "cli/version.py").read_text(), re.MULTILINE
    )
    if not found:
        raise ValueError("cli/version.py has no VERSION")
    return found[1]


def _python_packages() -> dict[str, Any]:
    command: list[str | Path] = [
        *(sys.executable, "-m", "cyclonedx_py", "requirements", "--output-reproducible"),
        *("--output-format", "JSON", "--spec-version", "1.6"),
        locks.path(versions.REPOSITORY / "requirements.txt"),
    ]
    environment = child_environment.of("cyclonedx")
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(made.stdout)
    for component in document["components"]:
        component.pop("description", None)  # the line of the lock, once more
    return document


def _pulumi() -> Iterator[dict[str, str]]:
    yield _component("application", "pulumi", versions.pulumi(), "pkg:github/pulumi/pulumi@v{}")
    for name, version in sorted(versions.plugins().items()):
        yield _component("application", f"pulumi-{name}", version, f"pkg:github/pulumi/pulumi-{name}@v{{}}")


def _go_modules() -> Iterator[dict[str, str]]:
    for folder, module in _MODULES.items():
        yield _component("application", folder, go.pinned(folder, module), f"pkg:golang/{module}@v{{}}")


def _images() -> Iterator[dict[str, Any]]:
    for image, digest in well_known.IMAGE_DIGESTS.items():
        name, _, tag = image.rpartition(":")
        short = name.rpartition("/")[2]
        purl = f"pkg:oci/{short}@{digest.replace(':', '%3A')}?repository_url=docker.io/{name}"
        yield {
            **_component("container", name, tag, f"{purl}&tag={{}}"),
            "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
        }


def _component(kind: str, name: str, version: str, purl: str) -> dict[str, str]:
    return {
        "bom-ref": f"{kind}:{name}@{version}",
        "type": kind,
        "name": name,
        "version": version,
        "purl": purl.format(version),
    }


if __name__ == "__main__":
    sys.exit(main())
