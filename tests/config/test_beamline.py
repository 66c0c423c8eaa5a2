"""The configuration from a TOML file: every mistake is told with its place."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from h5xs_bluesky import Beamline
from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.io.py4xs_files import detectors_from_json, detectors_to_json
from h5xs_bluesky.reduction.orientation import SampleOrientation

GOOD = """
[beamline]
name = "test"

[[detectors]]
extension = "_SAXS"
data_key = "saxs_image"
model = "Pilatus 1M"
mask = "mask.npy"
saturation = 1000000
[detectors.geometry]
beam_center_px = [319.0, 588.0]
distance_m = 0.75
wavelength_angstrom = 1.445

[[detectors]]
extension = "_WAXS"
data_key = "waxs_image"
model = "home made"
[detectors.geometry]
shape = [40, 50]
pixel_size_m = [172e-6, 172e-6]
beam_center_px = [0, 0]
distance_m = 0.375
wavelength_angstrom = 1.445

[monitors]
incident = "em1"
transmitted = "em2"
relative_uncertainty = 0.002

[metadata]
buffer = {from = "start", key = "sample.buffer"}
exposure = {from = "configuration", device = "saxs", key = "saxs_exposure"}
energy = {from = "baseline", key = "energy_kev"}

[qgrid]
segments = [[0.01, 0.05, 0.001], [0.05, 0.25, 0.005]]

[reduction]
polarization = 0.99

[selection]
significance = 0.02
q_range = [0.02, 0.2]

[integrals]
low_q = [0.02, 0.05]
peak = [0.1, 0.2]
"""


@pytest.fixture
def toml(tmp_path: Path) -> Callable[..., Path]:
    """Write the good file with texts exchanged."""
    np.save(tmp_path / "mask.npy", np.zeros((1043, 981), bool))
    np.save(tmp_path / "small.npy", np.zeros((3, 4), bool))
    (tmp_path / "bad.poni").write_text("nothing of the kind")

    def write(*changes: tuple[str, str]) -> Path:
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "beamline.toml").write_text(text)
        return tmp_path / "beamline.toml"

    return write


def test_good_file_becomes_a_beamline(toml: Callable[..., Path]) -> None:
    beamline = Beamline.from_toml(toml())
    saxs, waxs = beamline.detectors
    assert saxs.geometry.shape == (1043, 981)
    assert saxs.geometry.pixel_size_m == pytest.approx((172e-6, 172e-6))
    assert saxs.geometry.poni1_m == pytest.approx(319.5 * 172e-6)
    assert saxs.saturation == 1_000_000
    assert (saxs.fix_scale, waxs.fix_scale) == pytest.approx((1.0, 4.0)), "solid angles"
    assert waxs.mask.shape == (40, 50)
    assert beamline.monitors is not None
    assert beamline.monitors.normalizing == "em2"
    assert beamline.monitor_uncertainty == 0.002
    assert len(beamline.qgrid) == 80
    assert beamline.reduction.polarization == 0.99
    assert beamline.selection.q_range == (0.02, 0.2)
    assert beamline.integrals == {"low_q": (0.02, 0.05), "peak": (0.1, 0.2)}
    assert beamline.output.base == toml().parent.resolve()
    assert set(beamline.integrators()) == {"_SAXS", "_WAXS"}


GEOMETRY = """beam_center_px = [319.0, 588.0]
distance_m = 0.75
wavelength_angstrom = 1.445"""
SEGMENTS = "segments = [[0.01, 0.05, 0.001], [0.05, 0.25, 0.005]]"

MISTAKES = [
    # what is exchanged, what the message must hold, why
    ([("distance_m = 0.75", "distanse_m = 0.75")], ["geometry.distance_m", "'distanse_m'"],
     "a misspelt key that is needed"),
    ([("saturation", "saturatoin")], ["detectors[0].saturatoin", "'saturation'"],
     "a misspelt key that is not"),
    ([("[selection]", "[selektion]")], ["selektion", "'selection'"], "a misspelt table"),
    ([("[beamline]", "[beamlin]")], ["beamlin", "'beamline'"], "a misspelt table that is needed"),
    ([('name = "test"', "")], ["beamline.name", "a text", "nothing"], "a missing key"),
    ([("distance_m = 0.75", 'distance_m = "far"')], ["distance_m", "a number", "'far'"],
     "a text for a number"),
    ([("distance_m = 0.75", "distance_m = true")], ["distance_m", "a number", "True"],
     "a truth for a number"),
    ([("distance_m = 0.75", "distance_m = -1")], ["geometry", "positive distance", "-1"],
     "a negative distance"),
    ([("[319.0, 588.0]", "[319.0]")], ["beam_center_px", "2 numbers"], "one number for two"),
    ([('"mask.npy"', '"gone.npy"')], ["detectors[0].mask", "gone.npy", "no file"],
     "a file that is not there"),
    ([('"mask.npy"', '"small.npy"')], ["mask", "(1043, 981)", "(3, 4)"], "a mask too small"),
    ([('"mask.npy"', '"bad.poni"')], ["mask", "bad.poni"], "a mask that is none"),
    ([('"mask.npy"', "7")], ["mask", "a file or a list", "7"], "a number for a mask"),
    ([(GEOMETRY, 'poni = "bad.poni"')], ["geometry.poni", "bad.poni", "PONI"],
     "a PONI that is none"),
    ([(GEOMETRY, 'poni = "gone.poni"')], ["geometry.poni", "gone.poni", "found none"],
     "a PONI that is not there"),
    ([(GEOMETRY, 'poni = "bad.poni"\ndistance_m = 1')], ["distance_m", "either", "both"],
     "two ways at once"),
    ([("shape = [40, 50]", "")], ["geometry.shape", "'home made'"],
     "an unknown model without shape"),
    ([('"_WAXS"', '"_SAXS"')], ["extension", "'_SAXS'", "twice"], "one extension twice"),
    ([('"waxs_image"', '"saxs_image"')], ["data_key", "twice"], "one field twice"),
    ([('"_WAXS"', '"merged"')], ["'merged'", "taken"], "an extension that is taken"),
    ([('"_WAXS"', '"a/b"')], ["'a/b'", "dataset"], "an extension that is a path"),
    ([('extension = "_WAXS"', 'extension = "_WAXS"\nfix_scale = 0.0')], ["fix_scale", "0.0"],
     "a scale of nothing"),
    ([(SEGMENTS, "edges = [0.1, 0.3, 0.2]")], ["qgrid", "0.3 followed by 0.2"], "decreasing edges"),
    ([(SEGMENTS, SEGMENTS + "\nedges = [0.1, 0.2]")], ["qgrid", "one of", "'edges'"],
     "two q-grids"),
    ([(SEGMENTS, "")], ["qgrid", "one of", "none"], "no q-grid"),
    ([(SEGMENTS, "segments = [[1, 2]]")], ["qgrid.segments", "3 numbers"], "half a segment"),
    ([(SEGMENTS, "linear = {start = 0.1, stop = 0.2}")], ["qgrid.linear.bins", "whole number"],
     "a grid without bins"),
    ([("0.99", "2.0")], ["polarization", "2.0"], "a polarisation beyond 1"),
    ([("polarization = 0.99", 'estimator = "median"')], ["estimator", "'unweighted'"],
     "an estimator that is not known"),
    ([("polarization = 0.99", 'error_model = "gauss"')], ["error_model", "'azimuthal'"],
     "an error model that is not known"),
    ([("significance = 0.02", "significance = 2")], ["selection", "between 0 and 1"],
     "a significance beyond 1"),
    ([("significance = 0.02", 'method = "cormpa"')], ["method", "'cormap'?"], "a misspelt choice"),
    ([("relative_uncertainty = 0.002", "relative_uncertainty = -1")], ["monitors", "-1"],
     "a negative uncertainty"),
    ([('incident = "em1"\ntransmitted = "em2"', "")], ["monitors", "neither"], "no monitor at all"),
    ([('from = "start"', 'from = "begin"')], ["metadata.buffer.from", "'start'"],
     "a source that is not known"),
    ([('device = "saxs", ', "")], ["metadata.exposure.device", "configuration"],
     "a configuration of no device"),
    ([("[monitors]", '[output]\nwhen_full = "explode"\n[monitors]')], ["output.when_full", "pause"],
     "a policy that is not known"),
    ([("[monitors]", "[output]\nmax_block_s = 0\n[monitors]")], ["max_block_s", "positive"],
     "no time at all"),
    ([("[monitors]", '[roots]\npermanent = ["gone"]\n[monitors]')], ["roots.permanent", "gone"],
     "a folder that is not there"),
    ([("[beamline]", "[beamline")], ["TOML", "line 2"], "no TOML"),
    ([("[[detectors]]", "[detectors.x]")], ["detectors", "[[detectors]]"], "a table for several"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said", "why"), MISTAKES, ids=[row[2] for row in MISTAKES])
def test_mistake_is_told_with_its_place(
    toml: Callable[..., Path], changes: list[tuple[str, str]], said: list[str], why: str
) -> None:
    if changes[0][0] == "[[detectors]]":  # the same table cannot be opened twice
        changes = [(GOOD[GOOD.index("[[") : GOOD.index("[monitors]")], "[detectors]\nx = 1\n")]
    path = toml(*changes)
    with pytest.raises(ConfigurationError) as error:
        Beamline.from_toml(path)
    message = str(error.value)
    assert message.startswith(str(path)), why
    for part in said:
        assert part in message, why
    assert "\n" not in message.rstrip(), "one line"


ASYNCHRONOUS = """
[monitors.asynchronous]
incident_stream = "em1_monitor"
transmitted_stream = "em2_monitor"
stamped = "end"
trigger = "motor"
trigger_from = "values"
dead_time_s = 0.01
interpolation = "step"
extend = true
max_gap_s = 2
synchronise = "frames"
offset_s = -133.8

[metadata]"""


def test_monitors_of_their_own_are_read(toml: Callable[..., Path]) -> None:
    monitors = Beamline.from_toml(toml(("[metadata]", ASYNCHRONOUS))).monitors
    assert monitors is not None
    own = monitors.asynchronous
    assert own is not None
    assert monitors.streams == {"incident": "em1_monitor", "transmitted": "em2_monitor"}
    assert monitors.with_frames == {}
    assert (own.stamped, own.trigger, own.interpolation) == ("end", "motor", "step")
    assert own.trigger_from == "values"
    assert (own.dead_time_s, own.max_gap_s, own.offset_s) == (0.01, 2.0, -133.8)
    assert (own.extend, own.synchronise) == (True, "frames")
    with pytest.raises(ConfigurationError, match="expected a field of the stream as trigger"):
        Beamline.from_toml(toml(("[metadata]", ASYNCHRONOUS.replace('trigger = "motor"\n', ""))))
    one = ASYNCHRONOUS.replace('incident_stream = "em1_monitor"\n', "")
    monitors = Beamline.from_toml(toml(("[metadata]", one))).monitors
    assert monitors is not None
    assert monitors.with_frames == {"incident": "em1"}


def test_water_peak_and_buffer_are_read(toml: Callable[..., Path]) -> None:
    text = (
        'polarization = 0.99\ntrans = "water"\nwater_q_range = [1.8, 2.2]\n'
        'water_background = [1.0, 1.2]\nsc_factor = "auto"'
    )
    beamline = Beamline.from_toml(toml(("polarization = 0.99", text)))
    peak = beamline.reduction.water_peak
    assert (peak.q_range, peak.background) == ((1.8, 2.2), (1.0, 1.2))
    assert beamline.reduction.sc_factor == "auto"
    assert beamline.normalizes
    one = Beamline.from_toml(toml(("polarization = 0.99", "sc_factor = 2"))).reduction
    assert one.sc_factor == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('stamped = "end"\n', ""), ["monitors.asynchronous.stamped", "a text, found nothing"]),
        (('"end"', '"middle"'), ["monitors.asynchronous.stamped", "'start'", "'middle'"]),
        (('"step"', '"cubic"'), ["interpolation", "'linear'"]),
        (('"frames"', '"clock"'), ["synchronise", "'transmitted'"]),
        (("max_gap_s = 2", "max_gap_s = 0"), ["monitors.asynchronous", "positive max_gap_s"]),
        (("dead_time_s = 0.01", "dead_time_s = -1"), ["no negative dead_time_s"]),
        (("extend = true", "extend = 1"), ["extend", "true or false"]),
        (('incident_stream = "em1_monitor"\ntransmitted_stream = "em2_monitor"\n', ""),
         ["incident_stream or a transmitted_stream", "neither"]),
        (("extend = true", "extnd = true"), ["extnd", "'extend'"]),
    ],
)  # fmt: skip
def test_mistake_in_monitors_of_their_own_is_told(
    toml: Callable[..., Path], change: tuple[str, str], words: list[str]
) -> None:
    assert change[0] in ASYNCHRONOUS
    path = toml(("[metadata]", ASYNCHRONOUS.replace(*change)))
    with pytest.raises(ConfigurationError) as error:
        Beamline.from_toml(path)
    for word in words:
        assert word in str(error.value)


def test_stream_without_its_field_is_told(toml: Callable[..., Path]) -> None:
    path = toml(("[metadata]", ASYNCHRONOUS), ('incident = "em1"\n', ""))
    with pytest.raises(ConfigurationError, match="field of the incident monitor beside"):
        Beamline.from_toml(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('trans = "waxs"', ["reduction.trans", "'water'"]),
        ("water_q_range = [2.2, 1.8]", ["reduction", "increases"]),
        ("water_background = [1]", ["water_background", "2 numbers"]),
        ("sc_factor = -1", ["reduction", "positive sc_factor"]),
        ('sc_factor = "best"', ["reduction", "'auto'"]),
    ],
)
def test_mistake_about_the_water_peak_is_told(
    toml: Callable[..., Path], text: str, words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Beamline.from_toml(toml(("polarization = 0.99", text)))
    for word in words:
        assert word in str(error.value)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml: cannot be read"):
        Beamline.from_toml(tmp_path / "gone.toml")


def test_masks_of_several_files_are_combined(toml: Callable[..., Path], tmp_path: Path) -> None:
    for number in range(2):
        mask = np.zeros((1043, 981), bool)
        mask[number] = True
        np.savez(tmp_path / f"{number}.npz", mask=mask)
    beamline = Beamline.from_toml(toml(('"mask.npy"', '["0.npz", "1.npz"]')))
    assert beamline.detectors[0].mask.sum() == 2 * 981


def test_plain_values_come_back_through_json(toml: Callable[..., Path]) -> None:
    beamline = Beamline.from_toml(toml())
    again = Beamline.from_mapping(
        json.loads(json.dumps(beamline.to_mapping())),
        detectors=beamline.detectors,
        qgrid=beamline.qgrid,
        origin="a test",
    )
    for name in ("name", "sample_name_key", "stream", "monitors", "reduction", "selection"):
        assert getattr(again, name) == getattr(beamline, name)
    assert again.metadata == beamline.metadata
    assert again.integrals == beamline.integrals
    assert json.loads(json.dumps(beamline.provenance()))["qgrid"]["edges"][0] == 0.01


@pytest.mark.parametrize(
    ("key", "start", "name", "why"),
    [
        ("sample_name", {"sample_name": "water"}, "water", "the usual key"),
        ("sample.id", {"sample": {"id": "w1"}}, "w1", "a dotted key"),
        ("sample.id", {"sample.id": "w2"}, "w2", "a key that has a dot itself"),
        ("sample", {"sample": {"name": "water"}}, "water", "event-model's sample document"),
        ("sample", {"sample": "water"}, "water", "or its plain form"),
        ("sample", {"sample": {"id": 1}}, None, "a sample without a name"),
        ("sample_name", {}, None, "none at all"),
        ("sample_name", {"sample_name": None}, None, "nothing"),
        ("sample_name", {"sample_name": "  "}, None, "only blanks"),
        ("sample_name", {"sample_name": 3}, "3", "a number"),
    ],
)
def test_sample_name_is_looked_up(
    toml: Callable[..., Path], key: str, start: dict[str, object], name: str | None, why: str
) -> None:
    path = toml(('name = "test"', f'name = "test"\nsample_name_key = "{key}"'))
    assert Beamline.from_toml(path).sample_name(start) == name, why


def test_metadata_are_found_where_the_map_says(toml: Callable[..., Path]) -> None:
    beamline = Beamline.from_toml(toml())
    configuration = {"saxs": {"data": {"saxs_exposure": 0.5}}}
    documents = {
        "start": {"sample": {"buffer": "water"}},
        "descriptors": [{}, {"configuration": configuration}],
        "baseline": {"energy_kev": 8.58},
    }
    found = {name: beamline.metadata_value(name, **documents) for name in beamline.metadata}
    assert found == {"buffer": "water", "exposure": 0.5, "energy": 8.58}
    empty = {"start": {}, "descriptors": [], "baseline": {}}
    assert all(beamline.metadata_value(name, **empty) is None for name in beamline.metadata)
    with pytest.raises(ConfigurationError, match="'temperature'"):
        beamline.metadata_value("temperature", **empty)


PY4XS = (
    "py4xs = { ImageWidth = 981, ImageHeight = 1043, bm_ctr_x = 588.0, bm_ctr_y = 319.0, "
    f"ratioDw = {0.75 / 172e-6 / 981}, wavelength = 1.445 }}"
)
GEOMETRIES = [
    # what stands in [detectors.geometry] of the first detector, and its q at pixel (10, 20)
    ("beam_center_px = [319.0, 588.0]\ndistance_m = 0.75\nwavelength_angstrom = 1.445", "by hand"),
    ('poni = "saxs.poni"', "PONI"),
    ('nexus = "master.h5"', "NeXus"),
    ('nexus = "master.h5"\ndetector = "/entry/instrument/detector"', "NeXus, named"),
    (PY4XS, "py4xs"),
]


@pytest.mark.parametrize(("text", "why"), GEOMETRIES)
def test_geometry_may_be_given_in_several_ways(
    toml: Callable[..., Path], tmp_path: Path, text: str, why: str
) -> None:
    """All of the same detector."""
    (tmp_path / "saxs.poni").write_text(
        'poni_version: 2.1\nDetector: Pilatus1M\nDetector_config: {"orientation": 3}\n'
        f"Distance: 0.75\nPoni1: {319.5 * 172e-6}\nPoni2: {588.5 * 172e-6}\n"
        "Rot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1.445e-10\n"
    )
    with h5py.File(tmp_path / "master.h5", "w") as file:
        detector = file.create_group("entry/instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        beam = file.create_group("entry/instrument/beam")
        beam.attrs["NX_class"] = "NXbeam"
        beam["incident_wavelength"] = 1.445
        for name, value, units in (
            ("beam_center_x", 588.5, "pixel"), ("beam_center_y", 319.5, "pixel"),
            ("detector_distance", 0.75, "m"), ("x_pixel_size", 172.0, "um"),
            ("y_pixel_size", 172.0, "um"),
        ):  # fmt: skip
            detector[name] = value
            detector[name].attrs["units"] = units
        detector["pixel_mask"] = np.zeros((1043, 981), "u4")
    saxs = Beamline.from_toml(toml((GEOMETRY, text))).detectors[0]
    by_hand = Beamline.from_toml(toml()).detectors[0]
    assert saxs.geometry.shape == (1043, 981), why
    assert np.allclose(saxs.geometry.q_map(), by_hand.geometry.q_map(), rtol=1e-6, atol=1e-9), why


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((GEOMETRY, 'nexus = "gone.h5"'), ["geometry.nexus", "found none"]),
        ((GEOMETRY, GEOMETRY + '\nnexus = "x.h5"'), ["either nexus or beam_center_px", "both"]),
        ((GEOMETRY, "py4xs = { bm_ctr_x = 1 }"), ["geometry.py4xs.bm_ctr_y", "a number"]),
        ((GEOMETRY, 'nexus = "gone.h5"\ndistance_m = 1'), ["either nexus or distance_m"]),
        (('"mask.npy"', '{ file = "mask.npy", invrt = true }'), ["mask.invrt", "'invert'"]),
        (('"mask.npy"', '["mask.npy", 3]'), ["mask", "a file or a list of files", "3"]),
        ((SEGMENTS, SEGMENTS + '\nunit = "1/pm"'), ["qgrid.unit", "1/nm"]),
        (("polarization = 0.99", 'splitting = "full"'), ["reduction.splitting", "'bbox'"]),
        (("polarization = 0.99", "dezinger = -1"), ["reduction", "positive dezinger"]),
        (("polarization = 0.99", "polarization = nan"), ["polarization", "a number", "nan"]),
        (
            ("polarization = 0.99", "polarization = 1\n[output]\nmax_wait_s = nan"),
            ["max_wait_s", "nan"],
        ),
        (('"mask.npy"', '{ file = "mask.npy", bits = [0.5] }'), ["mask.bits", "whole numbers"]),
        (("low_q = [0.02, 0.05]", "low_q = [0.2, 0.1]"), ["[integrals]", "low_q"]),
        (("low_q = [0.02, 0.05]", "low_q = [0.2]"), ["integrals.low_q", "2 numbers"]),
        (("low_q = ", "q = "), ["[integrals]", "'q'"]),
        (("low_q = ", '"a b" = '), ["[integrals]", "'a b'"]),
        (("polarization = 0.99", 'engine = "gpu"'), ["reduction.engine", "'compiled'"]),
    ],
)
def test_mistake_in_geometry_mask_or_method_is_told_with_its_place(
    toml: Callable[..., Path], change: tuple[str, str], words: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as error:
        Beamline.from_toml(toml(change))
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_masks_are_combined(toml: Callable[..., Path], tmp_path: Path) -> None:
    """The detector's own gaps, a drawn shadow, and all but what is inverted."""
    (tmp_path / "shadow.txt").write_text("c 500 100 20")
    open_ = np.ones((1043, 981), bool)
    open_[5, 5] = False
    np.save(tmp_path / "open.npy", open_)
    text = '["detector", "shadow.txt", { file = "open.npy", invert = true }]'
    mask = Beamline.from_toml(toml(('"mask.npy"', text))).detectors[0].mask
    assert mask[200, 30], "a gap"
    assert mask[100, 500], "the shadow"
    assert mask[5, 5], "inverted"
    assert not mask[50, 50]


def test_qgrid_in_inverse_nanometres(toml: Callable[..., Path]) -> None:
    in_angstrom = Beamline.from_toml(toml((SEGMENTS, "edges = [0.01, 0.02, 0.05]"))).qgrid
    in_nm = Beamline.from_toml(toml((SEGMENTS, 'edges = [0.1, 0.2, 0.5]\nunit = "1/nm"'))).qgrid
    assert np.allclose(in_nm.edges, in_angstrom.edges, rtol=1e-15)
    assert np.allclose(in_nm.centers, in_angstrom.centers, rtol=1e-15)


def test_orientation_is_read_and_kept_with_the_experiment(toml: Callable[..., Path]) -> None:
    table = "[detectors.orientation]\nsample_normal_deg = 90\nincident_angle_deg = 0.15\n"
    beamline = Beamline.from_toml(
        toml(('[[detectors]]\nextension = "_WAXS"', table + '\n[[detectors]]\nextension = "_WAXS"'))
    )
    saxs, waxs = beamline.detectors
    assert saxs.orientation == SampleOrientation(sample_normal_deg=90.0, incident_angle_deg=0.15)
    assert waxs.orientation == SampleOrientation()
    text = detectors_to_json(beamline.detectors)
    assert [detector.orientation for detector in detectors_from_json(text, folder=Path())] == [
        saxs.orientation,
        waxs.orientation,
    ]
    py4xs = [entry["exp_para"] for entry in json.loads(text)]
    assert [p["grazing_incident"] for p in py4xs] == [True, False]
    assert (py4xs[0]["incident_angle"], py4xs[0]["sample_normal"]) == (0.15, 90.0)


def test_orientation_of_py4xs_detectors_is_read(toml: Callable[..., Path]) -> None:
    entry = json.loads(detectors_to_json(Beamline.from_toml(toml()).detectors[:1]))[0]
    del entry["h5xs"]
    entry["exp_para"] |= {"sample_normal": 5.0, "grazing_incident": True, "incident_angle": 0.3}
    for flip, mirrored in ((0, False), (-2, True)):
        entry["exp_para"]["flip"] = flip
        (detector,) = detectors_from_json(json.dumps([entry]), folder=Path())
        assert detector.orientation == SampleOrientation(
            sample_normal_deg=5.0, incident_angle_deg=0.3, mirrored=mirrored
        )
    with pytest.raises(ConfigurationError, match=r"orientation.*incident_angle_deg.*100"):
        Beamline.from_toml(
            toml(("[monitors]", "[detectors.orientation]\nincident_angle_deg = 100\n[monitors]"))
        )
