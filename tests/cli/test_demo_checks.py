from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.cli.demo_checks import (
    SentFrames,
    check_guinier,
    check_rings,
    digest,
    fit_guinier,
    ring_position,
)
from h5xs_bluesky.cli.demo_pictures import name_frames
from h5xs_bluesky.cli.demo_results import check_status
from h5xs_bluesky.sim.profiles import Spheres, silver_behenate


def curve(q: NDArray[np.float64], intensity: NDArray[np.float64], *, relative: float) -> Data1d:
    return Data1d(qgrid=q, data=intensity, err=relative * intensity)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (np.array([[1, 2], [3, 5]], np.int32), "one count more"),
        (np.array([[1, 2], [3, 4]], np.int64), "another dtype"),
        (np.array([[1, 2, 3, 4]], np.int32), "another shape"),
    ],
)
def test_a_digest_tells_frames_apart(other: NDArray[Any], reason: str) -> None:
    frame = np.array([[1, 2], [3, 4]], np.int32)
    assert digest(frame) != digest(other), reason
    assert digest(frame) == digest(np.asfortranarray(frame))


def test_what_was_sent_is_noted_before_the_buffer_is_used_again() -> None:
    buffer = np.zeros((2, 2), np.int32)
    sent = SentFrames(["image"])
    for number, sample in enumerate(("a", "a", "b")):
        sent("start", {"sample_name": sample})
        buffer[:] = number
        sent("event", {"data": {"image": buffer, "motor": 1.0}})
    sent("event", {"data": {"energy": 1.0}})
    frames = [digest(np.full((2, 2), number, np.int32)) for number in range(3)]
    assert sent.digests == {"a": {"image": frames[:2]}, "b": {"image": frames[2:]}}


def test_rings_of_the_standard_are_found_where_they_are() -> None:
    q = np.arange(0.0610, 0.5, 0.002)
    checks = check_rings(curve(q, silver_behenate(q), relative=0.01))
    assert [check.passed for check in checks] == [True] * 4


@pytest.mark.parametrize("wrong", [0.98, 1.02])
def test_rings_off_by_two_per_cent_are_noticed(wrong: float) -> None:
    q = np.arange(0.0610, 0.5, 0.002)
    checks = check_rings(curve(q, silver_behenate(q * wrong), relative=0.01))
    assert not any(check.passed for check in checks)


@pytest.mark.parametrize(
    ("q", "intensity", "reason"),
    [
        (np.linspace(0.5, 1, 50), np.ones(50), "no bins there"),
        (np.linspace(0.09, 0.13, 50), np.ones(50), "nothing stands out"),
        (np.linspace(0.09, 0.13, 50), np.full(50, np.nan), "no pixels"),
    ],
)
def test_where_there_is_no_ring_none_is_found(
    q: NDArray[np.float64], intensity: NDArray[np.float64], reason: str
) -> None:
    assert np.isnan(ring_position(curve(q, intensity, relative=0.1), near=0.10763)), reason


def test_no_ring_is_a_check_that_fails() -> None:
    q = np.linspace(0.5, 1, 50)
    assert not any(check.passed for check in check_rings(curve(q, np.ones(50), relative=0.1)))


def test_a_guinier_fit_gives_the_radius_of_spheres() -> None:
    spheres = Spheres(forward_per_cm=80.0, radius_angstrom=33.0)
    q = np.arange(0.013, 0.2, 0.001)
    fit = fit_guinier(curve(q, spheres(q), relative=0.005))
    assert fit is not None
    assert fit.radius_angstrom == pytest.approx(spheres.guinier_radius_angstrom, rel=0.03)
    assert fit.forward == pytest.approx(80.0, rel=0.02)
    assert fit.q_range[0] < fit.q_range[1] < 1.4 / fit.radius_angstrom
    wanted = spheres.guinier_radius_angstrom
    assert check_guinier(fit, radius_angstrom=wanted, tolerance_angstrom=1.0).passed
    assert not check_guinier(fit, radius_angstrom=wanted + 3, tolerance_angstrom=1.0).passed


def test_without_a_guinier_region_there_is_no_fit_and_the_check_fails() -> None:
    q = np.arange(0.013, 0.2, 0.001)
    fit = fit_guinier(curve(q, np.full(len(q), np.nan), relative=0.1))
    assert fit is None
    check = check_guinier(fit, radius_angstrom=16.2, tolerance_angstrom=0.6)
    assert not check.passed
    assert check.found == "no Guinier region"


@pytest.mark.parametrize(
    ("counts", "passed", "reason"),
    [
        ((6, 6, 6), True, "all there"),
        ((6, 6, 5), False, "one was not reduced"),
        ((6, 5, 5), False, "one was not acknowledged"),
        ((0, 0, 0), False, "none came"),
    ],
)
def test_images_must_all_arrive(counts: tuple[int, int, int], passed: bool, reason: str) -> None:
    status = dict(zip(("received", "acknowledged", "reduced"), counts, strict=True))
    assert check_status(status).passed is passed, reason


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([4], "frame 4"), ([3, 7, 8, 9], "frames 3, 7–9"), ([0, 1], "frames 0–1")],
)
def test_frames_are_named_in_few_words(numbers: list[int], text: str) -> None:
    assert name_frames(numbers) == text
