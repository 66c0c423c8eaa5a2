"""`h5xs` on a server gives what it gives on the files, value for value, and never writes."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
from foreign_links import KINDS, link_out
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_server import Server

from h5xs_bluesky import Data1d, h5xs
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.errors import FrameAbsentError, RefusedError, SampleNotFoundError
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.orientation import SampleOrientation
from h5xs_bluesky.tiled.client import SampleClient
from h5xs_bluesky.tiled.remote import ServerStorage, remote_h5xs

SAMPLES = ("buffer", "lysozyme", "nothing")
Call = Callable[[h5xs, Path], Any]


def axes() -> Axes:
    return Figure().add_subplot()


def tilted(detectors: Sequence[Detector]) -> list[Detector]:
    """Tell the incident angle, without which there is no qr."""
    orientation = SampleOrientation(incident_angle_deg=0.2)
    return [dataclasses.replace(detector, orientation=orientation) for detector in detectors]


def elution(dt: h5xs) -> Any:
    """Take the frames as a series behind a column; there is no peak to be found in them."""
    return dt.process_sec("lysozyme", buffer_frames=range(3), sample_frames=range(3, 8))


def after(method: str, *arguments: Any, **more: Any) -> Call:
    """Call what gives nothing, and give all that is in memory then."""

    def call(dt: h5xs, _: Path) -> Any:
        assert getattr(dt, method)(*arguments, **more) is None
        return [dt.d1s, dt.attrs, dt.buffer_list]

    return call


# For each public name of `h5xs` what is asked of both; a name without an entry fails below.
EQUAL: dict[str, list[Call]] = {
    "load_d1s": [after("load_d1s"), after("load_d1s", "lysozyme")],
    "d1s": [lambda dt, _: dt.d1s],
    "d2s": [lambda dt, _: dt.d2s],
    "attrs": [lambda dt, _: dt.attrs],
    "detectors": [lambda dt, _: dt.detectors],
    "qgrid": [lambda dt, _: dt.qgrid],
    "monitors": [lambda dt, _: dt.monitors],
    "buffer_list": [lambda dt, _: dt.buffer_list],
    "fh5": [lambda dt, _: dt.fh5],
    "explicit_close": [lambda dt, _: dt.explicit_close()],
    "explicit_close_h5": [lambda dt, _: dt.explicit_close_h5()],
    "list_samples": [lambda dt, _: [dt.list_samples(), dt.samples]],
    "header": [lambda dt, _, name=name: dt.header(name) for name in SAMPLES],
    "md_dict": [lambda dt, _: dt.md_dict("lysozyme", ["plan_name"])],
    "md_string": [lambda dt, _: dt.md_string("lysozyme")],
    "get_mon": [
        lambda dt, _: dt.get_mon("lysozyme"),
        lambda dt, _: [dt.get_mon(["buffer", "lysozyme"], check_size=9), dt.d0s],
    ],
    "get_d1": [
        lambda dt, _, group=group, frn=frn: dt.get_d1("lysozyme", group, frn)
        for group in ("_SAXS", "_WAXS", "merged", "averaged", "subtracted")
        for frn in (None, 3, -1)
    ],
    "get_d2": [
        lambda dt, _: dt.get_d2("lysozyme"),
        lambda dt, _: dt.get_d2("lysozyme", "_WAXS", -1, dtype=float),
        lambda dt, _: dt.get_d2("lysozyme", frn=[1, 2, 5]),
        lambda dt, _: dt.get_d2("lysozyme", "_SAXS", "average"),
    ],
    "get_qphi": [lambda dt, _: dt.get_qphi("lysozyme", 2, 20, 12)],
    "get_qxy": [lambda dt, _: dt.get_qxy("lysozyme", 2, 0.05)],
    "get_qrqn": [lambda dt, _: dt.get_qrqn("lysozyme", 2, 0.05, detectors=tilted(dt.detectors))],
    "show_data": [lambda dt, _: dt.show_data("lysozyme", "_SAXS", 1, axes())],
    "show_data_qxy": [lambda dt, _: dt.show_data_qxy("lysozyme", 1, axes(), 0.05)],
    "show_data_qphi": [lambda dt, _: dt.show_data_qphi("lysozyme", 1, axes(), 20, 12)],
    "check_bm_center": [
        lambda dt, _: dt.check_bm_center("lysozyme", "_SAXS", "average", 0.03, 0.2, 10, plot=False)
    ],
    "plot_d1s": [
        lambda dt, _: dt.plot_d1s("lysozyme", axes()),
        lambda dt, _: dt.plot_d1s("lysozyme", axes(), show_subtracted=True),
        lambda dt, _: dt.plot_d1s("lysozyme", axes(), show_overlap=True),
    ],
    "get_selection": [lambda dt, _: dt.get_selection("lysozyme")],
    "plot_selection": [lambda dt, _: dt.plot_selection("lysozyme", axes())],
    "plot_mon": [lambda dt, _: dt.plot_mon("lysozyme", axes())],
    "compare_d1s": [lambda dt, _: dt.compare_d1s(None, False, axes())],
    "export_d1s": [
        lambda dt, out: dt.export_d1s(None, out),
        lambda dt, out: dt.export_d1s("lysozyme", out, False, normalize=True),
        lambda dt, out: dt.export_d1s("lysozyme", out, "merged"),
    ],
    "export_nxcansas": [
        lambda dt, out: dt.export_nxcansas(path=out),
        lambda dt, out: dt.export_nxcansas("lysozyme", out, normalize=True),
    ],
    "export_monitors": [lambda dt, out: dt.export_monitors(path=out)],
    # What computes stays in memory, on either.
    "merge_d1s": [after("merge_d1s")],
    "average_d1s": [
        after("average_d1s", "lysozyme", selection=[True] * 3 + [False] * 5),
        after("average_d1s", filter_data=True),
    ],
    "assign_buffer": [after("assign_buffer", {"lysozyme": ["buffer"]})],
    "subtract_buffer": [after("subtract_buffer", "lysozyme", sc_factor=0.9)],
    "set_trans": [after("set_trans", "external", calc_water_peak=False)],
    "process_sec": [lambda dt, _: [elution(dt), dt.d1s["lysozyme"]["subtracted"]]],
    "get_sec": [lambda dt, _: [elution(dt), dt.get_sec("lysozyme")]],
    "plot_sec": [lambda dt, _: [elution(dt), dt.plot_sec("lysozyme")]],
}

# And what needs the files.
REFUSED: dict[str, Call] = {
    "load_data": lambda dt, _: dt.load_data(),
    "save_d1s": lambda dt, _: dt.save_d1s("lysozyme"),
    "explicit_open": lambda dt, _: dt.explicit_open(),
    "explicit_open_h5": lambda dt, _: dt.explicit_open_h5(),
    "explict_open_h5": lambda dt, _: dt.explict_open_h5(),
}

# The same for a client of one sample; its methods have no sample's name.
OF_SAMPLE: dict[str, tuple[Callable[[Any, Path], Any], Call]] = {
    "header": (lambda s, _: s.header(), lambda dt, _: dt.header("lysozyme")),
    "md_dict": (
        lambda s, _: s.md_dict(["plan_name"]),
        lambda dt, _: dt.md_dict("lysozyme", ["plan_name"]),
    ),
    "get_mon": (lambda s, _: s.get_mon(), lambda dt, _: dt.get_mon("lysozyme")),
    "get_d1": (
        lambda s, _: s.get_d1("merged", 3),
        lambda dt, _: dt.get_d1("lysozyme", "merged", 3),
    ),
    "get_d2": (
        lambda s, _: s.get_d2("_WAXS", -1),
        lambda dt, _: dt.get_d2("lysozyme", "_WAXS", -1),
    ),
    "plot_d1s": (
        lambda s, _: s.plot_d1s(axes(), show_overlap=True),
        lambda dt, _: dt.plot_d1s("lysozyme", axes(), show_overlap=True),
    ),
    "export": (
        lambda s, out: s.export(out),
        lambda dt, out: [
            *dt.export_nxcansas("lysozyme", out),
            *dt.export_d1s("lysozyme", out, False),
            *dt.export_d1s("lysozyme", out),
            *dt.export_monitors("lysozyme", out),
        ],
    ),
    "as_h5xs": (
        lambda s, _: s.as_h5xs().get_d1(group="averaged"),
        lambda dt, _: dt.get_d1("lysozyme", "averaged"),
    ),
}


def shown(curves: list[Data1d]) -> list[Any]:
    """Give what is told of each curve of a frame."""
    return [(d1.label, d1.qgrid, d1.data, d1.err, d1.trans) for d1 in curves]


def followed(sample: Any) -> list[Data1d]:
    curves: list[Data1d] = []
    assert sample.follow(curves.append, trans=True).wait(30)
    return curves


def of_node(sample: Any, first: int) -> list[Data1d]:
    node = sample["processed/merged"]
    curves: list[Data1d] = sample.curves_of(node, node[first:], first)
    return curves


OF_SAMPLE |= {
    "follow": (
        lambda s, _: shown(followed(s)),
        lambda dt, _: shown(dt.d1s["lysozyme"]["merged"]),
    ),
    "curves_of": (
        lambda s, _: shown(of_node(s, 5)),
        lambda dt, _: shown(dt.d1s["lysozyme"]["merged"][5:]),
    ),
}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_every_name_of_h5xs_is_compared_or_refused() -> None:
    assert public(h5xs) == EQUAL.keys() | REFUSED.keys()
    assert not EQUAL.keys() & REFUSED.keys()


def test_every_name_that_a_sample_client_adds_is_compared() -> None:
    own = {name for name in vars(SampleClient) if not name.startswith("_")}
    assert own == OF_SAMPLE.keys()


def content(value: Any) -> Any:
    """Take a result apart into numbers, texts and arrays."""
    if isinstance(value, Path):
        return value.name, hdf5(value) if value.suffix == ".h5" else value.read_bytes()
    if isinstance(value, Axes):
        shown = [np.asarray(image.get_array()) for image in [*value.images, *value.collections]]
        lines = [
            (line.get_xydata(), line.get_label(), line.get_linestyle()) for line in value.lines
        ]
        legend = value.get_legend()
        texts = [] if legend is None else [text.get_text() for text in legend.get_texts()]
        return [value.get_title(), lines, shown, texts]
    if isinstance(value, Figure):
        return [content(each) for each in value.axes]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: content(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: content(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [content(member) for member in value]
    return value


def hdf5(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with h5py.File(path) as file:

        def note(name: str, member: Any) -> None:
            found[name] = [dict(member.attrs)]
            found[name] += [member[()]] if isinstance(member, h5py.Dataset) else []

        file.visititems(note)
        return {**found, "/": dict(file.attrs)}


def assert_equal(one: Any, other: Any) -> None:
    one, other = content(one), content(other)
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for each, its in zip(one, other, strict=True):
            assert_equal(each, its)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other or (one != one and other != other)


@pytest.fixture(scope="module")
def nodes(server: Server) -> list[Any]:
    client = server.client()["served"]
    return [client[name] for name in SAMPLES]


@pytest.fixture(scope="module")
def remote(nodes: list[Any]) -> h5xs:
    return remote_h5xs(*nodes)


@pytest.fixture(scope="module")
def local(experiment: Path) -> h5xs:
    return h5xs(experiment, read_only=True)


@pytest.mark.parametrize("name", EQUAL)
def test_both_give_the_same(remote: h5xs, local: h5xs, name: str, tmp_path: Path) -> None:
    for number, call in enumerate(EQUAL[name]):
        out = [tmp_path / f"{where}{number}" for where in ("remote", "local")]
        assert_equal(call(remote, out[0]), call(local, out[1]))


@pytest.mark.parametrize("name", REFUSED)
def test_what_needs_the_files_is_refused(remote: h5xs, name: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"served/buffer: expected a file for .* a server"):
        REFUSED[name](remote, tmp_path)


@pytest.mark.parametrize("name", OF_SAMPLE)
def test_a_sample_gives_the_same(nodes: list[Any], local: h5xs, name: str, tmp_path: Path) -> None:
    ask, ask_local = OF_SAMPLE[name]
    local.load_d1s()
    assert_equal(ask(nodes[1], tmp_path / "remote"), ask_local(local, tmp_path / "local"))


def test_unknown_samples_are_named(remote: h5xs) -> None:
    with pytest.raises(SampleNotFoundError, match=r"'lysozyme', 'nothing'\], found 'x'"):
        remote.get_d1("x")


def test_samples_are_of_one_experiment(nodes: list[Any], server: Server) -> None:
    for wrong in ([], [nodes[0], server.client()["served"]]):
        with pytest.raises(ValueError, match="expected samples of one experiment, found"):
            remote_h5xs(*wrong)


def test_a_sample_that_has_not_changed_does_not_come_again(
    nodes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[int] = []
    get = nodes[0].context.http_client.get

    def count(url: str, **more: Any) -> httpx.Response:
        answer: httpx.Response = get(url, **more)
        answers.append(answer.status_code)
        return answer

    monkeypatch.setattr(nodes[0].context.http_client, "get", count)
    remote = remote_h5xs(nodes[0])
    for number in range(3):
        remote.get_d1(frn=number)
    assert answers[0] == 200
    assert set(answers[1:]) == {304}


def test_downloaded_sample_opens_without_frames(
    server: Server, experiment: Path, tmp_path: Path
) -> None:
    answer = server.get("container/full/served/lysozyme", format="h5xs")
    (tmp_path / "lysozyme.h5").write_bytes(answer.content)
    downloaded, local = h5xs(tmp_path / "lysozyme.h5"), h5xs(experiment)
    for group in ("_SAXS", "merged", "averaged", "subtracted"):
        assert_equal(downloaded.get_d1(None, group), local.get_d1("lysozyme", group))
    with pytest.raises(FrameAbsentError, match="expected row 0"):
        downloaded.get_d2()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_server_sends_does_not_lead_to_files_here(
    nodes: list[Any], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("secret.h5", "w") as file:
        file["d"] = np.ones((1, 3, 4))
    with h5py.File("sent.h5", "w") as file:
        link_out(kind, file.create_group("lysozyme"), tmp_path / "secret.h5")
    sent = httpx.Response(
        200,
        content=Path("sent.h5").read_bytes(),
        headers={"ETag": "x"},
        request=httpx.Request("GET", "http://a/b"),
    )
    monkeypatch.setattr(nodes[1].context.http_client, "get", lambda *_, **__: sent)
    with pytest.raises(RefusedError, match="was not followed"):
        ServerStorage([nodes[1]]).open()
    source = ExperimentSource(ServerStorage([nodes[1]]))
    assert source.roots == []


def test_address_is_told_as_it_is(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    node = server.client()["served/lysozyme"]
    dt = remote_h5xs(node, server.client()["served/buffer"])
    dt.subtract_buffer("lysozyme", buffer_list={"lysozyme": "buffer"})
    assert f"{node.uri} was opened read-only: nothing is saved" in caplog.messages
    with pytest.raises(SampleNotFoundError) as error:
        dt.get_d1("water")
    assert str(error.value).startswith(f"{node.uri}: expected one of")
