from volunteer.swarm.peer_lists import PeerLists


def test_lists_let_in_whom_they_say() -> None:
    assert PeerLists().admits("anyone")
    denying = PeerLists(deny=frozenset({"bad"}))
    assert denying.admits("anyone") and not denying.admits("bad") and not denying.admits("peer", "bad")
    allowing = PeerLists(allow=frozenset({"friend", "bad"}), deny=frozenset({"bad"}))
    assert allowing.admits("friend") and allowing.admits("peer", "friend")
    assert not allowing.admits("peer") and not allowing.admits("bad") and not allowing.admits("friend", "bad")
    assert allowing.denied_of(["friend", "peer", "bad"]) == {"peer", "bad"}


def test_one_more_is_allowed_only_where_not_all_are() -> None:
    assert PeerLists().with_allowed("us") == PeerLists()
    lists = PeerLists(allow=frozenset({"friend"}))
    assert lists.with_allowed("us").admits("us") and lists.with_allowed(None) == lists
