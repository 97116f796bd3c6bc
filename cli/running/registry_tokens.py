"""Bearer tokens: how registries such as Docker Hub authenticate an account.

Source: the distribution project's "Token Authentication Specification".
"""

import json
import re
import ssl
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit

from cli.running.http import Account, Response, get

_FIELD = re.compile(r'(\w+)="([^"]*)"')


def token(refusal: Response, account: Account, tls: ssl.SSLContext) -> str:
    """The `Authorization` header with a token from the server that a refusal names; empty without a token.

    Args:
        refusal: the registry's response of status 401.
        account: name and password. They are sent to the token server over TLS only.
        tls: the TLS settings for the token server.

    Raises:
        OSError: the token server does not answer, or TLS refuses it.
        http.client.HTTPException: its response is not HTTP.

    """
    challenge = refusal.header("WWW-Authenticate")
    fields = dict(_FIELD.findall(challenge))
    realm = fields.get("realm", "")
    if not challenge.lower().startswith("bearer ") or urlsplit(realm).scheme != "https":
        return ""
    query = {name: fields[name] for name in ("service", "scope") if fields.get(name)}
    separator = "&" if urlsplit(realm).query else "?"
    response = get(f"{realm}{separator}{urlencode(query)}", tls, account)
    if response.status != HTTPStatus.OK:
        return ""
    try:
        content = json.loads(response.body)
    except ValueError:
        return ""
    found = (content.get("token") or content.get("access_token")) if isinstance(content, dict) else None
    return f"Bearer {found}" if isinstance(found, str) and found else ""
