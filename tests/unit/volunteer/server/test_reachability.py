import pytest

from volunteer.server.reachability import Reach, advice, reach_of


@pytest.mark.parametrize(
    ("answers", "has_relay", "reach"),
    [
        ([], False, Reach.UNKNOWN),
        ([None, None], True, Reach.UNKNOWN),
        ([True], False, Reach.DIRECT),
        ([True, False, None], True, Reach.DIRECT),
        ([True, False, False], False, Reach.UNREACHABLE),
        ([False], True, Reach.RELAYED),
    ],
)
def test_half_of_those_who_tried_must_have_come_through(
    answers: list[bool | None], has_relay: bool, reach: Reach
) -> None:
    assert reach_of(answers, has_relay=has_relay) is reach


@pytest.mark.parametrize("reach", list(Reach))
def test_there_is_a_sentence_for_each(reach: Reach) -> None:
    sentence = advice(reach, [4001])
    assert sentence.endswith(".")
    assert ("4001" in sentence) == (reach in (Reach.RELAYED, Reach.UNREACHABLE))
