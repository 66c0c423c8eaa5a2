"""What one downloads with `curl` holds the numbers of the file, and says whose they are."""

import io
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import yaml
from PIL import Image
from small_server import Server

from h5xs_bluesky import h5xs
from h5xs_bluesky.tiled import sample_files
from h5xs_bluesky.tiled.adapter import sample_container
from h5xs_bluesky.tiled.files import ServedFile
from h5xs_bluesky.tiled.serializers import FILE_EXTENSIONS, MEDIA_TYPES, curve_to_dat, frame_to_png

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def download(server: Server, path: str, **params: Any) -> bytes:
    answer = server.get(f"array/full/served/lysozyme/{path}", **params)
    assert answer.status_code == 200, answer.text
    return answer.content


@pytest.mark.parametrize(
    ("path", "params", "curve"),
    [
        ("processed/averaged", {}, ("averaged", None)),
        ("processed/subtracted", {}, ("subtracted", None)),
        ("processed/merged", {"slice": "3"}, ("merged", 3)),
        ("processed/_SAXS", {"slice": "7:8"}, ("_SAXS", 7)),
    ],
)
def test_dat_is_three_columns_that_equal_the_file(
    server: Server, experiment: Path, path: str, params: dict[str, str], curve: tuple[str, int]
) -> None:
    text = download(server, path, format="dat", **params).decode()
    expected = h5xs(experiment).get_d1("lysozyme", *curve)
    table = np.loadtxt(io.StringIO(text))
    known = np.isfinite(expected.data)
    assert known.sum() > 5
    np.testing.assert_allclose(table[:, 0], expected.qgrid[known], rtol=1e-8)
    np.testing.assert_allclose(table[:, 1], expected.data[known], rtol=1e-8)
    np.testing.assert_allclose(table[:, 2], expected.err[known], rtol=1e-8)


def test_dat_says_whose_it_is(server: Server, experiment: Path) -> None:
    text = download(server, "processed/averaged", format="dat").decode()
    start = h5xs(experiment).header("lysozyme")
    header = [line for line in text.splitlines() if line.startswith("#")]
    for words in (
        "# lysozyme averaged",
        f"# uid: {start['uid']}",
        "# scan_id: 2",
        "# buffer: buffer",
        "# trans: 800",
        "# q (1/Angstrom), I (counts per relative solid angle), sigma (as I)",
    ):
        assert words in header


def test_dat_of_a_frame_is_what_is_exported_of_it(
    server: Server, experiment: Path, tmp_path: Path
) -> None:
    found = download(server, "processed/merged", format="dat", slice="3").decode()
    dt = h5xs(experiment, read_only=True)
    exported = dt.export_d1s("lysozyme", tmp_path, "merged")[3].read_text()
    header = [line for line in exported.splitlines() if line.startswith("#")]
    assert header[:2] == ["# lysozyme merged, frame 3", "# trans: 800"]
    assert set(header) <= set(found.splitlines())
    np.testing.assert_array_equal(np.loadtxt(io.StringIO(found)), np.loadtxt(io.StringIO(exported)))
    averaged = download(server, "processed/averaged", format="dat").decode()
    assert set(dt.md_string("lysozyme").splitlines()) <= set(averaged.splitlines())


@pytest.mark.parametrize(
    ("path", "params", "reason"),
    [
        ("processed/merged", {}, "several curves"),
        ("processed/averaged", {"slice": "0"}, "I alone"),
        ("processed/averaged", {"slice": ":,2:9"}, "a part of q, which the metadata do not tell"),
    ],
)
def test_dat_of_what_is_not_one_curve_is_refused(
    server: Server, path: str, params: dict[str, str], reason: str
) -> None:
    answer = server.get(f"array/full/served/lysozyme/{path}", format="dat", **params)
    assert answer.status_code == 406, reason


@pytest.mark.parametrize(
    ("path", "params", "coloured"),
    [
        ("processed/averaged", {}, 0.001),
        ("processed/merged", {}, 0.001),
        ("processed/merged", {"slice": "2"}, 0.001),
        ("primary/data/saxs_image", {"slice": "2"}, 0.3),
        ("primary/data/saxs_image", {"slice": "2:3"}, 0.3),
    ],
)
def test_picture_of_curves_and_frames(
    server: Server, path: str, params: dict[str, str], coloured: float
) -> None:
    picture = Image.open(io.BytesIO(download(server, path, format="png", **params)))
    assert picture.size == (770, 550)
    pixels = np.asarray(picture.convert("RGB"), dtype=int)
    assert np.mean(np.ptp(pixels, axis=-1) > 40) > coloured


def test_picture_of_several_frames_is_refused(server: Server) -> None:
    path = "array/full/served/lysozyme/primary/data/saxs_image"
    assert server.get(path, format="png").status_code == 406


def test_frame_of_an_unsigned_detector_leaves_saturated_pixels_out_of_the_scale() -> None:
    frame = np.full((30, 40), 100, np.uint16)
    frame[:3] = 65535
    one = np.asarray(Image.open(io.BytesIO(frame_to_png("image/png", frame, {}))))
    frame[:3] = 100
    other = np.asarray(Image.open(io.BytesIO(frame_to_png("image/png", frame, {}))))
    assert np.mean(np.any(one != other, axis=-1)) < 0.1


def test_curve_without_anything_known_but_q_is_written() -> None:
    text = curve_to_dat("", np.array([[3.0, np.nan], [1.0, np.nan]]), {"q": [0.1, 0.2]}).decode()
    assert np.loadtxt(io.StringIO(text)).tolist() == [0.1, 3.0, 1.0]
    assert "trans" not in text


def test_columns_of_exported_monitors_have_the_names_of_the_served_table(
    server: Server, experiment: Path, tmp_path: Path
) -> None:
    served = server.get("table/full/served/lysozyme/monitors", format="csv").text.splitlines()
    (exported,) = h5xs(experiment, read_only=True).export_monitors("lysozyme", tmp_path)
    names = exported.read_text().splitlines()[0].split(",")
    assert {n for n in names if not n.endswith("_sigma")} <= set(served[0].split(","))


def test_monitors_are_csv(server: Server) -> None:
    answer = server.get("table/full/served/lysozyme/monitors", format="csv")
    lines = answer.text.splitlines()
    columns = "frame,time,incident,transmitted,transmission,"
    assert lines[0].startswith(columns)
    assert lines[0].endswith("superseded,kept,reason,p_value")
    assert len(lines) == 9
    first, last = lines[1].split(","), lines[8].split(",")
    assert (first[0], first[2:5], first[-3:-1]) == ("0", ["1000.0", "800.0", "0.8"], ["True", ""])
    assert (last[0], last[-3]) == ("7", "False")


def nxcansas(server: Server, sample: str = "lysozyme") -> httpx.Response:
    return server.get(f"container/full/served/{sample}", format="nxcansas")


def test_nxcansas_is_that_of_the_local_export(
    server: Server, experiment: Path, tmp_path: Path
) -> None:
    (local,) = h5xs(experiment).export_nxcansas("lysozyme", tmp_path)
    with h5py.File(io.BytesIO(nxcansas(server).content)) as one, h5py.File(local) as other:
        names: list[str] = []
        other.visit(names.append)
        assert {"entry/subtracted/I", "entry/averaged/Idev", "entry/sample/name"} <= {*names}
        for name in ["/", *names]:
            assert dict(one[name].attrs) == dict(other[name].attrs), name
            if isinstance(other[name], h5py.Dataset):
                assert one[name].dtype == other[name].dtype
                np.testing.assert_array_equal(one[name][()], other[name][()])
            else:
                assert sorted(one[name]) == sorted(other[name])


def test_nxcansas_validates_and_sasview_reads_it(
    server: Server, experiment: Path, tmp_path: Path
) -> None:
    from sasdata.dataloader.loader import Loader

    path = tmp_path / "lysozyme.h5"
    path.write_bytes(nxcansas(server).content)
    done = subprocess.run(
        [sys.executable, "-m", "nexusformat.scripts.nxvalidate", "-a", "NXcanSAS", str(path)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "Total number of errors: 0" in done.stdout
    assert "Total number of warnings: 0" in done.stdout
    loaded = Loader().load(str(path))
    for data, group in zip(loaded, ("averaged", "subtracted"), strict=True):
        d1 = h5xs(experiment).get_d1("lysozyme", group)
        known = np.isfinite(d1.data)
        assert data.errors == []
        np.testing.assert_array_equal(data.y, d1.data[known])
        np.testing.assert_array_equal(data.dy, d1.err[known])


def test_nxcansas_of_what_is_not_averaged_is_not_there(server: Server) -> None:
    answer = nxcansas(server, "nothing")
    assert (answer.status_code, answer.json()["detail"]) == (
        404,
        "nothing has neither of ['subtracted', 'averaged'] yet",
    )


@pytest.mark.parametrize("in_memory", [0, 1 << 24])
def test_download_of_a_sample_leaves_no_file_behind(
    experiment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sample_files, "_IN_MEMORY", in_memory)
    container = sample_container(ServedFile(path=experiment), "lysozyme")
    parts = sample_files.sample_to_h5xs("", container, {}, None)
    assert next(parts).startswith(b"\x89HDF")
    parts.close()
    assert b"".join(sample_files.sample_to_h5xs("", container, {}, None)).startswith(b"\x89HDF")
    assert list(tmp_path.iterdir()) == []


def test_documented_configuration_offers_the_same_downloads() -> None:
    documented = yaml.safe_load((HOW_TO / "tiled-production.yml").read_text())
    assert documented["media_types"] == MEDIA_TYPES
    assert documented["file_extensions"] == FILE_EXTENSIONS
