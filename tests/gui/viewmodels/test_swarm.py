import pytest
from PySide6.QtCore import QObject, Qt

from gui.viewmodels.block_coverage import Health
from gui.viewmodels.server_table import SERVER_ROLE, Column
from gui.viewmodels.swarm import Situation, SwarmViewModel
from gui.viewmodels.worker import WorkerViewModel
from gui.worker_link import Connection
from volunteer.control.lifecycle import State
from volunteer.control.messages import SwarmChanged, SwarmServer

OWN = "12D3KooWown"


def server(peer_id="12D3KooWother", start=0, end=4, **more):
    return SwarmServer(
        **({"peer_id": peer_id, "start": start, "end": end, "state": "online", "throughput": 40.0} | more)
    )


def see(link, *servers, num_blocks=8):
    link.swarm_changed.emit(SwarmChanged(num_blocks=num_blocks, servers=servers))


@pytest.fixture
def owner(qapp):
    parent = QObject()
    yield parent
    parent.deleteLater()


@pytest.fixture
def swarm(link, owner):
    return SwarmViewModel(link, WorkerViewModel(link, owner), owner, now_s=lambda: 1000.0)


def titles(swarm):
    return [swarm.table.data(swarm.table.index(row, 0)) for row in range(swarm.table.rowCount())]


def test_without_a_worker_there_is_nothing_to_see(link, swarm):
    link.become(Connection.OFF)
    assert swarm.situation is Situation.NO_WORKER


def test_until_the_first_look_the_swarm_is_looked_for(link, swarm):
    link.say(state=State.JOINING)
    assert swarm.situation is Situation.LOOKING


def test_a_paused_worker_sees_no_swarm(link, swarm):
    link.say(state=State.PAUSED, reason="Paused by you")
    assert swarm.situation is Situation.AWAY


def test_what_was_seen_stays_while_the_worker_is_paused(link, swarm):
    link.say()
    see(link, server())
    link.say(state=State.PAUSED)
    assert swarm.situation is Situation.SEEN
    assert not swarm.is_current
    assert swarm.seen_s == 1000.0


def test_another_model_is_another_swarm(link, swarm):
    link.say()
    see(link, server())
    link.say(model="bigscience/bloom-560m", state=State.JOINING)
    assert swarm.situation is Situation.LOOKING
    assert swarm.model == "bloom-560m"


def test_a_healthy_model_says_so(link, swarm):
    link.say()
    see(link, server("a", 0, 8), server("b", 0, 8))
    assert swarm.health is Health.HEALTHY
    assert swarm.headline == "bloom is healthy"
    assert swarm.why == "Each of its 8 blocks is held by two servers or more."
    assert swarm.totals == "2 servers, 8 blocks"


def test_a_broken_model_says_which_blocks_are_missing_and_which_are_coming(link, swarm):
    link.say()
    see(link, server("a", 0, 4), server("b", 0, 2), server("c", 4, 6, state="joining"))
    assert swarm.headline == "bloom is broken"
    assert swarm.why == ("Nobody serves blocks 4–7. Only one server holds blocks 2–3. Somebody is loading blocks 4–5.")
    assert swarm.counts == (2, 2, 1, 1, 0, 0, 0, 0)


def test_servers_that_leave_do_not_count(link, swarm):
    link.say()
    see(link, server("a", 0, 8), server("b", 0, 8, state="offline"))
    assert swarm.health is Health.THIN
    assert swarm.totals == "1 server, 8 blocks"


def test_the_own_row_comes_first_however_the_rows_are_ordered(link, swarm):
    link.say(peer_id=OWN, blocks=(4, 6))
    see(link, server("a", 0, 4), server(OWN, 4, 6, throughput=10.0), server("c", 6, 8, public_name="Zoe"))
    assert titles(swarm) == ["This computer", "a", "Zoe"]
    swarm.arrange_by(Column.SPEED, descending=True)
    assert titles(swarm)[0] == "This computer"
    swarm.arrange_by(Column.SERVER, descending=True)
    assert titles(swarm) == ["This computer", "Zoe", "a"]


def test_this_computer_is_where_its_worker_says_before_the_swarm_has_noticed(link, swarm):
    link.say(peer_id=OWN, blocks=(4, 6), state=State.LOADING)
    see(link, server("a", 0, 4))
    assert titles(swarm) == ["This computer", "a"]
    assert swarm.own is not None
    assert not swarm.own.is_online
    link.say(peer_id=OWN, blocks=(4, 6))
    assert swarm.own.is_online
    assert swarm.counts == (1, 1, 1, 1, 1, 1, 0, 0)


def test_this_computer_serves_as_soon_as_its_worker_says_so(link, swarm):
    link.say(peer_id=OWN, blocks=(0, 8), state=State.LOADING)
    see(link, server(OWN, 0, 8, state="joining"))
    assert swarm.why == "Nobody serves any block. This computer is loading blocks 0–7."
    link.say(peer_id=OWN, blocks=(0, 8))
    assert swarm.health is Health.THIN
    assert swarm.own.tokens_per_s == 40.0


def test_this_computer_leaves_as_soon_as_its_worker_says_so(link, swarm):
    link.say(peer_id=OWN, blocks=(0, 8))
    see(link, server(OWN, 0, 8))
    link.say(peer_id=OWN, blocks=(0, 8), state=State.DRAINING)
    assert swarm.own.state_in_words == "leaving"
    assert swarm.why == "Nobody serves any block."


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("zoe", ["Zoe"]), ("5", ["This computer"]), ("kooW99", ["…KooW99"]), ("", ["This computer", "…KooW99", "Zoe"])],
)
def test_servers_are_found_by_name_peer_id_or_block(link, swarm, wanted, found):
    link.say(peer_id=OWN, blocks=(4, 6))
    see(link, server("12D3KooW99", 0, 4), server(OWN, 4, 6), server("c", 6, 8, public_name="Zoe"))
    swarm.find(wanted)
    assert titles(swarm) == found


def test_a_row_says_all_of_its_server_in_words(link, swarm):
    link.say()
    see(link, server("12D3KooWabcdef", 0, 4, using_relay=True, public_name="Anna"))
    row = [swarm.table.data(swarm.table.index(0, column)) for column in Column]
    assert row == ["Anna", "", "40.0", "over a relay"]
    tip = swarm.table.data(swarm.table.index(0, 0), Qt.ItemDataRole.ToolTipRole)
    assert tip == "Anna, blocks 0–3, serving, 40.0 tokens/s, over a relay\n12D3KooWabcdef"
    spoken = swarm.table.data(swarm.table.index(0, Column.MAP), Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "blocks 0–3"


def test_a_server_that_loads_says_that_in_place_of_its_way(link, swarm):
    link.say()
    see(link, server(state="joining", using_relay=False))
    assert swarm.table.data(swarm.table.index(0, Column.WAY)) == "loading its blocks"


def test_new_numbers_of_the_same_servers_leave_the_view_where_it_is(link, swarm, qtbot):
    link.say()
    see(link, server("a"), server("b"))
    with qtbot.assertNotEmitted(swarm.table.modelReset), qtbot.waitSignal(swarm.table.dataChanged):
        see(link, server("a", throughput=50.0), server("b"))
    with qtbot.waitSignal(swarm.table.modelReset):
        see(link, server("a"))


def test_the_server_that_is_looked_at_is_known_by_its_peer_id(link, swarm, qtbot):
    link.say()
    see(link, server("a"), server("b", 4, 8))
    with qtbot.waitSignal(swarm.selected):
        swarm.select("b")
    see(link, server("b", 4, 8), server("c", 0, 8))
    assert swarm.selected_server is not None and swarm.selected_server.start == 4
    see(link, server("c", 0, 8))
    assert swarm.selected_server is None


def test_ten_thousand_servers_are_arranged_in_no_time(link, swarm):
    link.say(num_blocks=70)
    see(link, *(server(f"12D3KooW{number}", number % 66, number % 66 + 4) for number in range(10_000)), num_blocks=70)
    assert swarm.table.rowCount() == 10_000
    assert swarm.table.data(swarm.table.index(0, 0), SERVER_ROLE).start == 0
    assert sum(swarm.counts) == 40_000
