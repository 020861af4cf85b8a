"""Reading URLs that can mean one thing only."""

from __future__ import annotations

from regalia.net.url import read_url


def test_the_parts_of_a_url() -> None:
    """The Host header has the port only where it is not the scheme's own; the path and query go as they are."""
    url = read_url("https://Example.COM/a/b?c=d%20e")
    assert (url.host, url.port, url.target, url.authority) == ("example.com", 443, "/a/b?c=d%20e", "example.com")
    assert read_url("https://[2606:4700::1]:8443").authority == "[2606:4700::1]:8443"
    assert read_url("https://[2606:4700::1]:8443").target == "/"
