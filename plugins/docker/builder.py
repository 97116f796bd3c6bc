"""Builds images on an engine, and pushes them."""

import base64
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dockerfiles.dockerfile import InvalidDockerfile, needed_images
from plugins.docker.context import archive, read, special_files
from plugins.docker.engine import Account, Engine, EngineError, NotFoundError, engine_errors, registry_of
from plugins.docker.progress import Progress, StreamError
from plugins.docker.stream import StalledError, watched
from plugins.protocol.messages import Failure
from plugins.protocol.properties import Properties


class Builder:
    """Builds and pushes images with one engine, for one resource."""

    def __init__(self, engine: Engine, progress: Progress, account: Account | None) -> None:
        """Take the `account` at the image's own registry; None if the image has none of its own."""
        self._engine = engine
        self._progress = progress
        self._account = account

    def build(self, name: str, settings: Properties) -> str:
        """Build the image `name` and return its id; Failure, which names the step, if the build fails."""
        self._progress.status("Building the image")
        context, dockerfile = Path(settings["context"]), Path(settings["dockerfile"])
        self._pull_first(name, dockerfile, settings)
        try:
            with tempfile.TemporaryFile() as body:
                for name_inside in special_files(context, dockerfile):
                    self._progress.warn(
                        f"{name_inside} is not a file, directory or link: the build does not get it"
                    )
                inside = archive(context, dockerfile, body)
                body.seek(0)
                client = self._engine.client
                headers = {
                    "Content-Type": "application/x-tar",
                    "X-Registry-Config": self._registry_config(name),
                }

                def start() -> Iterator[Mapping[str, Any]]:
                    response = client.post(
                        f"{client.base_url}/v{client.api_version}/build",
                        params=as_query(settings, name, inside),
                        data=body,
                        headers=headers,
                        stream=True,
                        timeout=None,
                    )
                    with response:
                        _require_success(response)
                        yield from _messages(response)

                with engine_errors():
                    # A step may work for long without a word, so silence does not end a build.
                    messages = watched(start, f"the build of {name}", self._progress.watch, end_seconds=None)
                    data = self._progress.follow(messages)
        except StreamError as error:
            self._progress.show_output()
            raise Failure(f"error reading build output: {error}") from error
        except (EngineError, NotFoundError) as error:
            raise Failure(str(error)) from error
        except OSError as error:
            raise Failure(f"error reading build context {context}: {error}") from error
        return self._built(name, data)

    def _built(self, name: str, data: list[Any]) -> str:
        ids = [entry["ID"] for entry in data if isinstance(entry, dict) and "ID" in entry]
        if ids:
            return str(ids[-1])
        image = self._engine.local_image(name)
        if image is None:
            raise Failure(f"the engine built {name}, but does not list it")
        return str(image["Id"])

    def _pull_first(self, name: str, dockerfile: Path, settings: Properties) -> None:
        """Pull images to cache from, and missing images that need an account: BuildKit would not use it."""
        try:
            text = read(dockerfile).decode(errors="replace")
        except OSError as error:
            raise Failure(f"could not open dockerfile {str(dockerfile)!r}: {error}") from error
        for image in _needed_images(text, settings):
            account = self._account_for(image, name)
            if account is None or self._engine.local_image(image) is not None:
                continue
            self._progress.status(f"Pulling {image}")
            try:
                self._engine.pull(
                    image, account, platform=settings.get("platform"), watch=self._progress.watch
                )
            except (EngineError, NotFoundError) as error:
                raise Failure(f"error pulling base image {image}: {error}") from error
        for image in (settings.get("cacheFrom") or {}).get("images") or []:
            self._progress.status(f"Pulling cached image {image}")
            try:
                self._engine.pull(
                    image,
                    self._account_for(image, name),
                    platform=settings.get("platform"),
                    watch=self._progress.watch,
                )
            except (EngineError, NotFoundError) as error:
                self._progress.warn(f"Failed to pull cached image {image}: {error}")

    def _account_for(self, image: str, name: str) -> Account | None:
        """Return the account at the registry of `image`, in a build of the image `name`."""
        if self._account is not None and registry_of(image) == registry_of(name):
            return self._account
        return self._engine.account_for(image)

    def _registry_config(self, name: str) -> str:
        accounts: dict[str, Account] = dict(self._engine.accounts)
        if self._account is not None:
            accounts[registry_of(name)] = self._account
        config = {registry: account._asdict() for registry, account in accounts.items()}
        return base64.urlsafe_b64encode(json.dumps(config).encode()).decode()

    def push(self, name: str) -> str:
        """Push the image `name` and return it as `repository@digest`; Failure if the push fails."""
        self._progress.status("Pushing Image to the registry")
        account = self._account_for(name, name)
        client = self._engine.client

        def start() -> Iterator[Mapping[str, Any]]:
            yield from client.push(name, stream=True, decode=True, auth_config=account and account._asdict())

        try:
            with engine_errors():
                data = self._progress.follow(watched(start, f"the push of {name}", self._progress.watch))
        except (StreamError, StalledError) as error:
            raise Failure(f"error reading push output: {error}") from error
        except (EngineError, NotFoundError) as error:
            raise Failure(str(error)) from error
        repository, _, tag = name.rpartition(":")
        repository = name if not repository or "/" in tag else repository
        digests = [entry["Digest"] for entry in data if isinstance(entry, dict) and "Digest" in entry]
        if not digests:
            raise Failure(f"the engine pushed {name}, but did not report its digest")
        return f"{repository}@{digests[-1]}"


def _needed_images(dockerfile: str, settings: Properties) -> list[str]:
    try:
        return needed_images(
            dockerfile,
            settings.get("args") or {},
            settings.get("platform") or "linux",
            target=settings.get("target") or "",
        )
    except InvalidDockerfile:
        return []  # the engine refuses the build, and its error says why


def as_query(settings: Properties, name: str, dockerfile: str) -> dict[str, Any]:
    """Return the query of `POST /build` for the settings of a build."""
    query: dict[str, Any] = {
        "t": name,
        "dockerfile": dockerfile,
        "version": "1" if settings.get("builderVersion") == "BuilderV1" else "2",
        "buildargs": json.dumps(settings.get("args") or {}),
        "cachefrom": json.dumps((settings.get("cacheFrom") or {}).get("images") or []),
        "extrahosts": settings.get("addHosts"),
        "networkmode": settings.get("network"),
        "platform": settings.get("platform"),
        "target": settings.get("target"),
        "rm": "1",
    }
    return {key: value for key, value in query.items() if value}


def _require_success(response: Any) -> None:
    from docker.errors import create_api_error_from_http_exception
    from requests import HTTPError

    try:
        response.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)


def _messages(response: Any) -> Iterator[Mapping[str, Any]]:
    for line in response.iter_lines():
        if line:
            yield json.loads(line)
