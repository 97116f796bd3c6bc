#!/usr/bin/env bash
# The app hosts that the proxy of an edge hands requests on to, and the edges that the proxy of an app host believes; for
# frontend.sh.
# shellcheck disable=SC2034,SC2154 # for and from frontend.sh
set -euo pipefail

# What this host stands before if it is an edge, as edge.sh brings it, a line each:
#   host NAME ADDRESS       an app host
#   service NAME OPTION…    hosts=HOST,… health=PATH status=RANGE (of a healthy answer) name=NAME (to ask by) timeout=SECONDS
#                           canonical=NAME https=PORT (of visitors) hsts=SECONDS
#   route KEY SERVICE       as routes.sh says what a key is
fronted=/etc/slipway/edge
# The edges of an app host: names or addresses, a word each.
edges=${configured%/*}/edges
# Of each route of an edge, its service.
declare -A service_behind=()

is_edge() { [ -e "$fronted" ]; }

# edge_keys: sets `keys` and `service_behind` to the routes of an edge.
edge_keys() {
  local kind key service
  keys=() service_behind=()
  while read -r kind key service; do
    [ "$kind" = route ] || continue
    keys+=("$key") service_behind[$key]=$service
  done <"$fronted"
}

# edge_addresses: the edges' addresses. An edge on a person's own machine gets another one with each start. While its name
# is unknown, the last one counts.
edge_addresses() {
  local word found='' address known=/run/slipway-edges
  mkdir -p "$known"
  for word in $(<"$edges"); do
    address=$word
    if [[ ! $word =~ ^[0-9.]+$ ]]; then
      address=$(getent ahostsv4 "$word" | awk '{ print $1; exit }') || address=
      if [ -n "$address" ]; then
        echo "$address" >"$known/$word"
      elif [ -e "$known/$word" ]; then
        address=$(<"$known/$word")
      fi
    fi
    found="$found${address:+ $address}"
  done
  # Nobody has this one, and a list is never empty.
  echo "255.255.255.255$found"
}

# from_edges ADDRESSES: has connections of edges begin with who the client is, by the PROXY protocol. Nobody else's do. An
# edge's own requests ask for health: that the proxy itself answers in place of a service, on purpose, is no illness.
from_edges() {
  local header
  echo "  tcp-request connection expect-proxy layer4 if { src $1 }"
  echo "  acl trusted fc_rcvd_proxy"
  echo "  http-request set-log-level silent if { src $1 }"
  for header in "$maintenance_header" "$stopped_header" "$refusal_header"; do
    echo "  http-after-response set-status 200 if { src $1 } { res.hdr($header) -m found }"
  done
}

# name_resolvers: where an edge asks for its app hosts' names, unless it knows their addresses. An answer stays as long as
# there is no other one.
known_by_name() { grep -q '^host [^ ]* .*[a-z]' "$fronted"; }
name_servers() {
  known_by_name || return 0
  cat <<'CONFIGURATION'

resolvers hosts
  parse-resolv-conf
  accepted_payload_size 1232
  resolve_retries 3
  timeout resolve 2s
  timeout retry 1s
  hold valid 2s
  hold obsolete 30s
  hold nx 24d
  hold timeout 24d
  hold refused 24d
  hold other 24d
CONFIGURATION
}

# edge_backends: the part of each service. HAProxy asks each host for the service's health, and repeats on another host what
# a host has not answered, if that is safe (frontend.sh says what is).
edge_backends() {
  local kind name rest host resolved='' words=() port health
  local -A addresses=() options
  ! known_by_name || resolved=' resolvers hosts init-addr last,libc,none'
  while read -r kind name rest; do [ "$kind" != host ] || addresses[$name]=$rest; done <"$fronted"
  while read -r kind name rest; do
    [ "$kind" = service ] || continue
    read -r -a words <<<"$rest"
    options=()
    for rest in "${words[@]}"; do options[${rest%%=*}]=${rest#*=}; done
    health=${options[health]//\'/\'\\\'\'}
    cat <<CONFIGURATION

backend e:$name
  option redispatch 1
  option httpchk
  timeout check 2s
  http-check send meth GET uri '$health' ver HTTP/1.1 hdr Host ${options[name]}
  http-check expect status ${options[status]}
  timeout server ${options[timeout]}s
  http-response set-timeout server 24d
CONFIGURATION
    to_https "${options[https]:-}" "${options[canonical]:-}" "${options[hsts]:-}"
    echo "  default-server check inter 2s fastinter 500ms downinter 1s fall 2 rise 1 send-proxy-v2 tcp-ut 5s"
    # Indented otherwise than the servers that change at run time: these are a part of the configuration's mark.
    for host in ${options[hosts]//,/ }; do echo "    server $host ${addresses[$host]}:80$resolved"; done
  done <"$fronted"
}

# keep_edges EDGES: who stands before this app host, a word each; none for an empty text.
keep_edges() {
  local changed=false
  if [ -z "$1" ]; then
    [ -e "$edges" ] || return 0
    rm -f "$edges"
    changed=true
  else
    put "$edges" 0644 <<<"$1"
  fi
  # It looks for other addresses of theirs.
  ! $changed || systemctl restart slipway-keep.service
}
