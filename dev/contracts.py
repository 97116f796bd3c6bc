"""A contract for import-linter, which checks packages only: what the Python files next to the packages import."""

import ast
from collections.abc import Iterator

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

from toolchain.versions import REPOSITORY


class FilesContract(Contract):
    """Files at the top of the clone import only some of Slipway's packages and files."""

    type_name = "files"

    files = fields.ListField(subfield=fields.StringField())
    """Names of files, such as `startup.py`."""
    may_import = fields.SetField(subfield=fields.StringField())
    """Slipway's packages and files, the latter without `.py`, that they may import."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look at each file's imports, those inside functions included."""
        ours = {path.stem for path in REPOSITORY.glob("*.py")} | set(self.session_options["root_packages"])
        allowed: set[str] = set(self.may_import)  # type: ignore[call-overload]
        broken = [
            f"{name}:{line} imports {imported}"
            for name in self.files  # type: ignore[attr-defined]
            for line, imported in _imports((REPOSITORY / name).read_text())
            if imported in ours - allowed
        ]
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print the imports that are not allowed."""
        for line in check.metadata["broken"]:
            output.print_error(line)


def _imports(source: str) -> Iterator[tuple[int, str]]:
    """Each import's line, and the first part of the imported module's name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module.partition(".")[0]
