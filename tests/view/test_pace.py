"""What is costly leaves most of the time to others."""

import sys

import pytest

from h5xs_bluesky.view.pace import Pace, giving_way


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("took_s", "share", "rests_until_s", "reason"),
    [
        (0.01, 4.0, 0.2, "what is quick comes five times a second at most"),
        (0.1, 4.0, 0.5, "what takes long has a fifth of the time"),
        (0.1, 0.5, 0.2, "when nobody else needs the time, it rests for less"),
    ],
)
def test_next_may_begin_after(
    took_s: float, share: float, rests_until_s: float, reason: str
) -> None:
    clock = Clock()
    pace = Pace(period_s=0.2, clock=clock)
    assert pace.ready
    with pace.going(share=share):
        clock.now += took_s
    clock.now = 100.0 + rests_until_s - 0.001
    assert not pace.ready, reason
    clock.now = 100.0 + rests_until_s + 0.001
    assert pace.ready, reason


def test_what_fails_rests_as_long() -> None:
    clock = Clock()
    pace = Pace(period_s=0.2, clock=clock)

    def fail() -> None:
        with pace.going():
            clock.now += 1.0
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    clock.now += 3.9
    assert not pace.ready


def test_turns_of_threads_are_short_until_the_last_block_has_ended() -> None:
    usual = sys.getswitchinterval()
    first, second = giving_way(), giving_way()
    with first:
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        second.__enter__()
    assert sys.getswitchinterval() == pytest.approx(0.0005)
    second.__exit__(None, None, None)
    assert sys.getswitchinterval() == pytest.approx(usual)
