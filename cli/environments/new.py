"""`slip new`: another stack, with a file, passwords and a preview, beside those that the clone has."""

import contextlib
from dataclasses import replace

from cli import console
from cli.environments import draft, network, ports
from cli.environments.draft import FIRST_FILES, Plan
from cli.environments.wish import Clone, Wish, asked, missing, mistakes, platform
from cli.errors import CommandError
from cli.settings.program import in_force
from cli.stack.config import StackConfig
from cli.stack.file_lock import in_turn
from cli.stack.open import open_stack
from cli.stack.project import Project
from cli.stack.stack import Stack
from cli.stack.wanted import wanted
from cli.update import updates
from stackfile.document import show
from stackfile.edit import CannotEdit


def run(wish: Wish, *, preview: bool) -> int:
    """Make a stack. Returns the exit status of its preview.

    Args:
        wish: what it is to be.
        preview: whether to say what its first `up` would do.

    Raises:
        CommandError: the name is taken or wrong, or something is missing or wrong; nothing was made.

    """
    clone = Clone.here(Project.here())
    wrong = mistakes(clone, wish)
    if not wrong and console.is_interactive():
        wish = asked(clone, wish)
        wrong = mistakes(clone, wish)
    _refuse([*wrong, *missing(clone, wish)])
    # Two commands at once would choose the same ports.
    with in_turn(clone.project.private / "new.creation"):
        plan, source = _plan(clone, wish)
        try:
            text = draft.text(source, plan, clone.project.name)
        except CannotEdit as error:
            raise CommandError(f"the stack '{wish.like}' cannot be copied: {error}") from None
        _refuse([problem.text for problem in in_force(clone.project, plan.name, text).problems])
        stack = _made(clone, wish.name, text)
    config = StackConfig.read_text(text, clone.project.name)
    unset = [name for name in config.secret_users if name not in config.secrets]
    _tell(stack, plan, config, unset)
    return updates.preview(stack.name, ()) if preview and not unset else 0


def _refuse(mistakes: list[str]) -> None:
    if mistakes:
        count = "one thing is" if len(mistakes) == 1 else f"{len(mistakes)} things are"
        lines = "\n".join(f"  {mistake}" for mistake in mistakes)
        raise CommandError(f"{count} missing or wrong; nothing was made:\n{lines}", status=2)


def _plan(clone: Clone, wish: Wish) -> tuple[Plan, str]:
    """What is decided, and the text of the file to begin with."""
    kind = platform(clone, wish)
    path = clone.stacks[wish.like] if wish.like else FIRST_FILES[kind]
    text = path.read_text(encoding="utf-8")
    config = StackConfig.read_text(text, clone.project.name)
    plan = Plan(wish.name.rpartition("/")[2], wish.like, kind)
    here = Clone.here(clone.project)
    others = [here.config(stack) for stack in here.stacks]
    if kind == "local":
        return with_ports(plan, config, others), text
    plan = replace(plan, region=wish.region, admin_cidrs=wish.admin_cidrs)
    if network.has_own(config):
        own = (config.setting("platform").get("network") or {}).get("cidr") or str(network.FIRST)
        taken = [*network.of_configurations(others), *network.valid(wish.admin_cidrs)]
        plan = replace(plan, cidr=network.cidr(int(own.partition("/")[2] or 22), taken) or "")
    return plan, text


def with_ports(plan: Plan, config: StackConfig, others: list[StackConfig]) -> Plan:
    """The plan with ports of 127.0.0.1 that nothing else has.

    Raises:
        CommandError: no ports are free.

    """
    stack, where = wanted(config), config.setting("platform")
    current = where.get("portOffset", 0) if isinstance(where, dict) else 0
    taken = ports.of_configurations(others).union(*ports.of_hosts().values())
    found = ports.offset(stack, current, taken, ports.is_held) if stack else None
    if found is None:
        raise CommandError(
            "127.0.0.1 has no free ports for one more stack",
            "Remove a stack that nobody needs: `./slip stacks` lists them.",
        )
    return replace(plan, port_offset=found, shift=found - current)


def _made(clone: Clone, name: str, text: str) -> Stack:
    """Write the file, then make the stack and its passwords. Without a stack the file goes again."""
    path = clone.project.config_file(name.rpartition("/")[2])
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(
            f"the name '{name}': another command has just made {path.name}", status=2
        ) from None
    try:
        return open_stack(name, create=True, project=clone.project)
    except BaseException:
        made = False
        # Where the backend does not answer, the file goes, too.
        with contextlib.suppress(CommandError):
            made = clone.has_state(name)
        if not made:
            path.unlink(missing_ok=True)
        raise


def _tell(stack: Stack, plan: Plan, config: StackConfig, unset: list[str]) -> None:
    """Say what was made, and what is left to do."""
    path = stack.config_file.name
    if plan.port_offset is not None:
        console.say(f"Wrote {path}: its ports of 127.0.0.1 are those of portOffset {plan.port_offset}.")
    else:
        where = f" in {plan.cidr}" if plan.cidr else ""
        console.say(f"Wrote {path}: its network{where} is in {config.region}.")
    for at, names in draft.domains(config).items():
        console.say(
            f"{show(at)} is {', '.join(names)}: a name leads to one stack only. Change it as you like."
        )
    if unset:
        console.say(
            f"Services use secrets that have no value yet: `./slip secret set {' '.join(unset)}{stack.option}` "
            f"sets them; then `./slip preview{stack.option}` says what `./slip up{stack.option}` will do."
        )
