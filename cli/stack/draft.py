"""What a preview works with where `up` would first make something: a copy of the configuration, and a stack.

A preview changes no file of the clone's but private ones, and leaves no stack.
"""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace

from cli import console
from cli.errors import CommandError
from cli.stack import passwords
from cli.stack.config import StackConfig
from cli.stack.stack import LOCAL_STACK, Stack


@contextlib.contextmanager
def drafted(stack: Stack) -> Iterator[Stack]:
    """The stack as the next `up` finds it: with a configuration, existing, with a password for each account.

    If nothing is missing, it is the stack itself.
    """
    source = stack.config_file if stack.config_file.exists() else LOCAL_STACK
    config = StackConfig.read(source, stack.project.name)
    missing = passwords.missing_passwords(config)
    exists = stack.exists()
    if exists and not missing:
        yield stack
        return
    folder = stack.project.private / "preview" / stack.short_name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        shutil.copyfile(stack.project.root / "Pulumi.yaml", folder / "Pulumi.yaml")
        draft = replace(stack, draft=folder / stack.config_file.name)
        shutil.copyfile(source, draft.config_file)
        if not exists:
            # In the folder, since Pulumi writes the salt into the file beside Pulumi.yaml.
            replace(draft, pulumi=replace(stack.pulumi, directory=folder)).create()
        if missing:
            passwords.make_passwords(draft, missing)
            what, them = ("passwords", "them") if len(missing) > 1 else ("a password", "it")
            console.say(
                f"The preview assumes {what} for {', '.join(missing)}: `./slip up{stack.option}` makes {them}."
            )
        yield draft
    finally:
        # An `up` that began meanwhile has taken the stack over. Pulumi itself keeps one that has resources.
        if not exists and not stack.locks() and not stack.project.marker(stack.short_name).exists():
            with contextlib.suppress(CommandError):
                stack.remove()
        shutil.rmtree(folder, ignore_errors=True)
