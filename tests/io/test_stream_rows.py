"""Which row of a stream an event, or what is announced, belongs to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from h5xs_bluesky.io.stream_rows import Place, StreamRows

STEP = [("saxs", 1), ("waxs", 1), 1, ("saxs", 2), ("waxs", 2), 2]


def rows_of(steps: list[Any], *, values: bool, settle: bool = True) -> tuple[list[Any], StreamRows]:
    """Give the row that each step ends in: a number is an event, a pair is announced."""
    rows = StreamRows()
    keys: dict[str, Any] = {"saxs": {"external": "STREAM:"}, "waxs": {"external": "STREAM:"}}
    rows.describe({**keys, **({"em1": {}} if values else {})})
    found = [
        Place(rows.event(step, 0.0)) if isinstance(step, int) else rows.announce(*step)
        for step in steps
    ]
    if settle:
        rows.settle()
    return [place.row for place in found], rows


@pytest.mark.parametrize(
    ("values", "steps", "expected", "why"),
    [
        (True, STEP, [0, 0, 0, 1, 1, 1], "a step scan announces before the event"),
        (False, STEP, [0, 0, 0, 1, 1, 1], "events without data, as of detectors alone"),
        (True, [1, ("saxs", 1), 2, ("saxs", 2)], [0, 0, 1, 1], "a stored run: events first"),
        (False, [1, ("saxs", 1), 2, ("saxs", 2)], [0, 0, 1, 1], "the same without values"),
        (True, [1, 2, ("saxs", 1), ("saxs", 2)], [0, 1, 0, 1], "all events, then all frames"),
        (False, [("saxs", 1), ("saxs", 2), ("waxs", 1)], [0, 1, 0], "a fly scan has no events"),
        (
            True,
            [("saxs", 1), 1, ("saxs", 2), 2, ("saxs", 2), 2, ("saxs", 3), 3],
            [0, 0, 1, 1, 2, 2, 3, 3],
            "a resumed plan repeats a number",
        ),
        (
            False,
            [("saxs", 1), 1, ("saxs", 2), 2, ("saxs", 2), 2, ("saxs", 3), 3],
            [0, 0, 1, 1, 2, 2, 3, 3],
            "the same without values",
        ),
        (
            False,
            [("saxs", 1), ("waxs", 1), ("saxs", 1), ("waxs", 1)],
            [0, 0, 1, 1],
            "a fly scan that is repeated after a pause",
        ),
        (True, [("saxs", 1), ("saxs", 2), 1], [0, 1, 0], "an event that never came"),
        (True, [("saxs", 1), ("saxs", 1)], [0, 1], "two that never came"),
    ],
)
def test_rows(values: bool, steps: list[Any], expected: list[int], why: str) -> None:
    assert rows_of(steps, values=values)[0] == expected, why


def test_what_is_announced_before_its_event_has_no_row_yet() -> None:
    assert rows_of([("saxs", 1)], values=True, settle=False)[0] == [None]


def test_repeated_numbers_supersede() -> None:
    _, rows = rows_of([("saxs", 1), 1, ("saxs", 2), 2, ("saxs", 2), 2], values=True)
    assert rows.superseded.tolist() == [False, True, False]


@given(
    st.lists(st.integers(1, 4), max_size=20),
    st.booleans(),
    st.booleans(),
)
def test_every_field_finds_a_row_of_its_own(
    numbers: list[int], values: bool, event_first: bool
) -> None:
    """However numbers repeat, the n-th event and the n-th frames of each detector share a row."""
    steps: list[Any] = []
    for number in numbers:
        announced: list[Any] = [("saxs", number), ("waxs", number)]
        steps += [number, *announced] if event_first else [*announced, number]
    found, rows = rows_of(steps, values=values)
    assert found == [row for row in range(len(numbers)) for _ in range(3)]
    assert list(rows.seq_nums) == numbers
