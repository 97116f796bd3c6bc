"""A hook of MkDocs: `README.md`, `CONTRIBUTING.md` and what they and `docs/` link to are pages of the site, too.

These files lie outside of `docs/`, where the forge shows them. Links between them and `docs/` are written for the forge
and rewritten here for the site. A link that leads nowhere fails the build, since that is strict.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "plugins/README.md": "plugins.md",
    "tests/plugins/recordings/README.md": "recordings.md",
    "examples/consumer/README.md": "examples/consumer.md",
    "examples/postgres-app/README.md": "examples/postgres-app.md",
    "examples/erddap/README.md": "examples/erddap.md",
    "examples/renewal.yml": "examples/renewal.yml",
    "examples/webhook/haproxy.cfg": "examples/webhook/haproxy.cfg",
    "examples/gitlab/.gitlab-ci.yml": "examples/gitlab-ci.yml",
    "examples/gitea/preview.yml": "examples/gitea/preview.yml",
    "examples/gitea/deploy.yml": "examples/gitea/deploy.yml",
    "examples/gitea/drift.yml": "examples/gitea/drift.yml",
    "examples/gitea/review.yml": "examples/gitea/review.yml",
    "examples/gitea/sweep.yml": "examples/gitea/sweep.yml",
    "examples/automation/deploy.py": "examples/automation/deploy.py",
    "examples/grafana/proxies.json": "examples/grafana/proxies.json",
    "LICENSE": "LICENSE.txt",
}
"""What the site shows of the clone besides `docs/`: where it lies, and where it goes."""
_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """Add the files outside of `docs/`."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Let links lead to where the files are in the site."""
    here = page.file.src_uri
    source = next((source for source, name in PAGES.items() if name == here), f"docs/{here}")

    def in_site(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
        target = PAGES.get(target, target.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(here) or ".")

    return _LINK.sub(in_site, markdown)
