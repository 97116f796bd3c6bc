#!/usr/bin/env bash
# HAProxy's configuration on this host, made from the records of its routes, for routes.sh.
# shellcheck disable=SC2034,SC2154 # for and from routes.sh
set -euo pipefail

# On the host, and in the container.
configured=/etc/slipway/proxy/haproxy.cfg
inside=/usr/local/etc/haproxy/haproxy.cfg
# Networks whose proxies may say who the client is, a word each.
trusted=/etc/slipway/proxy/trusted
# Certificate and key of each service with HTTPS, a file SERVICE.pem each: as certificates.sh brings them, as the proxy
# reads them, and that folder inside the container. What the proxy has is changed only together with the process.
certificates=/etc/slipway/certificates
served=/etc/slipway/proxy/certificates
served_inside=/usr/local/etc/haproxy/certificates
# The thumbprint of the key by which an ACME authority knows this stack.
thumbprint=/etc/slipway/proxy/acme-thumbprint
# The group of HAProxy's process in its image.
reader=99

# Of each service under maintenance, a file by its name: the name of the page that visitors get, and the addresses and
# networks from which the service answers all the same.
maintained=/etc/slipway/maintenance
pages=${configured%/*}/pages
# Tells Slipway's own checks that it is no failure.
maintenance_header=X-Maintenance
# A file for each service that an operator has stopped, by its name: when, in seconds since 1970.
halted=/etc/slipway/stopped
# As the one of maintenance.
stopped_header=X-Stopped

# is_halted SERVICE: whether an operator has stopped it.
is_halted() { [ -n "${1:-}" ] && [ -e "$halted/$1" ]; }

# maintenance_of SERVICE: the rule that answers in place of a service that is stopped or under maintenance.
maintenance_of() {
  local page allowed content
  if is_halted "$1"; then
    printf '  http-request return status 503 content-type text/plain string "%s" hdr Cache-Control no-store hdr %s %s\n' \
      'This service is stopped.\n' "$stopped_header" "$1"
    return
  fi
  [ -n "$1" ] && [ -e "$maintained/$1" ] || return 0
  read -r page allowed <"$maintained/$1" || true
  # HAProxy starts with no file missing.
  content="string \"This service is under maintenance.\\n\""
  if [ -e "$pages/$page" ]; then content="file ${inside%/*}/pages/$page"; fi
  echo "  http-request return status 503 content-type \"text/html; charset=utf-8\" $content" \
    "hdr Retry-After 60 hdr Cache-Control no-store hdr $maintenance_header $1${allowed:+ unless { var(txn.client) -m ip $allowed \}}"
}

# backend_of KEY: the name of a route's backend. HAProxy allows letters, digits and -_.: in it.
backend_of() {
  local backend
  name_backend "$1"
  echo "$backend"
}

# name_backend KEY: sets `backend` to it, without another process.
name_backend() {
  if [ -n "${service_behind[$1]:-}" ]; then
    backend=e:${service_behind[$1]}
    return
  fi
  backend=${1#@}
  backend=${backend//%/:}
  backend=r:${backend/'*'/_}
}

# option NAME WORD…: the value of a record's option NAME=VALUE; nothing if it has none.
option() {
  local word
  for word in "${@:2}"; do
    if [[ $word = "$1="* ]]; then echo "${word#*=}"; fi
  done
}

# options_of KEY: sets `container` and `options` to what the record of a route has.
options_of() {
  local words=() word
  read -r -a words <"$records/$1" || true
  container=${words[0]:-} options=()
  for word in "${words[@]:1}"; do
    if [[ $word = *=* ]]; then options[${word%%=*}]=${word#*=}; fi
  done
}

# certificate_files: the names of the files of certificates that the proxy reads.
certificate_files() {
  local file
  for file in "$served"/*.pem; do [ ! -e "$file" ] || echo "${file##*/}"; done
}

# tls_settings: ciphers and versions are Mozilla's intermediate list (5.7).
tls_settings() {
  [ -n "$(certificate_files)" ] || return 0
  cat <<'CONFIGURATION'

  tune.ssl.default-dh-param 2048
  ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
  ssl-default-bind-curves X25519:prime256v1:secp384r1
  ssl-default-bind-options prefer-client-ciphers ssl-min-ver TLSv1.2 no-tls-tickets
CONFIGURATION
}

# https_bind: only with a certificate. A name that none of them has gets no connection.
https_bind() {
  local file files
  files=$(certificate_files)
  [ -n "$files" ] || return 0
  printf '\n  bind :443 ssl strict-sni alpn h2,http/1.1'
  for file in $files; do printf ' crt %s' "$served_inside/$file"; done
}

# mark_of: the mark of a configuration on standard input: all but its servers, which change at run time.
mark_of() { sed '/^  server /d; s/^  description .*//' | sha256sum | cut -c 1-16; }

# rules KEY…: what leads to which backend. Exact names come before wildcards, and these before what has no name; longer paths
# come first.
rules() {
  local key name path kind condition backend other
  for key in "$@"; do
    name=${key#@} path=
    if [[ $name = *%* ]]; then path=/${name#*%}/ path=${path//%//} name=${name%%%*}; fi
    case "$name" in
      '') kind=2 condition= ;;
      '*'*) kind=1 condition=" { var(txn.wildcard) -m str $name }" ;;
      *) kind=0 condition=" { var(txn.host) -m str $name }" ;;
    esac
    [ -z "$path" ] || condition="$condition { var(txn.path) -m beg $path }"
    name_backend "$key"
    # The one with a condition more goes first.
    case "$backend" in
      e:*)
        echo "$kind ${#path} use_backend $backend if$condition { var(txn.repeatable) -m bool }"
        other=o:${backend#e:}
        ;;
      *) other=$backend ;;
    esac
    echo "$kind ${#path} use_backend $other${condition:+ if$condition}"
  done | LC_ALL=C sort -k 1,1n -k 2,2nr -k 3 | sed 's/^[0-9]* [0-9]* /  /'
}

# to_https PORT CANONICAL HSTS: the rules of a service with HTTPS; none without a port.
to_https() {
  local port=
  [ -n "$1" ] || return 0
  [ -z "$3" ] || echo "  http-after-response set-header Strict-Transport-Security max-age=$3" \
    "if { var(txn.scheme) -m str https }"
  # Where visitors reach 443 of this host, which is another port on a person's own machine.
  if [ "$1" != 443 ]; then port=:$1; fi
  echo "  http-request redirect code 308 location https://${2:-%[var(txn.host)]}$port%[pathq]" \
    "unless { var(txn.scheme) -m str https }"
}

# backend KEY SERVERS: the part of a route. Servers are lines as `wanted` in routes.sh prints them.
backend() {
  local key=$1 name path canonical timeout body most allowed https hsts regex backend container address port other service
  local -A options
  options_of "$key"
  service=${service_of[${container:--}]:-}
  name=${key#@} path=
  if [[ $name = *%* ]]; then path=/${name#*%} path=${path//%//} name=${name%%%*}; fi
  name_backend "$key"
  canonical=${options[canonical]:-} timeout=${options[timeout]:-} body=${options[maxBody]:-}
  most=${options[maxConnections]:-} allowed=${options[allow]:-} https=${options[https]:-} hsts=${options[hsts]:-}
  echo
  echo "backend $backend"
  if [ -n "$allowed" ]; then
    refuse 403 network "This address has no access."
    echo " unless { var(txn.client) -m ip ${allowed//,/ } }"
  fi
  [ -z "$service" ] || limits_of "$service" "${options[rate]:-}"
  # Servers that are added later do not get this one's limit (`steps` in routes.sh).
  [ -z "$most" ] || printf '  %s\n' "default-server maxconn $most" "timeout queue ${timeout:-60}s"
  [ -z "$timeout" ] || echo "  timeout server ${timeout}s"
  # Only the first byte has a limit: a stream may be silent for long.
  echo "  http-response set-timeout server 24d"
  to_https "$https" "$canonical" "$hsts"
  maintenance_of "$service"
  if [ -n "$canonical" ] && [ "$canonical" != "$name" ]; then
    echo "  http-request set-var(txn.port) req.hdr(host),regsub(^[^:]*,)"
    echo "  http-request redirect code 308 location %[var(txn.scheme)]://$canonical%[var(txn.port)]%[pathq]"
  fi
  [ -z "${options[auth]:-}" ] || password_of "${service:-nobody}"
  if [ -n "$body" ]; then
    # What a body without a length comes to is only known at its end.
    echo "  http-request return status 411 content-type text/plain string \"A length is required.\"" \
      "if { req.hdr(transfer-encoding) -m found }"
    echo "  http-request deny deny_status 413 if { req.hdr(content-length),add(0) gt $((body * 1024 * 1024)) }"
  fi
  # A client that sends slowly holds up the proxy until then, and not the service: a small body is here as a whole, and of a
  # longer one as much as fits a buffer. One whose length nobody knows may be a stream, and never end.
  echo "  http-request wait-for-body time 60s at-least 12288 if { req.hdr(content-length) -m found }"
  if [ -n "${options[strip]:-}" ]; then
    regex=${path//./\\.}
    echo "  http-request set-header X-Forwarded-Prefix $path"
    printf '  http-request replace-path ^%s/?(.*)$ /\\1\n' "$regex"
  fi
  error_page_of "$service"
  while read -r other container address port _; do
    [ "$other" = "$backend" ] || continue
    if [ "$address" = 0.0.0.0 ]; then port="$port disabled"; fi
    echo "  server $container $address:$port"
  done <<<"$2"
}

# tables KEY…: what the rules of all services count and look up.
tables() {
  local key container service told=' ' needs_nobody=
  local -A options
  for key in "$@"; do
    options_of "$key"
    service=${service_of[${container:--}]:-}
    if [ -z "$service" ]; then
      # Its container is gone, so nobody may get in by its route.
      [ -z "${options[auth]:-}" ] || needs_nobody=yes
    elif [[ $told != *" $service "* ]]; then
      told="$told$service "
      tables_of "$service" "${options[rate]:-}" "${options[auth]:-}"
    fi
  done
  [ -z "$needs_nobody" ] || tables_of nobody '' yes
}

# answer_challenges: what answers an ACME authority, which asks port 80 by every name (RFC 8555, 8.3): ahead of redirects,
# passwords and maintenance, on each host alike.
answer_challenges() {
  local print
  [ -e "$thumbprint" ] || return 0
  print=$(<"$thumbprint")
  printf '\n  http-request return status 200 content-type application/octet-stream lf-string "%%[path,field(-1,/)].%s" if { path -m reg ^/[.]well-known/acme-challenge/[A-Za-z0-9_-]{16,128}$ } !{ ssl_fc }' "$print"
}

# silent_on_checks: a health check of DNS connects to an edge and says nothing, which is no line of the access log.
silent_on_checks() { ! is_edge || printf '\n  option dontlognull'; }

# compared KEY…: what the rules of these routes compare besides the name. Each costs time at every request.
compared() {
  case " $*" in *' @*'*) printf '\n  http-request set-var(txn.wildcard) var(txn.host),regsub(^[^.]*,*)' ;; esac
  case "$*" in *%*) printf '\n  http-request set-var-fmt(txn.path) %%[path]/' ;; esac
}

# who_is_believed NETWORKS FRONT: the rules on headers that say who the client is. Proxies in these networks may send them, and
# the edges that FRONT is about; if there are none, nothing is compared.
who_is_believed() {
  local unless='' rules=()
  if [ -n "$1$2" ]; then
    unless=' unless trusted'
    rules=(
      "acl trusted src 255.255.255.255${1:+ $1}"
      "http-request set-var(txn.client) req.hdr_ip(X-Forwarded-For,-1) if trusted { req.hdr(X-Forwarded-For) -m found }"
      "acl told_scheme req.hdr(X-Forwarded-Proto) -m str http https"
      "http-request set-var(txn.scheme) req.hdr(X-Forwarded-Proto) if trusted told_scheme"
    )
  fi
  rules+=(
    "http-request del-header X-Forwarded- -m beg$unless"
    "http-request del-header Forwarded$unless"
    "http-request del-header X-Real-IP$unless"
    "http-request set-header X-Forwarded-Host %[req.hdr(host)]${unless:+$unless { req.hdr(X-Forwarded-Host) -m found \}}"
    "http-request set-header X-Request-Id %[unique-id]${unless:+$unless { req.hdr(X-Request-Id) -m found \}}"
  )
  printf '\n  %s' "${rules[@]}"
}

# configuration SERVERS: HAProxy's configuration. MARK stands for its mark.
configuration() {
  local key keys=() networks='' front='' forwarded compared
  # An app host behind an edge adds the client itself.
  forwarded=$'\n  http-request add-header X-Forwarded-For %[src]'
  if is_edge; then
    edge_keys
    forwarded=
  else
    mapfile -t keys < <(keys)
    [ ! -s "$edges" ] || front=$'\n'$(from_edges "$(edge_addresses)")
  fi
  [ ! -e "$trusted" ] || networks=$(<"$trusted")
  compared=$(compared "${keys[@]}")
  cat <<CONFIGURATION
global
  description MARK
  maxconn 4096
  mworker-max-reloads 10
  log stdout format raw local0 info$(tls_settings)

defaults
  mode http
  log global
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout http-request 10s
  timeout http-keep-alive 60s
  timeout tunnel 24d
  option idle-close-on-response
  option clitcpka
  option srvtcpka
  retries 3
  retry-on conn-failure empty-response

frontend http
  bind :80$(https_bind)$front
  unique-id-format %[uuid()]
  log-format "%{+json}o %(time)[accept_date(ms),ms_utime('%Y-%m-%dT%H:%M:%S.%3NZ')] %(client)[var(txn.client)] %(peer)ci %(request_id)ID %(scheme)[var(txn.scheme)] %(method)HM %(host)[var(txn.host)] %(path)HP %(version)HV %(status)ST %(bytes_in)U %(bytes)B %(route)b %(container)s %(visitor)[var(txn.visitor)] %(queue_ms)Tw %(connect_ms)Tc %(first_byte_ms)Tr %(total_ms)Ta %(retries)rc %(ended)tsc"
  error-log-format "%{+json}o %(time)[accept_date(ms),ms_utime('%Y-%m-%dT%H:%M:%S.%3NZ')] %(client)ci %(refused)[fc_err_str] %(tls)[ssl_fc_err_str]"$(silent_on_checks)
  http-request set-var(txn.host) req.hdr(host),host_only,lower,rtrim(.)
  http-request set-var(txn.scheme) str(http)
  http-request set-var(txn.scheme) str(https) if { ssl_fc }
  http-request set-var(txn.client) src$compared$(who_is_believed "$networks" "$front")$forwarded
  http-request set-header X-Forwarded-Proto %[var(txn.scheme)]
  http-request disable-l7-retry unless { method GET HEAD OPTIONS }
  http-response set-timeout client 24d$(answer_challenges)
CONFIGURATION
  ! is_edge || repeatable
  rules "${keys[@]}"
  cat <<'CONFIGURATION'
  default_backend nobody

frontend metrics
  bind 127.0.0.1:8404
  no log
  http-request use-service prometheus-exporter if { path /metrics }
  http-request return status 404

backend nobody
  http-request return status 404 content-type text/plain string "No service has this name and path.\n"
CONFIGURATION
  if is_edge; then
    edge_backends
    return
  fi
  for key in "${keys[@]}"; do backend "$key" "$1"; done
  tables "${keys[@]}"
}

# put_configuration: installs standard input as HAProxy's configuration. With hashes of passwords in it, only root and the
# proxy read it.
put_configuration() {
  local text
  text=$(cat)
  put "$configured" 0640 <<<"$text"
  guard "$configured" "$text"
}

# guard FILE TEXT: has the right ones read it.
guard() {
  if [[ $2 = *$'\nuserlist '* ]]; then chgrp "$reader" "$1"; else chmod 0644 "$1"; fi
}
