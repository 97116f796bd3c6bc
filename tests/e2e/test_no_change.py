"""A second `up` changes nothing, nor does plain `pulumi`, and git status stays clean."""

from tests.support.stack import Stack


def test_second_up_changes_nothing(stack: Stack) -> None:
    result = stack.up("--expect-no-changes")
    assert result.changes == {}, str(result)
    assert len(result.steps) > 40, "the engine looked at hardly any resource"
    first, *services = result.output.splitlines()
    assert first.startswith("✓ nothing to change: "), result.output
    assert [line.split()[3:] for line in services] == [[url, "healthy"] for url in stack.urls()]


def test_preview_that_looks_at_what_is_there_finds_no_change(stack: Stack) -> None:
    result = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert result.status == 0, str(result)


def test_git_status_is_clean_after_up(stack: Stack) -> None:
    assert stack.clone.git("status", "--porcelain") == ""


def test_plain_pulumi_works_in_a_prepared_shell_and_finds_no_change(stack: Stack) -> None:
    for command in ("preview", "up --yes --skip-preview"):
        line = f"pulumi {command} --stack {stack.name} --expect-no-changes --non-interactive"
        result = stack.clone.start(*stack.in_prepared_shell(line)).wait()
        assert result.status == 0, str(result)
        assert "unchanged" in result.output
