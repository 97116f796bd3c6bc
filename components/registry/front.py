"""The configuration of HAProxy before the registry, as the text of its `haproxy.cfg`.

It knows who may do what; who somebody is, is for the registry to say: passwords are in its accounts file only.
"""

from components.haproxy import CONFIGURATION_PATH
from components.registry.config import SOCKET

SETTINGS_PATH = CONFIGURATION_PATH
"""The directory of its files in the container."""
PORT = 5000
"""TCP port inside the container."""

CONNECTIONS = 2000
"""Connections at a time. Each has two buffers of 16 KiB and the state of TLS."""
CONNECTIONS_OF_ADDRESS = 300
"""Connections of one address at a time: an engine that pulls has six, and people may share an address."""
GUESSES_OF_ACCOUNT_AT_ADDRESS, GUESSES_OF_ADDRESS, GUESSES_OF_ACCOUNT = 10, 30, 60
"""Wrong passwords in a minute, after which all are refused: of an account from an address, of an address, of an
account. The last two do not apply to an account that has come from this address within a day, so a stranger's guesses
shut out nobody who was there before. The last one does not apply to accounts of hosts, whose passwords are random."""

_NAME = "[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*"
_REFERENCE = "[A-Za-z0-9_]([A-Za-z0-9._+:-]|%3[Aa])*"
_END = f"(tags/list|(manifests|blobs|referrers)/{_REFERENCE}|blobs/uploads/[A-Za-z0-9._=-]*)"
"""What follows a repository's name in a path: OCI's distribution specification."""

CONFIGURATION = """\
global
  description MARK
  maxconn {connections}
  mworker-max-reloads 10
  localpeer this
  log stdout format raw local0 info
  ssl-default-bind-options ssl-min-ver TLSv1.2

defaults
  mode http
  log global
  timeout connect 2s
  timeout client-hs 5s
  timeout client 60s
  timeout server 10m
  timeout http-request 10s
  timeout http-keep-alive 60s
  option idle-close-on-response
  retries 3
  retry-on conn-failure empty-response

# Its tables are taken over at a reload.
peers guesses
  peer this 127.0.0.1:9997

backend by_address
  stick-table type ipv6 size 100k expire 10m peers guesses store gpc0_rate(1m),conn_cur

backend by_account
  stick-table type string len 80 size 100k expire 10m peers guesses store gpc0_rate(1m)

backend by_account_and_address
  stick-table type string len 128 size 100k expire 1d peers guesses store gpc0_rate(1m),gpt0

frontend registry
  bind :{port}{tls}
  log-format "%{{+json}}o %(client)ci %(account)[var(txn.account)] %(method)HM %(path)HP %(status)ST %(bytes)B %(first_byte_ms)Tr %(total_ms)Ta"
  tcp-request connection track-sc0 src table by_address
  tcp-request connection reject if {{ sc0_conn_cur gt {connections_of_address} }}

  # What the registry reads is what was decided on here.
  http-request deny deny_status 400 if {{ req.fhdr_cnt(authorization) gt 1 }}
  http-request set-var(txn.account) http_auth_user if {{ http_auth_type -m str -i basic }}
  http-request set-var(txn.password) http_auth_pass if {{ http_auth_type -m str -i basic }}
  http-request del-header Authorization
  http-request set-header Authorization "Basic %[var(txn.account),concat(:,txn.password),base64]" if {{ var(txn.account) -m found }}
  http-request unset-var(txn.password)
  http-request del-header X-HTTP-Method -m beg
  http-request del-header X-Method-Override
  http-request del-header X-Forwarded- -m beg
  http-request del-header Forwarded
  http-request del-header X-Real-IP
  http-request set-header X-Forwarded-Proto {scheme}
  http-request set-header X-Forwarded-For %[src]
{certificates}
  # Only the registry's API, in its one spelling.
  acl base path /v2/
  acl catalogue path /v2/_catalog
  acl content path_reg ^/v2/{name}/{end}$
  http-request return status 404 content-type application/json string '{{"errors":[{{"code":"NAME_INVALID","message":"no path of this registry"}}]}}' unless base or catalogue or content
  acl reads method GET HEAD
  acl writes method POST PUT PATCH
  acl ends_upload method DELETE
  acl upload path_reg /blobs/uploads/[^/]+$
  http-request disable-l7-retry unless reads
  http-request return status 405 content-type application/json hdr Allow "GET, HEAD, POST, PUT, PATCH" string '{{"errors":[{{"code":"UNSUPPORTED","message":"nobody deletes in this registry; registry.retention does"}}]}}' unless reads or writes or ends_upload upload
  http-request return status 401 content-type application/json hdr WWW-Authenticate 'Basic realm="slipway"' hdr Docker-Distribution-Api-Version registry/2.0 string '{{"errors":[{{"code":"UNAUTHORIZED","message":"authentication required"}}]}}' unless {{ var(txn.account) -m found }} or base

  # Guesses.
  http-request track-sc1 var(txn.account) table by_account
  http-request set-var-fmt(txn.pair) "%[src] %[var(txn.account)]"
  http-request track-sc2 var(txn.pair) table by_account_and_address if {{ var(txn.account) -m found }}
  acl known sc2_get_gpt0 gt 0
  acl host var(txn.account),map_str({settings}/accounts.map) host
  acl guessed sc2_gpc0_rate ge {guesses_of_account_at_address}
  acl guessed_there sc0_gpc0_rate ge {guesses_of_address}
  acl guessed_for sc1_gpc0_rate ge {guesses_of_account}
  http-request set-var(txn.refused) bool(true) if guessed or guessed_there !known or guessed_for !known !host
  http-request return status 429 content-type application/json hdr Retry-After 60 string '{{"errors":[{{"code":"TOOMANYREQUESTS","message":"too many wrong passwords; wait a minute"}}]}}' if {{ var(txn.refused) -m bool }} {{ var(txn.account) -m found }}

  # Rights. A name ends with $, so that team/a is not taken for the beginning of team/ab.
  http-request set-var(txn.repository) path,regsub('"^/v2/(.*)/{end}$"','"\\1"') if content
  http-request set-var(txn.wanted) var(txn.account),concat(:,txn.repository,$) if content
  http-request set-var(txn.wanted) var(txn.account),concat(:) if catalogue
  http-request set-var(txn.push) var(txn.wanted),map_beg({settings}/push.map,no)
  http-request set-var(txn.pull) var(txn.wanted),map_beg({settings}/pull.map,no)
  http-request set-var(txn.everything) var(txn.account),concat(:),map_beg({settings}/pull.map,no)
  acl may_push var(txn.push) -m str yes mirror
  acl may_mirror var(txn.push) -m str mirror
  acl may_pull var(txn.pull) -m str yes
  acl may_pull_everything var(txn.everything) -m str yes
  acl mirrored var(txn.repository) -m beg mirror/
  http-request set-var(txn.denied) bool(true) if reads !base !may_pull
  http-request set-var(txn.denied) bool(true) if !reads !may_push
  http-request set-var(txn.denied) bool(true) if !reads mirrored !may_mirror
  # A blob is taken over from another repository only where the account could read it anyway. Else it is uploaded.
  http-request set-uri %[path] if {{ method POST }} !may_pull_everything
  http-request set-header Content-Type application/octet-stream if {{ method POST }}
  # Whoever does not know the password is not told what the account may.
  http-request set-method GET if {{ var(txn.denied) -m bool }}
  http-request set-uri /v2/ if {{ var(txn.denied) -m bool }}

  http-response sc-inc-gpc0(0) if {{ status 401 }} {{ var(txn.account) -m found }}
  http-response sc-inc-gpc0(1) if {{ status 401 }} {{ var(txn.account) -m found }}
  http-response sc-inc-gpc0(2) if {{ status 401 }} {{ var(txn.account) -m found }}
  http-response sc-set-gpt0(2) 1 if {{ status 200:299 }} {{ var(txn.account) -m found }}
  http-response return status 403 content-type application/json string '{{"errors":[{{"code":"DENIED","message":"this account may not do that here; registry.users says who may"}}]}}' if {{ var(txn.denied) -m bool }} {{ status 200 }}
  default_backend registry

backend registry
  http-error status 503 content-type application/json hdr Retry-After 2 string '{{"errors":[{{"code":"UNAVAILABLE","message":"the registry is starting"}}]}}'
  server registry unix@{socket}
"""  # noqa: E501

CERTIFICATES = """\

  # The certificate says who comes, too.
  http-request set-var(txn.certificate) ssl_c_s_dn(CN)
  acl own_certificate var(txn.certificate),strcmp(txn.account) eq 0
  http-request return status 403 content-type application/json string '{{"errors":[{{"code":"DENIED","message":"the client certificate is of an account that was removed"}}]}}' unless {{ var(txn.certificate),map_str({settings}/accounts.map) -m found }}
  http-request return status 403 content-type application/json string '{{"errors":[{{"code":"DENIED","message":"the client certificate is of another account"}}]}}' if {{ var(txn.account) -m found }} !own_certificate
"""  # noqa: E501


def configuration(*, tls: bool = True, client_certificates: bool = False) -> str:
    """The text of `haproxy.cfg`. MARK stands for the mark by which scripts/registry-front.sh knows what is loaded.

    Args:
        tls: whether the registry speaks TLS or plain HTTP.
        client_certificates: whether it requires client certificates.
    """
    verify = f" ca-file {SETTINGS_PATH}/ca.crt verify required" if client_certificates else ""
    # HTTP/1.1 has one spelling of each request, and its uploads wait for no window.
    secure = f" ssl crt {SETTINGS_PATH}/tls.pem alpn http/1.1{verify}"
    return CONFIGURATION.format(
        connections=CONNECTIONS,
        connections_of_address=CONNECTIONS_OF_ADDRESS,
        guesses_of_account_at_address=GUESSES_OF_ACCOUNT_AT_ADDRESS,
        guesses_of_address=GUESSES_OF_ADDRESS,
        guesses_of_account=GUESSES_OF_ACCOUNT,
        port=PORT,
        tls=secure if tls else "",
        scheme="https" if tls else "http",
        certificates=CERTIFICATES.format(settings=SETTINGS_PATH) if client_certificates else "",
        name=_NAME,
        end=_END,
        settings=SETTINGS_PATH,
        socket=SOCKET,
    )
