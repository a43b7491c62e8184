from volunteer.swarm.levels import MAX_NAMES, Levels
from volunteer.swarm.store_limits import BURST_BYTES, BYTES_PER_S, ENTRY_BYTES, StoreLimits


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def stored(limits: StoreLimits, network: str, num_bytes: int) -> int:
    """How many entries with values of so many bytes go in until no more do."""
    with limits.storing(network):
        for count in range(100_000):
            if not limits.allow(num_bytes):
                return count
    raise AssertionError


def test_a_network_stores_so_much_at_once_and_a_little_all_the_time() -> None:
    clock = Clock()
    limits = StoreLimits(clock=clock)
    entry = 60_000 + ENTRY_BYTES
    assert stored(limits, "10.0.0.0/24", 60_000) == BURST_BYTES // entry
    assert stored(limits, "10.0.0.0/24", 60_000) == 0
    assert stored(limits, "10.0.1.0/24", 60_000) == BURST_BYTES // entry
    clock.now_s += 60
    assert abs(stored(limits, "10.0.0.0/24", 60_000) - 60 * BYTES_PER_S // entry) <= 1
    clock.now_s += 3600
    assert stored(limits, "10.0.0.0/24", 60_000) == BURST_BYTES // entry


def test_entries_count_however_short_they_are() -> None:
    assert stored(StoreLimits(clock=Clock()), "10.0.0.0/24", 0) == BURST_BYTES // ENTRY_BYTES


def test_what_nobody_asks_to_store_is_not_counted() -> None:
    limits = StoreLimits(clock=Clock())
    stored(limits, "", 60_000)
    assert limits.allow(2 * BURST_BYTES)


def test_servers_of_many_blocks_behind_one_address_are_never_refused() -> None:
    clock = Clock()
    limits = StoreLimits(clock=clock)
    for _ in range(100):
        with limits.storing("10.0.0.0/24"):
            assert all(limits.allow(1500) for _ in range(8 * 70))
        clock.now_s += 30


def test_names_do_not_fill_the_memory_and_the_fullest_are_remembered() -> None:
    clock = Clock()
    levels = Levels[int](lambda name: 1.0, clock=clock)
    levels.add(-1, 1000.0)
    for name in range(20_000):
        levels.add(name, 1.0)
    assert len(levels._levels) <= MAX_NAMES
    clock.now_s += 10
    assert levels.of(-1) == 990.0 and levels.of(19_999) == 0.0
