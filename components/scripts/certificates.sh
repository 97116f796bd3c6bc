#!/usr/bin/env bash
# Brings the certificates of services to this host, and has the proxy take them. A private key is readable by root only.
# It can run again at any time.
#
# Values:
#   CERTIFICATES   for each service a line `service NAME`, then its certificate chain and its key (PEM)
#   SERVICES_CA    the CA that signs those of `tls: own` (PEM), or empty
#   GUEST          yes on the host of another stack, whose CA stays
set -euo pipefail

: "${CERTIFICATES:?}" "${SERVICES_CA?}"

folder=/etc/slipway/certificates

main() {
  local line service='' text=''
  lock certificates
  folder "$folder" 0700
  while IFS= read -r line; do
    case "$line" in
      'service '*)
        [ -z "$service" ] || put "$folder/$service.pem" 0600 <<<"$text"
        service=${line#service } text=
        ;;
      # HAProxy takes an empty line for the end.
      '') ;;
      *) text=${text:+$text$'\n'}$line ;;
    esac
  done <<<"$CERTIFICATES"
  put "$folder/$service.pem" 0600 <<<"$text"
  # For who asks this host's services from the host itself.
  if [ -n "${GUEST:-}" ]; then
    :
  elif [ -n "$SERVICES_CA" ]; then
    put /etc/slipway/services-ca.pem 0644 <<<"$SERVICES_CA"
  else
    absent /etc/slipway/services-ca.pem
  fi
  /usr/local/lib/slipway/switch --certificates
  tell_made
}

main </dev/null
