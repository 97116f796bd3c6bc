"""The commands and their options. Each command imports what it needs when it runs, which keeps `--help` quick."""

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError
from cli.pass_on import PassingCommand, PossibleWordsCommand, WordsCommand
from well_known import FORWARD_VARIABLE

if TYPE_CHECKING:
    from cli.stack.config import StackConfig

EPILOGUE = (
    "Exit status: 0 success; 1 an update or a check failed, a host does not answer, or something changes despite "
    "--expect-no-changes; 2 wrong usage; 3 the command could not start and changed nothing; 130 interrupted."
)

app = typer.Typer(
    name="slip",
    help="From a Dockerfile to a running, health-checked web app on your own Docker hosts, through your own registry. "
    "To begin, run `./slip up`.",
    epilog=EPILOGUE,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from cli.version import own

        print(f"slipway {own()}")
        raise typer.Exit


@app.callback()
def options_of_all(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print Slipway's version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


account = typer.Typer(no_args_is_help=True, help="Manage the registry's accounts.")
app.add_typer(account, name="account")
secret = typer.Typer(no_args_is_help=True, help="Manage the secrets that services read.")
app.add_typer(secret, name="secret")
operator = typer.Typer(no_args_is_help=True, help="Manage what the operators of the stack have.")
app.add_typer(operator, name="operator")
review = typer.Typer(no_args_is_help=True, help="Manage review environments, one for each pull request.")
app.add_typer(review, name="review")
git_remote = typer.Typer(no_args_is_help=True, help="Deploy what is pushed to this machine by git and SSH.")
app.add_typer(git_remote, name="git-remote")
webhook = typer.Typer(no_args_is_help=True, help="Deploy what is pushed to a forge, by its webhook.")
app.add_typer(webhook, name="webhook")

PULUMI_OPTIONS = {"allow_extra_args": True}
"""For commands that run Pulumi: options after `--` are passed on to it."""
WORDS = {"allow_extra_args": True, "allow_interspersed_args": True}
"""For commands that run another program: its words come after `--`."""
POSSIBLE_WORDS = {**WORDS, "ignore_unknown_options": False}
"""For commands that run another program, or without words what they run then."""


def _command(
    group: typer.Typer, name: str, *, hidden: bool = False, **settings: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add a command whose help is its docstring. The lines of a paragraph are joined, since the terminal wraps them.

    A hidden one is for programs.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
        kinds = {
            str(PULUMI_OPTIONS): PassingCommand,
            str(WORDS): WordsCommand,
            str(POSSIBLE_WORDS): PossibleWordsCommand,
        }
        kind = kinds.get(str(settings))
        group.command(name, cls=kind, help=text, hidden=hidden, context_settings=settings)(function)
        return function

    return register


def _stack_names(incomplete: str) -> list[str]:
    """For shell completion: the stacks with a configuration in this clone."""
    from cli.stack.project import Project

    names = {"local", *Project.here().stacks}
    return sorted(name for name in names if name.startswith(incomplete))


def _configurations() -> "list[StackConfig]":
    """For shell completion: the configurations in this clone."""
    from cli.stack.config import StackConfig
    from cli.stack.project import Project

    project = Project.here()
    return [StackConfig.read(project.config_file(stack), project.name) for stack in _stack_names("")]


def _host_names(incomplete: str) -> list[str]:
    """For shell completion: the hosts in the configurations."""
    hosts = {host for configuration in _configurations() for host in configuration.hosts}
    return sorted(host for host in hosts if host.startswith(incomplete))


def _user_names(incomplete: str) -> list[str]:
    """For shell completion: the registry's accounts in the configurations."""
    names = {name for configuration in _configurations() for name in configuration.accounts}
    return sorted(name for name in names if name.startswith(incomplete))


def _service_names(incomplete: str) -> list[str]:
    """For shell completion: the services in the configurations."""
    names = {name for configuration in _configurations() for name in configuration.services}
    return sorted(name for name in names if name.startswith(incomplete))


StackName = Annotated[
    str,
    typer.Option("--stack", "-s", help="The stack's name.", metavar="STACK", autocompletion=_stack_names),
]
Emulate = Annotated[
    bool,
    typer.Option(
        "--emulate",
        help="Use the stack's emulation: AWS on this machine, without an AWS account. Needs root.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Refresh = Annotated[
    bool, typer.Option("--refresh", "-r", help="Refresh the state from what really exists first.")
]
Diff = Annotated[bool, typer.Option("--diff", help="Show each property that changes, as Pulumi does.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show Pulumi's own display.")]
ExpectNoChanges = Annotated[
    bool, typer.Option("--expect-no-changes", help="Fail (status 1) if anything changes.")
]
Parallel = Annotated[
    str, typer.Option("--parallel", "-p", metavar="N", help="How many resources to work on at a time.")
]
Target = Annotated[
    list[str] | None,
    typer.Option("--target", "-t", metavar="URN", help="Update only this resource. May be repeated."),
]
Forward = Annotated[
    list[str] | None,
    typer.Option(
        "--forward",
        metavar="SERVICE",
        help="Deploy what a rollback of this service left. May be repeated.",
        autocompletion=_service_names,
    ),
]
ReleaseAgain = Annotated[
    list[str] | None,
    typer.Option(
        "--release-again",
        metavar="SERVICE",
        help="Let the release command of this service run again, if it was interrupted. May be repeated.",
        autocompletion=_service_names,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ShowSecrets = Annotated[bool, typer.Option("--show-secrets", help="Print secrets in plain text.")]


def _options(
    extra: list[str],
    *,
    refresh: bool = False,
    diff: bool = False,
    expect_no_changes: bool = False,
    parallel: str = "",
    target: list[str] | None = None,
) -> tuple[str, ...]:
    """Pulumi's arguments: the options that `slip` and Pulumi share, then what came after `--`."""
    if parallel and not (parallel.isascii() and parallel.isdecimal() and int(parallel)):
        raise CommandError(
            f"--parallel {parallel}: not a number above 0", "For example: --parallel 4", status=2
        )
    flags = (("--refresh", refresh), ("--diff", diff), ("--expect-no-changes", expect_no_changes))
    return (
        *(name for name, wanted in flags if wanted),
        *(("--parallel", parallel) if parallel else ()),
        *(option for urn in target or () for option in ("--target", urn)),
        *extra,
    )


def _order_forward(services: list[str] | None) -> None:
    """Let this command deploy what rollbacks of these services left."""
    if services:
        os.environ[FORWARD_VARIABLE] = ",".join(services)


@_command(app, "up", **PULUMI_OPTIONS)
def up(
    context: typer.Context,
    stack: StackName = "local",
    yes: Yes = False,
    preview: Annotated[
        bool | None,
        typer.Option(
            "--preview/--skip-preview",
            help="Preview the changes first, or not. By default, emulated stacks and unprotected stacks on the "
            "platform local skip the preview.",
            show_default=False,
        ),
    ] = None,
    refresh: Refresh = False,
    diff: Diff = False,
    verbose: Verbose = False,
    expect_no_changes: ExpectNoChanges = False,
    parallel: Parallel = "",
    target: Target = None,
    forward: Forward = None,
    release_again: ReleaseAgain = None,
    emulate: Emulate = False,
    approved: Annotated[
        str,
        typer.Option(
            "--approved",
            metavar="HASH",
            help="Update only if the plan of now has this hash, which `preview --save` tells; or the file with the "
            "plan. Implies --yes and --refresh.",
        ),
    ] = "",
) -> None:
    """Create or update hosts, registry, images, services.

    Follows the stack's configuration. Installs missing tools, creates the stack on first use, and cleans up after an
    update that was killed. Then runs `pulumi up`, with the options after `--`, and prints what happens to each image,
    host and service. Emulated stacks and unprotected stacks on the platform local are updated without confirmation;
    other stacks show what will happen and ask, unless you pass --yes. An update that
    would remove or replace hosts, or remove services or the registry, names them and asks, on every platform.

    With --approved, the update previews first and compares plans: if the tree, the registry, the hosts or the
    configuration changed since the approval, it shows the difference, changes nothing, and the exit status is 3.
    """
    from cli.update.updates import Update
    from cli.update.updates import up as run

    _order_forward(forward)

    options = _options(
        context.args,
        refresh=refresh,
        diff=diff,
        expect_no_changes=expect_no_changes,
        parallel=parallel,
        target=target,
    )
    again = tuple(release_again or ())
    update = Update(stack, yes, preview, options, emulate, verbose, release_again=again, approved=approved)
    raise typer.Exit(run(update))


@_command(app, "update", **PULUMI_OPTIONS)
def update_image(
    context: typer.Context,
    service: Annotated[str, typer.Argument(help="A service whose image others made.")],
    stack: StackName = "local",
    yes: Yes = False,
) -> None:
    """Take what the tag of a service's image has by now.

    A service with `image` runs the digest that the tag had at its first deployment. This shows that digest and the one
    that the tag has now, asks unless you pass --yes, and runs the update. On a closed network it takes what this
    machine's engine has of the image.
    """
    from cli.update.newer_image import prepare
    from cli.update.updates import Update, up

    options = prepare(stack, service, yes=yes)
    if options is not None:
        raise typer.Exit(up(Update(stack, yes, None, (*options, *context.args))))


@_command(app, "preview", **PULUMI_OPTIONS)
def preview(
    context: typer.Context,
    stack: StackName = "local",
    refresh: Refresh = False,
    diff: Diff = False,
    verbose: Verbose = False,
    expect_no_changes: ExpectNoChanges = False,
    parallel: Parallel = "",
    target: Target = None,
    forward: Forward = None,
    emulate: Emulate = False,
    comment: Annotated[
        bool, typer.Option("--comment", help="Print Markdown for a comment on a pull request.")
    ] = False,
    post: Annotated[
        bool,
        typer.Option(
            "--post",
            help="Write that comment on GitHub, GitLab, Gitea or Forgejo, or update it there. Finds the pull request "
            "in CI's environment, and the token in GITHUB_TOKEN, GITLAB_TOKEN, GITEA_TOKEN or FORGEJO_TOKEN.",
        ),
    ] = False,
    pull_request: Annotated[
        str,
        typer.Option(
            "--pull-request", metavar="URL", help="The address of the pull request for --post, outside CI."
        ),
    ] = "",
    save: Annotated[
        str,
        typer.Option(
            "--save",
            metavar="FILE",
            help="Save the plan and its hash, for `up --approved HASH`. Refreshes the state first, as --refresh does.",
        ),
    ] = "",
    issue: Annotated[
        bool,
        typer.Option(
            "--issue",
            help="Keep one issue about the stack on the forge whose CI this is: open while anything changes or the "
            "preview fails, closed when nothing does. Implies --refresh and --expect-no-changes; finds the token as "
            "--post does.",
        ),
    ] = False,
) -> None:
    """Say what `up` would do to whom, and who notices.

    Also validates the configuration. Changes nothing that runs, and no file that you edit. Runs `pulumi preview`, with
    the options after `--`.
    """
    from cli.update.updates import preview as run

    _order_forward(forward)
    wanted = None
    if issue and (comment or post or save):
        raise CommandError(
            "--issue is alone: it is about what runs, not about a change", "Leave out the others.", status=2
        )
    if comment or post or pull_request or save or issue:
        from cli.update.pull_request import Wanted

        if pull_request and not post:
            raise CommandError("--pull-request needs --post", "Pass both.", status=2)
        if diff or verbose:
            shown = "--diff" if diff else "--verbose"
            raise CommandError(
                f"{shown} shows Pulumi's own display, and a comment or a plan is made from Slipway's",
                f"Leave out {shown}.",
                status=2,
            )
        wanted = Wanted(comment, post, pull_request, save, issue)

    options = _options(
        context.args,
        refresh=refresh,
        diff=diff,
        expect_no_changes=expect_no_changes,
        parallel=parallel,
        target=target,
    )
    raise typer.Exit(run(stack, options, emulate=emulate, verbose=verbose, wanted=wanted))


@_command(app, "down", **PULUMI_OPTIONS)
def down(
    context: typer.Context,
    stack: StackName = "local",
    yes: Yes = False,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="On the platform local only: also remove the data (the registry's images, all volumes) and the "
            "stack itself.",
        ),
    ] = False,
    without_state: Annotated[
        bool,
        typer.Option(
            "--without-state",
            help="On the platform local only, if the stack's state or its passphrase is lost: remove the hosts that "
            "this clone made, by their label. The registry's images stay, unless you pass --purge.",
        ),
    ] = False,
    refresh: Refresh = False,
    verbose: Verbose = False,
    parallel: Parallel = "",
    emulate: Emulate = False,
) -> None:
    """Remove everything that `up` made.

    On the platform local the registry's data stays for the next `up`, unless you pass --purge. On AWS it is deleted.

    Runs `pulumi destroy`, with the options after `--`. With --emulate, the data and the emulated account are removed
    too.
    """
    if without_state:
        from cli.update import lost_state

        raise typer.Exit(lost_state.remove(stack, yes=yes, purge=purge))
    from cli.environments.reviews.guests import refuse_guests
    from cli.update.updates import down as run

    if not emulate:
        refuse_guests(stack)
    options = _options(context.args, refresh=refresh, parallel=parallel)
    raise typer.Exit(run(stack, yes=yes, purge=purge, options=options, emulate=emulate, verbose=verbose))


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
            help="Fail if a certificate is valid for less than this. By default half of "
            "`certificates.earlyRenewalHours`: 15 days.",
            show_default=False,
        ),
    ] = None,
    emulate: Emulate = False,
) -> None:
    """Check a running stack, and print a table.

    Asks each host what it runs and serves, and compares that with what the last update built. Checks engines, disks and
    clocks, the registry's TLS, accounts and images, pulls by digest, the services' health, and certificates. Failures
    come first, each with the command that mends it; on a terminal, each row appears when its check has ended, and
    failures once more at the end. The exit status is 1 if a check fails.
    """
    from cli.stack.open import open_stack
    from cli.verify.verify import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), as_json=as_json, days=days))


@_command(app, "status")
def status(stack: StackName = "local", as_json: Json = False, emulate: Emulate = False) -> None:
    """Say on one screen whether all is as the configuration says, what is old, and what needs a person.

    Runs the checks of `verify`, reads the versions of the services, and previews what an `up` would change. Each line
    that needs a person has the command that mends it. The exit status is 1 if something does not work; what waits for
    an `up` is a warning.
    """
    from cli.status import run

    raise typer.Exit(run(stack, as_json=as_json, emulate=emulate))


@_command(app, "images")
def images(stack: StackName = "local", as_json: Json = False, emulate: Emulate = False) -> None:
    """List the registry's images, and which hosts serve them.

    Prints tags, digests, platforms, sizes, ages and source revisions. Asks each host what it serves, and the registry
    for every blob of what serves or is wanted. The exit status is 1 if anything of that is missing, or if a host does
    not answer.
    """
    from cli.registry.images import run
    from cli.stack.open import open_stack

    raise typer.Exit(run(open_stack(stack, emulate=emulate), as_json=as_json))


@_command(app, "diagram")
def diagram(
    stack: StackName = "local",
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the page into this file; `-` for standard output."
        ),
    ] = "",
    opens: Annotated[bool, typer.Option("--open", help="Show the page in the browser.")] = False,
    emulate: Emulate = False,
) -> None:
    """Draw the running stack as one HTML page.

    It shows hosts, containers, images, ages of certificates, disks, and who talks to whom, as the hosts say it now.
    The page needs no network and no other file. By default it goes into the clone's folder .slipway. The exit status
    is 1 if something in it does not work, or does not answer.
    """
    from cli.diagram.draw import run
    from cli.stack.open import open_stack

    raise typer.Exit(run(open_stack(stack, emulate=emulate), output, opens=opens))


@_command(app, "ps")
def ps(stack: StackName = "local", as_json: Json = False, emulate: Emulate = False) -> None:
    """List what serves: service, host, version, age of the image, since when, health, restarts, CPU, memory.

    Asks the hosts themselves, all at once, over one connection each. CPU is what a container uses while its host gives
    its answers, a fraction of a second; `./slip top` shows it over longer. The exit status is 1 if a service does not
    serve or is not healthy on one of its hosts, or if a host does not answer.
    """
    from cli.stack.open import open_stack
    from cli.update.ps import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), as_json=as_json))


@_command(app, "top")
def top(
    stack: StackName = "local",
    once: Annotated[
        bool, typer.Option("--once", help="Print the table once, as without a terminal.")
    ] = False,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Show what the stack's containers use: CPU and memory, the busiest first.

    Asks all hosts at once, over one connection each. 100 % is one CPU. On a terminal the table is drawn again every two
    seconds, until Ctrl-C. The exit status is 1 if a host does not answer.
    """
    from cli.stack.open import open_stack
    from cli.top import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), once=once, as_json=as_json))


@_command(app, "logs")
def logs(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…",
            help="Services, `registry` or `proxy`; by default all services.",
            autocompletion=_service_names,
            show_default=False,
        ),
    ] = None,
    stack: StackName = "local",
    host: Annotated[
        str | None, typer.Option("--host", help="Only this host.", autocompletion=_host_names)
    ] = None,
    tail: Annotated[
        str | None,
        typer.Option(
            "--tail",
            "-n",
            metavar="N",
            help="The last N lines of each container, or `all`. By default 100, and all with --since or --grep.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Only lines since then: 10m, 2h, or 2026-01-31T12:00."),
    ] = "",
    grep: Annotated[
        str,
        typer.Option("--grep", metavar="PATTERN", help="Only lines with this regular expression in them."),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines.")] = False,
    status: Annotated[
        str,
        typer.Option(
            "--status",
            metavar="STATUS",
            help="Of `proxy`: only requests that were answered with it, such as `5xx` or `404,5xx`.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print an object of JSON for each line.")] = False,
    emulate: Emulate = False,
) -> None:
    """Print the logs of services, the registry or the proxies, in the order of time.

    Asks all hosts at once. Lines of several hosts or services begin with whose they are. `logs registry` shows which
    account pushed and pulled which image. `logs proxy` is the access log: a JSON object for each request, with its
    times in milliseconds. With `--status`, without `-f`, `--tail` counts those that fit. Hosts keep 50 MB of each
    container's log, in 5 rotated files.
    """
    from cli.logs import Wanted, run
    from cli.stack.open import open_stack

    wanted = Wanted.of(tail, since, grep, follow=follow, status=status)
    raise typer.Exit(run(open_stack(stack, emulate=emulate), what or [], wanted, host=host, as_json=as_json))


@_command(app, "events")
def events(
    stack: StackName = "local",
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="TIME",
            help="Only events since then: 10m, 2h, or 2026-01-31T12:00. Default: 24h.",
        ),
    ] = "",
    grep: Annotated[
        str,
        typer.Option("--grep", metavar="PATTERN", help="Only events with this regular expression in them."),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new events.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print an object of JSON for each event.")] = False,
    emulate: Emulate = False,
) -> None:
    """Print what happened to the stack's containers: started, ended, out of memory, removed.

    Asks all hosts at once, and prints in the order of time (UTC). An engine remembers its last 256 events since its
    start.
    """
    from cli.events import run
    from cli.logs import Wanted
    from cli.stack.open import open_stack

    wanted = Wanted.of(None, since, grep, follow=follow)
    raise typer.Exit(run(open_stack(stack, emulate=emulate), wanted, as_json=as_json))


_Host = Annotated[
    str | None,
    typer.Option(
        "--host", help="On this host; by default the service's first one.", autocompletion=_host_names
    ),
]
_Service = Annotated[
    str, typer.Argument(metavar="SERVICE", help="The service.", autocompletion=_service_names)
]


_BackedUp = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE", help="The service, `registry` or `state`.", autocompletion=_service_names
    ),
]


def _inside(
    stack: str, service: str, words: Sequence[str], host: str | None, *, fresh: bool = False, emulate: bool
) -> int:
    from cli.inside import run
    from cli.stack.open import open_stack

    return run(open_stack(stack, emulate=emulate), service, words, host=host, fresh=fresh)


@_command(app, "run", **POSSIBLE_WORDS)
def run_once(
    context: typer.Context,
    service: _Service,
    stack: StackName = "local",
    host: _Host = None,
    emulate: Emulate = False,
) -> None:
    """Run one command in the deployed version of a service: `./slip run web -- bin/console`.

    The command comes after `--`. It runs in a container of its own on a host of the service, with the image,
    environment, secrets, files and limits of the container that serves, but without its entrypoint and its ports; it
    can only read the service's volumes. It has a terminal where this command has one. The container goes when it ends,
    and its exit status is this command's; 255 without a connection to the host.

    Without a command, a service with a `schedule` runs now, as its timer would run it, and never twice at a time:
    `./slip run tidy`. Ctrl-C leaves such a run to itself.
    """
    raise typer.Exit(_inside(stack, service, context.args, host, fresh=True, emulate=emulate))


@_command(app, "exec", **WORDS)
def run_inside(
    context: typer.Context,
    service: _Service,
    stack: StackName = "local",
    host: _Host = None,
    emulate: Emulate = False,
) -> None:
    """Run a command in the container that serves: `./slip exec db -- psql -U postgres`.

    The command comes after `--`. It has a terminal where this command has one, and its exit status is this command's;
    255 without a connection to the host.
    """
    raise typer.Exit(_inside(stack, service, context.args, host, emulate=emulate))


@_command(app, "shell")
def shell(
    service: _Service, stack: StackName = "local", host: _Host = None, emulate: Emulate = False
) -> None:
    """Open a shell in the container that serves: bash if the image has it, or else sh."""
    from cli.inside import SHELL

    raise typer.Exit(_inside(stack, service, SHELL, host, emulate=emulate))


@_command(app, "maintenance")
def maintenance(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", autocompletion=_service_names)
    ],
    state: Annotated[str, typer.Argument(metavar="on|off", help="Whether visitors get the page.")],
    stack: StackName = "local",
    page: Annotated[
        str,
        typer.Option("--page", metavar="FILE", help="A file with HTML that visitors get; at most 12 KiB."),
    ] = "",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="ADDRESS",
            help="An address or a network from which the service answers all the same. May be repeated.",
        ),
    ] = None,
    emulate: Emulate = False,
) -> None:
    """Send visitors a page in place of a service, with status 503, or end that.

    Works at once on all hosts of the service, and loses no request of another one. It stays through restarts and `up`
    until you end it; `verify` says so. Roll-outs go on meanwhile.
    """
    from cli.maintenance import run
    from cli.stack.open import open_stack

    raise typer.Exit(run(open_stack(stack, emulate=emulate), service, state, page=page, allow=allow or []))


@_command(app, "restart", **PULUMI_OPTIONS)
def restart(
    context: typer.Context,
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", autocompletion=_service_names)
    ],
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Give a service fresh containers, host after host, at the version that serves.

    Each gets the traffic once it is healthy, so no request fails; a service of which two versions may not run at once
    is away for a moment, as in a roll-out. Secrets are as they are now. Runs an update of the service alone.
    """
    from cli.update.restart import run

    raise typer.Exit(run(stack, service, options=context.args, emulate=emulate))


@_command(app, "renew", **PULUMI_OPTIONS)
def renew(
    context: typer.Context,
    stack: StackName = "local",
    yes: Yes = False,
    emulate: Emulate = False,
) -> None:
    """Update all but the services: the command for a schedule.

    Renews the certificates that end soon, and brings hosts, registry and proxies to the configuration, as `up` does.
    Every service stays as it is, whatever code and settings the clone has: nothing is built, and no container of a
    service is touched. Refuses to remove or replace hosts, or the registry, even with --yes.
    """
    from cli.update.renew import run

    raise typer.Exit(run(stack, yes=yes, options=context.args, emulate=emulate))


@_command(app, "stop")
def stop(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", autocompletion=_service_names)
    ],
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Stop a service on all its hosts, until you start it again.

    Its containers end once they have answered what they are at. The service stays stopped through `up`, roll-outs and
    restarts of its hosts, and `up`, `ps` and `verify` say so. Visitors get status 503.
    """
    from cli.stack.open import open_stack
    from cli.stop import stop as run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), service))


@_command(app, "start")
def start(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", autocompletion=_service_names)
    ],
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Start a service again that was stopped, on all its hosts.

    Waits until it is healthy; the exit status is 1 if it is not within its `healthTimeout`.
    """
    from cli.stack.open import open_stack
    from cli.stop import start as run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), service))


@_command(app, "backup")
def backup(
    service: _BackedUp,
    stack: StackName = "local",
    new: Annotated[
        bool, typer.Option("--new", help="Begin anew where the former backups of the service are lost.")
    ] = False,
    emulate: Emulate = False,
) -> None:
    """Make a backup now, beside the daily ones: of a service's data, of the registry, or of the stack's state.

    The exit status is 1 if it failed; the backups before it stay in any case.
    """
    from cli.backups import backup as run
    from cli.stack.open import open_stack

    raise typer.Exit(run(open_stack(stack, emulate=emulate), service, new=new))


@_command(app, "backups")
def backups(
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE",
            help="One service, `registry` or `state`; by default all.",
            autocompletion=_service_names,
        ),
    ] = None,
    stack: StackName = "local",
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """List the backups of a service, of the registry, of the state, or of all, the newest first."""
    from cli.backups import show
    from cli.stack.config import STATE
    from cli.stack.open import open_stack

    opened = open_stack(stack, emulate=emulate, missing_ok=service == STATE)
    raise typer.Exit(show(opened, service, as_json=as_json))


@_command(app, "restore")
def restore(
    service: _BackedUp,
    stack: StackName = "local",
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TIME|ID",
            help="The id of a backup, or a time, for the last backup until then: 2026-01-31, or "
            "'2026-01-31 14:00' (UTC). By default the last one.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STACK",
            help="The stack whose backup it is, with a service of the same name. By default the same stack.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    emulate: Emulate = False,
) -> None:
    """Put a backup in place of a service's data or of the state, or add its images to the registry.

    Shows which one, and asks. The backup is first restored into fresh volumes, and a container of the service has to be
    healthy with them; if that fails, nothing has changed. Then the service stops for a moment and starts with the
    restored data. The data until now stays in volumes of other names, which are printed.

    The registry gets back what it lacks, and goes on meanwhile. The state can be restored where it is missing: this
    takes the stack's file, its passphrase, and restic.
    """
    from cli.backups import restore as run
    from cli.stack.config import STATE
    from cli.stack.open import open_stack

    opened = open_stack(stack, emulate=emulate, missing_ok=service == STATE)
    raise typer.Exit(run(opened, service, at, yes=yes, source=open_stack(source) if source else None))


@_command(app, "drill")
def drill(
    service: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE",
            help="One service, `registry` or `state`; by default all.",
            autocompletion=_service_names,
        ),
    ] = None,
    blank: Annotated[
        bool,
        typer.Option(
            "--blank",
            help="Restore onto hosts that are made for this on this machine and removed afterwards.",
        ),
    ] = False,
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Try whether backups can be restored: the last one of a service, of the registry, of the state, or of each.

    That of a service is restored into fresh volumes and a fresh container beside those that serve, on its host, which
    are removed afterwards; images are restored beside those of the registry. Says how long that took. The exit status
    is 1 if one could not be restored.

    With --blank, all is restored onto new hosts on this machine: the stack `drill-NAME` is made from this stack's file,
    updated as any other, restored, verified, and removed. Nothing of it outlives the command.
    """
    from cli.stack.open import open_stack

    opened = open_stack(stack, emulate=emulate)
    if blank:
        from cli.environments.blank_drill import drill as run_on_blank_hosts

        raise typer.Exit(run_on_blank_hosts(opened, service))
    from cli.backups import drill as run

    raise typer.Exit(run(opened, service))


@_command(app, "prune")
def prune(
    stack: StackName = "local",
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", "-n", help="Only show what would be removed, and how much space that would free."
        ),
    ] = False,
    hosts: Annotated[
        bool,
        typer.Option("--hosts", help="Remove images and build cache of the hosts, not of the registry."),
    ] = False,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Remove images that the retention rule does not keep.

    The rule is slipway:registry.retention, and the registry's host applies it each day. Images that a host serves or a
    service is going to run stay, and so do images that others are built on. Asks each host which images it serves.
    Pulls work during the removal; pushes are refused for a moment.

    With --hosts it goes by slipway:cleanup, as each host does by itself each hour. Nothing that a container has goes,
    and whatever goes can be pulled again.
    """
    from cli.stack.open import open_stack

    opened = open_stack(stack, emulate=emulate)
    if hosts:
        from cli.update.prune_hosts import run as prune_hosts

        raise typer.Exit(prune_hosts(opened, dry_run=dry_run, as_json=as_json))
    from cli.registry.prune import run

    run(opened, dry_run=dry_run, as_json=as_json)


@_command(app, "new")
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new stack's name, such as staging.")],
    like: Annotated[
        str,
        typer.Option(
            "--like", metavar="STACK", help="Begin with this stack's settings.", autocompletion=_stack_names
        ),
    ] = "",
    platform: Annotated[str, typer.Option("--platform", metavar="KIND", help="local or aws.")] = "",
    region: Annotated[str, typer.Option("--region", metavar="REGION", help="The AWS region.")] = "",
    admin_cidr: Annotated[
        list[str] | None,
        typer.Option(
            "--admin-cidr",
            metavar="NETWORK",
            help="On AWS: a network that may reach SSH and the engines. May be repeated.",
        ),
    ] = None,
    preview: Annotated[
        bool,
        typer.Option(
            "--preview/--skip-preview", help="Say what the first `up` would do.", show_default=False
        ),
    ] = True,
) -> None:
    """Make one more stack, and say what its first `up` would do.

    Asks for what is missing. Writes Pulumi.NAME.yaml: on the platform local with ports of 127.0.0.1 that no other stack
    of this clone and nothing on this machine uses, on AWS with a network that no other stack of this clone has. Makes
    the stack and its passwords. Secrets of another stack are not copied, and names in the DNS get the new stack's name
    in front.
    """
    from cli.environments.new import run
    from cli.environments.wish import Wish

    raise typer.Exit(
        run(Wish(name, like, platform, region, tuple(admin_cidr or ())), preview=preview),
    )


@_command(app, "stacks")
def stacks(
    drift: Annotated[
        bool,
        typer.Option(
            "--drift", help="Also look for drift, by a preview with a refresh. Takes seconds for each stack."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """List the stacks: platform, last update, by whom, and when certificates end.

    Asks the backend for each stack's state and its last update; a stack's file alone says only what it is to be. With
    --drift the exit status is 1 if anything differs from what the last `up` made, or if that cannot be told.
    """
    from cli.environments.stacks import run

    raise typer.Exit(run(drift=drift, as_json=as_json))


PullRequest = Annotated[str, typer.Argument(metavar="NUMBER", help="The pull request's number.")]


@_command(review, "open")
def review_open(
    pull_request: PullRequest,
    ttl: Annotated[
        str,
        typer.Option(
            "--ttl",
            metavar="TIME",
            help="How long it stays from now on: 12h, 3d, 1w. By default slipway:review.ttlHours, three days.",
        ),
    ] = "",
) -> None:
    """Make a stack for a pull request, or update it.

    The stack is called pr-NUMBER. Its settings are those of Pulumi.review.yaml, and its hosts are its own: containers
    on this machine, on ports that nothing else has. Deploys the tree as it is, as `up` does. Each `open` begins the
    stack's time anew. Refuses one more than slipway:review.limit.
    """
    from cli.environments.reviews import record
    from cli.environments.reviews.opening import run

    raise typer.Exit(run(record.number(pull_request), record.ttl(ttl) if ttl else None))


@_command(review, "list")
def review_list(as_json: Json = False) -> None:
    """List the review environments: until when they stay, where they answer, and what is wrong with them."""
    from cli.environments.reviews.commands import show

    raise typer.Exit(show(as_json=as_json))


@_command(review, "close")
def review_close(pull_request: PullRequest) -> None:
    """Remove the stack of a pull request with its hosts, images and data.

    Asks nothing, and does not need the stack's passphrase. Works after a killed `open`, and with hosts that are dead.
    Looks at the engine, the disk and the backend afterwards; the exit status is 1 if something of it is left. One that
    does not exist is fine.
    """
    from cli.environments.reviews import record
    from cli.environments.reviews.commands import close

    raise typer.Exit(close(record.number(pull_request)))


@_command(review, "sweep")
def review_sweep() -> None:
    """Remove the review environments whose time is over, and what killed commands have left.

    For a schedule, such as each hour. The exit status is 1 if something cannot be removed; the others are removed all
    the same.
    """
    from cli.environments.reviews.commands import sweep

    raise typer.Exit(sweep())


@_command(app, "config")
def config(
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY", help="The setting, such as services.web.domain; without it, all are listed."
        ),
    ] = None,
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The new value. Lists and maps as in YAML: [a, b].")
    ] = None,
    stack: StackName = "local",
    unset: Annotated[
        bool, typer.Option("--unset", help="Remove the setting from the file, so that its default counts.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Explain a setting, show its value and where that comes from, or set it.

    A value is checked by the rules of `up` before it is written. Comments and layout of the file stay. The next `up`
    puts it in place. Secrets are set by `./slip secret set`.
    """
    from cli.settings import command

    if key is None:
        command.show_all(stack, as_json=as_json)
    elif value is None and not unset:
        command.explain(stack, key, as_json=as_json)
    else:
        command.set_(stack, key, value)


@_command(app, "env")
def env(stack: StackName = "local", emulate: Emulate = False) -> None:
    """Print the variables for plain `pulumi` commands.

    Use it as: eval "$(./slip env)". Prepares this machine and the stack as `up` does. A backend and a passphrase of
    your own are kept.
    """
    import shlex

    from cli.stack.open import open_stack

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
    """Remove a lost host from the state, so that `up` works.

    Removes the resources on it, too. Works offline: it changes only the state, and keeps a backup in .slipway/backups.
    The next `up` replaces the host, or leaves it out if it is no longer in the configuration.
    """
    from cli.stack.open import open_stack
    from cli.update.forget import run

    run(open_stack(stack, emulate=emulate), host, yes=yes)


@_command(app, "repair")
def repair(
    host: Annotated[
        str | None,
        typer.Argument(help="Only this host; without it, all hosts.", autocompletion=_host_names),
    ] = None,
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Make again what differs on the hosts from what `up` made.

    Compares files (content, owner, mode), services, the engine's options, containers and routes, and the registry's
    images. Runs a host's set-up again where something differs: that starts a stopped engine and closes an open one, and
    no request is lost. Pulumi makes containers that do not exist any more. Deploys nothing new: that is `up`. The exit
    status is 1 if something still differs.
    """
    from cli.stack.open import open_stack
    from cli.update.repair import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), host))


@_command(app, "history")
def history(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="A service, for its versions; without one, the stack's updates.",
            autocompletion=_service_names,
            show_default=False,
        ),
    ] = "",
    stack: StackName = "local",
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=1000, metavar="N", help="How many updates or versions.")
    ] = 10,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """List the stack's updates, or the versions of a service.

    Of an update: when, by whom, from which commit, and which settings it changed. Names settings only, never a value;
    of a secret it says that it changed. Updates by plain `pulumi` have the message that was given there.

    Of a version: its image and commit, when, by whom and where it was deployed last, how long that took, and how it
    ended. The same image with the same settings and secrets is the same version. Versions that the backend does not
    have, after an old copy of its state was restored for example, come from the registry's records.

    Everything is in the backend, so everyone who can update the stack sees the same.
    """
    from cli.stack.open import open_stack

    opened = open_stack(stack, emulate=emulate)
    if service:
        from cli.update.version_table import show

        show(opened, service, count=count, as_json=as_json)
        return
    from cli.update.history import run

    run(opened, count=count, as_json=as_json)


ServiceName = Annotated[
    str, typer.Argument(metavar="SERVICE", help="The service's name.", autocompletion=_service_names)
]


@_command(app, "diff")
def diff_of_versions(
    service: ServiceName,
    first: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version's number, as `history` shows it.")
    ],
    second: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]", help="Another one; by default the current one.", show_default=False
        ),
    ] = None,
    stack: StackName = "local",
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Say what differs between two versions of a service: image, commit, settings, names of secrets.

    `./slip history SERVICE` shows the versions. What `up` would change is what `./slip preview` says.
    """
    from cli.stack.open import open_stack
    from cli.update.version_table import show_difference

    show_difference(open_stack(stack, emulate=emulate), service, first, second, as_json=as_json)


@_command(app, "rollback", **PULUMI_OPTIONS)
def rollback(
    context: typer.Context,
    service: ServiceName,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="The version's number. By default the last good one before the current one.",
            show_default=False,
        ),
    ] = None,
    unverified: Annotated[
        bool,
        typer.Option(
            "--unverified",
            help="Take a version of the registry, too, that this stack's state has not recorded.",
        ),
    ] = False,
    stack: StackName = "local",
    yes: Yes = False,
    emulate: Emulate = False,
) -> None:
    """Take a service back to a version: code and settings as they were, secrets as they are now.

    Builds nothing, and pulls nothing that a host still has; other services and hosts stay as they are. Says what
    changes, and asks. The rollback holds: no `up`, on whatever machine, deploys what was left until its code or its
    settings change, or until `./slip up --forward SERVICE`. A version that only the registry has a record of is in the
    state again afterwards. Runs `pulumi up` for the service's own resources, with the options after `--`.
    """
    from cli.update.rollback import run

    options = tuple(context.args)
    raise typer.Exit(
        run(stack, service, to=to, yes=yes, unverified=unverified, options=options, emulate=emulate)
    )


@_command(app, "promote", **PULUMI_OPTIONS)
def promote(
    context: typer.Context,
    service: ServiceName,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STACK",
            help="The stack that runs the version.",
            show_default=False,
            autocompletion=_stack_names,
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="STACK",
            help="The stack that gets it.",
            show_default=False,
            autocompletion=_stack_names,
        ),
    ],
    yes: Yes = False,
) -> None:
    """Deploy in one stack the image that another one runs: by digest, without a build.

    Copies the image, its own base image and their signatures from registry to registry, and deploys it as a version,
    with the settings and secrets of the stack that gets it. Refuses what the other stack does not run healthily on all
    hosts, as these say themselves. Says what changes, and asks. The image is pinned: no `up`, on whatever machine,
    builds another one until the service's code changes, or until `./slip up --forward SERVICE`. Runs `pulumi up` for
    the service's own resources, with the options after `--`.
    """
    from cli.update.promote import run

    options = tuple(context.args)
    raise typer.Exit(run(service, source=source, target=target, yes=yes, options=options))


@_command(app, "output")
def output(
    key: Annotated[
        str | None, typer.Argument(help="The output to print; without it, all are printed.")
    ] = None,
    stack: StackName = "local",
    show_secrets: ShowSecrets = False,
    as_json: Json = False,
    emulate: Emulate = False,
) -> None:
    """Print the stack's outputs, such as addresses and URLs."""
    from cli.outputs import show
    from cli.stack.open import open_stack

    show(open_stack(stack, emulate=emulate), key, show_secrets=show_secrets, as_json=as_json)


@_command(app, "trust")
def trust(
    stack: StackName = "local",
    remove: Annotated[bool, typer.Option("--remove", help="Trust it no more.")] = False,
    emulate: Emulate = False,
) -> None:
    """Have this machine and its browsers trust the stack's services, those with `tls: own`.

    Puts the authority that signs their certificates into the store of this machine (Debian, Fedora, macOS), and into
    those of Firefox and Chromium if `certutil` is installed. Asks for root's rights with sudo where they are needed.
    Run it again after a rotation of that authority. Other stacks' authorities stay.
    """
    from cli.stack.open import open_stack
    from cli.trust import run

    raise typer.Exit(run(open_stack(stack, emulate=emulate), remove=remove))


@_command(account, "list")
def account_list(stack: StackName = "local", emulate: Emulate = False) -> None:
    """List the accounts, and whether each has a password."""
    from cli.registry import accounts
    from cli.stack.open import open_stack

    accounts.show(open_stack(stack, emulate=emulate))


AccountName = Annotated[
    str, typer.Argument(metavar="NAME", help="The account's name.", autocompletion=_user_names)
]


@_command(account, "add")
def account_add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new account's name.")],
    stack: StackName = "local",
) -> None:
    """Add an account with a new password.

    Changes the configuration; the next `up` puts it in place. The registry is not restarted, and other accounts stay
    logged in.
    """
    from cli.registry import accounts
    from cli.stack.open import open_stack

    accounts.add(open_stack(stack, edits=True), name)


@_command(account, "remove")
def account_remove(name: AccountName, stack: StackName = "local") -> None:
    """Remove an account and its password.

    Changes the configuration; from the next `up` on, the registry refuses the account.
    """
    from cli.registry import accounts
    from cli.stack.open import open_stack

    accounts.remove(open_stack(stack, edits=True), name)


@_command(account, "rotate")
def account_rotate(name: AccountName, stack: StackName = "local", emulate: Emulate = False) -> None:
    """Give an account a new password.

    From the next `up` on, the registry accepts only the new one. NAME may be `hosts`: the account with which the
    stack's hosts push and pull.
    """
    from cli.registry import accounts
    from cli.stack.open import open_stack

    accounts.rotate(open_stack(stack, edits=True, emulate=emulate), name)


@_command(account, "password")
def account_password(
    name: AccountName,
    stack: StackName = "local",
    emulate: Emulate = False,
) -> None:
    """Print an account's password.

    For `docker login --password-stdin`.
    """
    from cli.registry import accounts
    from cli.stack.open import open_stack

    print(accounts.password(open_stack(stack, emulate=emulate), name))


@_command(account, "certificate")
def account_certificate(
    name: AccountName,
    stack: StackName = "local",
    key: Annotated[
        bool, typer.Option("--key", help="Print the private key instead. Keep it secret.")
    ] = False,
) -> None:
    """Print an account's client certificate for the registry.

    Needs `registry.clientCertificates`.
    """
    from cli.registry import accounts
    from cli.stack.open import open_stack

    print(accounts.certificate(open_stack(stack), name, key=key), end="")


def _secret_names(incomplete: str) -> list[str]:
    """For shell completion: the secrets that are set, or that services use."""
    configurations = _configurations()
    names = {name for config in configurations for name in (*config.secrets, *config.secret_users)}
    return sorted(name for name in names if name.startswith(incomplete))


@_command(secret, "set")
def secret_set(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="The secrets; without a name, those that services use and that are not set.",
            autocompletion=_secret_names,
        ),
    ] = None,
    stack: StackName = "local",
) -> None:
    """Set secrets, new or not.

    Asks for each value without showing it, or reads standard input: all of it for one secret, a line NAME=VALUE for
    each of several. Works before the first `up`. Changes the configuration, where the value is encrypted; the next `up`
    puts it in place.
    """
    from cli.stack import secrets
    from cli.stack.open import open_stack

    secrets.set_(open_stack(stack, edits=True, create_stack=True), names or [])


@_command(secret, "list")
def secret_list(stack: StackName = "local", as_json: Json = False) -> None:
    """List the secrets, whether each is set, and which services use it.

    Never prints a value.
    """
    from cli.stack import secrets
    from cli.stack.project import Project

    secrets.show(Project.here(), stack, as_json=as_json)


@_command(secret, "rm")
def secret_rm(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The secret.", autocompletion=_secret_names)],
    stack: StackName = "local",
    yes: Yes = False,
) -> None:
    """Remove a secret.

    Asks if a service uses it.
    """
    from cli.stack import secrets
    from cli.stack.open import open_stack

    secrets.remove(open_stack(stack, edits=True, create_stack=True), name, yes=yes)


def _operator_names(incomplete: str) -> list[str]:
    """For shell completion: the operators in the configurations."""
    names = {name for config in _configurations() for name in config.operators}
    return sorted(name for name in names if name.startswith(incomplete))


@_command(operator, "certificate")
def operator_certificate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The operator's name.", autocompletion=_operator_names)
    ],
    stack: StackName = "local",
    key: Annotated[
        bool, typer.Option("--key", help="Print the private key instead. Keep it secret.")
    ] = False,
    emulate: Emulate = False,
) -> None:
    """Print an operator's own client certificate for the engines.

    Each of `slipway:operators` has one, besides the SSH key that the setting names. Remove the person's line and run
    `./slip up`: then the hosts refuse both.
    """
    from cli.operators import certificate
    from cli.stack.open import open_stack

    print(certificate(open_stack(stack, emulate=emulate), name, key=key), end="")


@_command(git_remote, "add")
def git_remote_add(
    branch: Annotated[
        str, typer.Argument(metavar="BRANCH", help="The branch whose pushes deploy the stack.")
    ],
    stack: StackName = "local",
) -> None:
    """Have pushes to a branch deploy a stack.

    Makes a repository on this machine, to which the operators of the stack (`slipway:operators`) may push by SSH as
    this user, and do nothing else. A push runs `./slip up` with what was pushed, and shows what it prints. If that
    fails, git refuses the push. Also keeps backend, passphrase and cloud variables of this shell for it, in a file
    for this user alone. Run it again after you changed these, or who may push, by hand.
    """
    from cli.push import set_up
    from cli.push.remote import Remote

    set_up.add(Remote.here(), branch, stack)


@_command(git_remote, "list")
def git_remote_list(as_json: Json = False) -> None:
    """List which branch deploys which stack, what was pushed last, and how that ended."""
    from cli.push import set_up
    from cli.push.remote import Remote

    set_up.show(Remote.here(), as_json=as_json)


@_command(git_remote, "remove")
def git_remote_remove(
    branch: Annotated[str, typer.Argument(metavar="BRANCH", help="The branch.")],
) -> None:
    """Have pushes to a branch deploy nothing any more. The stack runs on."""
    from cli.push import set_up
    from cli.push.remote import Remote

    set_up.remove(Remote.here(), branch)


@_command(git_remote, "serve", hidden=True)
def git_remote_serve(fingerprint: Annotated[str, typer.Argument()]) -> None:
    """For sshd: be git's side of a push or a fetch."""
    from cli.push.remote import Remote
    from cli.push.serve import serve

    serve(Remote.here(), fingerprint)


@_command(git_remote, "receive", hidden=True)
def git_remote_receive() -> None:
    """For git: deploy a push, as its hook."""
    from cli.push.receive import receive
    from cli.push.remote import Remote

    raise typer.Exit(receive(Remote.here(), sys.stdin))


@_command(webhook, "serve")
def webhook_serve(
    source: Annotated[
        str,
        typer.Option(
            "--from", metavar="URL", help="Where to fetch the forge's repository: what `git clone` takes."
        ),
    ],
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to listen.")
    ] = "127.0.0.1:9000",
    certificate: Annotated[
        str, typer.Option("--certificate", metavar="FILE", help="The certificate for HTTPS, with its chain.")
    ] = "",
    key: Annotated[str, typer.Option("--key", metavar="FILE", help="The certificate's private key.")] = "",
) -> None:
    """Receive a forge's webhook, until interrupted, and deploy what was pushed.

    The branches are those of `./slip git-remote add`. GitHub, Gitea and Forgejo sign their requests (HMAC with
    SHA-256), which Debian's program `webhook` compares. Another signature, a delivery that was here before, and other
    branches deploy nothing. Without a certificate it listens on this machine only.
    """
    from cli.push import webhook as receiver
    from cli.push.remote import Remote

    receiver.serve(Remote.here(), source, listen, certificate, key)


@_command(webhook, "secret")
def webhook_secret() -> None:
    """Print the secret by which the forge signs, for the forge's settings."""
    from cli.push import webhook as receiver
    from cli.push.remote import Remote

    print(receiver.secret(Remote.here()))


@_command(webhook, "receive", hidden=True)
def webhook_receive() -> None:
    """For `webhook`: begin a deployment, or refuse."""
    from cli.push import webhook as receiver
    from cli.push.remote import Remote

    raise typer.Exit(receiver.receive(Remote.here(), os.environ))


@_command(webhook, "deploy", hidden=True)
def webhook_deploy(
    branch: Annotated[str, typer.Argument()], revision: Annotated[str, typer.Argument()]
) -> None:
    """For the receiver: fetch the forge's branch, which has this revision, and deploy it."""
    from cli.push import webhook as receiver
    from cli.push.remote import Remote

    raise typer.Exit(receiver.deploy_fetched(Remote.here(), branch, revision))


@_command(app, "login")
def login(
    stack: StackName = "local",
    account: Annotated[
        str | None,
        typer.Option(
            "--account", "-a", metavar="NAME", help="The account to log in with.", autocompletion=_user_names
        ),
    ] = None,
) -> None:
    """Log this machine's Docker in to the stack's registry.

    Installs the registry's CA, then logs in with the first account in `registry.users`, unless you pass --account.
    `./slip logout` undoes both.
    """
    from cli.registry.login import login as run
    from cli.stack.open import open_stack

    run(open_stack(stack), account)


@_command(app, "logout")
def logout(stack: StackName = "local") -> None:
    """Undo `login`, even if the stack is gone."""
    from cli.registry.login import logout as run
    from cli.stack.project import Project

    run(Project.here(), stack)


@_command(app, "version")
def version(as_json: Json = False) -> None:
    """Print the versions of Slipway, Pulumi, its plugins, Docker Engine and Python.

    Works without any of the tools.
    """
    from cli.version import run

    run(as_json=as_json)
