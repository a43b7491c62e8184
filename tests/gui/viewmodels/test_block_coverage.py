import pytest

from gui.viewmodels.block_coverage import (
    Health,
    Level,
    Run,
    block_in_words,
    health,
    missing_in_words,
    replicas,
    runs,
    span_in_words,
    thin_in_words,
)


def test_each_block_counts_the_spans_that_hold_it():
    assert replicas([(0, 4), (2, 6), (5, 6)], 7) == (1, 1, 2, 2, 1, 2, 0)


def test_what_a_record_claims_beyond_the_model_does_not_count():
    assert replicas([(-3, 2), (3, 99), (7, 5), (50, 60)], 4) == (1, 1, 0, 1)


def test_a_model_without_blocks_has_no_counts():
    assert replicas([(0, 4)], 0) == ()
    assert health(()) is Health.UNKNOWN
    assert runs(()) == ()


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((2, 3), Health.HEALTHY), ((1, 9), Health.THIN), ((5, 0, 1), Health.BROKEN)],
)
def test_a_model_is_as_healthy_as_its_weakest_block(counts, expected):
    assert health(counts) is expected


def test_neighbours_that_are_served_alike_make_a_run():
    assert runs((0, 0, 1, 4, 2)) == (Run(Level.MISSING, 0, 2), Run(Level.THIN, 2, 3), Run(Level.GOOD, 3, 5))


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((2, 2), ""),
        ((0, 0), "Nobody serves any block."),
        ((2, 0, 2), "Nobody serves block 1."),
        ((0, 0, 2), "Nobody serves blocks 0–1."),
        ((0, 0, 2, 0), "Nobody serves blocks 0–1 and 3."),
        ((0, 2) * 6, "Nobody serves blocks 0, 2, 4, 6 and more."),
    ],
)
def test_missing_blocks_are_called_by_their_numbers(counts, said):
    assert missing_in_words(runs(counts)) == said


@pytest.mark.parametrize(
    ("counts", "said"),
    [((2, 0), ""), ((1, 1), "Each block has only one server."), ((1, 2, 1), "Only one server holds blocks 0 and 2.")],
)
def test_thin_blocks_are_called_by_their_numbers(counts, said):
    assert thin_in_words(runs(counts)) == said


def test_people_count_both_ends_of_a_span():
    assert span_in_words(4, 5) == "4"
    assert span_in_words(31, 39) == "31–38"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "Block 7: nobody serves it"), (1, "Block 7: one server"), (3, "Block 7: 3 servers")]
)
def test_a_block_says_how_many_serve_it(count, said):
    assert block_in_words(7, count) == said
