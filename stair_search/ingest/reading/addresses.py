"""Which addresses may be read, and how an address may be written down. Pure rules: no network.

A manifest is written by others. What it names must not reach the machines behind the firewall, a
cloud's metadata service or this machine itself, in whatever notation. A name can be checked only
where it is resolved: `check_ip` is for whoever connects (see `http`), for every address that a
name has.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from stair_search.errors import UsageError

from ..photo import PhotoError


@dataclass(frozen=True)
class Allowed:
    """What may be read.

    hosts: if given, these only; `*.example.org` is example.org and everything below it.
    private: this machine and private networks too; never metadata services and multicast.
    buckets: these only; they are read with the credentials of whoever runs this.
    """

    hosts: tuple[str, ...] = ()
    private: bool = False
    buckets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for host in self.hosts:
            if not _NAME.fullmatch(_plain(host).removeprefix("*.")) and not _ip(_plain(host)):
                raise UsageError(
                    f"--allow-host {shown(host)} is no host: give a name (images.example.org), a "
                    f"name with all below it (*.example.org), an IP address (no scheme, no port), "
                    f"or a bucket (s3://photos)"
                )

    def host(self, host: str) -> bool:
        """Whether it is among the hosts.

        >>> Allowed(("*.example.org",)).host("a.example.org")
        True
        """
        host = _plain(host)
        for pattern in map(_plain, self.hosts):
            name = pattern.removeprefix("*.")
            if host == name or (pattern != name and host.endswith("." + name)):
                return True
        return not self.hosts


def check_url(url: str, allowed: Allowed) -> None:
    """Refuses an address that is not plainly `http(s)://host[:port]/…` of an allowed host.

    Strict on purpose: what two parsers may read in two ways is refused, not repaired.
    """
    check_characters(url)
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise PhotoError("not an http:// or https:// address: others are not read")
    netloc = _netloc(url)
    if not netloc:
        raise PhotoError("the address names no host")
    if "@" in netloc:
        raise PhotoError("the address holds a user name or password: take it out")
    place = _PLACE.fullmatch(netloc)
    if not place:
        # Not shown: of `http://user:pass/word@host` it is a part of the password.
        raise PhotoError(
            "the host or port of the address is malformed: write a name in ASCII letters (others "
            "in their xn-- form), an IPv4 address or an [IPv6 address]"
        )
    host = _plain(place["host"])
    if place["port"] and not 1 <= int(place["port"]) <= 65535:
        raise PhotoError(f"{shown(host)}: the port is not between 1 and 65535")
    _check_host(host, allowed)


def check_characters(url: str) -> None:
    """Refuses what parsers strip, or read in two ways."""
    if url.isprintable() and " " not in url and "\\" not in url:
        return
    char = next(c for c in url if c in " \\" or not c.isprintable())
    kind = {"\\": "a backslash", " ": "a space"}.get(char, "an invisible character")
    raise PhotoError(f"the address holds {kind} (U+{ord(char):04X}): percent-encode it")


def check_ip(text: str, allowed: Allowed, host: str | None = None) -> None:
    """Refuses an IP address that is not public, unless `allowed.private` lets it pass.

    host: the name that was resolved to it, for the message.
    """
    name = shown(text) if host in (None, text) else f"{shown(host or '')} ({shown(text)})"
    ip = _ip(text.partition("%")[0])  # fe80::1%eth0
    if ip is None:
        raise PhotoError(f"{name} is no IP address")
    inner = _inner(ip)
    what, never = _not_public(inner)
    if what and (never or not allowed.private):
        holding = "" if inner is ip else f"holds {inner}, which "
        remedy = "it is never read" if never else "--allow-private-addresses lets it be read"
        raise PhotoError(f"{name} {holding}is {what}: {remedy}")


def public(url: str, keep: Collection[str] = ()) -> str:
    """An address as it may be stored and logged: without user, password, query and fragment.

    keep: parameters of the query that stay, since they tell photos apart.

    Never raises: of what is no address with a host, the scheme alone is left. Says nothing of
    whether it may be read.

    >>> public("https://me:secret@example.org/a b.jpg?X-Amz-Signature=1f3#top")
    'https://example.org/a%20b.jpg'
    """
    url = url.strip()
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    scheme = scheme if _SCHEME.fullmatch(scheme) else "unknown"
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{scheme}:"
    place = _PLACE.fullmatch(parts.netloc.rpartition("@")[2])
    if not place:
        return f"{scheme}:"  # a password with a slash in it looks like a port and a path
    host = place[0].lower() if scheme in ("http", "https") else place[0]
    path = quote(parts.path.encode(errors="surrogatepass"), safe=_SAFE)
    kept = [(key, value) for key, value in parse_qsl(parts.query, True) if key in keep]
    return f"{scheme}://{host}{path}{'?' * bool(kept)}{urlencode(kept)}"


def shown(text: str) -> str:
    """A host as a message may show it: one short line."""
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return line if len(line) <= 80 else f"{line[:77]}..."


_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{0,15}")
_PLACE = re.compile(
    r"(?P<host>\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,9}))?"
)
# Some buckets have underscores in their names.
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
# inet_aton takes a name whose last label is one for an IP address, in one of its many notations.
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_SAFE = "/%:@!$&'()*+,;=~"


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        raise PhotoError("the host of the address is malformed") from None


def _check_host(host: str, allowed: Allowed) -> None:
    if ":" in host or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        if not _ip(host):
            raise PhotoError(
                f"{shown(host)} is a malformed IP address: write IPv4 as four decimal numbers"
            )
        check_ip(host, allowed)
    elif not _NAME.fullmatch(host):
        raise PhotoError(f"{shown(host)} is no host name: no empty labels, no dot at the end")
    elif not allowed.private and f".{host}".endswith(".localhost"):
        raise PhotoError(f"{host} is this machine: --allow-private-addresses lets it be read")
    if not allowed.host(host):
        raise PhotoError(
            f"{shown(host)} is not among the allowed hosts: --allow-host {shown(host)} adds it"
        )


def _plain(host: str) -> str:
    return host.strip("[]").lower()


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _inner(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that is reached in the end, where an IPv6 address in use today holds one.

    NAT64 (RFC 6052) is how networks without IPv4 read public servers.
    """
    holds = isinstance(ip, IPv6Address) and any(ip in network for network in _HOLD_IPV4)
    return IPv4Address(int(ip) & 0xFFFFFFFF) if holds else ip


def _not_public(ip: IPv4Address | IPv6Address) -> tuple[str, bool]:
    """What an address is and whether it is never read; "" for a public one."""
    six = isinstance(ip, IPv6Address)
    if six and (int(ip) >> 32) & 0xFDFFFFFF == 0x5EFE:
        return "an ISATAP tunnel", True
    for network, what, never in _SPECIAL:
        if ip in network:
            return what, never
    return ("not a public address", True) if six and ip not in _IPV6_IN_USE else ("", False)


_HOLD_IPV4 = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_IPV6_IN_USE = IPv6Network("2000::/3")

# The special-purpose registries of IANA and what clouds added; the first row that holds an address
# decides. Python's `is_global` is not enough: in 3.11 it is true of multicast, 64:ff9b::7f00:1,
# ::127.0.0.1, 192.88.99.1 and more.
_SPECIAL = tuple(
    (ip_network(network), what, never)
    for never, what, networks in (
        (True, "a cloud's metadata service", "169.254.169.254 169.254.170.2 169.254.170.23"),
        (True, "a cloud's metadata service", "100.100.100.200 168.63.129.16 192.0.0.192"),
        (True, "a cloud's metadata service", "fd00:ec2::254 fd00:ec2::23 fd20:ce::254"),
        (True, "multicast", "224.0.0.0/4 ff00::/8"),
        (True, "the unspecified address", "0.0.0.0/8 ::"),
        (True, "reserved", "240.0.0.0/4 192.88.99.0/24"),
        (True, "a 6to4 tunnel", "2002::/16"),
        (True, "a Teredo tunnel", "2001::/32"),
        (True, "a NAT64 prefix of a private network", "64:ff9b:1::/48"),
        (False, "this machine", "127.0.0.0/8 ::1"),
        (False, "a link-local address", "169.254.0.0/16 fe80::/10"),
        (False, "a private address", "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"),
        (False, "a private address", "fc00::/7 fec0::/10"),
        (False, "a carrier's private address", "100.64.0.0/10"),
        (False, "an address for protocols", "192.0.0.0/24"),
        (False, "an address for documentation", "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24"),
        (False, "an address for documentation", "2001:db8::/32 3fff::/20"),
        (False, "an address for benchmarks", "198.18.0.0/15 2001:2::/48"),
        (True, "an address for protocols", "2001::/23"),
        (True, "an IPv4 address in an old form of IPv6", "::/96 ::ffff:0:0:0/96"),
    )
    for network in networks.split()
)
