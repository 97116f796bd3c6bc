#!/usr/bin/env bash
# The SSH server of a host, for engine.sh: keys only, no forwarding, modern algorithms, and room for the operator while
# others hold connections open that never log in.
set -euo pipefail

ssh_settings=/etc/ssh/sshd_config.d/00-slipway.conf
# Of MaxStartups, the last value counts in OpenSSH up to 9.2.
last_ssh_settings=/etc/ssh/sshd_config.d/zz-slipway.conf

# The first value of a keyword counts, and this file comes before those of the distribution and of cloud-init.
#
# An idle connection waits for LoginGraceTime and then ends. Until then one address may hold PerSourceMaxStartups of
# them: above the 230 that an attack was seen with, since an attacker behind the operator's own router has the operator's
# address, and so has everyone on the platform `local`. MaxStartups is above that, so that one address cannot use up the
# room of the others. An idle connection takes 1.3 MB of memory (measured with OpenSSH 9.2).
#
# Algorithms are taken out of OpenSSH's own list, so that a newer version keeps its newer ones. What stays: key exchange
# with Curve25519 or a post-quantum algorithm, ciphers that authenticate, and the host key that the stack made (Ed25519).
# OpenSSH from 9.8 on refuses an address for a while after failed logins: with keys alone nobody can guess, and the
# operator may have the same address.
ssh_server_settings() {
  cat <<'SETTINGS'
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitEmptyPasswords no
PermitUserEnvironment no
PermitUserRC no
DisableForwarding yes
AllowTcpForwarding no
AllowStreamLocalForwarding no
AllowAgentForwarding no
GatewayPorts no
X11Forwarding no
PermitTunnel no
LoginGraceTime 30
MaxStartups 400:30:600
PerSourceMaxStartups 300
PerSourceNetBlockSize 32:64
PerSourcePenalties no
KexAlgorithms -diffie-hellman-*,ecdh-sha2-*
Ciphers -*-ctr,*-cbc
MACs -hmac-sha1*,hmac-md5*,hmac-ripemd*,umac-64*,hmac-sha2-256,hmac-sha2-512,umac-128@openssh.com
HostKeyAlgorithms ssh-ed25519,ssh-ed25519-cert-v01@openssh.com
PubkeyAcceptedAlgorithms -ssh-rsa*,ssh-dss*
SETTINGS
}

# known_settings: those that this host's version of OpenSSH knows. It names the lines that it does not take.
known_settings() {
  local try bad
  try=$(mktemp)
  ssh_server_settings >"$try"
  for _ in 1 2 3 4 5; do
    bad=$({ sshd -t -f "$try" 2>&1 || true; } | sed -n 's/^.* line \([0-9]*\): .*/\1d/p' | sort -u)
    [ -n "$bad" ] || break
    sed -i "$bad" "$try"
  done
  cat "$try"
  rm -f "$try"
}

# answers_ssh: whether the SSH server greets on its port.
answers_ssh() {
  local port greeting
  port=$(sshd -T | awk '$1 == "port" { print $2; exit }')
  for _ in $(seq 50); do
    # The connection is closed at once, so it is not one of those that wait for a login.
    greeting=$(timeout 5 bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && head -c 4 <&3" 2>/dev/null) || true
    [ "$greeting" != SSH- ] || return 0
    sleep 0.1
  done
  return 1
}

# reload_ssh: has it read its settings again. Connections stay, this one too.
reload_ssh() {
  local unit
  for unit in ssh.service sshd.service; do
    # With a socket of systemd's, a server that does not run reads them when it starts.
    if systemctl -q is-active "$unit" && systemctl reload "$unit"; then return; fi
  done
}

# harden_ssh: puts the settings in place. The server reads them again only after it has called them valid; if it did not
# answer then, it gets its former settings back. So a mistake in them locks nobody out.
harden_ssh() {
  command -v sshd >/dev/null || return 0
  local unread=/run/slipway-sshd-unread former wanted setting value changed=false
  # A killed run may have left settings that were not read.
  [ ! -e "$unread" ] || changed=true
  former=$(mktemp)
  cp "$ssh_settings" "$former" 2>/dev/null || : >"$former"
  touch "$unread"
  put "$ssh_settings" 0644 < <(known_settings)
  put "$last_ssh_settings" 0644 < <(ssh_server_settings | grep '^MaxStartups ')
  # A server that does not read the folder gets it ahead of all other settings.
  if ! grep -qi "^Include ${ssh_settings%/*}/\*.conf" "${ssh_settings%/*/*}/sshd_config"; then
    sed -i "1i Include ${ssh_settings%/*}/*.conf" "${ssh_settings%/*/*}/sshd_config"
    changed=true
  fi
  if $changed; then
    if ! wanted=$(sshd -t 2>&1) || ! { reload_ssh && answers_ssh; }; then
      put "$ssh_settings" 0644 <"$former"
      sshd -t 2>/dev/null && reload_ssh
      rm -f "$former" "$unread"
      fail 4 "the SSH server does not take the settings in $ssh_settings, so it keeps its former ones" \
        "${wanted:-it did not answer after it had read them}"
    fi
  fi
  rm -f "$former" "$unread"
  while read -r setting value; do
    # A newer OpenSSH has other algorithms.
    [[ $setting = *algorithms || $setting = ciphers || $setting = macs ]] || made+=("sshd $setting $value")
  done < <(sshd -T | grep -iwFf <(known_settings | cut -d' ' -f1))
}
