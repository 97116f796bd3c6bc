"""A guest book: its pages, its migrations, its worker and its nightly job, each by a word on the command line.

python3 guestbook.py web        GET / shows the entries, POST / adds one, GET /up says whether the database answers
python3 guestbook.py migrate    applies each file of migrations/ once
python3 guestbook.py worker     counts the words of entries
python3 guestbook.py tidy       removes entries that are older than a year
"""

import html
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import psycopg2
import waitress

HERE = Path(__file__).parent
ALIVE = Path("/tmp/alive")  # noqa: S108 - in the worker's own container
"""Its time says when the worker last looked for work: the health check reads that."""
LARGEST = 10_000
"""Bytes of a form."""
LONGEST = 500
"""Characters of an entry."""
PAGE = """<!doctype html><meta charset="utf-8"><title>Guest book</title>
<h1>Guest book</h1>
<form method="post"><input name="text" maxlength="500" required autofocus><button>Sign</button></form>
<ul>{entries}</ul>
"""
NEXT = "select id, text from entries where words is null order by id limit 1 for update skip locked"

Start = Callable[..., Any]


def connect() -> Any:
    """A connection to the service `db`, which has this name on every host."""
    password = Path("/run/secrets/DB_PASSWORD").read_text().strip()
    return psycopg2.connect(
        host="db", dbname="guestbook", user="guestbook", password=password, connect_timeout=5
    )


def app(environ: dict[str, Any], start: Start) -> Iterable[bytes]:
    """The pages, as a WSGI application."""
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    try:
        with connect() as connection, connection.cursor() as cursor:
            if path == "/up":
                cursor.execute("select count(*) from entries")
                return answer(start, "200 OK", "well\n", "text/plain")
            if path != "/":
                return answer(start, "404 Not Found", "There is no such page.\n", "text/plain")
            if method == "POST":
                size = min(int(environ.get("CONTENT_LENGTH") or 0), LARGEST)
                form = parse_qs(environ["wsgi.input"].read(size).decode(errors="replace"))
                text = "".join(form.get("text", ()))[:LONGEST].replace("\0", "").strip()
                if text:
                    cursor.execute("insert into entries (text) values (%s)", (text,))
                start("303 See Other", [("Location", "/"), ("Content-Length", "0")])
                return [b""]
            cursor.execute("select text, words from entries order by id desc limit 100")
            entries = "".join(
                f"<li>{html.escape(text)} <small>({'not counted yet' if words is None else f'{words} words'})"
                "</small>"
                for text, words in cursor
            )
            return answer(start, "200 OK", PAGE.format(entries=entries), "text/html")
    except psycopg2.Error as error:
        print(f"{method} {path}: {error}", flush=True)
        return answer(start, "503 Service Unavailable", "The guest book is closed just now.\n", "text/plain")


def answer(start: Start, status: str, text: str, kind: str) -> Iterable[bytes]:
    """A whole answer."""
    content = text.encode()
    start(status, [("Content-Type", f"{kind}; charset=utf-8"), ("Content-Length", str(len(content)))])
    return [content]


def web() -> None:
    """Answer requests."""
    waitress.serve(app, host="0.0.0.0", port=8080, ident="")  # noqa: S104 - the proxy is outside the container


def migrate() -> None:
    """Apply each file of migrations/ once, in the order of their names, each in a transaction of its own."""
    with connect() as connection, connection.cursor() as cursor:
        # One at a time, whoever else begins meanwhile.
        cursor.execute("select pg_advisory_lock(1)")
        cursor.execute(
            "create table if not exists migrations (name text primary key, at timestamptz default now())"
        )
        connection.commit()
        cursor.execute("select name from migrations")
        done = {name for (name,) in cursor}
        for file in sorted((HERE / "migrations").glob("*.sql")):
            if file.name not in done:
                print(f"applying {file.name}", flush=True)
                cursor.execute(file.read_text())
                cursor.execute("insert into migrations (name) values (%s)", (file.name,))
                connection.commit()


def worker() -> None:
    """Count the words of entries that have no count yet. SIGTERM ends it after the entry that it is at."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while not ended:
        try:
            with connect() as connection, connection.cursor() as cursor:
                while not ended:
                    cursor.execute(NEXT)
                    if entry := cursor.fetchone():
                        number, text = entry
                        cursor.execute(
                            "update entries set words = %s where id = %s", (len(text.split()), number)
                        )
                    connection.commit()
                    ALIVE.touch()
                    if not entry:
                        time.sleep(0.5)
        except psycopg2.Error as error:
            print(f"the database: {error}", flush=True)
            time.sleep(2)


def tidy() -> None:
    """Remove entries that are older than a year."""
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("delete from entries where at < now() - interval '1 year'")
        print(f"removed {cursor.rowcount} entries")


if __name__ == "__main__":
    {"web": web, "migrate": migrate, "worker": worker, "tidy": tidy}[sys.argv[1]]()
