#!/usr/bin/env bash
# Why a container does not become healthy, for switch.sh: told from its own sockets, each cause with its remedy.
set -euo pipefail

# listening PID: what listens in the network of a process, a line each: tcp or udp, the port, and where: any, any6 (all
# IPv6 addresses), local (the loopback) or one (a single address).
listening() {
  local kind address state where
  for kind in tcp tcp6 udp udp6; do
    [ -r "/proc/$1/net/$kind" ] || continue
    while read -r _ address _ state _; do
      case "$kind$state" in tcp0A | tcp60A | udp07 | udp607) ;; *) continue ;; esac
      # Addresses are hexadecimal, each 32 bits in the machine's order of bytes.
      case "${address%:*}" in
        0B00007F) continue ;; # 127.0.0.11, Docker's own DNS server in each container
        00000000) where=any ;;
        00000000000000000000000000000000) where=any6 ;;
        ??????7F | *FFFF0000??????7F | *01000000) where=local ;;
        *) where=one ;;
      esac
      echo "${kind%6} $((16#${address##*:})) $where"
    done <"/proc/$1/net/$kind"
  done | sort -u -k 1,1 -k 2,2n -k 3,3
}

# ports KIND WHERE…: the ports of `sockets` that listen so, as words.
ports() {
  local kind=$1
  shift
  awk -v kind="$kind" -v where=" $* " '
    $1 == kind && index(where, " " $3 " ") && !seen[$2]++ { text = text (text ? ", " : "") $2 }
    END { print text }' <<<"$sockets"
}

# why_refused PID PORT SERVICE SECONDS: why nothing answers on the port, and what to do.
why_refused() {
  local port=$2 setting="slipway:services.$3" seconds=$4 sockets open loopback udp
  sockets=$(listening "$1")
  open=$(ports tcp any any6 one) loopback=$(ports tcp local) udp=$(ports udp any any6 one)
  case ", $loopback," in
    *", $port,"*)
      echo "it listens on port $port of 127.0.0.1 only, where the proxy cannot reach it"
      echo "let it listen on 0.0.0.0"
      return
      ;;
  esac
  case ", $open," in
    *", $port,"*)
      case "$sockets" in
        *"tcp $port any"$'\n'* | *"tcp $port any")
          echo "it began to listen on port $port only now, after $seconds s"
          echo "if it needs this long to start, set $setting.healthTimeout to more than $seconds"
          ;;
        *"tcp $port any6"*)
          echo "it listens on port $port for IPv6 only"
          echo "let it listen on 0.0.0.0"
          ;;
        *)
          echo "it listens on port $port of one address only, where the proxy cannot reach it"
          echo "let it listen on 0.0.0.0"
          ;;
      esac
      return
      ;;
  esac
  if [ -n "$open" ]; then
    echo "it listens on port $open, and not on port $port"
    echo "set $setting.port to ${open%%,*}, or let it listen on port $port"
  elif [ -n "$loopback" ]; then
    echo "it listens on port $loopback of 127.0.0.1 only, and not on port $port"
    echo "let it listen on 0.0.0.0, and set $setting.port to ${loopback%%,*}"
  elif [ -n "$udp" ]; then
    echo "it listens on no TCP port, but on UDP port $udp"
    echo "let it answer HTTP on TCP port $port"
  else
    echo "it runs, but listened on no port for $seconds s"
    echo "if it needs longer to start, set $setting.healthTimeout to more than $seconds; else let it listen on port $port"
  fi
}

# last_words CONTAINER: the last lines of its log, without what could drive a terminal.
last_words() {
  docker logs --tail 20 "$1" 2>&1 | tail -c 20000 | tail -n 20 | LC_ALL=C sed -E '
    s/\x1b\[[0-?]*[ -\/]*[@-~]//g
    s/\x1b\][^\x07\x1b]*(\x07|\x1b\\)//g
    s/\xc2[\x80-\x9f]//g' | LC_ALL=C tr -d '\000-\010\013-\037\177' | LC_ALL=C cut -b 1-500 |
    iconv -c -f UTF-8 -t UTF-8 | sed 's/^/  | /'
}
