"""What is said at the end of a run: what runs where, or why it failed, what serves now and the next step."""

import os
from collections.abc import Sequence

from cli import console, outputs
from cli.screen.failure import Names, Reason, reasons, without_hosts
from cli.screen.plan.sentences import about_gone, sentences, totals
from cli.screen.record import Record
from cli.screen.subjects import Part, subject
from cli.stack import deployment, passphrase
from cli.stack.pulumi_errors import last_error, trouble
from cli.stack.stack import Stack
from cli.update import diagnosis, serving
from cli.update.aftermath import Aftermath
from cli.update.diagnosis import Silence
from cli.update.run import Run
from toolchain.report import duration

REFUSED, FAILED = 3, 1
"""Exit statuses of a run that could not begin, and of one that failed."""
NO_CHANGES_EXPECTED = "no changes were expected"
"""What the CLI says of changes despite --expect-no-changes."""


def say_what_runs(stack: Stack, run: Run) -> None:
    """After a good `up`: what changed, and what runs where."""
    record = run.record
    shown = deployment.stack_outputs(stack.deployment())
    services = serving.answers(shown, stack.option)
    new_hosts = any(subject(step).part is Part.HOST for step in record.done if step.operation == "create")
    if record.is_first or new_hosts or not record.counts:
        outputs.summary(stack, shown, services)
        return
    console.result(f"✓ {_changed(record)} ({duration(run.seconds)})")
    width = max((len(who) for who, _, _ in services), default=0)
    for who, url, answer in services:
        console.result(f"  {who:<{width}}  {url}{f'  {answer}' if answer else ''}")
    for who in (who for who, _, answer in services if answer == serving.STOPPED):
        console.warn(f"{who} is stopped. To start it: ./slip start {who.partition(' ')[0]}{stack.option}")
    if any(answer not in {*serving.EXPECTED, serving.STOPPED} for _, _, answer in services):
        console.warn(f"Not every service is healthy. `./slip verify{stack.option}` shows what is wrong.")


def _changed(record: Record) -> str:
    counts = record.counts
    words = (
        ("made", ("create", "import")),
        ("changed", ("update",)),
        ("replaced", ("replace",)),
        ("removed", ("delete",)),
    )
    parts = [
        f"{number} {word}" for word, names in words if (number := sum(counts.get(name, 0) for name in names))
    ]
    same = counts.get("same", 0)
    if not parts:
        return f"nothing to change: {same} resources are as configured"
    return f"{', '.join(parts)}, {same} unchanged" if same else f"{', '.join(parts)} resources"


def say_removed(run: Run) -> None:
    """After a good `down`."""
    if run.record.counts:
        console.say(f"✓ {_changed(run.record)} ({duration(run.seconds)})")


def say_plan(stack: Stack, record: Record, *, is_last: bool) -> None:
    """After a preview: what will happen to whom. `is_last`: no question follows."""
    for sentence in [*about_gone(record.gone), *sentences(record.steps, stack.config.batches)]:
        console.result(f"{sentence.about}: {sentence.text}", bold=len(sentence.about) + 1)
    console.result(totals(record.counts))
    if record.changes and is_last:
        console.result(f"`./slip up{stack.option}` does this. With --diff, preview shows each property.")


def say_failure(
    stack: Stack, run: Run, silent: Sequence[Silence], command: str, *, serving_now: Aftermath | None = None
) -> int:
    """After a failed run: the reasons, what serves now, the next steps. Returns the exit status.

    Args:
        stack: the stack.
        run: the run.
        silent: the hosts that do not answer.
        command: `up`, `preview` or `down`.
        serving_now: what the hosts say; None if the run has not begun to change something.

    """
    record = run.record
    foreign = foreign_keys(stack, record)
    found = foreign or without_hosts(
        reasons(record, Names(command, stack.option, stack.edited_file.name)),
        [silence.host for silence in silent],
    )
    if not found and not silent:
        found = _of_cli(stack, run)
    if os.environ.get("SLIPWAY_DEBUG"):
        for text in (*(message.text for message in record.errors), *record.crash, run.stderr):
            console.say(text)
    for reason in found:
        console.error(reason.text)
    if serving_now:
        say_what_serves(serving_now, record)
    for step in dict.fromkeys(reason.remedy for reason in found if reason.remedy):
        console.say(step)
    for text in (
        *(diagnosis.advice(silence, stack.option) for silence in silent),
        *diagnosis.advice_on_orphans(stack.deployment(), stack.option),
    ):
        console.warn(text)
    is_refused = bool(found) and all(reason.is_refusal for reason in found)
    return REFUSED if is_refused and not serving_now and not silent else FAILED


def why_failed(stack: Stack, run: Run, command: str) -> list[str]:
    """The first line of each reason of a failed run."""
    found = reasons(run.record, Names(command, stack.option, stack.edited_file.name))
    return [reason.text.partition("\n")[0] for reason in found]


def foreign_keys(stack: Stack, record: Record) -> list[Reason]:
    """A reason for each host that presented another SSH host key than the stack's."""
    hosts = {subject(record.by_urn[urn]).host for urn in record.foreign_keys if urn in record.by_urn}
    if not record.foreign_keys:
        return []
    # Slow to import.
    import asyncio

    from cli.running import ssh

    known = deployment.stack_outputs(stack.deployment()).get("hosts") or {}
    found = []
    for host in sorted(hosts):
        keys, facts = "", known.get(host)
        if facts:
            expected, came = asyncio.run(ssh.fingerprints(facts, diagnosis.PATIENCE))
            keys = f" at {facts['address']}:{int(facts['sshPort'])}: {expected} was expected, {came} came"
        found.append(
            Reason(
                f"{host}: a machine with another SSH host key than the stack's answers{keys}. It was told nothing",
                ssh.remedy_of_foreign_key(host, stack.option),
                host=host,
            )
        )
    return found or [Reason("a host presents another SSH host key than the stack's")]


def _of_cli(stack: Stack, run: Run) -> list[Reason]:
    """The reason of a CLI that ended without one in its events: it could not begin, or it crashed."""
    if not run.stderr.strip():
        if run.is_quiet:
            return [Reason(f"Pulumi ended with status {run.status}, and said nothing")]
        return [Reason("Pulumi failed; its message is above", is_refusal=not run.record.steps)]
    if NO_CHANGES_EXPECTED in run.stderr:
        return [
            Reason(
                "something changes, and --expect-no-changes forbids it",
                f"`./slip preview{stack.option}` says what.",
            )
        ]
    if known := trouble(run.stderr, stack.name, stack.option):
        is_local = stack.config.platform == "local"
        remedy = (
            passphrase.way_out(local=is_local, option=stack.option) if known.is_passphrase else known.remedy
        )
        return [Reason(known.reason, remedy, is_refusal=True)]
    text = last_error(run.stderr)
    return [
        Reason(
            f"Pulumi failed: {text}",
            "Run the same command with --verbose to see all that Pulumi says.",
            is_refusal=not run.record.steps,
        )
    ]


def say_what_serves(aftermath: Aftermath, record: Record) -> None:
    """After a failed update: what each host serves, as it says itself."""
    abouts = [subject(step) for step in record.done if step.is_change]
    lines = serving.report(
        aftermath, {(about.of, about.host) for about in abouts if about.part is Part.SWITCH}
    )
    if not lines:
        return
    console.say("Serving now:")
    width = max(len(who) for who, _ in lines)
    for who, what in lines:
        console.say(f"  {who:<{width}}  {what}")
