#!/usr/bin/env bash
# Whom HAProxy lets in to a service, and how often, and the service's own page for errors; for frontend.sh.
# shellcheck disable=SC2034,SC2154 # for and from frontend.sh
set -euo pipefail

# Of each service that asks for a password, a file by its name, as visitors.sh brings it: a line NAME HASH a person.
visitors=/etc/slipway/visitors
# The pages for 502, 503 and 504, SERVICE.HASH.html. Another page has another name, so that the configuration differs.
errors=${configured%/*}/errors
# Tells Slipway's own checks that the proxy refused, and not the service.
refusal_header=X-Refused
# Wrong passwords of a client in a minute. Each costs the proxy some milliseconds (components/visitors.py).
guesses=10

# refuse STATUS WHY TEXT [HEADERS]: the beginning of a rule that answers in place of the service.
refuse() {
  printf '  http-request return status %s content-type text/plain string "%s\\n" hdr %s %s%s' \
    "$1" "$3" "$refusal_header" "$2" "${4:+ $4}"
}

# limits_of SERVICE RATE: the rules for all that comes, before anything else is looked at.
limits_of() {
  [ -n "$2" ] || return 0
  echo "  http-request track-sc0 var(txn.client),ipmask(32,64) table rate:$1"
  refuse 429 rate "Too many requests." "hdr Retry-After ${2#*/}"
  echo " if { sc_http_req_rate(0) gt ${2%/*} }"
}

# password_of SERVICE: the rules that ask for a password. HAProxy computes a hash for one that it has not seen lately
# only: it would otherwise do so for each request, while all other requests wait.
password_of() {
  local service=$1
  cat <<CONFIGURATION
  http-request deny deny_status 400 if { req.fhdr_cnt(authorization) gt 1 }
  acl remembered req.fhdr(authorization),sha2(256),hex,in_table(visitors:$service)
  http-request track-sc1 var(txn.client),ipmask(32,64) table guesses:$service
$(refuse 429 rate "Too many wrong passwords." "hdr Retry-After 60") if { sc_gpc0_rate(1) ge $guesses } !remembered
  http-request set-var(txn.visitor) http_auth_user if remembered
  http-request set-var(txn.visitor) http_auth_user if !remembered { http_auth($service) }
  http-request sc-inc-gpc0(1) if { req.fhdr(authorization) -m found } !{ var(txn.visitor) -m found }
$(refuse 401 password "A password is required." "hdr WWW-Authenticate \"Basic realm=\\\"$service\\\", charset=\\\"UTF-8\\\"\"") unless { var(txn.visitor) -m found }
  http-request track-sc2 req.fhdr(authorization),sha2(256),hex table visitors:$service
  http-request del-header Authorization
  http-request set-header X-Forwarded-User %[var(txn.visitor)]
CONFIGURATION
}

# error_page_of SERVICE: its page, in place of HAProxy's own errors.
error_page_of() {
  local file status
  for file in "$errors/$1".*.html; do
    [ -e "$file" ] || continue
    for status in 502 503 504; do
      echo "  http-error status $status content-type \"text/html; charset=utf-8\"" \
        "file ${inside%/*}/errors/${file##*/} hdr Cache-Control no-store hdr Retry-After 10"
    done
    return
  done
}

# tables_of SERVICE RATE AUTH: what the rules above count and look up. All routes of a service share it.
tables_of() {
  local name hash
  if [ -n "$2" ]; then
    printf '\nbackend rate:%s\n  stick-table type ipv6 size 100k expire %ss store http_req_rate(%ss)\n' \
      "$1" "${2#*/}" "${2#*/}"
  fi
  [ -n "$3" ] || return 0
  printf '\nbackend guesses:%s\n  stick-table type ipv6 size 100k expire 60s store gpc0_rate(60s)\n' "$1"
  printf '\nbackend visitors:%s\n  stick-table type string len 64 size 10k expire 10m\n' "$1"
  # Without the file nobody gets in.
  printf '\nuserlist %s\n' "$1"
  [ -e "$visitors/$1" ] || return 0
  while read -r name hash; do
    [ -z "$hash" ] || echo "  user $name password $hash"
  done <"$visitors/$1"
}

# keep_visitors PASSWORDS PAGES: removes the files of all services but these, a word each.
keep_visitors() {
  local file name
  for file in "$visitors"/*; do
    is_ours "${file##*/}" || continue
    if [ -e "$file" ] && [[ " $1 " != *" ${file##*/} "* ]]; then rm -f "$file"; fi
  done
  for file in "$errors"/*.html; do
    name=${file##*/}
    is_ours "$name" || continue
    if [ -e "$file" ] && [[ " $2 " != *" ${name%%.*} "* ]]; then rm -f "$file"; fi
  done
}
