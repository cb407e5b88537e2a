"""The rules alone: what may be read, what may be written down."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest

from stair_search.errors import UsageError
from stair_search.ingest.photo import PhotoError
from stair_search.ingest.reading.addresses import Allowed, check_ip, check_url, public
from tests.ingest.reading.hostile import HOSTILE

ANY = Allowed()
PRIVATE = Allowed(private=True)

GOOD = [
    "http://example.net",
    "https://example.net/a.jpg",
    "HTTPS://EXAMPLE.NET/a.jpg",
    "https://example.net:8443/a%20b/%C3%A9.jpg?X-Amz-Signature=1f%2F3#part",
    "https://example.net/é/写真.jpg",
    "https://my_bucket.s3.example.net/@me/a,b;c",
    "https://xn--bcher-kva.example/",
    "http://93.184.215.14/",
    "http://[2606:2800:220:1::1]:80/",
    "http://[64:ff9b::93.184.215.14]/",
    "http://1.example.net/",
    "http://127.0.0.1.example.net/",  # a name like another, until it is resolved
]


@pytest.mark.parametrize("url", GOOD)
def test_plain_addresses_pass(url: str) -> None:
    check_url(url, ANY)
    check_url(url, PRIVATE)


@pytest.mark.parametrize("url", HOSTILE)
def test_no_reason_shows_more_than_the_host(url: str) -> None:
    url = f"{url.replace('PORT', '80')}?token=s3cret"
    reason = ""
    try:
        check_url(url, ANY)
    except PhotoError as error:
        reason = str(error)
    assert "s3cret" not in reason and reason.isprintable()


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@h/", "http://me:s3/cret@h/", "http://s3cret@h/", "http://me:s3cret"]
)
def test_no_password_in_a_reason(url: str) -> None:
    with pytest.raises(PhotoError) as caught:
        check_url(url, ANY)
    assert "s3" not in str(caught.value)


@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "10.1.2.3", "169.254.1.1", "100.64.0.1", "::1", "fd00::1", "fe80::1%eth0",
           "::ffff:10.1.2.3", "198.18.0.1"],
)  # fmt: skip
def test_private_addresses_are_allowed_in_words(ip: str) -> None:
    check_ip(ip, PRIVATE)
    with pytest.raises(PhotoError, match="--allow-private-addresses lets it be read"):
        check_ip(ip, ANY)


@pytest.mark.parametrize(
    "ip", ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254",
           "2002:a9fe:a9fe::1", "::169.254.169.254", "fe80::5efe:a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
           "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255"],
)  # fmt: skip
def test_some_are_never_read(ip: str) -> None:
    with pytest.raises(PhotoError, match="never read"):
        check_ip(ip, PRIVATE)


@pytest.mark.slow
def test_stricter_than_python_everywhere() -> None:
    """What Python calls not global is refused; the table may only add to it."""
    blocks = [
        *(ipaddress.ip_address(n << 18) for n in range(1 << 14)),
        *(ipaddress.IPv6Address((n << 112) | 1) for n in range(1 << 16)),
    ]
    carried = ipaddress.ip_network("64:ff9b::/96")
    let_through = []
    for ip in blocks:
        if not ip.is_global or ip.is_multicast or ip.is_reserved:
            with suppress(PhotoError):
                check_ip(str(ip), ANY)
                let_through.append(ip)
    assert all(ip in carried for ip in let_through)


@pytest.mark.parametrize("text", ["", "127.1", "0x7f.0.0.1", "１.1.1.1", "example.net", "%eth0"])
def test_what_is_no_ip_address_is_refused(text: str) -> None:
    with pytest.raises(PhotoError, match="is no IP address"):
        check_ip(text, PRIVATE)


def test_a_reason_names_the_host_the_address_and_the_remedy() -> None:
    with pytest.raises(PhotoError) as caught:
        check_ip("::ffff:10.0.0.5", ANY, "intranet.example.net")
    assert str(caught.value) == (
        "intranet.example.net (::ffff:10.0.0.5) holds 10.0.0.5, which is a private address: "
        "--allow-private-addresses lets it be read"
    )


def test_only_the_hosts_that_are_named() -> None:
    allowed = Allowed(("images.example.org", "*.example.com", "93.184.215.14", "[2606:2800::1]"))
    for host in ("images.example.org", "IMAGES.example.org", "example.com", "a.b.example.com",
                 "93.184.215.14", "[2606:2800::1]"):  # fmt: skip
        check_url(f"https://{host}/", allowed)
    for host in ("example.org", "a.images.example.org", "badexample.com", "example.com.evil.net",
                 "93.184.215.15"):  # fmt: skip
        with pytest.raises(PhotoError, match=f"--allow-host {host} adds it"):
            check_url(f"https://{host}/", allowed)


def test_a_host_by_name_does_not_make_private_addresses_public() -> None:
    with pytest.raises(PhotoError, match="private address"):
        check_url("http://10.0.0.5/", Allowed(("10.0.0.5",)))
    check_url("http://10.0.0.5/", Allowed(("10.0.0.5",), private=True))


@pytest.mark.parametrize("host", ["", "*", "http://a", "a:80", "a/b", "*a.org", "a.*.org", "a b"])
def test_hosts_that_are_none_are_refused_at_once(host: str) -> None:
    with pytest.raises(UsageError, match="--allow-host"):
        Allowed((host,))


@pytest.mark.parametrize(
    ("url", "stored"),
    [
        ("https://example.net/a.jpg", "https://example.net/a.jpg"),
        ("HTTPS://Example.NET:8443/A.jpg", "https://example.net:8443/A.jpg"),
        ("https://me:s3cret@example.net/a.jpg", "https://example.net/a.jpg"),
        ("https://me:s3@cret@example.net/a.jpg", "https://example.net/a.jpg"),
        ("https://example.net/a.jpg?X-Amz-Signature=s3cret", "https://example.net/a.jpg"),
        ("https://example.net/a.jpg#s3cret", "https://example.net/a.jpg"),
        ("https://example.net?s3cret", "https://example.net"),
        ("https://example.net/é%20 \n.jpg", "https://example.net/%C3%A9%20%20.jpg"),
        ("https://example.net/\udcff", "https://example.net/%ED%B3%BF"),
        ("s3://key:s3cret@My-Bucket/a/b.jpg", "s3://My-Bucket/a/b.jpg"),
        ("http://[::1]:80/a", "http://[::1]:80/a"),
        ("http://me:s3cret", "http:"),
        ("http://me:s3/cret@example.net/", "http:"),
        ("http://me:s3#cret@example.net/", "http:"),
        ("http://[s3cret", "http:"),
        ("s3cret", "unknown:"),
        ("", "unknown:"),
    ],
)
def test_what_may_be_written_down(url: str, stored: str) -> None:
    assert public(url) == stored
    if "/" in stored:
        assert public(stored) == stored


@pytest.mark.parametrize("url", HOSTILE)
def test_any_text_can_be_written_down(url: str) -> None:
    assert public(url).isascii() and public(url).isprintable()
