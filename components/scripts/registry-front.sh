#!/usr/bin/env bash
# The proxy before the registry, for registry.sh: its files, and what its process has of them.
#
# The files are what should be. Its process gets another right by the runtime API, at once and for all connections; and
# all else by a reload, which ends no request.
set -euo pipefail

front=slipway-registry-proxy
front_files=/etc/slipway/registry-proxy
# The same in the container.
front_inside=/usr/local/etc/haproxy

# ask_front COMMAND…: what the processes of HAProxy answer. The master passes on what begins with @!PID to a worker.
ask_front() {
  local process
  process=$(docker inspect "$front" --format '{{ .State.Pid }}' 2>/dev/null) && [ "$process" != 0 ] || return
  printf '%s\n' "$@" quit | talk "$process"
}

# put_front: installs the files, and sets `front_mark` to the mark of all but the maps.
put_front() {
  local owner=0:$FRONT_GROUP
  folder "$front_files" 0750 "$owner"
  put "$front_files/accounts.map" 0640 "$owner" <<<"$FRONT_ACCOUNTS"
  put "$front_files/push.map" 0640 "$owner" <<<"$FRONT_PUSH"
  put "$front_files/pull.map" 0640 "$owner" <<<"$FRONT_PULL"
  put "$front_files/tls.pem" 0640 "$owner" <<<"$CERTIFICATE"$'\n'"$KEY"
  put "$front_files/ca.crt" 0640 "$owner" <<<"$AUTHORITY"
  front_mark=$(sha256sum <<<"$FRONT_CONFIG $CERTIFICATE $KEY $AUTHORITY" | cut -c 1-16)
  put "$front_files/haproxy.cfg" 0640 "$owner" <<<"${FRONT_CONFIG/MARK/$front_mark}"
  made+=("front $front_mark")
}

# tell_maps: gives each worker the maps as they are in the files. An earlier worker may still finish its requests.
tell_maps() {
  local worker workers map version commands=()
  workers=$(ask_front 'show proc' | awk '$2 == "worker" { print $1 }') || return
  for worker in $workers; do
    for map in accounts push pull; do
      version=$(ask_front "@!$worker prepare map $front_inside/$map.map" | sed -n 's/^New version created: //p')
      [ -n "$version" ] || continue
      commands+=("@!$worker add map @$version $front_inside/$map.map <<" "$(grep . "$front_files/$map.map")" "")
      commands+=("@!$worker commit map @$version $front_inside/$map.map")
    done
  done
  [ "${#commands[@]}" = 0 ] || ask_front "${commands[@]}" >/dev/null
}

# has_read: whether the process has read the files.
has_read() { ask_front '@1 show info' | grep -qx "description: $front_mark"; }

# apply_front: brings the process to the files. One that has ended starts with them.
apply_front() {
  local status answer=
  status=$(docker inspect "$front" --format '{{ .State.Status }}' 2>/dev/null) || return 0
  if [ "$status" != running ]; then
    docker restart "$front" >/dev/null
  else
    tell_maps || true
    ! has_read || return 0
    answer=$(ask_front reload) || true
  fi
  for _ in $(seq 50); do
    ! has_read || return 0
    sleep 0.1
  done
  fail 6 "the proxy before the registry did not take its settings: ${answer:-no answer}" \
    "\`docker logs $front\` on $(hostname) shows more"
}
