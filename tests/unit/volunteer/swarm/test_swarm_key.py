from __future__ import annotations

import base64
import itertools
import random

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from volunteer.errors import ConfigurationError
from volunteer.swarm.records import block_uid
from volunteer.swarm.swarm_key import (
    BadInvitation,
    Invitation,
    NotSealed,
    SwarmKey,
    check_name,
    read_invitation,
    write_invitation,
)

KEY = SwarmKey(bytes(range(32)))
ADDRESS = "/ip4/192.0.2.7/tcp/31330/p2p/12D3KooWQ2VQXsX6Sk3hJJx6Y2Jv8kTnYx5jUuWcJ8c8hVhQmJ4n"
INVITATION = Invitation("lab", b"8 bytes!", KEY, model="bigscience/bloom-560m", revision="main", addresses=(ADDRESS,))

texts = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FFF, categories=("L", "N", "P", "S")), min_size=1)
invitations = st.builds(
    Invitation,
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", fullmatch=True),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=32, max_size=32).map(SwarmKey),
    st.none() | texts.filter(str.isprintable),
    st.none() | texts.filter(str.isprintable),
    st.none() | texts.filter(str.isprintable),
    st.lists(texts.filter(str.isprintable), max_size=16).map(tuple),
)


@given(invitations)
def test_an_invitation_says_all_of_it_again(invitation: Invitation) -> None:
    assert read_invitation(write_invitation(invitation)) == invitation


def test_white_space_from_a_letter_or_a_chat_does_no_harm() -> None:
    word = write_invitation(INVITATION)
    assert read_invitation(f"  {word[:40]}\n   {word[40:]}\r\n") == INVITATION


def test_every_slip_of_one_letter_is_noticed_and_told_without_what_is_in_it() -> None:
    word = write_invitation(INVITATION)
    for at in range(len(word)):
        for wrong in (
            word[:at] + word[at + 1 :],
            word[:at] + "A" + word[at:],
            word[:at] + word[at].swapcase() + word[at + 1 :],
        ):
            if wrong == word:
                continue
            with pytest.raises(BadInvitation) as refused:
                read_invitation(wrong)
            text = str(refused.value)
            assert text.endswith((".", "petals-volunteer://")) and text[0].isupper() and word[30:50] not in text


def test_ten_thousand_damaged_invitations_are_refused() -> None:
    chance, word = random.Random(0), write_invitation(INVITATION)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/: é\n"
    for _ in range(10_000):
        wrong = list(word)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(wrong) or 1)
            wrong = wrong or list(word)
            match chance.randrange(4):
                case 0:
                    wrong[at] = chance.choice(letters)
                case 1:
                    wrong[at : at + chance.randint(1, 30)] = []
                case 2:
                    wrong.insert(at, chance.choice(letters))
                case _:
                    wrong[at:] = wrong[:at]
        text = "".join(wrong)
        if "".join(text.split()) != word:
            with pytest.raises(BadInvitation):
                read_invitation(text)


@pytest.mark.parametrize(
    "text", ["", "hello", "https://example.org", "petals-volunteer://", "petals-volunteer://AA", "x" * 10_000]
)
def test_what_is_no_invitation_is_refused(text: str) -> None:
    with pytest.raises(BadInvitation):
        read_invitation(text)


def _forged(*fields: object, version: int = 1) -> str:
    """Sound in its checksum: of somebody who has the program."""
    from volunteer.swarm import swarm_key

    content = bytes((version,)) + msgpack.packb(list(fields), use_bin_type=True)
    data = content + swarm_key._checksum(content)
    return "petals-volunteer://" + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


GOOD = ("lab", b"8 bytes!", bytes(32), None, None, None, [])


def test_a_forged_invitation_may_hold_nothing_but_what_one_holds() -> None:
    assert read_invitation(_forged(*GOOD)).name == "lab"
    for at, value in (
        (0, "../../etc/passwd"),
        (0, ""),
        (0, 5),
        (1, b"short"),
        (1, "8 bytes!"),
        (2, bytes(16)),
        (2, None),
        (3, ""),
        (3, "x" * 1000),
        (3, "two\nlines"),
        (4, 7),
        (5, ["x"]),
        (6, None),
        (6, ["/ip4/1.2.3.4"] * 17),
        (6, [b"/ip4/1.2.3.4"]),
        (6, ["x" * 301]),
        (6, ["\x1b[2J"]),
    ):
        fields = list(GOOD)
        fields[at] = value
        with pytest.raises(BadInvitation):
            read_invitation(_forged(*fields))
    for fields in ((), GOOD[:-1], (*GOOD, 1), ({"a": 1},), (msgpack.ExtType(64, b"x"), *GOOD[1:])):
        with pytest.raises(BadInvitation):
            read_invitation(_forged(*fields))
    with pytest.raises(BadInvitation, match="another version"):
        read_invitation(_forged(*GOOD, version=2))


def test_a_key_is_not_shown_by_accident() -> None:
    for shown in (repr(KEY), str(KEY), f"{INVITATION}", repr(INVITATION)):
        assert "secret" not in shown and "\\x01" not in shown and KEY.secret.hex() not in shown


def test_every_purpose_has_a_key_of_its_own() -> None:
    made = {KEY.prove(b"", b""), KEY.dht_prefix(""), KEY._gate, KEY._names, KEY._seals, KEY.secret}
    assert len(made) == 6


def test_no_proof_is_good_for_other_parts() -> None:
    parts = [
        (b"caller", b"ab", b"c"),
        (b"caller", b"a", b"bc"),
        (b"caller", b"abc"),
        (b"calle", b"rab", b"c"),
        (b"caller", b"", b"abc"),
    ]
    assert len({KEY.prove(*each) for each in parts}) == len(parts)
    assert KEY.prove(*parts[0]) != SwarmKey(bytes(32)).prove(*parts[0])


def test_a_prefix_is_a_word_that_tells_nothing() -> None:
    names = {key.dht_prefix(prefix) for key in (KEY, SwarmKey(bytes(32))) for prefix in ("bloom-petals", "bloom-petal")}
    assert len(names) == 4
    for name in names:
        assert "bloom" not in name and block_uid(name, 3) == f"{name}.3"


@given(st.binary(max_size=300), st.binary(max_size=40), st.binary(max_size=40), st.floats(0, 2e9))
def test_a_value_is_opened_in_its_own_place_alone(value: bytes, key: bytes, subkey: bytes, expires_at_s: float) -> None:
    sealed = KEY.seal(key, subkey, expires_at_s, value)
    assert KEY.unseal(key, subkey, expires_at_s, sealed) == value
    assert KEY.seal(key, subkey, expires_at_s, value) != sealed
    elsewhere = [
        (KEY, key + b"x", subkey, expires_at_s, sealed),
        (KEY, key, subkey + b"x", expires_at_s, sealed),
        (KEY, key[1:], key[:1] + subkey, expires_at_s, sealed) if key else (KEY, b"x", subkey, expires_at_s, sealed),
        (KEY, key, subkey, expires_at_s + 1, sealed),
        (KEY, key, subkey, expires_at_s, sealed[:-1]),
        (KEY, key, subkey, expires_at_s, sealed + b"x"),
        (KEY, key, subkey, expires_at_s, sealed[1:]),
        (KEY, key, subkey, expires_at_s, b""),
        (KEY, key, subkey, expires_at_s, value),
        (SwarmKey(bytes(32)), key, subkey, expires_at_s, sealed),
    ]
    for other, *place in elsewhere:
        with pytest.raises(NotSealed):
            other.unseal(*place)  # type: ignore[arg-type]


def test_every_bit_of_a_sealed_value_counts() -> None:
    sealed = KEY.seal(b"key", b"subkey", 1.5, b"value")
    for at, bit in itertools.product(range(len(sealed)), range(8)):
        wrong = bytearray(sealed)
        wrong[at] ^= 1 << bit
        with pytest.raises(NotSealed):
            KEY.unseal(b"key", b"subkey", 1.5, bytes(wrong))


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "..", "x" * 41, "ü"])
def test_a_name_is_one_that_a_file_may_have(name: str) -> None:
    check_name("Lab_2-b")
    with pytest.raises(ConfigurationError):
        check_name(name)
