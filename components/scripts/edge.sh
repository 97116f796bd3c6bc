#!/usr/bin/env bash
# Makes this host an edge: its proxy stands before the stack's app hosts. It can run again at any time.
#
# Values:
#   BACKENDS       a line for each app host, service and route (backends.sh)
#   TRUSTED        networks whose proxies may say who the client is, separated by commas, or empty
#   CERTIFICATES   the services with HTTPS, separated by commas, or empty
#   ACME           `yes` if it goes on to answer challenges of ACME authorities, or empty
#   PAGES          the services with a page for errors, separated by commas, or empty
set -euo pipefail

: "${BACKENDS:?}" "${TRUSTED?}" "${CERTIFICATES?}" "${ACME?}" "${PAGES?}"

main() {
  lock edge
  put /etc/slipway/edge 0644 <<<"$BACKENDS"
  # It checks the configuration, puts it in place and has the process read it, if it differs.
  /usr/local/lib/slipway/switch --only ${TRUSTED:+"trusted=$TRUSTED"} ${CERTIFICATES:+"certificates=$CERTIFICATES"} \
    ${ACME:+"acme=$ACME"} ${PAGES:+"pages=$PAGES"}
  # It looks for other addresses of hosts that are known by name.
  systemctl restart slipway-keep.service
  tell_made
}

main </dev/null
