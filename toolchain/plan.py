"""The plan that prepares a machine: which steps run, and which run at the same time."""

from collections.abc import Callable, Collection
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from toolchain import commands, docker_engine, downloads, images, language_host, plugins, pulumi_cli
from toolchain.report import Report


class Plan:
    """The steps that `needs` requires, see `environment.Need`.

    Downloads, debootstrap and the linker leave cores idle, which the compilers can use. So independent steps run in
    parallel.
    """

    def __init__(self, report: Report, lock: int, needs: Collection[str]) -> None:
        self._report = report
        self._lock = lock
        self._needs = needs
        self._builds_host = False

    def run(self) -> None:
        """Run the steps whose results are missing. The first failure or Ctrl-C stops all of them."""
        commands.begin()
        lanes: list[Callable[[], None]] = []
        if "pulumi" in self._needs:
            cli = pulumi_cli.find() or pulumi_cli.accept_from_path()
            # In parallel to the CLI: each build uses the cores that the other leaves idle.
            self._builds_host = cli is None and not downloads.reachable()
            lanes += (
                [self._cli_and_plugins, self._language_host] if self._builds_host else [self._cli_and_plugins]
            )
        if "engine" in self._needs or "images" in self._needs:
            lanes.append(self._engine_and_images)
        with ThreadPoolExecutor(max_workers=8) as pool:
            futures: list[Future[None]] = [pool.submit(lane) for lane in lanes]
            try:
                done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            except KeyboardInterrupt:
                commands.cancel()
                raise
            if any(future.exception() for future in done):
                commands.cancel()
        failures = [error for future in futures if (error := future.exception())]
        for failure in sorted(failures, key=lambda error: isinstance(error, commands.Cancelled)):
            raise failure
        home = plugins.find()
        if home and not plugins.is_official(home):
            language_host.add_launcher()

    def _cli_and_plugins(self) -> None:
        cli = pulumi_cli.prepare(self._report, self._lock)
        if not self._builds_host and language_host.find(cli) is None:
            self._language_host()
        plugins.prepare(self._report, cli)

    def _language_host(self) -> None:
        language_host.prepare(self._report, self._lock)

    def _engine_and_images(self) -> None:
        docker_engine.prepare(self._report)
        if "images" in self._needs:
            for image in images.missing():
                images.prepare(self._report, image, self._lock)
