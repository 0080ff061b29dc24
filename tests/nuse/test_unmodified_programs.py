# SPDX-License-Identifier: GPL-2.0-only
"""Unmodified programs on a stack, with peers in a network namespace at the end of a tap.

``PYLIBOS_PROGRAM_TABLE=docs/nuse-programs.md`` writes the table of the documentation.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_namespaces import need_namespaces
from kernel_builds import main_builds
from program_lab import PEER, PEER6, STACK, STACK6, Lab, need
from program_table import ProgramTable

SIZE = 300_000


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A stack of the default build and its peer."""
    need_namespaces()
    options = main_builds()[0].options
    lab = Lab(tmp_path_factory.mktemp("lab"), options["kernel"], options["profile"])
    lab.folder.chmod(0o755)
    (lab.folder / "data").write_bytes(bytes(range(256)) * (SIZE // 256))
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def table() -> Iterator[ProgramTable]:
    """The table of programs, written if that was asked for."""
    table = ProgramTable()
    yield table
    if path := os.environ.get("PYLIBOS_PROGRAM_TABLE"):
        table.write(Path(path))


@pytest.fixture
def data_hash(lab: Lab) -> str:
    """SHA-256 of the file that is moved about."""
    return hashlib.sha256((lab.folder / "data").read_bytes()).hexdigest()


def hash_of(lab: Lab, name: str) -> str:
    return hashlib.sha256((lab.folder / name).read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def web(lab: Lab) -> Iterator[str]:
    """A web server of the peer's."""
    with lab.server("python3", "-m", "http.server", "8000", "--bind", "::", port=8000, peer=True):
        yield f"http://{PEER}:8000"


# --- Looking and configuring ---


def test_ip_shows_and_changes_the_stack_alone(lab: Lab, table: ProgramTable) -> None:
    table.works("ip", ["ip", "-V"], "addr, link, route, rule, neigh, netns, -6")
    assert STACK in lab.run("ip", "addr", "show", "dev", "eth0")
    script = textwrap.dedent("""
        set -e
        ip link add dummy7 type dummy
        ip link set dummy7 up
        ip addr add 10.44.0.1/24 dev dummy7
        ip -6 addr add fd44::1/64 dev dummy7 nodad
        ip route add 10.55.0.0/16 via 10.44.0.2
        ip rule add from 10.44.0.9 table 77
        ip neigh add 10.44.0.2 lladdr 02:00:00:00:00:02 dev dummy7
        ip route get 10.55.1.1
        ip rule
        ip neigh show dev dummy7
        ip -6 route show dev dummy7
        ip link del dummy7
        ip rule del table 77
    """)
    output = lab.run("bash", "-c", script)
    assert "10.55.1.1 via 10.44.0.2 dev dummy7" in output
    assert "from 10.44.0.9 lookup 77" in output
    assert "10.44.0.2 lladdr 02:00:00:00:00:02 PERMANENT" in output
    assert "fd44::/64" in output
    host = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    assert "dummy7" not in host


def test_namespaces_of_ip_netns_are_the_stacks_own(lab: Lab) -> None:
    script = textwrap.dedent("""
        set -e
        ip netns add blue
        ip link add v0 type veth peer name v1
        ip link set v1 netns blue
        ip addr add 10.77.0.1/24 dev v0
        ip link set v0 up
        ip netns exec blue ip addr add 10.77.0.2/24 dev v1
        ip netns exec blue ip link set v1 up
        ping -q -c 1 10.77.0.2
        ip netns exec blue ping -q -c 1 10.77.0.1
        ip netns exec blue sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward'
        cat /proc/sys/net/ipv4/ip_forward
        ip netns list
        ip netns del blue
        ip netns list
    """)
    output = lab.run("bash", "-c", script)
    assert output.count("1 received") == 2
    lines = [line for line in output.splitlines() if "Peer netns" not in line]
    assert lines[-2:] == ["0", "blue"]
    assert not Path("/run/netns/blue").exists()


def test_ss_lists_the_sockets_of_the_stack(lab: Lab, table: ProgramTable) -> None:
    table.works("ss", ["ss", "-V"])
    with lab.server("python3", "-m", "http.server", "8125", "--bind", STACK, port=8125):
        assert f"{STACK}:8125" in lab.run("ss", "-tln")


def test_tc_sets_a_queueing_discipline(lab: Lab, table: ProgramTable) -> None:
    table.works("tc", ["tc", "-V"])
    lab.run("tc", "qdisc", "replace", "dev", "eth0", "root", "fq_codel", "limit", "777")
    assert "limit 777p" in lab.run("tc", "qdisc", "show", "dev", "eth0")
    lab.run("tc", "qdisc", "del", "dev", "eth0", "root")


def test_nft_filters(lab: Lab, table: ProgramTable) -> None:
    need("nft")
    table.works("nft", ["nft", "--version"])
    chain = "chain c { type filter hook output priority 0; icmp type echo-request drop; }"
    rules = f"table inet t {{ {chain}; }}"
    lab.run("nft", "add", rules)
    assert "echo-request drop" in lab.run("nft", "list", "ruleset")
    assert "0 received" in lab.run("ping", "-c", "1", "-W", "0.2", PEER, status=1)
    lab.run("nft", "delete", "table", "inet", "t")
    assert "1 received" in lab.run("ping", "-c", "1", PEER)


@pytest.mark.parametrize("family", ["iptables", "ip6tables"])
@pytest.mark.parametrize("kind", ["legacy", "nft"])
def test_iptables_filters(lab: Lab, table: ProgramTable, family: str, kind: str) -> None:
    program = f"{family}-{kind}"
    need(program)
    table.works(program, [program, "--version"])
    peer = PEER if family == "iptables" else PEER6
    rule = ("OUTPUT", "-d", peer, "-p", "tcp", "--dport", "9", "-j", "REJECT")
    lab.run(program, "-A", *rule)
    assert "dpt:9" in lab.run(program, "-L", "-n")
    lab.run(program, "-D", *rule)
    assert "dpt:9" not in lab.run(program, "-L", "-n")


def test_ethtool_shows_the_device(lab: Lab, table: ProgramTable) -> None:
    need("ethtool")
    table.works("ethtool", ["ethtool", "--version"])
    assert "Link detected: yes" in lab.run("ethtool", "eth0")
    assert "tcp-segmentation-offload: on" in lab.run("ethtool", "-k", "eth0")


def test_sysctl_and_files_of_the_network_are_the_stacks(lab: Lab, table: ProgramTable) -> None:
    table.works(
        "sysctl, cat, ls", ["sysctl", "--version"], "/proc/net, /proc/sys/net, /sys/class/net"
    )
    before = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    lab.run("sysctl", "-w", "net.ipv4.ip_default_ttl=77")
    assert lab.run("cat", "/proc/sys/net/ipv4/ip_default_ttl") == "77\n"
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == before
    lab.run("sh", "-c", "echo 64 > /proc/sys/net/ipv4/ip_default_ttl")
    assert lab.run("cat", "/proc/sys/net/ipv4/ip_default_ttl") == "64\n"
    assert "eth0" in lab.run("ls", "/sys/class/net").split()
    assert lab.run("cat", "/sys/class/net/eth0/mtu") == "1500\n"
    assert "eth0:" in lab.run("cat", "/proc/net/dev")
    assert "eth0:" in lab.run("cat", "/proc/self/net/dev")
    assert "conf" in lab.run("ls", "/proc/sys/net/ipv4").split()


# --- Asking ---


@pytest.mark.parametrize(("family", "peer"), [("-4", PEER), ("-6", PEER6)])
def test_ping_gets_an_answer(lab: Lab, table: ProgramTable, family: str, peer: str) -> None:
    table.works("ping", ["ping", "-V"])
    output = lab.run("ping", family, "-c", "2", "-i", "0.01", peer)
    assert "2 received, 0% packet loss" in output
    assert "time of day goes back" not in output


def test_peer_pings_the_stack(lab: Lab) -> None:
    assert "1 received" in lab.peer.run("ping", "-c", "1", STACK)
    assert "1 received" in lab.peer.run("ping", "-c", "1", STACK6)


def test_traceroute_finds_the_peer(lab: Lab, table: ProgramTable) -> None:
    need("traceroute")
    table.works("traceroute", ["traceroute", "--version"])
    assert re.search(rf"^ 1  {PEER}  ", lab.run("traceroute", "-n", PEER), re.M)


# --- Fetching ---


def test_curl_fetches(lab: Lab, table: ProgramTable, web: str, data_hash: str) -> None:
    table.works("curl", ["curl", "--version"])
    lab.run("curl", "-sSf", "-o", "got.curl", f"{web}/data")
    assert hash_of(lab, "got.curl") == data_hash
    lab.run("curl", "-sSf", "-o", "got6.curl", f"http://[{PEER6}]:8000/data")
    assert hash_of(lab, "got6.curl") == data_hash


def test_wget_fetches(lab: Lab, table: ProgramTable, web: str, data_hash: str) -> None:
    need("wget")
    table.works("wget", ["wget", "--version"])
    lab.run("wget", "-q", "-O", "got.wget", f"{web}/data")
    assert hash_of(lab, "got.wget") == data_hash


def test_static_busybox_fetches(lab: Lab, table: ProgramTable, web: str, data_hash: str) -> None:
    need("busybox")
    table.works("busybox wget (static)", ["busybox"])
    lab.run("busybox", "wget", "-q", "-O", "got.busybox", f"{web}/data")
    assert hash_of(lab, "got.busybox") == data_hash


def test_dig_asks_dnsmasq(lab: Lab, table: ProgramTable) -> None:
    need("dig", "dnsmasq")
    table.works("dig", ["dig", "-v"])
    words = ("dnsmasq", "-k", "-p", "5353", "-a", PEER, "-z", "-R", "-h", "-u", "root")
    with lab.server(*words, "-A", "/it.test/10.1.2.3", port=5353, peer=True):
        answer = lab.run("dig", "+short", "-p", "5353", f"@{PEER}", "it.test")
        assert answer == "10.1.2.3\n"
        assert lab.run("dig", "+tcp", "+short", "-p", "5353", f"@{PEER}", "it.test") == answer


def test_netcat_talks_both_ways(lab: Lab, table: ProgramTable) -> None:
    need("nc")
    table.works("nc", ["dpkg-query", "-Wf", "${Version}\n", "netcat-openbsd"])
    listening = lab.start("nc", "-l", "-N", "7001", peer=True)
    lab._await_port(listening, 7001, True, False)
    lab.run("nc", "-N", PEER, "7001", text="to the peer\n")
    listening.wait(10)
    assert "to the peer" in (lab.folder / "nc.log").read_text()


def test_socat_mixes_pipes_and_sockets(lab: Lab, table: ProgramTable, data_hash: str) -> None:
    need("socat")
    table.works("socat", ["socat", "-V"], "mixed descriptors")
    listening = lab.start("socat", "-u", "TCP-LISTEN:7002", "OPEN:got.socat,creat", peer=True)
    lab._await_port(listening, 7002, True, False)
    lab.run("bash", "-c", f"cat data | socat -u STDIN TCP:{PEER}:7002")
    listening.wait(10)
    assert hash_of(lab, "got.socat") == data_hash


def test_ssh_runs_a_command_of_the_peers(lab: Lab, table: ProgramTable) -> None:
    need("ssh", "sshd", "ssh-keygen")
    table.works("ssh", ["ssh", "-V"])
    folder = lab.folder / "ssh"
    folder.mkdir(mode=0o700)
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd(8) insists on it
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "config").write_text(
        f"HostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\nStrictModes no\n"
        "UsePAM no\nPidFile none\nPort 2222\nPermitRootLogin yes\n"
    )
    command = ("/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "config"))
    with lab.server(*command, port=2222, peer=True):
        output = lab.run(
            *("ssh", "-i", str(folder / "user"), "-p", "2222", "-o", "StrictHostKeyChecking=no"),
            *("-o", "UserKnownHostsFile=/dev/null", f"root@{PEER}", "echo here; cat data | wc -c"),
            *(),
        )
    assert "here" in output


def test_openssl_talks_tls(lab: Lab, table: ProgramTable) -> None:
    need("openssl")
    table.works("openssl s_client, s_server", ["openssl", "version"])
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key",
            "-out",
            "cert",
            "-days",
            "2",
            "-subj",
            "/CN=it",
        ],
        cwd=lab.folder,
        capture_output=True,
        check=True,
    )
    server = ("openssl", "s_server", "-key", "key", "-cert", "cert", "-www", "-accept")
    with lab.server(*server, "4433", port=4433, peer=True):
        output = lab.run("openssl", "s_client", "-connect", f"{PEER}:4433", "-brief", text="\n")
        assert "CONNECTION ESTABLISHED" in output
    with lab.server(*server, "4434", port=4434):
        fetched = lab.peer.run("curl", "-sSk", f"https://{STACK}:4434/")
        assert "s_server" in fetched


# --- Serving ---


def test_python_http_server_serves(lab: Lab, table: ProgramTable, data_hash: str) -> None:
    table.works("python3 -m http.server", ["python3", "--version"])
    with lab.server("python3", "-m", "http.server", "8126", "--bind", STACK, port=8126):
        lab.peer.run("curl", "-sSf", "-o", str(lab.folder / "got.py"), f"http://{STACK}:8126/data")
    assert hash_of(lab, "got.py") == data_hash


def test_nginx_with_workers_serves_and_reloads(
    lab: Lab, table: ProgramTable, data_hash: str
) -> None:
    need("nginx")
    table.works("nginx", ["nginx", "-v"], "4 workers, sendfile, reload under load")
    config = lab.folder / "nginx.conf"
    config.write_text(
        f"user root; worker_processes 4; daemon off; pid {lab.folder}/nginx.pid;"
        f"error_log {lab.folder}/nginx-error.log; events {{ worker_connections 2048; }}"
        "http { access_log off; sendfile on;"
        f" server {{ listen {STACK}:80; root {lab.folder}; }} }}"
    )
    with lab.server("nginx", "-c", str(config), "-e", f"{lab.folder}/nginx-error.log", port=80):
        script = textwrap.dedent(f"""
            for i in $(seq 60); do
                curl -sSf http://{STACK}/data | sha256sum || exit 1
                if [ $i = 20 ] || [ $i = 40 ]; then
                    kill -HUP $(cat {lab.folder}/nginx.pid)
                fi
            done
        """)
        lines = lab.peer.run("bash", "-c", script).splitlines()
    assert lines == [f"{data_hash}  -"] * 60


def test_redis_serves_redis_benchmark(lab: Lab, table: ProgramTable) -> None:
    need("redis-server", "redis-benchmark", "redis-cli")
    table.works("redis-server, redis-benchmark, redis-cli", ["redis-server", "--version"])
    server = ("redis-server", "--bind", STACK, "--save", "", "--protected-mode", "no")
    with lab.server(*server, port=6379):
        output = lab.peer.run(
            "redis-benchmark", "-h", STACK, "-t", "get,set", "-n", "2000", "-c", "50", "--csv"
        )
        assert '"GET"' in output
        assert '"SET"' in output
        assert lab.run("redis-cli", "-h", STACK, "ping") == "PONG\n"


def test_memcached_serves(lab: Lab, table: ProgramTable) -> None:
    need("memcached", "nc")
    table.works("memcached", ["memcached", "-V"])
    with lab.server("memcached", "-u", "root", "-l", STACK, "-U", "0", port=11211):
        script = f"printf 'set k 0 0 5\\r\\nhello\\r\\nget k\\r\\nquit\\r\\n' | nc {STACK} 11211"
        assert "VALUE k 0 5\r\nhello" in lab.peer.run("bash", "-c", script).replace(
            "\n", "\r\n"
        ).replace("\r\r", "\r")


def test_haproxy_balances_two_servers(lab: Lab, table: ProgramTable) -> None:
    need("haproxy")
    table.works("haproxy", ["haproxy", "-v"], "in front of two servers")
    config = lab.folder / "haproxy.cfg"
    config.write_text(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
        f"frontend f\n bind {STACK}:8200\n default_backend b\n"
        f"backend b\n balance roundrobin\n server s1 {STACK}:8201\n server s2 {STACK}:8202\n"
    )
    for name in ("one", "two"):
        (lab.folder / name).mkdir()
        (lab.folder / name / "who").write_text(name)
    server = ("python3", "-m", "http.server", "--bind", STACK, "-d")
    with (
        lab.server(*server, "one", "8201", port=8201),
        lab.server(*server, "two", "8202", port=8202),
        lab.server("haproxy", "-db", "-f", str(config), port=8200),
    ):
        fetch = f"for i in 1 2 3 4; do curl -sSf http://{STACK}:8200/who; echo; done"
        words = lab.peer.run("bash", "-c", fetch).split()
    assert sorted(words) == ["one", "one", "two", "two"]


def test_dnsmasq_answers(lab: Lab, table: ProgramTable) -> None:
    need("dnsmasq", "dig")
    table.works("dnsmasq", ["dnsmasq", "--version"])
    words = ("dnsmasq", "-k", "-p", "5354", "-a", STACK, "-z", "-R", "-h", "-u", "root")
    with lab.server(*words, "-A", "/it.test/10.4.5.6", port=5354):
        assert lab.peer.run("dig", "+short", "-p", "5354", f"@{STACK}", "it.test") == "10.4.5.6\n"


def test_unbound_answers(lab: Lab, table: ProgramTable) -> None:
    need("unbound", "dig")
    table.works("unbound", ["unbound", "-V"])
    config = lab.folder / "unbound.conf"
    config.write_text(
        f'server:\n interface: {STACK}@5355\n access-control: 0.0.0.0/0 allow\n username: ""\n'
        ' chroot: ""\n do-daemonize: no\n pidfile: ""\n use-syslog: no\n'
        ' local-data: "it.test A 10.7.8.9"\n'
    )
    with lab.server("unbound", "-c", str(config), port=5355):
        assert lab.peer.run("dig", "+short", "-p", "5355", f"@{STACK}", "it.test") == "10.7.8.9\n"


def test_node_serves_http(lab: Lab, table: ProgramTable) -> None:
    need("node")
    table.works("node", ["node", "--version"], "its http server")
    source = f"require('http').createServer((q, a) => a.end('from node')).listen(8300, '{STACK}')"
    with lab.server("node", "-e", source, port=8300):
        assert lab.peer.run("curl", "-sSf", f"http://{STACK}:8300/") == "from node"


def test_static_go_serves_and_fetches(
    lab: Lab, table: ProgramTable, web: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    need("go")
    table.works("Go, static", ["go", "version"], "its http server and client")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text((Path(__file__).parent / "data" / "http.go.txt").read_text())
    subprocess.run(
        ["go", "build", "-o", str(lab.folder / "gohttp"), "main.go"],
        cwd=folder,
        env={
            **os.environ,
            "CGO_ENABLED": "0",
            "GOCACHE": str(folder / "cache"),
            "GO111MODULE": "off",
            "HOME": str(folder),
        },
        check=True,
    )
    program = str(lab.folder / "gohttp")
    assert lab.run(program, "get", f"{web}/data") == f"{SIZE // 256 * 256}\n"
    with lab.server(program, "serve", f"{STACK}:8400", port=8400):
        assert lab.peer.run("curl", "-sSf", f"http://{STACK}:8400/") == "from go"


@pytest.mark.parametrize("way", [(), ("-R",), ("-u", "-b", "20M")], ids=["send", "receive", "udp"])
def test_iperf3_transfers(lab: Lab, table: ProgramTable, way: tuple[str, ...]) -> None:
    need("iperf3")
    table.works("iperf3", ["iperf3", "--version"], "both directions, UDP")
    with lab.server("iperf3", "-s", "-1", port=5201, peer=True):
        output = lab.run("iperf3", "-c", PEER, "-n", "4M", *way)
    assert "iperf Done." in output


# --- What the host may not have ---


def test_wireguard_comes_from_the_stack(lab: Lab, table: ProgramTable) -> None:
    need("wg")
    table.works("wg", ["wg", "--version"], "WireGuard of the stack")
    script = textwrap.dedent("""
        set -e
        ip link add wg7 type wireguard
        umask 077
        wg genkey > wg.key
        wg set wg7 private-key wg.key listen-port 51820
        wg show wg7 listen-port
        ip link del wg7
    """)
    assert lab.run("bash", "-c", script) == "51820\n"


def test_sctp_test_sends_over_the_stack(lab: Lab, table: ProgramTable) -> None:
    need("sctp_test")
    table.works(
        "sctp_test", ["dpkg-query", "-Wf", "${Version}\n", "lksctp-tools"], "SCTP of the stack"
    )
    receiver = lab.start("sctp_test", "-H", "127.0.0.1", "-P", "9001", "-l", "-x", "1")
    output = ""
    for _ in range(50):
        if "LISTEN" in lab.run("ss", "-Hlan", "--sctp"):
            break
    output = lab.run(
        *("sctp_test", "-H", "127.0.0.1", "-P", "9002", "-h", "127.0.0.1", "-p", "9001", "-s"),
        *("-x", "1", "-c", "1"),
    )
    receiver.kill()
    receiver.wait()
    assert "Client: Sending packets" in output


def test_tcpdump_says_why_it_cannot_capture(lab: Lab, table: ProgramTable) -> None:
    need("tcpdump")
    reason = "can't mmap rx ring"
    table.fails(
        "tcpdump, tshark",
        ["tcpdump", "--version"],
        "packet rings are memory of the stack, which programs cannot map yet; "
        "capture in the stack's process instead (docs/nuse.md)",
    )
    assert reason in lab.run("tcpdump", "-c", "1", "-ni", "eth0", status=1)


def test_bash_pipelines_fork_and_share_the_stack(lab: Lab, table: ProgramTable, web: str) -> None:
    table.works("bash", ["bash", "--version"], "pipelines of the above")
    script = f"for i in 1 2 3; do curl -sSf {web}/data | wc -c & done | sort | uniq -c; wait"
    assert lab.run("bash", "-c", script).split() == ["3", str(SIZE // 256 * 256)]
