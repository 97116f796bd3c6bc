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

# find_host NAME: sets `found` to the IPv4 address of a host, whose address or name this is. On a person's own machine a
# host gets another one with each start. While its name is unknown, the last one counts.
find_host() {
  local known=/run/slipway-hosts
  found=$1
  [[ ! $1 =~ ^[0-9.]+$ ]] || return 0
  found=$(getent ahostsv4 "$1" | awk '{ print $1; exit }') || found=
  if [ -n "$found" ]; then
    mkdir -p "$known"
    echo "$found" >"$known/$1"
  elif [ -e "$known/$1" ]; then
    found=$(<"$known/$1")
  fi
}

# edge_addresses: the edges' addresses.
edge_addresses() {
  # Nobody has this one, and a list is never empty.
  local word found all=255.255.255.255
  for word in $(<"$edges"); do
    find_host "$word"
    all="$all${found:+ $found}"
  done
  echo "$all"
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

# repeatable: which requests go to `e:SERVICE`; the others go to `o:SERVICE`. A request of these is complete once it is
# sent, and does no harm twice.
repeatable() {
  echo "  http-request set-var(txn.repeatable) bool(true) if { method GET HEAD OPTIONS } !{ req.hdr(upgrade) -m found }" \
    "!{ req.hdr(content-length) -m found } !{ req.hdr(transfer-encoding) -m found }"
}

# edge_backends: the parts of each service. HAProxy asks each host for the service's health, and repeats on another host what
# a host has not answered, if that is safe (frontend.sh says what is).
#
# A network that drops packets leaves connections open. So the kernel asks a host that is silent whether it is still there,
# and a request that is not acknowledged in five seconds fails, and is repeated elsewhere. But the kernel takes a host that
# is slow to read for one that is gone, so this is for requests without a body only. All others are not repeated: they get
# a new connection each, since that is made with a host that answers, or with another one.
edge_backends() {
  local kind name rest host found words=() health part
  local -A addresses=() options
  while read -r kind name rest; do
    [ "$kind" = host ] || continue
    find_host "$rest"
    addresses[$name]=${found:-0.0.0.0}
  done <"$fronted"
  while read -r kind name rest; do
    [ "$kind" = service ] || continue
    read -r -a words <<<"$rest"
    options=()
    for rest in "${words[@]}"; do options[${rest%%=*}]=${rest#*=}; done
    health=${options[health]//\'/\'\\\'\'}
    for part in e o; do
      cat <<CONFIGURATION

backend $part:$name
  option redispatch 1
  srvtcpka-idle 3s
  srvtcpka-intvl 1s
  srvtcpka-cnt 3
  timeout server ${options[timeout]}s
  http-response set-timeout server 24d
CONFIGURATION
      to_https "${options[https]:-}" "${options[canonical]:-}" "${options[hsts]:-}"
      error_page_of "$name"
      if [ "$part" = e ]; then
        cat <<CONFIGURATION
  option httpchk
  timeout check 2s
  http-check send meth GET uri '$health' ver HTTP/1.1 hdr Host ${options[name]}
  http-check expect status ${options[status]}
  default-server check inter 2s fastinter 500ms downinter 1s fall 2 rise 1 send-proxy-v2
CONFIGURATION
      else
        printf '  %s\n' "option http-server-close" "default-server send-proxy-v2"
      fi
      # Indented otherwise than the servers that change at run time: these are a part of the configuration's mark.
      for host in ${options[hosts]//,/ }; do
        found=${addresses[$host]}:80
        # HAProxy 3.0 does not take `tcp-ut` from a default-server.
        if [ "$part" = e ]; then found="$found tcp-ut 5s"; else found="$found track e:$name/$host"; fi
        # One whose address is not known yet.
        if [ "${addresses[$host]}" = 0.0.0.0 ]; then found="$found disabled"; fi
        echo "    server $host $found"
      done
    done
  done <"$fronted"
}

# watch_hosts: has slipway-keep look for other addresses of hosts that are known by name.
watch_hosts() { systemctl restart slipway-keep.service; }

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
  ! $changed || watch_hosts
}
