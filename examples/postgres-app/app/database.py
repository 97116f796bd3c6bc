"""The database, as all parts of the guest book reach it."""

from pathlib import Path

import psycopg2


def connect():
    """A connection to the service `db`, which has this name on every host."""
    return psycopg2.connect(
        host="db",
        dbname="guestbook",
        user="guestbook",
        password=Path("/run/secrets/DB_PASSWORD").read_text().strip(),
        connect_timeout=5,
    )
