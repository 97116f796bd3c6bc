"""Tokens: how registries such as Docker Hub let an account in, who take no password themselves.

Source: the distribution project's "Token Authentication Specification".
"""

import json
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from cli.verify.checks import Answer, get

_FIELD = re.compile(r'(\w+)="([^"]*)"')


def token(refusal: Answer, account: tuple[str, str], context: ssl.SSLContext) -> str:
    """The `Authorization` to ask again with, from whom the registry's refusal names; empty if there is none.

    Args:
        refusal: the registry's answer of status 401.
        account: name and password, which go to whom the registry names, and over TLS only.
        context: TLS, with whom to trust.

    Raises:
        OSError: nobody answers there, or TLS refuses them.
        http.client.HTTPException: no HTTP.

    """
    challenge = _header(refusal.headers, "WWW-Authenticate")
    fields = dict(_FIELD.findall(challenge))
    realm = fields.get("realm", "")
    if not challenge.lower().startswith("bearer ") or urlsplit(realm).scheme != "https":
        return ""
    wanted = {name: fields[name] for name in ("service", "scope") if fields.get(name)}
    separator = "&" if urlsplit(realm).query else "?"
    answer = get(f"{realm}{separator}{urlencode(wanted)}", context, account)
    if answer.status != HTTPStatus.OK:
        return ""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return ""
    found = (told.get("token") or told.get("access_token")) if isinstance(told, dict) else None
    return f"Bearer {found}" if isinstance(found, str) and found else ""


def _header(headers: Mapping[str, str], name: str) -> str:
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")
