#!/usr/bin/env bash
# Compares this host with what Slipway has made on it, and prints a line for each difference: `NUMBER: what differs`.
# It changes nothing, and asks Docker Engine only while that runs, since a question would start it.
#
# Values:
#   EXPECTED   lines `NUMBER KIND DETAILS`, as `tell_made` prints them (components/scripts/lib.sh), and `NUMBER container
#              NAME`, `NUMBER network CONTAINER NETWORK`, `NUMBER route SERVICE CONTAINER` and `NUMBER service SERVICE
#              CONTAINER`. The number is the caller's.
set -euo pipefail -f

: "${EXPECTED?}"

differs() { echo "$number: $*"; }

# Each of these is asked once for all lines: a program's start costs more than its answer.
declare -A modes=() owners=() sums=() active_states=() file_states=() main_processes=()

# look_at_files: mode, owner and, of plain files, the content of each path of the lines.
look_at_files() {
  local line path paths=() plain=() mode owner sum
  for line in "${lines[@]}"; do
    [[ $line = +([0-9])\ @(file|folder)\ * ]] || continue
    path=${line##* }
    [ ! -e "$path" ] || paths+=("$path")
    # What is no plain file may have no end.
    if [[ $line = +([0-9])\ file\ * && -f $path && ! -L $path ]]; then plain+=("$path"); fi
  done
  while read -r mode owner path; do
    modes[$path]=$mode owners[$path]=$owner
  done < <([ "${#paths[@]}" -eq 0 ] || stat -c '%a %u:%g %n' -- "${paths[@]}" 2>/dev/null)
  while read -r sum path; do sums[$path]=$sum; done < <([ "${#plain[@]}" -eq 0 ] || sha256sum -- "${plain[@]}" 2>/dev/null)
}

# look_at_units: the state of each unit of the lines, and of Docker Engine's.
look_at_units() {
  local line units=(docker.service) key value place=0
  for line in "${lines[@]}"; do
    [[ $line != +([0-9])\ @(unit|enabled)\ * ]] || units+=("${line##* }")
  done
  # A blank line ends the answer about each.
  while IFS='=' read -r key value; do
    case $key in
      ActiveState) active_states[${units[place]}]=$value ;;
      UnitFileState) file_states[${units[place]}]=$value ;;
      MainPID) main_processes[${units[place]}]=$value ;;
      '') place=$((place + 1)) ;;
    esac
  done < <(systemctl show --property=ActiveState,UnitFileState,MainPID "${units[@]}" 2>/dev/null)
}

# compare MODE OWNER PATH: of what is there.
compare() {
  local mode=${modes[$3]-unknown} owner=${owners[$3]-unknown}
  [ "$mode" = "$1" ] || differs "$3 has the mode $mode, not $1"
  [ "$owner" = "$2" ] || differs "$3 belongs to $owner, not to $2 (uid:gid)"
}

file() {
  local mode=$1 owner=$2 sum=$3 path=$4
  if [ ! -e "$path" ] && [ ! -L "$path" ]; then
    differs "$path is missing"
  elif [ -L "$path" ] || [ ! -f "$path" ]; then
    differs "$path is not a plain file"
  else
    [ "${sums[$path]-}" = "$sum" ] || differs "$path has another content"
    compare "$mode" "$owner" "$path"
  fi
}

folder() {
  if [ -d "$3" ] && [ ! -L "$3" ]; then compare "$@"; else differs "$3 is missing"; fi
}

absent() { { [ ! -e "$1" ] && [ ! -L "$1" ]; } || differs "$1 should not be there"; }

line() { grep -qxF "${*:2}" "$1" || differs "$1 lacks the line: ${*:2}"; }

mount_() { mountpoint -q "$1" || differs "nothing is mounted at $1"; }

unit() {
  local state=${active_states[$1]:-unknown}
  [ "$state" = active ] || differs "$1 is $state"
  enabled "$1"
}

# enabled UNIT: of one that works at the machine's start only.
enabled() {
  local state=${file_states[$1]-}
  [ "$state" = enabled ] || differs "$1 is ${state:-missing}, so it does not start with the machine"
}

# rule IPTABLES RULE: rules are asked for once.
declare -A rules wanted wanted_by
rule() {
  local text="${*:2}"
  rules[$1]=${rules[$1]:-$'\n'$("$1" -w -S 2>/dev/null || true)$'\n'}
  wanted[$1]=${wanted[$1]:-$'\n'}$text$'\n'
  wanted_by[$1]=$number
  if [[ ${rules[$1]} != *$'\n'"$text"$'\n'* ]]; then
    differs "the firewall ($1) lacks the rule $text"
  elif [[ $text != "-A SLIPWAY-"* ]]; then
    first_in "$1" "$text"
  fi
}

# first_in IPTABLES RULE: whether rules ahead of this one, which leads to Slipway's, let packets of containers pass.
first_in() {
  local chain=${2#-A } interface=' -i ([^ ]+)'
  chain=${chain%% *}
  while read -r; do
    [ "$REPLY" != "$2" ] || break
    [[ $REPLY = "-A $chain "*"-j "@(ACCEPT|RETURN) && $REPLY != *" --ctstate RELATED,ESTABLISHED "* ]] || continue
    if [[ $REPLY != *" ! -i "* && $REPLY =~ $interface ]]; then
      # Others than those of containers do not count.
      case ${BASH_REMATCH[1]} in docker* | br-* | *+) ;; *) continue ;; esac
    fi
    differs "the firewall ($1) has a rule ahead of Slipway's: $REPLY"
  done <<<"${rules[$1]}"
}

# strange_rules: rules in Slipway's own chains that it has not made, and its own in another order.
strange_rules() {
  local iptables now made number
  for iptables in "${!wanted[@]}"; do
    number=${wanted_by[$iptables]}
    # The rules of SLIPWAY-APART follow the containers (apart.sh).
    now=$(grep '^-A SLIPWAY-' <<<"${rules[$iptables]}" | grep -v '^-A SLIPWAY-APART ' || true)
    made=$(grep '^-A SLIPWAY-' <<<"${wanted[$iptables]}" || true)
    while read -r; do
      [[ $'\n'$made$'\n' = *$'\n'"$REPLY"$'\n'* ]] ||
        differs "the firewall ($iptables) has a rule that is not Slipway's: $REPLY"
    done <<<"$now"
    if [ "$now" != "$made" ] && [ "$(sort -u <<<"$now")" = "$(sort -u <<<"$made")" ]; then
      differs "the firewall ($iptables) has Slipway's rules in another order, or twice"
    fi
  done
}

# sshd SETTING VALUE: settings are asked for once.
ssh_settings=
sshd_() {
  ssh_settings=${ssh_settings:-$'\n'$(sshd -T 2>/dev/null || true)$'\n'}
  local now
  [[ $ssh_settings != *$'\n'"$*"$'\n'* ]] || return 0
  now=$(sed -n "s/^$1 //p" <<<"$ssh_settings")
  differs "the SSH server has $1 ${now:-unset}, not ${*:2}"
}

# engine COMMAND LINE: how dockerd should have been started. Whether it wants certificates is tried out.
engine() {
  local process scheme
  $engine_runs || return 0
  process=${main_processes[docker.service]-0}
  [ "$(tr '\0' ' ' <"/proc/$process/cmdline" | sed 's/ $//; s/ --host-gateway-ip=[0-9.]*$//')" = "$*" ] ||
    differs "Docker Engine runs with other options: $(tr '\0' ' ' <"/proc/$process/cmdline")"
  for scheme in https http; do
    ! curl -sfk --noproxy '*' --max-time 5 -o /dev/null "$scheme://127.0.0.1:2376/_ping" ||
      differs "Docker Engine answers clients without a certificate ($scheme on port 2376)"
  done
}

# look_at NAME: sets state, networks and service of a container. The engine is asked once.
declare -A containers=()
look_at() {
  local listed name facts
  if [ "${#containers[@]}" -eq 0 ]; then
    listed=$(docker ps -a --format '{{.Names}} {{.State}} {{or .Networks "-"}} {{.Label "slipway.service"}}')
    while read -r name facts; do containers[${name:-none}]=$facts; done <<<"$listed"
  fi
  read -r state networks service <<<"${containers[$1]-}" || true
}

container() {
  $engine_runs || return 0
  local state networks service
  look_at "$1"
  [ "$state" = running ] || is_stopped "$service" || differs "the container $1 is ${state:-missing}"
}

# network CONTAINER NETWORK
network() {
  $engine_runs || return 0
  local state networks service
  look_at "$1"
  # Without a running container, that is what is missing.
  [ "$state" = running ] || return 0
  case ",$networks," in *",$2,"*) ;; *) differs "the container $1 is not in its network $2" ;; esac
}

# ask_proxy: what HAProxy's process says of itself, by its runtime API (components/scripts/routes.sh).
ask_proxy() {
  local process
  process=$(docker container inspect slipway-proxy --format '{{.State.Pid}}' 2>/dev/null) || return
  # shellcheck disable=SC2016 # the other bash expands it
  timeout 5 nsenter --net="/proc/$process/ns/net" bash -c '
    exec 3<>/dev/tcp/127.0.0.1/9998 && printf "@1 show info\n@1 show servers state\nquit\n" >&3 && cat <&3' 2>/dev/null
}

# is_stopped SERVICE: whether an operator has stopped it (components/scripts/services.sh).
is_stopped() { [ -n "$1" ] && [ -e "/etc/slipway/stopped/$1" ]; }

# route SERVICE CONTAINER: in the proxy's process, and in the file that it would start with. The process is asked once.
asked=
configuration=/etc/slipway/proxy/haproxy.cfg
route() {
  local mark loaded
  $engine_runs || return 0
  asked=${asked:-$(ask_proxy || echo none)}
  # Without a running proxy, that is what is missing.
  [ "$asked" != none ] || return 0
  awk -v container="$2" '$2 ~ /^r:/ && $4 == container && $6 == 2 && $7 ~ /^[04]$/ { found = 1 } END { exit !found }' \
    <<<"$asked" || is_stopped "$1" || differs "the proxy does not route $1 to $2"
  # Its description is a mark of all the rest of it, but for the servers.
  mark=$(sed '/^  server /d; s/^  description .*//' "$configuration" 2>/dev/null | sha256sum | cut -c 1-16)
  loaded=$(awk '/^description: / { print $2; exit }' <<<"$asked")
  if ! grep -qs "^  server $2 " "$configuration" || ! grep -qs "^  description $mark$" "$configuration"; then
    differs "$configuration is not as the switch of $1 made it"
  elif [ "$mark" != "$loaded" ]; then
    differs "the proxy's process has not read $configuration"
  fi
}

# service SERVICE CONTAINER: what serves without the proxy.
service() {
  [ "$(cut -d' ' -f1 "/etc/slipway/services/$1" 2>/dev/null || true)" = "$2" ] ||
    differs "the container $2 is not recorded as serving $1"
}

# front MARK: the process of the proxy before the registry has read its files, and has the rights in them.
front() {
  local process answer map files=/etc/slipway/registry-proxy inside=/usr/local/etc/haproxy
  $engine_runs || return 0
  # Without a running proxy, that is what is missing.
  process=$(docker container inspect slipway-registry-proxy --format '{{.State.Pid}}' 2>/dev/null) && [ "$process" != 0 ] || return 0
  # A blank line ends each answer.
  answer=$(printf '%s\n' '@1 show info' "@1 show map $inside/"{accounts,push,pull}.map quit |
    timeout 5 nsenter --net="/proc/$process/ns/net" bash -c '
      exec 3<>/dev/tcp/127.0.0.1/9998 && cat >&3 && cat <&3' 2>/dev/null) || return 0
  grep -qx "description: $1" <<<"$answer" || differs "the proxy before the registry has not read $files/haproxy.cfg"
  for map in accounts push pull; do
    cmp -s <(grep . "$files/$map.map" 2>/dev/null | sort) <(sed '1,/^$/d' <<<"$answer" |
      awk -v RS= -v map="$map" 'NR == (map == "accounts" ? 1 : map == "push" ? 2 : 3)' | sed 's/^0x[0-9a-f]* //' | sort) ||
      differs "the proxy before the registry has other rights than $files/$map.map"
  done
}

main() {
  local number kind rest engine_runs=false lines
  mapfile -t lines <<<"$EXPECTED"
  look_at_files
  look_at_units
  if [ "${active_states[docker.service]-}" = active ]; then engine_runs=true; fi
  while read -r number kind rest; do
    # shellcheck disable=SC2086 # the details are words
    case $kind in
      mount) mount_ $rest ;;
      sshd) sshd_ $rest ;;
      file | folder | absent | line | rule | unit | enabled | engine | container | network | front | route | service) "$kind" $rest ;;
    esac
  done <<<"$EXPECTED"
  strange_rules
}

main </dev/null
