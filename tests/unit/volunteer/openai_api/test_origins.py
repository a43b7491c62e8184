"""Only names that nobody else can give to themselves are this machine's."""

from __future__ import annotations

import pytest

from volunteer.openai_api.origins import is_loopback_host, is_loopback_origin


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:8000", "127.1.2.3", "[::1]", "[::1]:8000"]
)
def test_loopback_names_are_ours(host: str) -> None:
    assert is_loopback_host(host)
    assert is_loopback_origin(f"http://{host}") and is_loopback_origin(f"https://{host}")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost@evil.example",
        "localhost:x",
        "localhost:8000:9",
        "192.168.0.1",
        "0.0.0.0",  # noqa: S104
        "::1",
        "[::1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost ",
        "localhost\x00",
        "localhоst",  # a Cyrillic letter
    ],
)
def test_all_others_are_strangers(host: str) -> None:
    assert not is_loopback_host(host)
    assert not is_loopback_origin(f"http://{host}")


@pytest.mark.parametrize(
    "origin", ["null", "", "file://", "http://", "ftp://localhost", "http://localhost/x", "localhost"]
)
def test_origins_without_a_host_of_ours_are_strangers(origin: str) -> None:
    assert not is_loopback_origin(origin)
