"""What a line of an allow-list opens, and what none can."""

import re
from ipaddress import ip_address

import pytest

from sandbox.egress.rules import HostRefused, is_public, narrowed, parse_host, plain_name


@pytest.mark.parametrize(
    ("rule", "name", "port", "is_covered"),
    [
        ("pypi.org", "pypi.org", 443, True),
        ("pypi.org", "pypi.org", 80, True),
        ("pypi.org", "pypi.org", 22, False),
        ("pypi.org", "files.pypi.org", 443, False),
        ("pypi.org", "notpypi.org", 443, False),
        ("PyPI.org", "pypi.org", 443, True),
        ("*.pypi.org", "files.pypi.org", 443, True),
        ("*.pypi.org", "a.b.pypi.org", 443, True),
        ("*.pypi.org", "pypi.org", 443, False),
        ("*.pypi.org", "evilpypi.org", 443, False),
        ("pypi.org:8443", "pypi.org", 8443, True),
        ("pypi.org:8443", "pypi.org", 443, False),
        ("index.corp:8080@10.0.0.0/8", "index.corp", 8080, True),
    ],
)
def test_a_rule_opens_what_it_names(rule: str, name: str, port: int, *, is_covered: bool) -> None:
    """A name or all names below one, at the ports of the web or at the one port."""
    assert parse_host(rule, private=True).covers(name, port) is is_covered


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("*", "'*' is not a plain DNS name"),
        ("*.", "'' is not a plain DNS name"),
        ("*.org", "would open every name below .org"),
        ("*.*.org", "not a plain DNS name"),
        ("pypi.*", "not a plain DNS name"),
        ("", "'' is not a plain DNS name"),
        ("https://pypi.org", "leave out the scheme and the path"),
        ("pypi.org/simple", "leave out the scheme and the path"),
        ("pypi.org:0", "'0' is not a port"),
        ("pypi.org:65536", "'65536' is not a port"),
        ("pypi.org:", "'' is not a port"),
        ("10.1.2.3", "'10.1.2.3' is a number, not a name"),
        ("[::1]:80", "not a plain DNS name"),
        ("pypi.org@10.0.0.0/8", "only the operator's settings"),
        ("user@pypi.org", "only the operator's settings"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_reason(text: str, complaint: str) -> None:
    """Whoever wrote it reads what is wrong."""
    with pytest.raises(HostRefused, match=re.escape(complaint)):
        parse_host(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("index.corp@0.0.0.0/0", "not a part of a private network"),
        ("index.corp@8.8.8.0/24", "Public hosts need none"),
        ("index.corp@169.254.0.0/16", "not a part of a private network"),
        ("index.corp@10.0.0.1/8", "has host bits set"),
        ("index.corp@lan", "is not a network"),
        ("index.corp@", "is not a network"),
    ],
)
def test_an_operator_opens_a_private_network_only(text: str, complaint: str) -> None:
    """Not all addresses there are, and never those of the metadata services."""
    with pytest.raises(HostRefused, match=re.escape(complaint)):
        parse_host(text, private=True)


@pytest.mark.parametrize(
    "text",
    [
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.0.1",
        "127.0.0.1.",
        "localhost.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "::1",
        "0",
        "0.0.0.0",  # noqa: S104
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "[fd00:ec2::254]",
        "[fe80::1%25eth0]",
        "127.0.0.1%00.pypi.org",
        "%6cocalhost",
        "user@pypi.org",
        "pypi.org#.evil.test",
        "pypi.org\\.evil.test",
        "pypi.org\0.evil.test",
        "pypi.org\n",
        " pypi.org",
        "ⓛocalhost",
        "pypi。org",
        "\N{FULLWIDTH LATIN SMALL LETTER P}ypi.org",
        "\N{KELVIN SIGN}.example",
        "-pypi.org",
        "pypi..org",
        "a" * 64 + ".org",
        ".".join(["a" * 63] * 4) + ".org",
    ],
)
def test_odd_spellings_are_no_names(text: str) -> None:
    """What some program reads as an address, decodes, folds or cuts off is never asked for."""
    with pytest.raises(HostRefused):
        plain_name(text)


@pytest.mark.parametrize("text", ["pypi.org", "xn--bcher-kva.example", "a", "1.pypi.org", "0x7f.pypi.org"])
def test_plain_names_are_names(text: str) -> None:
    """Also with digits, and with what an international name becomes in DNS."""
    assert plain_name(text.upper()) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0",  # noqa: S104
        "10.1.2.3",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "64:ff9b::7f00:1",
        "64:ff9b::808:808",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "100::1",
    ],
)
def test_addresses_that_no_public_name_may_lead_to(text: str) -> None:
    """The machine itself, its neighbours, metadata services, and IPv6 that stands for IPv4."""
    assert not is_public(ip_address(text))
    assert not parse_host("pypi.org").leads_to(ip_address(text))


@pytest.mark.parametrize("text", ["8.8.8.8", "151.101.0.223", "2606:4700::1111", "2a04:4e42::223"])
def test_addresses_of_the_internet_are_public(text: str) -> None:
    """Both kinds."""
    assert is_public(ip_address(text))


def test_a_private_rule_leads_to_its_network_only() -> None:
    """Neither to the internet nor to another private network, nor to metadata in its midst."""
    rule = parse_host("index.corp:8080@100.64.0.0/10", private=True)

    assert rule.leads_to(ip_address("100.64.7.7"))
    assert not rule.leads_to(ip_address("10.0.0.1"))
    assert not rule.leads_to(ip_address("8.8.8.8"))
    assert not rule.leads_to(ip_address("100.100.100.200"))


@pytest.mark.parametrize(
    ("allowed", "wished", "both"),
    [
        (["pypi.org"], ["pypi.org"], ("pypi.org",)),
        (["pypi.org"], ["npmjs.org"], ()),
        (["*.pypi.org"], ["files.pypi.org"], ("files.pypi.org",)),
        (["files.pypi.org"], ["*.pypi.org"], ("files.pypi.org",)),
        (["*.pypi.org"], ["pypi.org"], ()),
        (["*.pypi.org"], ["*.files.pypi.org"], ("*.files.pypi.org",)),
        (["pypi.org"], ["pypi.org:443"], ("pypi.org:443",)),
        (["pypi.org:443"], ["pypi.org"], ("pypi.org:443",)),
        (["pypi.org"], ["pypi.org:22"], ()),
        (["index.corp:8080@10.0.0.0/8"], ["index.corp:8080"], ("index.corp:8080@10.0.0.0/8",)),
        (["pypi.org", "*.pypi.org"], ["pypi.org", "a.pypi.org"], ("pypi.org", "a.pypi.org")),
        (["pypi.org"], [], ()),
        ([], ["pypi.org"], ()),
    ],
)
def test_a_repository_only_narrows(allowed: list[str], wished: list[str], both: tuple[str, ...]) -> None:
    """What is left is allowed by both lists."""
    assert narrowed(allowed, wished) == both


def test_a_repository_cannot_open_a_private_network() -> None:
    """Not even one that the operator has opened, by its own words."""
    with pytest.raises(HostRefused, match="only the operator's settings"):
        narrowed(["index.corp@10.0.0.0/8"], ["index.corp@10.0.0.0/8"])
