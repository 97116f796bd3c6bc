#!/usr/bin/env bash
# Has this host's proxy answer the challenges of ACME authorities (RFC 8555, 8.3). It can run again at any time.
#
# Values:
#   THUMBPRINT   of the account's key
set -euo pipefail

: "${THUMBPRINT:?}"

main() {
  lock acme
  folder /etc/slipway/proxy 0755
  put /etc/slipway/proxy/acme-thumbprint 0644 <<<"$THUMBPRINT"
  /usr/local/lib/slipway/switch --certificates
  tell_made
}

main </dev/null
