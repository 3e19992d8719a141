"""Which hosts a turn may reach: rules as people write them, and the addresses that no rule opens. No I/O.

A rule is `HOST`, `HOST:PORT` or, for a host of the operator's own network, `HOST:PORT@NETWORK`. `HOST` is one
name, or `*.suffix` for all names below it (not the bare suffix). Without a port a rule opens 80 and 443.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

WEB_PORTS: Final = frozenset({80, 443})

_LONGEST_NAME: Final = 253
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
# What some resolvers take for an address, whatever stands before it:
# https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")

_PRIVATE: Final = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "::1/128",
        "fc00::/7",
    )
)
"""Of which an operator may open a part."""

_NEVER: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # Link-local, with the metadata services of most clouds.
        "100.100.100.200/32",  # The metadata service of Alibaba Cloud.
        "168.63.129.16/32",  # Azure's, a public address by its number.
        "192.0.0.0/24",  # With Oracle Cloud's at .192.
        "::/128",
        "fe80::/10",
        "fd00:ec2::/32",  # The metadata service of AWS.
        "fd20:ce::254/128",  # Google Cloud's.
    )
)
"""Open to no rule at all."""

_EMBEDDING: Final = tuple(
    ip_network(text)
    for text in (
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "192.88.99.0/24",
        "2001::/32",
        "2002::/16",
        "fec0::/10",
    )
)
"""IPv6 addresses that stand for an IPv4 one, and what only old translators answer to.

https://www.iana.org/assignments/iana-ipv6-special-registry
"""


class HostRefused(ValueError):
    """The text is not a rule, or not a name that may stand in one."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """One line of an allow-list."""

    name: str
    is_suffix: bool = False
    """For every name below `name`, not for itself."""
    port: int | None = None
    """None is 80 and 443."""
    network: Network | None = None
    """Where the name leads: None is the public internet only, a network is that private network only."""

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        network = "" if self.network is None else f"@{self.network}"
        return f"{'*.' if self.is_suffix else ''}{self.name}{port}{network}"

    @property
    def ports(self) -> frozenset[int]:
        return WEB_PORTS if self.port is None else frozenset({self.port})

    def covers(self, name: str, port: int) -> bool:
        """Whether `name`, as `plain_name` gives it, may be asked for at `port`."""
        return port in self.ports and (
            name.endswith(f".{self.name}") if self.is_suffix else name == self.name
        )

    def leads_to(self, address: Address) -> bool:
        """Whether a connection for this rule may go to `address`."""
        if self.network is None:
            return is_public(address)
        return address in self.network and not _is_in(address, _NEVER)


def parse_host(text: str, *, private: bool = False) -> HostRule:
    """The rule that `text` spells; `private` lets it name a network, which only an operator's word may.

    Raises `HostRefused`, which says what is wrong and what to write.
    """
    rest, has_network, network = text.partition("@")
    if has_network and not private:
        raise HostRefused(f"{text!r}: only the operator's settings may open a private network.")
    if "/" in rest:
        raise HostRefused(f"{text!r} is more than a host: leave out the scheme and the path.")
    host, has_port, port = rest.partition(":")
    is_suffix = host.startswith("*.")
    try:
        name = plain_name(host.removeprefix("*."))
    except HostRefused as error:
        raise HostRefused(
            f"{text!r} is not a host of an allow-list: {error}. Write example.com, *.example.com or "
            "example.com:8443."
        ) from error
    if is_suffix and "." not in name and not has_network:
        raise HostRefused(f"{text!r} would open every name below .{name}: name the hosts.")
    return HostRule(
        name,
        is_suffix=is_suffix,
        port=plain_port(port) if has_port else None,
        network=_private_network(network) if has_network else None,
    )


def narrowed(allowed: Iterable[str], wished: Iterable[str]) -> tuple[str, ...]:
    """What both lists allow. `wished` opens no private network; it may use those that `allowed` opens.

    Raises `HostRefused` for a text that is not a rule.
    """
    outer = [parse_host(text, private=True) for text in allowed]
    inner = [parse_host(text) for text in wished]
    met = (_met(ours, theirs) for theirs in inner for ours in outer)
    return tuple(dict.fromkeys(str(rule) for rule in met if rule is not None))


def plain_name(text: str) -> str:
    """`text` in lower case. Raises `HostRefused` for anything but a plain DNS name: numbers in all their
    spellings, addresses, a dot at the end, characters that some program would decode or fold."""
    # Before the case is folded: the Kelvin sign in lower case is a plain k.
    name = text.lower() if text.isascii() else text
    if len(name) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise HostRefused(f"{_quoted(text)} is not a plain DNS name")
    if _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise HostRefused(f"{_quoted(text)} is a number, not a name")
    return name


def plain_port(text: str) -> int:
    """Raises `HostRefused` for anything but 1 to 65535 in plain digits."""
    if not _PORT.fullmatch(text) or int(text) > 65_535:
        raise HostRefused(f"{_quoted(text)} is not a port (1 to 65535)")
    return int(text)


def is_public(address: Address) -> bool:
    """Whether the address is one of the internet's, and of nothing nearer."""
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not _is_in(address, (*_NEVER, *_EMBEDDING))
    )


def read_address(text: str) -> Address | None:
    """None for a text that is no address, or one with a scope: such an address is never public."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _private_network(text: str) -> Network:
    try:
        network = ip_network(text)
    except ValueError as error:
        raise HostRefused(f"{_quoted(text)} is not a network: {error}. Write 10.1.2.0/24.") from error
    if not any(network.version == known.version and network.subnet_of(known) for known in _PRIVATE):  # type: ignore[arg-type]
        raise HostRefused(
            f"{_quoted(text)} is not a part of a private network. Public hosts need none: leave it out."
        )
    return network


def _met(ours: HostRule, theirs: HostRule) -> HostRule | None:
    """The rule that allows what both do, with the network of `ours`."""
    ports = ours.ports & theirs.ports
    if not ports:
        return None
    if _is_within(theirs, ours):
        narrower = theirs
    elif _is_within(ours, theirs):
        narrower = ours
    else:
        return None
    port = None if ports == WEB_PORTS else min(ports)
    return HostRule(narrower.name, is_suffix=narrower.is_suffix, port=port, network=ours.network)


def _is_within(rule: HostRule, other: HostRule) -> bool:
    """Whether every name of `rule` is one of `other`'s."""
    if rule.is_suffix == other.is_suffix and rule.name == other.name:
        return True
    return other.is_suffix and rule.name.endswith(f".{other.name}")


def _is_in(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
