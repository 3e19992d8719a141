"""The network, the machine's own services and other programs' sockets."""

from __future__ import annotations

import os
import socket
import struct
from functools import partial

from .attack import Facts, Held, any_of, attack
from .calls import CLONE_NEWNET, as_root_of_namespaces

_SECONDS = 2.0


def connected(family: int, address: tuple[str, int] | str) -> str:
    """That somebody answered there."""
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(_SECONDS)
        client.connect(address)
    return f"connected to {address!r}"


def routed(address: str, port: int = 80) -> str:
    """That a packet would be sent there; none is."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect((address, port))
        return f"{address} would be reached from {client.getsockname()[0]}"


@attack()
def service_of_the_machine(facts: Facts) -> str:
    """Reach a service that listens on the machine's loopback."""
    return any_of(
        partial(connected, socket.AF_INET, ("127.0.0.1", facts.tcp_port)),
        partial(connected, socket.AF_INET, ("127.0.0.2", facts.tcp_port)),
        partial(connected, socket.AF_INET, ("0.0.0.0", facts.tcp_port)),  # noqa: S104 - means this machine
    )


@attack()
def service_by_the_newer_protocol(facts: Facts) -> str:
    """Reach a service that listens on the machine's IPv6 loopback."""
    return any_of(
        partial(connected, socket.AF_INET6, ("::1", facts.tcp6_port)),
        partial(connected, socket.AF_INET6, ("::ffff:127.0.0.1", facts.tcp_port)),
    )


@attack()
def datagram(facts: Facts) -> str:
    """Send a datagram to a service of the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        for address in ("127.0.0.1", *facts.addresses):
            try:
                client.sendto(b"hello", (address, facts.udp_port))
            except OSError:
                continue
    # A datagram tells nothing of its arrival: the host's listener does.
    raise Held("sent, perhaps to nobody")


@attack()
def address_of_the_machine(facts: Facts) -> str:
    """Reach the machine by the address that it has on its network."""
    return any_of(
        *(partial(connected, socket.AF_INET, (address, facts.tcp_port)) for address in facts.addresses)
    )


@attack()
def gateways(_: Facts) -> str:
    """Reach the machine as the gateway of a network of containers."""
    found = ("172.17.0.1", "172.18.0.1", "10.0.2.2", "10.0.2.3", "192.168.65.2", "169.254.1.1")
    return any_of(*(partial(routed, address) for address in found))


@attack()
def neighbourhood(_: Facts) -> str:
    """Reach the networks that offices and clusters have."""
    return any_of(
        *(partial(routed, address) for address in ("10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1"))
    )


@attack()
def metadata(_: Facts) -> str:
    """Reach the service that tells machines of a cloud their keys."""
    return any_of(*(partial(routed, address) for address in ("169.254.169.254", "fd00:ec2::254")))


@attack()
def world(_: Facts) -> str:
    """Reach an address of the Internet."""
    return any_of(partial(routed, "198.51.100.1", 443), partial(routed, "2001:db8::1", 443))


@attack()
def name_servers(_: Facts) -> str:
    """Ask a name server, by which data could leave, too."""
    with open("/etc/resolv.conf", encoding="ascii", errors="replace") as file:
        lines = [line.split() for line in file if line.startswith("nameserver")]
    # The Engine's own resolver listens at this address.
    return any_of(
        *(partial(routed, words[1], 53) for words in lines if not words[1].startswith(("127.", "::1"))),
        partial(_answered, "127.0.0.11"),
        partial(_answered, "127.0.0.53"),
    )


def _answered(server: str) -> str:
    question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\7example\3org\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.3)
        client.connect((server, 53))
        client.send(question)
        client.recv(512)
    return f"{server} answered"


@attack()
def interfaces(_: Facts) -> str:
    """Have an interface beside the loopback."""
    with open("/proc/net/route", encoding="ascii") as file:
        routes = [line.split()[0] for line in file.read().splitlines()[1:]]
    with open("/proc/net/if_inet6", encoding="ascii") as file:
        six = [line.split()[-1] for line in file]
    found = sorted({*routes, *six} - {"lo"})
    if found:
        return ", ".join(found)
    raise Held("there is only the loopback")


@attack()
def everything_that_listens(_: Facts) -> str:
    """Find listeners of the machine in the list of sockets."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        lines = file.read().splitlines()[1:]
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    if listening:
        return f"{len(listening)} listeners"
    raise Held("none")


@attack()
def abstract_socket(facts: Facts) -> str:
    """Reach a service of the machine by a socket without a file."""
    return connected(socket.AF_UNIX, f"\0{facts.abstract_socket}")


@attack()
def socket_by_path(facts: Facts) -> str:
    """Reach a service of the machine by its socket's path."""
    link = f"{facts.temporary}/socket-link"
    os.symlink(facts.service_socket, link)
    return any_of(
        partial(connected, socket.AF_UNIX, facts.service_socket), partial(connected, socket.AF_UNIX, link)
    )


@attack(innocent="this machine may have none of them, or not let the user")
def powerful_sockets(_: Facts) -> str:
    """Reach the Engine, the system's manager or a message bus."""
    paths = (
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/systemd/private",
        "/run/dbus/system_bus_socket",
        f"/run/user/{os.getuid()}/bus",
        "/tmp/.X11-unix/X0",
    )
    return any_of(*(partial(connected, socket.AF_UNIX, path) for path in paths))


@attack(innocent="only root can")
def raw_packets(_: Facts) -> str:
    """Send packets of one's own making."""

    def made(family: int, kind: int, protocol: int) -> str:
        socket.socket(family, kind, protocol).close()
        return f"family {family}"

    return any_of(
        partial(made, socket.AF_INET, socket.SOCK_RAW, 1),
        partial(made, socket.AF_INET, socket.SOCK_RAW, 255),
        partial(made, socket.AF_INET6, socket.SOCK_RAW, 58),
        partial(made, 17, socket.SOCK_RAW, 0x0300),
    )


@attack()
def network_of_ones_own(_: Facts) -> str:
    """Make a network with rights over it, where most of the kernel's faults are."""

    def raw() -> str:
        socket.socket(17, socket.SOCK_RAW, 0x0300).close()
        return "packets of one's own making"

    return as_root_of_namespaces(raw, flags=CLONE_NEWNET)


@attack(innocent="only root can")
def interface_added(_: Facts) -> str:
    """Add an interface or an address by netlink."""
    # RTM_NEWLINK of a dummy interface: header, ifinfomsg, IFLA_LINKINFO { IFLA_INFO_KIND "dummy" }.
    kind = struct.pack("=HH", 9, 1) + b"dummy" + bytes(3)
    attributes = struct.pack("=HH", 4 + len(kind), 18) + kind
    message = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attributes
    request = struct.pack("=IHHII", 16 + len(message), 16, 0x605, 1, 0) + message
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        kernel.send(request)
        answer = kernel.recv(4096)
    error = -struct.unpack_from("=i", answer, 16)[0]
    if error:
        raise OSError(error, os.strerror(error))
    return "added"


@attack(allowed="it is the sandbox's own, and tests need it")
def loopback_of_ones_own(_: Facts) -> str:
    """Serve and connect on the loopback inside."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return connected(socket.AF_INET, server.getsockname())


@attack(allowed="they are the sandbox's own, and tests need them")
def sockets_of_ones_own(facts: Facts) -> str:
    """Serve and connect on a socket in a file."""
    path = f"{facts.temporary}/own.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        return connected(socket.AF_UNIX, path)
