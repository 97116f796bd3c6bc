#!/usr/bin/env bash
# Installs what a Docker host needs: its distribution's packages, and the distribution's Docker Engine or a given version.
# It runs over SSH after a machine's first boot, and again until it has succeeded. What is there already stays as it is.
#
# Values, in the environment:
#   PACKAGES         the packages, the engine's first, separated by blanks
#   ENGINE_VERSION   the engine's version; empty for the distribution's own
#   SETTING REPLACE  the setting of that version, and the command that replaces this machine
#
# A given version comes from Docker's own repository on Debian and Ubuntu (https://docs.docker.com/engine/install/).
# The key that signs it is known by its fingerprint.
set -euo pipefail

: "${PACKAGES:?}" "${ENGINE_VERSION?}" "${SETTING:?}" "${REPLACE:?}"

# Seconds to wait for a way to the packages, and for another program that installs: a new machine updates itself.
patience=300

apt() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout="$patience" -o Acquire::Retries=3 "$@" >&2
}

# The lists have a lock that apt does not wait for. Without the first option apt would call old lists a success.
update_lists() {
  local end=$((SECONDS + patience))
  until apt -o APT::Update::Error-Mode=any update; do
    [ "$SECONDS" -lt "$end" ] || fail 5 "$(hostname) cannot read the lists of its packages; above is apt's reason" \
      "it needs a way out to them (HTTP): a route to the internet, or a mirror in its network"
    sleep 5
  done
}

# missing PACKAGE…: those that are not installed.
missing() {
  local package
  for package in "$@"; do
    if command -v apt-get >/dev/null; then
      [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    else
      rpm -q --quiet "$package" || echo "$package"
    fi
  done
}

# install_packages PACKAGE…
install_packages() {
  local end=$((SECONDS + patience))
  if command -v apt-get >/dev/null; then
    update_lists
    apt install -y --no-install-recommends "$@" || fail 5 "$(hostname) cannot install $*; above is apt's reason"
  elif command -v dnf >/dev/null; then
    # dnf waits for its own lock.
    until dnf install -q -y "$@" >&2; do
      [ "$SECONDS" -lt "$end" ] || fail 5 "$(hostname) cannot install $*; above is dnf's reason"
      sleep 5
    done
  else
    fail 5 "$(hostname) has neither apt-get nor dnf, which install packages: choose another image"
  fi
}

engine_version() { dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^,]*\).*/\1/p'; }

# The fingerprint of "Docker Release (CE deb)", for Debian and Ubuntu.
docker_key=9DC858229FC7DD38854AE2D88D81803C0EBFCD88

# docker_keyring FILE: puts Docker's key into the file. apt trusts every key in it, so it must have no other.
docker_keyring() {
  local folder found
  command -v gpg >/dev/null || apt install -y --no-install-recommends gpg ||
    fail 5 "$(hostname) cannot install gpg, which checks the key of Docker's repository; above is apt's reason"
  folder=$(mktemp -d)
  curl -fsSL --retry 5 --retry-all-errors -o "$folder/key" "https://download.docker.com/linux/$where/gpg" ||
    fail 5 "$(hostname) cannot get the key of Docker's repository from download.docker.com"
  found=$(gpg --homedir "$folder" --no-options --batch --show-keys --with-colons "$folder/key" 2>/dev/null |
    awk -F: '$1 == "pub" { of_key = 1 } $1 == "fpr" && of_key { print $10; of_key = 0 }' | xargs)
  [ "$found" = "$docker_key" ] ||
    fail 5 "the key that download.docker.com gave to $(hostname) is not Docker's: ${found:-no key}, not $docker_key" \
      "find out who answers for download.docker.com there; nothing was installed"
  # apt reads it as a user of its own.
  install -D -m 0644 "$folder/key" "$1"
  rm -rf "$folder"
}

from_docker() {
  local where codename version
  command -v apt-get >/dev/null ||
    fail 5 "$SETTING = $ENGINE_VERSION: this distribution has one version of Docker Engine only; leave the setting out"
  # shellcheck source=/dev/null
  where=$(. /etc/os-release && echo "$ID")
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  docker_keyring /etc/apt/keyrings/docker.asc
  put /etc/apt/sources.list.d/docker.list 0644 <<<"deb [arch=$(dpkg --print-architecture) \
signed-by=/etc/apt/keyrings/docker.asc] https://download.docker.com/linux/$where $codename stable"
  update_lists
  version=$(apt-cache madison docker-ce | awk -v wanted=":$ENGINE_VERSION-" 'index($3, wanted) { print $3; exit }')
  [ -n "$version" ] || fail 5 "$SETTING = $ENGINE_VERSION: Docker's repository has no such version for $where $codename" \
    "choose one of: $(apt-cache madison docker-ce | sed -n 's/^[^|]*| *[0-9]*:\([0-9.]*\)-.*/\1/p' | head -n 5 | xargs)"
  apt install -y --no-install-recommends "docker-ce=$version" "docker-ce-cli=$version" containerd.io ||
    fail 5 "$(hostname) cannot install Docker Engine $ENGINE_VERSION; above is apt's reason"
}

main() {
  local packages=() found
  read -ra packages <<<"$PACKAGES"
  # An engine that is there is the given version, or of another package than the distribution's.
  if [ -n "$ENGINE_VERSION" ] || command -v dockerd >/dev/null; then packages=("${packages[@]:1}"); fi
  mapfile -t packages < <(missing "${packages[@]}")
  if [ "${#packages[@]}" -gt 0 ]; then install_packages "${packages[@]}"; fi
  if [ -n "$ENGINE_VERSION" ]; then
    if ! command -v dockerd >/dev/null; then from_docker; fi
    found=$(engine_version)
    [ "$found" = "$ENGINE_VERSION" ] || fail 5 "$SETTING = $ENGINE_VERSION: $(hostname) has Docker Engine $found" \
      "set it to $found, or replace the machine: $REPLACE"
    # Updates of the system leave it as it is.
    apt-mark hold docker-ce docker-ce-cli >/dev/null
  fi
  command -v dockerd >/dev/null || fail 5 "the packages are installed on $(hostname), but there is no Docker Engine"
  # Debian's package starts it, Amazon's does not. If it does not start, the host's set-up command says why.
  systemctl enable -q docker.service && systemctl start docker.service || true
}

main </dev/null
