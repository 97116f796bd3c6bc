"""The commands and their options. Each imports what it needs when it runs, so that `--help` is quick."""

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError

if TYPE_CHECKING:
    from cli.stack.config import StackConfig

EPILOGUE = (
    "Exit status: 0 it worked; 1 what was asked for failed (an update, a check), a host does not answer, or something "
    "changes where nothing was expected to; "
    "2 wrong usage; 3 it could not start, and nothing was touched; 130 interrupted."
)

app = typer.Typer(
    name="slip",
    help="From a Dockerfile to a running, health-checked web app on your own Docker hosts, from your own registry. "
    "`./slip up` is all it takes for a start.",
    epilog=EPILOGUE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
account = typer.Typer(no_args_is_help=True, help="The registry's accounts.")
app.add_typer(account, name="account")

PULUMI_OPTIONS = {"allow_extra_args": True}
"""For commands of Pulumi's: what comes after `--` goes to Pulumi as it is."""


def _command(
    group: typer.Typer, name: str, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command whose help is its docstring, with each paragraph's lines joined, as the terminal breaks them."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
        group.command(name, help=text, context_settings=settings)(function)
        return function

    return register


def _stack_names(incomplete: str) -> list[str]:
    """For shell completion: the stacks that have a configuration here."""
    from cli.stack.project import Project

    names = {"local", *Project.here().stacks}
    return sorted(name for name in names if name.startswith(incomplete))


def _configurations() -> "list[StackConfig]":
    """For shell completion: what the stacks here say."""
    from cli.stack.config import StackConfig
    from cli.stack.project import Project

    project = Project.here()
    return [StackConfig.read(project.config_file(stack), project.name) for stack in _stack_names("")]


def _host_names(incomplete: str) -> list[str]:
    """For shell completion: the hosts in the configurations here."""
    hosts = {host for configuration in _configurations() for host in configuration.hosts}
    return sorted(host for host in hosts if host.startswith(incomplete))


def _user_names(incomplete: str) -> list[str]:
    """For shell completion: the registry's accounts in the configurations here."""
    names = {name for configuration in _configurations() for name in configuration.accounts}
    return sorted(name for name in names if name.startswith(incomplete))


StackName = Annotated[
    str,
    typer.Option("--stack", "-s", help="The stack to work on.", metavar="STACK", autocompletion=_stack_names),
]
Emulate = Annotated[
    bool,
    typer.Option(
        "--emulate", help="Work on the stack's emulation: AWS on this machine, without an account, as root."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
Refresh = Annotated[bool, typer.Option("--refresh", "-r", help="First look at what is really there.")]
Diff = Annotated[bool, typer.Option("--diff", help="Show every property that changes.")]
ExpectNoChanges = Annotated[
    bool, typer.Option("--expect-no-changes", help="Fail (status 1) if anything changes.")
]
Parallel = Annotated[
    str, typer.Option("--parallel", "-p", metavar="N", help="How many resources to work on at a time.")
]
Target = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="URN", help="Only this resource; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Print secrets in clear text.")]


def _options(
    extra: list[str],
    *,
    refresh: bool = False,
    diff: bool = False,
    expect_no_changes: bool = False,
    parallel: str = "",
    target: list[str] | None = None,
) -> tuple[str, ...]:
    """What Pulumi gets: our own options that are Pulumi's too, then what came after `--`."""
    if parallel and not (parallel.isascii() and parallel.isdecimal() and int(parallel)):
        raise CommandError(
            f"--parallel {parallel}: not a number from 1", "Say --parallel 4, for example.", status=2
        )
    flags = (("--refresh", refresh), ("--diff", diff), ("--expect-no-changes", expect_no_changes))
    return (
        *(name for name, wanted in flags if wanted),
        *(("--parallel", parallel) if parallel else ()),
        *(option for urn in target or () for option in ("--target", urn)),
        *extra,
    )


@_command(app, "up", **PULUMI_OPTIONS)
def up(
    context: typer.Context,
    stack: StackName = "local",
    yes: Yes = False,
    preview: Annotated[
        bool | None,
        typer.Option(
            "--preview/--skip-preview",
            help="Show first what changes, or don't. By default a stack on this machine is updated without.",
            show_default=False,
        ),
    ] = None,
    refresh: Refresh = False,
    diff: Diff = False,
    expect_no_changes: ExpectNoChanges = False,
    parallel: Parallel = "",
    target: Target = None,
    emulate: Emulate = False,
) -> None:
    """Make what the configuration says: hosts, registry, image, services.

    Installs what this machine lacks, makes the stack on first use, and clears up after an update that was killed.
    Then it is `pulumi up`; what comes after `--` goes there. A stack on this machine asks nothing; others ask, as
    Pulumi does, unless you say --yes.
    """
    from cli.update.updates import Update
    from cli.update.updates import up as run

    options = _options(
        context.args,
        refresh=refresh,
        diff=diff,
        expect_no_changes=expect_no_changes,
        parallel=parallel,
        target=target,
    )
    raise typer.Exit(run(Update(stack, yes, preview, options, emulate)))


@_command(app, "preview", **PULUMI_OPTIONS)
def preview(
    context: typer.Context,
    stack: StackName = "local",
    refresh: Refresh = False,
    diff: Diff = False,
    expect_no_changes: ExpectNoChanges = False,
    parallel: Parallel = "",
    target: Target = None,
    emulate: Emulate = False,
) -> None:
    """Show what `up` would change, and check the configuration. Changes nothing that runs.

    It is `pulumi preview`; what comes after `--` goes there.
    """
    from cli.update.updates import preview as run

    options = _options(
        context.args,
        refresh=refresh,
        diff=diff,
        expect_no_changes=expect_no_changes,
        parallel=parallel,
        target=target,
    )
    raise typer.Exit(run(stack, options, emulate=emulate))


@_command(app, "down", **PULUMI_OPTIONS)
def down(
    context: typer.Context,
    stack: StackName = "local",
    yes: Yes = False,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge", help="Remove the data too: the registry's images, volumes, the stack itself."
        ),
    ] = False,
    refresh: Refresh = False,
    parallel: Parallel = "",
    emulate: Emulate = False,
) -> None:
    """Remove everything that `up` made. The registry's data stays, for the next `up`, unless you say --purge.

    It is `pulumi destroy`; what comes after `--` goes there. With --emulate the data goes too, and
    the emulated account.
    """
    from cli.update.updates import down as run

    options = _options(context.args, refresh=refresh, parallel=parallel)
    raise typer.Exit(run(stack, yes=yes, purge=purge, options=options, emulate=emulate))


@_command(app, "verify")
def verify(
    stack: StackName = "local",
    as_json: Json = False,
    days: Annotated[
        float | None,
        typer.Option(
            "--days",
            min=0,
            metavar="DAYS",
            help="How long each certificate has to be valid at least. By default half of "
            "`certificates.earlyRenewalHours`, so 15 days.",
            show_default=False,
        ),
    ] = None,
    emulate: Emulate = False,
) -> None:
    """Check a running stack: registry, trust, accounts, pulls by digest, closed engines, healthy services, and how long
    its certificates last.

    Prints a table, and fails (status 1) if a check does.
    """
    from cli.stack.stack import open_stack
    from cli.verify.verify import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), as_json=as_json, days=days))


@_command(app, "images")
def images(stack: StackName = "local", as_json: Json = False, emulate: Emulate = False) -> None:
    """Print what the registry has, with tags, digests, sizes, ages and source revisions, and what of it runs where."""
    from cli.registry.images import run
    from cli.stack.stack import open_stack

    run(open_stack(stack, emulate=emulate), as_json=as_json)


@_command(app, "logs")
def logs(
    what: Annotated[str, typer.Argument(help="`registry`, `proxy`, or a service.")],
    stack: StackName = "local",
    host: Annotated[
        str | None, typer.Option("--host", help="Of this host only.", autocompletion=_host_names)
    ] = None,
    tail: Annotated[
        str,
        typer.Option("--tail", "-n", metavar="N", help="Only the last N lines of each container, or all."),
    ] = "100",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    emulate: Emulate = False,
) -> None:
    """Print what the registry, the proxies or a service said last. `logs registry` shows who pushed and pulled what.

    Hosts keep 50 MB of each container's log, in 5 files that rotate.
    """
    from cli.logs import run
    from cli.stack.stack import open_stack

    if tail != "all" and not (tail.isascii() and tail.isdecimal()):
        raise CommandError(f"--tail {tail}: not a number", "Say --tail 100, for example, or all.", status=2)
    raise typer.Exit(run(open_stack(stack, emulate=emulate), what, host=host, tail=tail, follow=follow))


@_command(app, "prune")
def prune(
    stack: StackName = "local",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would go, and how much that would free.")
    ] = False,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Remove the images that the registry need not keep, as its host does each day by itself.

    The rule is slipway:registry.retention. What a host serves or a service is to run stays, and what others stand on.
    Each host is asked what it serves. Pulls go on meanwhile; a push is refused for the moment that it takes.
    """
    from cli.registry.prune import run
    from cli.stack.stack import open_stack

    run(open_stack(stack, emulate=emulate), dry_run=dry_run, as_json=as_json)


@_command(app, "env")
def env(stack: StackName = "local", emulate: Emulate = False) -> None:
    """Print what a shell needs for plain `pulumi` commands: eval "$(./slip env)".

    Prepares this machine and the stack as `up` does. Your own backend and passphrase, where you have set them, stay.
    """
    import shlex

    from cli.stack.stack import open_stack

    for name, value in sorted(
        open_stack(stack, create=True, works_on_hosts=True, emulate=emulate).added_variables.items()
    ):
        print(f"export {name}={shlex.quote(value)}")


@_command(app, "forget")
def forget(
    host: Annotated[str, typer.Argument(help="The host's name.", autocompletion=_host_names)],
    stack: StackName = "local",
    yes: Yes = False,
    emulate: Emulate = False,
) -> None:
    """Forget a host that is gone for good, with all that lived on it, so that `up` works again.

    Works without the host, on the state alone; a backup of that is kept in .slipway/backups. The next `up` makes the
    host anew, or leaves it away if the configuration no longer has it.
    """
    from cli.stack.stack import open_stack
    from cli.update.forget import run

    run(open_stack(stack, emulate=emulate), host, yes=yes)


@_command(app, "output")
def output(
    key: Annotated[str | None, typer.Argument(help="One output, printed as it is.")] = None,
    stack: StackName = "local",
    show_secrets: ShowSecrets = False,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Print what the stack tells about itself: addresses, certificates, accounts, images, URLs."""
    from cli.outputs import show
    from cli.stack.stack import open_stack

    show(open_stack(stack, emulate=emulate), key, show_secrets=show_secrets, as_json=as_json)


@_command(account, "list")
def account_list(stack: StackName = "local", emulate: Emulate = False) -> None:
    """Print the accounts' names, and whether each has a password."""
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    accounts.show(open_stack(stack, emulate=emulate))


AccountName = Annotated[
    str, typer.Argument(metavar="NAME", help="The account's name.", autocompletion=_user_names)
]


@_command(account, "add")
def account_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A new name.")], stack: StackName = "local"
) -> None:
    """Let somebody in: make a password, and add the name to the configuration. The next `up` puts it in place.

    Nobody else is disturbed, and the registry is not restarted.
    """
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    accounts.add(open_stack(stack), name)


@_command(account, "remove")
def account_remove(name: AccountName, stack: StackName = "local") -> None:
    """Take an account and its password out of the configuration. The registry refuses it from the next `up` on."""
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    accounts.remove(open_stack(stack), name)


@_command(account, "rotate")
def account_rotate(name: AccountName, stack: StackName = "local", emulate: Emulate = False) -> None:
    """Make a new password for an account. From the next `up` on the registry takes that one only.

    NAME may be `hosts`, by which the stack's own hosts push and pull.
    """
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    accounts.rotate(open_stack(stack, emulate=emulate), name)


@_command(account, "password")
def account_password(
    name: Annotated[str, typer.Argument(help="The account.")],
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Print an account's password, to be piped into `docker login --password-stdin`."""
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    print(accounts.password(open_stack(stack, emulate=emulate), name))


@_command(account, "certificate")
def account_certificate(
    name: Annotated[str, typer.Argument(help="The account.")],
    stack: StackName = "local",
    key: Annotated[bool, typer.Option("--key", help="Print its key instead, which is secret.")] = False,
) -> None:
    """Print the certificate that an account shows a registry that asks for one (`registry.clientCertificates`)."""
    from cli.registry import accounts
    from cli.stack.stack import open_stack

    print(accounts.certificate(open_stack(stack), name, key=key), end="")


@_command(app, "login")
def login(
    stack: StackName = "local",
    account: Annotated[
        str | None,
        typer.Option(
            "--account", "-a", metavar="NAME", help="Whom to log in as.", autocompletion=_user_names
        ),
    ] = None,
) -> None:
    """Let this machine's Docker trust the stack's registry, and log it in.

    The first of the registry's users is logged in unless you say --account. `./slip logout` undoes it.
    """
    from cli.registry.login import login as run
    from cli.stack.stack import open_stack

    run(open_stack(stack), account)


@_command(app, "logout")
def logout(stack: StackName = "local") -> None:
    """Undo what `login` did: log out, and trust the registry no more. Works without the stack too."""
    from cli.registry.login import logout as run
    from cli.stack.project import Project

    run(Project.here(), stack)


@_command(app, "version")
def version() -> None:
    """Print the versions of what Slipway stands on."""
    import platform

    from toolchain import versions

    print(f"pulumi {versions.pulumi()}")
    for name, number in sorted(versions.plugins().items()):
        print(f"pulumi-{name} {number}")
    print(f"python {platform.python_version()}")
