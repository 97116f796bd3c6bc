#!/usr/bin/env bash
# The pause behind a switch, for switch.sh: the new container serves, and has to stay well before other hosts get the
# version. The old one goes on running, without requests, so that it has them back at once.
#
# A file says since when the container is watched. A run that was killed leaves it, and the next one does what is left.
# shellcheck disable=SC2034,SC2154 # variables of and for switch.sh
set -euo pipefail

watched=/run/slipway-watch
# Seconds; 0 for none.
pause=0
# When a crash was, for people.
moment="before it was healthy"
# Whether this run gives a route to the new container.
is_moved=false
# What the routes were before that, in the order of `routes`; of a service that no proxy asks, what served.
before=()

is_watched() { [ "$moment" != "before it was healthy" ]; }

begin_watch() {
  [ "$pause" = 0 ] || echo "$container" >"$watched-$service"
}

# watch: returns once the new container has been well for the pause. Else it gives up.
watch() {
  local since first_pid name=
  if [ "$pause" != 0 ] && [ -e "$watched-$service" ]; then
    read -r name <"$watched-$service" || true
  fi
  if [ "$name" = "$container" ]; then
    since=$(stat -c %Y "$watched-$service")
    first_pid=$pid
    moment="in the pause of $pause s after its roll-out"
    while [ "$((EPOCHSECONDS - since))" -le "$pause" ]; do
      sleep 1
      look
      # One that slipway-keep has started again counts no restart.
      if [ "$status" != running ] || [ "$restarts:$pid" != "$first_restarts:$first_pid" ]; then crashed; fi
    done
    if [ -n "$check" ]; then wait_until_well; else wait_until_healthy; fi
  fi
  [ "$pause" = 0 ] || rm -f "$watched-$service"
  before=()
}

# give_back: of a container that has failed in its pause, gives the routes back to what had them.
give_back() {
  is_watched || return 0
  rm -f "$watched-$service"
  [ "${#before[@]}" != 0 ] || return 0
  if [ -n "$check" ]; then
    if [ -n "${before[0]}" ]; then put "$serving/$service" 0600 <<<"${before[0]}"; else rm -f "$serving/$service"; fi
    return
  fi
  locked return_routes || true
  finish "$drain_timeout" "${returned[@]}"
}

return_routes() {
  local number
  returned=()
  look_around
  read_process || true
  for number in "${!routes[@]}"; do
    record "${routes[number]}" "${before[number]}"
    returned+=("$(backend_of "${routes[number]}")/$container")
  done
  apply
}
