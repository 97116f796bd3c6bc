"""What an attacker in a container, in a build step, on the network and on a web host does not reach."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import asyncssh
import pytest
import yaml

from configuration.services import CAPABILITIES
from tests.e2e.conftest import FirstUp
from tests.support.docker_command import docker
from tests.support.http_load import Load, greeting
from tests.support.stack import Stack
from tests.support.waiting import ANSWER, eventually
from well_known import REGISTRY_DATA_PATH, REGISTRY_USER

METADATA = "169.254.169.254"
"""Where clouds tell a machine about itself."""
METADATA_PORT = 8169
"""Port 80 is the proxy's, at every address of the host."""
TRY = r"""
while read -r what address port; do
  if timeout 3 bash -c "exec 3<>/dev/tcp/$address/$port" 2>/dev/null; then echo "$what"; fi
done
"""
"""Prints what of its input, lines `WHAT ADDRESS PORT`, can be reached by TCP."""
IDLE = 230
"""Connections with which an attacker kept the operator out."""


def address_of(stack: Stack, host: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return docker("inspect", stack.container(host), "--format", form).strip()


def gateway(stack: Stack, host: str, container: str) -> str:
    form = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}"
    return stack.on_host(host, "docker", "inspect", container, "--format", form).strip()


def closed(stack: Stack, bridge: str) -> list[str]:
    """What is closed to containers and build steps of web-1, whose bridge has this address there."""
    own, yard, other = (address_of(stack, host) for host in ("web-1", "yard", "web-2"))
    return [
        *(f"SSH-of-{name} {address} 22" for name, address in (("bridge", bridge), ("web-1", own))),
        *(f"engine-of-{name} {address} 2376" for name, address in (("bridge", bridge), ("web-1", own))),
        *(f"SSH-of-{name} {address} 22" for name, address in (("yard", yard), ("web-2", other))),
        *(f"engine-of-{name} {address} 2376" for name, address in (("yard", yard), ("web-2", other))),
        f"registry-of-yard {yard} {stack.outputs()['registryAddress'].rpartition(':')[2]}",
        f"metadata {METADATA} {METADATA_PORT}",
    ]


def services(stack: Stack) -> list[str]:
    """What stays open: the services, as everyone reaches them."""
    return [f"service-on-{host} {address_of(stack, host)} 80" for host in ("web-1", "web-2")]


@contextlib.contextmanager
def metadata(stack: Stack, host: str) -> Iterator[None]:
    """A metadata service that the host itself reaches."""
    unit = "slipway-test-metadata"
    answer = (
        "systemd-socket-activate",
        "--accept",
        "--inetd",
        f"--listen={METADATA}:{METADATA_PORT}",
        "echo",
    )
    stack.on_host(host, "ip", "address", "add", f"{METADATA}/32", "dev", "lo")
    stack.on_host(host, "systemd-run", "--quiet", "--collect", f"--unit={unit}", *answer)
    probe = ("timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{METADATA}/{METADATA_PORT}")
    try:
        eventually("the metadata service answers its host", lambda: not stack.on_host(host, *probe))
        yield
    finally:
        stack.on_host(host, "systemctl", "stop", unit)
        stack.on_host(host, "ip", "address", "del", f"{METADATA}/32", "dev", "lo")


def reached_from(stack: Stack, host: str, container: str, targets: list[str]) -> list[str]:
    """What root in a container reaches of the targets."""
    assert all(len(target.split()) == 3 for target in targets), targets
    text = "\n".join(targets)
    script = f"docker exec --interactive --user 0 {container} bash -c '{TRY}' <<'END'\n{text}\nEND"
    return stack.on_host(host, "bash", "-c", script).split()


def names(targets: list[str]) -> list[str]:
    return [target.split()[0] for target in targets]


def test_a_container_reaches_no_host(stack: Stack) -> None:
    (app,) = stack.app_containers("web-1")
    behind = closed(stack, gateway(stack, "web-1", app))
    allowed = services(stack)
    with metadata(stack, "web-1"):
        assert reached_from(stack, "web-1", app, [*behind, *allowed]) == names(allowed)
        # The rules are there again after the engine's restart, and after the machine's.
        with Load(stack.urls()[1]) as load:
            stack.on_host("web-1", "systemctl", "restart", "docker.service")
            assert reached_from(stack, "web-1", app, [*behind, *allowed]) == names(allowed)
        load.check()
    url = stack.urls()[0]
    docker("restart", stack.container("web-1"))
    eventually("the service is back", lambda: bool(greeting(url)))
    assert reached_from(
        stack, "web-1", app, [*closed(stack, gateway(stack, "web-1", app)), *allowed]
    ) == names(services(stack))


def test_a_build_step_reaches_no_host(stack: Stack) -> None:
    bridge = (
        stack.on_host("yard", "ip", "-4", "-o", "address", "show", "docker0").split()[3].partition("/")[0]
    )
    targets = [f"SSH-of-bridge {bridge} 22", f"engine-of-bridge {bridge} 2376"]
    targets += [target for target in closed(stack, bridge) if "bridge" not in target]
    text = "\\n".join([*targets, *services(stack)])
    attempt = "; ".join(line.strip() for line in TRY.strip().splitlines()).replace("do; ", "do ")
    steps = f"FROM debian:12\nRUN printf '{text}\\n' >/targets\nRUN bash -c '{attempt}' </targets >/reached\n"
    script = """
        set -euo pipefail
        folder=$(mktemp -d) && cd "$folder"
        cat >Dockerfile
        DOCKER_BUILDKIT=1 docker build --quiet --no-cache --tag attack . >/dev/null
        docker run --rm --network none attack cat /reached
        docker image rm --force attack >/dev/null
        rm -r "$folder"
    """
    with metadata(stack, "yard"):
        found = stack.on_host("yard", "bash", "-c", f"({script}) <<'END'\n{steps}END").split()
    assert found == names(services(stack)), found


AT_ONCE = """
import socket, sys
reached = 0
for _ in range(60):
    with socket.socket() as attempt:
        attempt.settimeout(0.05)
        reached += attempt.connect_ex((sys.argv[1], 8080)) == 0
print(reached)
"""
"""How often a container reaches an address, from the first moment of its first process on."""
BY_HAND = """
import socket, struct, subprocess, sys
own, other, own_mac, macs = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
def mac(text): return bytes.fromhex(text.replace(":", ""))
udp = struct.pack("!HHHH", 4444, 9999, 8, 0)
head = struct.pack("!BBHHHBBH", 0x45, 0, 28, 1, 0, 64, 17, 0) + socket.inet_aton(own) + socket.inet_aton(other)
total = sum(struct.unpack("!10H", head))
while total >> 16: total = (total & 0xFFFF) + (total >> 16)
head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
for to in macs: link.send(mac(to) + mac(own_mac) + b"\\x08\\x00" + head + udp)
"""
"""Sends a packet to another container in frames to these: to itself, and to the host, which would bring it there."""


def test_services_of_a_host_reach_the_proxy_only(stack: Stack) -> None:
    (app,) = stack.app_containers("web-1")
    form = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}} {{.Config.Image}}"
    network, image = stack.on_host("web-1", "docker", "inspect", app, "--format", form).split()
    server = ("python3", "-c", "import socket, time; s = socket.create_server(('', 8080)); time.sleep(600)")
    name = "slipway-test-neighbour"
    try:
        stack.on_host(
            "web-1", *("docker", "run", "--detach", "--name", name, "--network", network, image), *server
        )
        form = "{{.State.Pid}} {{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        _, address = stack.on_host("web-1", "docker", "inspect", name, "--format", form).split()
        proxy = stack.on_host("web-1", "docker", "inspect", "slipway-proxy", "--format", form).split()
        probe = ("timeout", "3", "bash", "-c", f"exec 3<>/dev/tcp/{address}/8080")
        inside = ("nsenter", f"--net=/proc/{proxy[0]}/ns/net")
        eventually("the proxy reaches it", lambda: not stack.on_host("web-1", *inside, *probe))
        targets = [f"neighbour {address} 8080", f"proxy {proxy[1]} 80"]
        assert reached_from(stack, "web-1", app, targets) == ["proxy"]

        pid, there = stack.on_host("web-1", "docker", "inspect", app, "--format", form).split()
        run = ("docker", "run", "--rm", "--network", network, image, "python3", "-c")
        assert stack.on_host("web-1", *run, AT_ONCE, there).strip() == "0"

        # Docker's own list has NET_RAW, so this neighbour makes its packets by itself.
        def refused() -> int:
            script = f"nsenter --net=/proc/{pid}/ns/net awk '/^Udp: [0-9]/ {{ print $3 }}' /proc/net/snmp"
            return int(stack.on_host("web-1", "bash", "-c", script))

        before = refused()
        stack.on_host("web-1", "bash", "-c", f"echo >/dev/udp/{there}/9999")
        eventually("a packet of the host arrives", lambda: refused() == before + 1)
        form = "{{range .NetworkSettings.Networks}}{{.Gateway}} {{.MacAddress}}{{end}}"
        gateway_, own_mac = stack.on_host("web-1", "docker", "inspect", name, "--format", form).split()
        _, app_mac = stack.on_host("web-1", "docker", "inspect", app, "--format", form).split()
        script = f"cat /sys/class/net/$(ip -o address show to {gateway_} | awk '{{ print $2 }}')/address"
        host_mac = stack.on_host("web-1", "bash", "-c", script).strip()
        raw = ("docker", "exec", "--user", "0", name, "python3", "-c", BY_HAND)
        stack.on_host("web-1", *raw, address, there, own_mac, app_mac, host_mac)
        stack.on_host("web-1", "sleep", "0.5")
        assert refused() == before + 1
    finally:
        docker("exec", stack.container("web-1"), "docker", "rm", "--force", name, check=False)


RIGHTS = {
    "raw": "perl -MSocket -e 'socket(S, AF_INET, SOCK_RAW, 1) or exit 1'",
    "packet": "perl -e 'socket(S, 17, 3, 768) or exit 1'",
    "mount": "mount -t tmpfs none /mnt",
    "device": "mknod /tmp/disk b 254 0",
    "chroot": "chroot / true",
    "namespace": "unshare --user --map-root-user true",
    "kernel": "echo 1 >/proc/sys/net/ipv4/ip_forward",
    "memory": "dd if=/proc/kcore bs=1 count=1 status=none",
}
"""What root in a container would use to get out of it, by what it is."""


def test_root_in_a_container_has_few_rights(one_host: Stack) -> None:
    one_host.up()
    (app,) = one_host.app_containers("box")
    script = "\n".join(
        f"if ( {attack} ) 2>/dev/null; then echo {name}; fi" for name, attack in RIGHTS.items()
    )
    inside = ("docker", "exec", "--user", "0", app, "sh", "-c")
    # Without its tools, each attack would fail.
    one_host.on_host(
        "box", *inside, "for tool in perl mount mknod chroot unshare dd; do type $tool || exit; done"
    )
    assert one_host.on_host("box", *inside, script).split() == []
    status = one_host.on_host("box", "docker", "exec", app, "cat", "/proc/1/status")
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert bin(int(facts["CapBnd"], 16)).count("1") == len(CAPABILITIES)
    assert facts["NoNewPrivs"] == "1"
    # A fork bomb ends there, in Slipway's own containers as well.
    for container in (app, "slipway-proxy", "slipway-registry", "slipway-registry-proxy"):
        limit = one_host.on_host(
            "box", "docker", "inspect", container, "--format", "{{.HostConfig.PidsLimit}}"
        )
        assert limit.strip() == "4096", container
    for container in ("slipway-registry", "slipway-registry-proxy"):
        rights = one_host.on_host(
            "box", "docker", "inspect", container, "--format", "{{.HostConfig.CapDrop}}"
        )
        assert rights.strip() == "[ALL]"


OWN_CONTAINERS = {
    "slipway-proxy": "/etc/slipway/proxy",
    "slipway-registry": "/etc/slipway/registry",
    "slipway-registry-proxy": "/etc/slipway/registry-proxy",
}
"""Slipway's own containers, and the folder of the files that each reads."""


def test_slipways_own_containers_are_not_roots(one_host: Stack) -> None:
    one_host.up()
    script = """
        pid=$(docker inspect "$1" --format '{{.State.Pid}}')
        for process in /proc/[0-9]*; do
          [ "$(readlink "$process/ns/pid")" = "$(readlink "/proc/$pid/ns/pid")" ] || continue
          awk '$1 == "Uid:" { user = $2 " " $3 " " $4 " " $5 } $1 == "CapPrm:" { print user, $2 }' "$process/status"
        done
    """
    for container, files in OWN_CONTAINERS.items():
        found = one_host.on_host("box", "bash", "-c", script, "bash", container).splitlines()
        assert found, container
        for *users, rights in (line.split() for line in found):
            assert "0" not in users, (container, found)
            assert int(rights, 16) == 0, (container, found)
        # Whoever else gets on the host reads none of the keys, passwords and rights.
        secret = (
            "-name",
            "*.pem",
            "-o",
            "-name",
            "htpasswd",
            "-o",
            "-name",
            "*.map",
            "-o",
            "-name",
            "config.yml",
        )
        readable = one_host.on_host("box", "find", files, "(", *secret, ")", "-perm", "/007")
        assert readable == "", readable
    owners = one_host.on_host("box", "find", REGISTRY_DATA_PATH, "-printf", "%U\n")
    assert set(owners.split()) == {str(REGISTRY_USER)}


def test_a_container_that_may_not_write_still_serves_and_has_its_secrets(one_host: Stack) -> None:
    def read_only(settings: dict[str, Any]) -> None:
        settings["services"]["web"] |= {"readOnly": True, "capabilities": [], "secrets": ["TOKEN"]}

    def token() -> str:
        """As the service reads it, whoever it is."""
        (app,) = one_host.app_containers("box")
        return one_host.on_host("box", "docker", "exec", "--user", "65534", app, "cat", "/run/secrets/TOKEN")

    with one_host.configured(read_only):
        one_host.set_secret("TOKEN", "a-former-token")
        one_host.up()
        (app,) = one_host.app_containers("box")
        inside = ("docker", "exec", app, "sh", "-c")
        assert (
            one_host.on_host("box", *inside, "touch /etc/x 2>/dev/null || echo refused").strip() == "refused"
        )
        assert one_host.on_host("box", *inside, "touch /tmp/x && echo written").strip() == "written"
        assert one_host.on_host("box", *inside, "grep CapBnd /proc/1/status").split()[1] == "0" * 16
        assert token() == "a-former-token"
        # In no file of the engine, and for root alone.
        search = "! grep -rqs a-former-token /var/lib/docker/containers /var/lib/docker/overlay2/*/diff/run"
        one_host.on_host("box", "sh", "-c", search)
        other = "setpriv --reuid 65534 --regid 65534 --clear-groups find {} 2>&1 | grep -c denied"
        for place in ("/run/slipway/secrets", "/var/lib/slipway/secrets"):
            assert one_host.on_host("box", "sh", "-c", other.format(place)).strip() == "1"
        preview = one_host.slip("preview", "--refresh", "--expect-no-changes")
        assert preview.status == 0, str(preview)

        # A machine that starts by itself has them again.
        url = one_host.urls()[0]
        docker("restart", one_host.container("box"))
        eventually("the service is back", lambda: bool(greeting(url)))
        assert token() == "a-former-token"

        one_host.set_secret("TOKEN", "a-newer-token")
        with Load(url) as load:
            one_host.up()
        load.check()
        assert token() == "a-newer-token"
        places = "/run/slipway/secrets /var/lib/slipway/secrets /var/lib/docker/containers"
        left = ("sh", "-c", f"grep -rls a-former-token {places} || true")
        eventually("the former value is gone", lambda: one_host.on_host("box", *left) == "")
    one_host.up()
    assert one_host.on_host("box", "find", "/run/slipway/secrets", "-type", "f") == ""


def test_rules_that_were_removed_are_found_and_made_again(stack: Stack) -> None:
    stack.on_host("web-1", "iptables", "-w", "-F", "SLIPWAY-HOST")
    stack.on_host("web-1", "iptables", "-w", "-D", "INPUT", "-j", "SLIPWAY-INPUT")
    stack.on_host("web-2", "sh", "-c", "echo AllowTcpForwarding yes >/etc/ssh/sshd_config.d/00-more.conf")
    stack.on_host("web-2", "rm", "/etc/ssh/sshd_config.d/00-slipway.conf")
    preview = stack.slip("preview", "--refresh", "--expect-no-changes")
    assert preview.status == 1, str(preview)
    assert "web-1: the firewall (iptables) lacks the rule -A INPUT -j SLIPWAY-INPUT" in preview.output
    assert "web-2: the SSH server has allowtcpforwarding yes, not no" in preview.output
    stack.on_host("web-2", "rm", "/etc/ssh/sshd_config.d/00-more.conf")
    repair = stack.slip("repair")
    assert repair.status == 0, str(repair)
    assert "web-1: the firewall (iptables) lacks the rule -A INPUT -j SLIPWAY-INPUT" in repair.output
    verified = stack.slip("verify")
    assert verified.status == 0, str(verified)


def connected(stack: Stack, host: str, use: Callable[[Any], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """What a logged-in SSH connection to a host is used for."""
    outputs = stack.outputs()
    facts = outputs["hosts"][host]
    key = asyncssh.import_private_key(outputs["sshPrivateKey"])

    async def run() -> Any:
        async with asyncssh.connect(
            facts["address"],
            int(facts["sshPort"]),
            username=facts["sshUser"],
            client_keys=[key],
            known_hosts=None,
            config=[],
            **options,
        ) as connection:
            return await use(connection)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "old",
    [
        {"kex_algs": ["diffie-hellman-group14-sha256", "ecdh-sha2-nistp256"]},
        {"encryption_algs": ["aes256-ctr", "aes128-ctr"]},
    ],
)
def test_ssh_refuses_old_algorithms(stack: Stack, old: dict[str, list[str]]) -> None:
    # The server may close the connection before its own list has arrived.
    with pytest.raises((asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost)):
        connected(stack, "web-1", lambda connection: connection.run("true"), **old)
    # With what it has itself, it lets the same client in.
    connected(stack, "web-1", lambda connection: connection.run("true", check=True))


def test_ssh_forwards_nothing(stack: Stack) -> None:
    async def forward(connection: Any) -> None:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", 2376)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/run/docker.sock")
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.start_server(lambda *_: None, "127.0.0.1", 0)

    connected(stack, "web-1", forward)


def test_idle_connections_do_not_keep_the_operator_out(stack: Stack) -> None:
    facts = stack.outputs()["hosts"]["web-1"]
    address = facts["address"], int(facts["sshPort"])
    with contextlib.ExitStack() as held:
        idle = [held.enter_context(socket.create_connection(address, ANSWER)) for _ in range(IDLE)]
        # All were let in, and wait for a login that does not come.
        assert {connection.recv(4) for connection in idle} == {b"SSH-"}
        verified = stack.slip("verify")
        assert verified.status == 0, str(verified)


def test_root_on_a_web_host_reaches_no_other_engine(stack: Stack) -> None:
    keys = "--cert /etc/docker/tls/cert.pem --key /etc/docker/tls/key.pem --cacert /etc/docker/tls/ca.pem"
    script = f"""
        for host in yard web-2; do
          for keys in '' '{keys}'; do
            ! curl -sfk --max-time 5 -o /dev/null $keys "https://$host:2376/version" || echo "engine of $host"
          done
        done
        for file in /root/.docker/config.json /root/.ssh/id_ed25519 /etc/docker/tls/ca-key.pem; do
          ! test -e "$file" || echo "$file"
        done
        find /root/.ssh -type f ! -name authorized_keys
    """
    assert stack.on_host("web-1", "bash", "-c", script) == ""


def test_root_on_a_web_host_gets_no_more_than_the_host_has(stack: Stack) -> None:
    """With the account that it has seen its engine pull with, from the host itself."""
    outputs = stack.outputs()
    address = outputs["registryAddress"]
    account = outputs["registryHostAccounts"]["web-1"]
    digest = outputs["images"]["web"].partition("@")[2]
    script = f"""
        cd "/etc/docker/certs.d/{address}"
        ask() {{
          printf 'user = "%s"\\n' '{account}:{outputs["registryPasswords"][account]}' |
            curl -s -K - --cacert ca.crt -o /dev/null -w '%{{http_code}} ' -X "$1" "https://{address}/v2/$2"
        }}
        ask GET ''
        ask GET web/manifests/{digest}
        ask POST web/blobs/uploads/
        ask PUT web/manifests/latest
        ask DELETE web/manifests/{digest}
        ask POST mirror/debian/blobs/uploads/
        ask GET web-base/tags/list
        ask GET _catalog
    """
    answers = stack.on_host("web-1", "bash", "-c", script).split()
    assert answers == ["200", "200", "403", "403", "405", "403", "403", "403"]
    # No key and no other account is in any file of the host.
    secrets = [outputs["engineClientKey"], outputs["sshPrivateKey"]]
    # All keys of a kind begin alike.
    lines = [secret.strip().splitlines()[-2] for secret in secrets]
    lines += [password for name, password in outputs["registryPasswords"].items() if name != account]
    places = "/etc /root /home /run /tmp /usr/local /var/lib/slipway /var/log /var/tmp"
    text = "\n".join(lines)
    search = f"grep -rslIF -D skip -f /dev/stdin {places} <<'END' || true\n{text}\nEND"
    assert stack.on_host("web-1", "bash", "-c", search) == ""


SHOP_SECRET = "a-secret-of-the-shop"


@pytest.fixture(scope="module")
def shop(first_up: FirstUp) -> Iterator[Stack]:
    """The stack with another service, which web-2 runs, and web-1 does not."""
    stack = first_up.stack
    before = stack.config_file.read_text()
    services = yaml.safe_load(before)["config"]["slipway:services"]
    services["shop"] = {
        "build": {"context": "tests/e2e/fixtures/tiny"},
        "health": "/",
        "domains": ["shop.localhost"],
        "tls": "off",
        "secrets": ["KEY"],
        "hosts": ["web-2"],
    }
    try:
        stack.set_secret("KEY", SHOP_SECRET)
        stack.configure({"services": services})
        stack.up()
        yield stack
    finally:
        stack.config_file.write_text(before)
        stack.up()


def test_root_on_a_web_host_gets_nothing_of_services_elsewhere(stack: Stack, shop: Stack) -> None:
    """Every way out of web-1 that its root could try for what only web-2 has."""
    outputs = stack.outputs()
    address = outputs["registryAddress"]
    account = outputs["registryHostAccounts"]["web-1"]
    digest = outputs["images"]["shop"].partition("@")[2]
    (app,) = stack.app_containers("web-2", service="shop")
    assert stack.on_host("web-2", "docker", "exec", app, "cat", "/run/secrets/KEY") == SHOP_SECRET
    # The image of another service, with the account of this host.
    script = f"""
        cd "/etc/docker/certs.d/{address}"
        ask() {{
          printf 'user = "%s"\\n' '{account}:{outputs["registryPasswords"][account]}' |
            curl -s -K - --cacert ca.crt -o /dev/null -w '%{{http_code}} ' -X "$1" "https://{address}/v2/$2"
        }}
        ask GET shop/tags/list
        ask GET shop/manifests/{digest}
        ask GET shop/blobs/{digest}
        ask POST "web/blobs/uploads/?mount={digest}&from=shop"
        ask POST shop/blobs/uploads/
        ask PUT shop/manifests/latest
        ask DELETE shop/manifests/{digest}
    """
    answers = stack.on_host("web-1", "bash", "-c", script).split()
    assert answers == ["403", "403", "403", "403", "403", "403", "405"]
    # Every private key of this host, at the SSH server and at the engine of every other one.
    script = """
        keys=$(grep -rlsI -D skip 'BEGIN .*PRIVATE KEY' /etc /root /run /var/lib/slipway | sort -u)
        for key in $keys; do
          for host in yard web-2; do
            ! ssh -i "$key" -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
              -o IdentitiesOnly=yes -o ConnectTimeout=5 "root@$host" true 2>/dev/null || echo "SSH of $host by $key"
          done
        done
        for cert in $(grep -rlsI -D skip 'BEGIN CERTIFICATE' /etc/docker /etc/slipway /root); do
          for key in $keys; do
            for host in yard web-2; do
              ! curl -sfk --max-time 5 -o /dev/null --cert "$cert" --key "$key" "https://$host:2376/version" ||
                echo "engine of $host by $cert"
            done
          done
        done
        echo "tried $(wc -w <<<"$keys")"
    """
    *reached, tried = stack.on_host("web-1", "bash", "-c", script).splitlines()
    assert reached == []
    # Its SSH server's, and its engine's.
    assert int(tried.split()[1]) >= 2
    # Nothing of the secret was ever here, not even encoded.
    encoded = base64.b64encode(SHOP_SECRET.encode()).decode()
    places = (
        "/etc /root /home /run /tmp /usr/local /var/lib/slipway /var/lib/docker/containers /var/log /var/tmp"
    )
    search = f"grep -rslIF -D skip -f /dev/stdin {places} <<'END' || true\n{SHOP_SECRET}\n{encoded}\nEND"
    assert stack.on_host("web-1", "bash", "-c", search) == ""
    # The search finds it where it is.
    assert "/run/slipway/secrets/shop/" in stack.on_host("web-2", "bash", "-c", search)
