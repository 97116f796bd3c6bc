"""The guest book's pages: GET / shows the entries, POST / adds one, GET /up says whether the database answers."""

import html
from urllib.parse import parse_qs

import waitress

from database import connect

PAGE = """<!doctype html><meta charset="utf-8"><title>Guest book</title>
<h1>Guest book</h1>
<form method="post"><input name="text" maxlength="500" required autofocus><button>Sign</button></form>
<ul>{entries}</ul>
"""
LARGEST = 10_000
"""Bytes of a form."""


def app(environ, start_response):
    path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
    try:
        with connect() as connection, connection.cursor() as cursor:
            if path == "/up":
                cursor.execute("select count(*) from entries")
                return answer(start_response, "200 OK", "well\n", "text/plain")
            if path != "/":
                return answer(start_response, "404 Not Found", "There is no such page.\n", "text/plain")
            if method == "POST":
                size = min(int(environ.get("CONTENT_LENGTH") or 0), LARGEST)
                form = parse_qs(environ["wsgi.input"].read(size).decode(errors="replace"))
                text = "".join(form.get("text", ()))[:500].replace("\0", "").strip()
                if text:
                    cursor.execute("insert into entries (text) values (%s)", (text,))
                start_response("303 See Other", [("Location", "/")])
                return [b""]
            cursor.execute("select text, words from entries order by id desc limit 100")
            entries = "".join(
                f"<li>{html.escape(text)} <small>({'not counted yet' if words is None else f'{words} words'})</small>"
                for text, words in cursor
            )
            return answer(start_response, "200 OK", PAGE.format(entries=entries), "text/html")
    except Exception as error:
        print(f"{method} {path}: {error}", flush=True)
        return answer(start_response, "503 Service Unavailable", "The guest book is closed just now.\n", "text/plain")


def answer(start_response, status, text, kind):
    start_response(status, [("Content-Type", f"{kind}; charset=utf-8")])
    return [text.encode()]


if __name__ == "__main__":
    waitress.serve(app, host="0.0.0.0", port=8080, ident="")
