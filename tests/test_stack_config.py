# SPDX-License-Identifier: GPL-2.0-only
"""Configurations of stacks: what files say, what kernels get, and what is refused where."""

from __future__ import annotations

import ipaddress
import pickle
import socket
from pathlib import Path

import pytest

import pylibos
from pylibos._ethtool import features

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture
def load(tmp_path):
    """Reads a text as a configuration."""

    def read(text, name="stack.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return pylibos.load_config(path)

    return read


def refusal(load, text, name="stack.toml"):
    """The line and the message of the error that a text gives."""
    with pytest.raises(pylibos.ConfigError) as caught:
        load(text, name)
    error = caught.value
    assert str(error).startswith(f"{error.path}:{error.line}: ")
    assert str(error).endswith((".", "?"))
    return error.line, str(error).removeprefix(f"{error.path}:{error.line}: ")


# --- What a file says ---


def test_empty_file_is_a_stack_of_defaults(load):
    assert load("") == pylibos.StackConfig()


def test_nuse_conf_is_read_as_it_is():
    config = pylibos.load_config(EXAMPLES / "nuse.conf")
    first, second = config.devices
    assert (first.name, first.backend, first.mac) == (
        "eth0",
        "tap:nuse-eth0,up=1",
        "00:01:01:01:01:01",
    )
    assert first.addresses == (ipaddress.ip_interface("192.168.0.10/24"),)
    assert (second.name, second.addresses) == ("eth1", (ipaddress.ip_interface("172.16.0.1/24"),))
    (route,) = config.routes
    assert (str(route.to), route.via) == ("0.0.0.0/0", (ipaddress.ip_address("192.168.0.1"),))
    assert (first.place.line, route.place.line) == (8, 17)


def test_nuse_conf_takes_no_address_and_a_mac_of_zeros_for_a_random_one(load):
    (device,) = load("interface e0\n macaddr 00:00:00:00:00:00\n viftype TAP\n", "n").devices
    assert (device.mac, device.addresses, device.mtu, device.up) == (None, (), None, True)


@pytest.mark.parametrize(
    ("lines", "backend"),
    [
        ("", "raw:eth1"),
        (" viftype RAW\n", "raw:eth1"),
        (" viftype XDP\n", "xdp:eth1"),
        (" viftype DPDK\n", "dpdk:eth1"),
    ],
)
def test_viftype_of_nuse_conf_is_a_kind_of_device(load, lines, backend):
    (device,) = load(f"interface eth1\n{lines}", "nuse.conf").devices
    assert (device.name, device.backend) == ("eth1", backend)


def test_nuse_conf_needs_no_blank_line_between_stanzas(load):
    text = (
        "interface e0\nviftype TAP # as a tap\n# the other\ninterface e1\nviftype TAP\n"
        "route\nnetwork 10.0.0.0\nnetmask 255.0.0.0\ngateway 10.1.1.1"
    )
    config = load(text, "n")
    assert [device.name for device in config.devices] == ["e0", "e1"]
    assert [str(route.to) for route in config.routes] == ["10.0.0.0/8"]


@pytest.mark.parametrize("name", ["nuse.conf", "router.toml", "everything.toml"])
def test_written_configuration_reads_the_same(load, name):
    config = pylibos.load_config(EXAMPLES / name)
    assert config.devices or config.interfaces
    assert load(config.to_toml()) == config


def test_configuration_can_be_pickled_with_its_places():
    config = pylibos.load_config(EXAMPLES / "router.toml")
    copy = pickle.loads(pickle.dumps(config))
    assert copy == config
    assert [item.place.line for item in copy.devices] == [12, 17]


def test_backend_may_be_a_table(load):
    text = '[[device]]\nbackend = { kind = "tap", name = "tap0", vnet_hdr = false }\n'
    (device,) = load(text).devices
    assert device.backend == {"kind": "tap", "name": "tap0", "vnet_hdr": False}


# --- What a kernel gets ---


@pytest.fixture
def everything(build):
    config = pylibos.load_config(EXAMPLES / "everything.toml")
    with pylibos.boot_configured(config, clock="virtual", **build.options) as kernel:
        yield kernel


def test_kernel_gets_parameters(everything):
    assert everything.name == "everything"
    assert everything.sysctl["net.ipv4.ip_forward"] == "1"
    assert everything.sysctl["net.ipv4.tcp_rmem"] == "4096 131072 6291456"
    assert everything.sysctl["net.ipv4.conf.lan.rp_filter"] == "2"
    assert everything.sysctl["net.ipv4.conf.lan/100.forwarding"] == "0"


def test_kernel_gets_interfaces_and_addresses(everything):
    with everything.iproute() as ip:
        links = {link.get("ifname"): link for link in ip.get_links()}
        addresses = {
            name: {
                f"{item.get('address')}/{item['prefixlen']}"
                for item in ip.get_addr(index=links[name]["index"])
                if not item.get("address").startswith("fe80")
            }
            for name in ("lo", "lan", "lan.100")
        }
    assert links["lan"].get("address") == "02:00:00:00:00:01"
    assert links["lan"].get("mtu") == 1400
    assert links["lan.100"].get("link") == links["lan"]["index"]
    assert links["port"].get("master") == links["bridge"]["index"]
    assert links["port"]["flags"] & 1
    assert not links["bridge"]["flags"] & 1
    assert addresses["lo"] == {"127.0.0.1/8", "::1/128", "10.255.0.1/32", "fd00:ffff::1/128"}
    assert addresses["lan"] == {"10.0.0.1/24", "fd00::1/64"}
    assert addresses["lan.100"] == {"10.100.0.1/24"}


def test_kernel_gets_features(everything):
    assert not features(everything, "lan")["rx-gro"]
    assert features(everything, "port")["rx-gro"]


def test_kernel_gets_routes_and_neighbours(everything):
    with everything.iproute() as ip:
        lan = ip.link_lookup(ifname="lan")[0]
        (four,) = ip.get_routes(family=socket.AF_INET, dst_len=0)
        (six,) = (
            route
            for route in ip.get_routes(family=socket.AF_INET6, dst_len=0)
            if route["proto"] == 4  # RTPROT_STATIC
        )
        (shared,) = ip.get_routes(family=socket.AF_INET, table=100)
        (hole,) = (
            route
            for route in ip.get_routes(family=socket.AF_INET)
            if route.get("dst") == "10.2.0.0"
        )
        neighbours = {
            (item.get("dst"), item.get("lladdr"))
            for item in ip.get_neighbours(ifindex=lan)
            if item["state"] == 128  # NUD_PERMANENT
        }
    assert (four.get("gateway"), four.get("priority")) == ("10.0.0.2", 7)
    assert (six.get("gateway"), six.get("prefsrc"), six.get("oif")) == ("fd00::2", "fd00::1", lan)
    assert [hop.get("gateway") for hop in shared.get("multipath")] == ["10.0.0.2", "10.0.0.3"]
    assert hole["type"] == 6  # RTN_BLACKHOLE
    mac = "02:00:00:00:00:02"
    assert neighbours == {("10.0.0.2", mac), ("fd00::2", mac)}


def test_kernel_gets_names(everything):
    infos = everything.getaddrinfo("web", 80, type=socket.SOCK_STREAM)
    assert {info[4][0] for info in infos} == {"10.0.0.2", "fd00::2"}
    assert everything.read_text("/etc/resolv.conf").splitlines() == [
        "nameserver 10.0.0.53",
        "nameserver fd00::53",
        "search example.org",
    ]
    assert "10.0.0.3 mail.example.org" in everything.read_text("/etc/hosts").splitlines()


# --- What is refused where ---


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[stack\n", 1, "this is no TOML"),
        ("a = 1\n\nb = [1,\n", 3, "this is no TOML"),
        ("[stak]\n", 1, "a configuration has no key 'stak'; did you mean 'stack'?"),
        ("stack = 7", 1, "stack is 7; expected a table, [stack]."),
        ('[stack]\n\nwait = "sleepy"', 3, 'wait is "sleepy"; expected "epoll", "busy" or'),
        ("[stack]\nmemory_mib = true", 2, "memory_mib is true; expected a whole number of MiB."),
        ("[stack]\nmemory = 9", 2, "[stack] has no key 'memory'; did you mean 'memory_mib'?"),
        ("[device]\n", 1, "device is {}; expected [[device]] once for each."),
        ("\n[[device]]\nname = 'a'", 2, "number 1 has no backend; expected a device spec such as"),
        ("[[device]]\nbackend = 'tep:a'", 2, "there is no kind of device 'tep'"),
        ("[[device]]\nbackend = 'tap:vnet=1'", 2, "a tap device has no key 'vnet'"),
        ("[[device]]\nbackend = 'tap:'\nname = 'a/b'", 3, 'name is "a/b"; expected a name of'),
        ("[[device]]\nbackend = 'tap:'\nmtu = 67", 3, "mtu is 67; expected a whole number from 68"),
        ("[[device]]\nbackend = 'tap:'\nmac = '01:00:00:00:00:00'", 3, "expected a unicast"),
        ("[[device]]\nbackend = 'tap:'\nmac = '+2:00:00:00:00:00'", 3, "expected a unicast"),
        (
            "[[device]]\nbackend = 'tap:'\naddresses = [\n  '10.0.0.1/24',\n  '10.0.0.1',\n]",
            5,
            'addresses is "10.0.0.1"; expected addresses with prefix lengths',
        ),
        ("[[device]]\nbackend = 'tap:'\nadresses = []", 3, "did you mean 'addresses'?"),
        (
            "[[device]]\nbackend = 'tap:'\nname = 'a'\n[[interface]]\nname = 'a'",
            4,
            "there is an interface a already (line 2); expected another name.",
        ),
        ("[[interface]]\nname = 'lo'\nlink = 'a'", 1, "has link, options or ports, but no kind"),
        ("[[interface]]\nname = 'lo'\nfeatures = { a = 1 }", 3, "expected names of ethtool -k"),
        ("[[route]]\nto = '10.0.0.1/8'\n", 2, 'to is "10.0.0.1/8"; expected a network such as'),
        ("[[route]]\nto = '::/0'\nvia = '10.0.0.1'", 3, "expected an IPv6 address, as ::/0 is."),
        ("[[route]]\nto = '::/0'\n", 1, "of kind unicast has no gateway or device; expected via"),
        (
            "[[route]]\nto = '::/0'\nkind = 'prohibit'\ndevice = 'lo'",
            1,
            "of kind prohibit has a gateway or device; expected neither.",
        ),
        (
            "[[interface]]\nname = 'wan0'\n\n[[route]]\nto = '::/0'\ndevice = 'wan'",
            4,
            "there is no interface 'wan'; did you mean 'wan0'?",
        ),
        ("[[neighbour]]\naddress = 'x'", 2, 'address is "x"; expected an IPv4 or IPv6 address.'),
        ("[names]\nnameservers = [\n1]", 3, "nameservers is 1; expected addresses of name servers"),
        ("[names.hosts]\n'a b' = '10.0.0.1'", 2, "'a b' is no host name"),
        ("[names.hosts]\nok = ['10.0.0.1', 'me']", 2, 'ok is "me"; expected addresses of the host'),
        ("[sysctl]\nnet.a = 1\nnet.b = 1.5", 3, "net.b is 1.5; expected a text, a number, true"),
    ],
)
def test_toml_is_refused_with_line_and_what_was_expected(load, text, line, problem):
    found, message = refusal(load, text)
    assert problem in message
    assert found == line


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("interfaces e0", 1, "found 'interfaces'; expected 'interface NAME' or 'route': did you"),
        ("interface", 1, "found 'interface'; expected interface NAME."),
        ("route 10.0.0.0", 1, "found 'route 10.0.0.0'; expected route alone in its line."),
        ("interface a:b", 1, "an interface's name is 'a:b'; expected 1 to 15 bytes"),
        ("interface e0\n adress 10.0.0.1", 2, "has no key 'adress'; did you mean 'address'?"),
        ("interface e0\n address", 2, "found 'address'; expected address and one value."),
        ("interface e0\n address x\n netmask 255.0.0.0", 2, "address is 'x'; expected an IPv4"),
        ("interface e0\n address 10.0.0.1", 1, "interface e0 has no netmask; expected a mask"),
        ("interface e0\n netmask 255.0.0.0", 1, "interface e0 has no address; expected an IPv4"),
        (
            "interface e0\n address 10.0.0.1\n netmask 255.0.255.0",
            3,
            "netmask is '255.0.255.0'; expected a mask such as 255.255.255.0.",
        ),
        (
            "interface e0\n viftype TAB",
            2,
            "viftype is 'TAB'; expected one of RAW, TAP, DPDK, XDP: did you",
        ),
        ("interface e0\n viftype PIPE", 2, "one FIFO would carry both directions; expected a TOML"),
        ("interface e0\n viftype NETMAP", 2, "needs a host kernel with netmap and is not offered"),
        ("interface e0\n viftype TAP\n viftype TAP", 3, "viftype stands in line 2 already"),
        ("interface e0\n viftype TAP\n macaddr 1:2", 3, "macaddr is '1:2'; expected a unicast"),
        (
            "interface e0\n viftype TAP\ninterface e0\n viftype TAP",
            3,
            "there is an interface e0 already (line 2); expected another name.",
        ),
        (
            "interface e0\n viftype TAP\n\n address 10.0.0.1",
            4,
            "address stands outside of a stanza, since a blank line ended 'interface e0' of line 1",
        ),
        ("route\n network 10.0.0.0\n gateway 10.0.0.1", 1, "route has no netmask"),
        (
            "route\n network 10.0.0.1\n netmask 255.0.0.0\n gateway 10.0.0.1",
            2,
            "network is '10.0.0.1', which has bits outside of its netmask; expected 10.0.0.0.",
        ),
    ],
)
def test_nuse_conf_is_refused_with_line_and_what_was_expected(load, text, line, problem):
    found, message = refusal(load, text, "nuse.conf")
    assert problem in message
    assert found == line


def test_file_that_is_no_text_is_refused_with_its_line(tmp_path):
    path = tmp_path / "stack.toml"
    path.write_bytes(b"[stack]\nname = '\xff'\n")
    with pytest.raises(pylibos.ConfigError, match="stack.toml:2: byte 0xff is no UTF-8"):
        pylibos.load_config(path)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        (
            "[sysctl]\nnet.ipv4.ip_forwarding = 1",
            2,
            "no parameter 'net.ipv4.ip_forwarding'; did you mean 'net.ipv4.ip_forward'?",
        ),
        ("[sysctl]\nnet.ipv4.ip_forward = 'x'", 2, "refuses net.ipv4.ip_forward = 'x' (Invalid"),
        ("\n[[route]]\nto = '10.0.0.0/8'\nvia = '10.0.0.1'", 2, "route to 10.0.0.0/8 (Network is"),
        ("[[interface]]\nname = 'x'\nkind = 'nonesuch'", 1, "refuses the interface x (Operation"),
        (
            "[[interface]]\nname = 'lo'\nfeatures = { rx-grow = true }",
            1,
            "the kernel knows no feature 'rx-grow'; did you mean 'rx-gro'?",
        ),
        (
            "[[interface]]\nname = 'lo'\nfeatures = { loopback = false }",
            1,
            "loopback cannot be switched off",
        ),
        ("[[interface]]\nname = 'x'", 1, "there is no interface 'x'; known are lo"),
        ("[[device]]\nbackend = 'tap:t'", 2, "device eth%d cannot be had: A tap needs the real"),
    ],
)
def test_what_a_kernel_refuses_names_the_line(one_build, load, text, line, problem):
    with pytest.raises(pylibos.ConfigError) as caught:
        pylibos.boot_configured(load(text), clock="virtual", **one_build.options)
    assert problem in str(caught.value)
    assert caught.value.line == line
