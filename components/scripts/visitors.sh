#!/usr/bin/env bash
# Brings to this host what its proxy demands of visitors, and what it shows them when a service does not answer; and has
# the proxy take it. It can run again at any time.
#
# Values:
#   VISITORS   for each service that asks for a password a line `service NAME`, then a line NAME HASH a person
#   PAGES      for each service with a page for errors a line NAME BASE64
set -euo pipefail

: "${VISITORS?}" "${PAGES?}"

visitors=/etc/slipway/visitors
errors=/etc/slipway/proxy/errors

main() {
  local service='' text='' line page file
  lock visitors
  folder "$visitors" 0700
  while IFS= read -r line; do
    case "$line" in
      'service '*)
        [ -z "$service" ] || put "$visitors/$service" 0600 <<<"$text"
        service=${line#service } text=
        ;;
      *) text=${text:+$text$'\n'}$line ;;
    esac
  done <<<"$VISITORS"
  [ -z "$service" ] || put "$visitors/$service" 0600 <<<"$text"
  # Its user is none of root's.
  folder "${errors%/*}" 0755
  folder "$errors" 0755
  while read -r service page; do
    [ -n "$service" ] || continue
    page=$(base64 -d <<<"$page")
    file=$errors/$service.$(sha256sum <<<"$page" | cut -c 1-16).html
    for line in "$errors/$service".*.html; do
      [ "$line" = "$file" ] || rm -f "$line"
    done
    put "$file" 0644 <<<"$page"
  done <<<"$PAGES"
  /usr/local/lib/slipway/switch --certificates
  tell_made
}

main </dev/null
