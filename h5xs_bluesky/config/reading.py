"""From the tables of a TOML file to the configuration's objects."""

from pathlib import Path
from typing import Any

from h5xs_bluesky import schema
from h5xs_bluesky.config.beamline import Beamline
from h5xs_bluesky.config.detectors import read_detectors
from h5xs_bluesky.config.monitors import Asynchronous, Monitors
from h5xs_bluesky.config.options import (
    SOURCES,
    WHEN_FULL,
    MetadataSource,
    Output,
    ReductionOptions,
    Roots,
    check_integral,
)
from h5xs_bluesky.config.tables import Table
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.integration.method import ENGINES, ERROR_MODELS, ESTIMATORS
from h5xs_bluesky.reduction.integration.splitting import SPLITTING
from h5xs_bluesky.reduction.monitors import (
    INTERPOLATIONS,
    STAMPED,
    SYNCHRONISE,
    TRIGGER_FROM,
)
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.similarity import METHODS, SelectionOptions
from h5xs_bluesky.reduction.water import TRANS_MODES, WATER_Q_RANGE


def beamline_from_toml(path: Path) -> Beamline:
    """Read a TOML file, as `Beamline.from_toml` tells."""
    top = Table.from_toml(path)
    qgrid = _qgrid(top.table("qgrid"))
    detectors = read_detectors(top.tables("detectors"), path.parent)
    return beamline_from_table(top, detectors, qgrid, base=path.parent.resolve())


def beamline_from_table(
    top: Table, detectors: tuple[Detector, ...], qgrid: QGrid, *, base: Path
) -> Beamline:
    """Read everything but detectors and q-grid from the tables of a configuration.

    Parameters
    ----------
    base
        The folder that relative folders start from.
    """
    table = top.table("beamline")
    name = table.get("name", str)
    sample_name_key = table.get("sample_name_key", str, "sample_name")
    stream = table.get("stream", str, schema.PRIMARY)
    output, roots = _output(top.table("output"), base), _roots(top.table("roots"), base)
    monitors = _monitors(top.table("monitors")) if "monitors" in top else None
    metadata = _metadata(top.table("metadata"))
    reduction = _reduction(top.table("reduction"))
    selection = _selection(top.table("selection"))
    integrals = _integrals(top.table("integrals"))
    table.build(lambda: None)
    return top.build(
        lambda: Beamline(
            name=name,
            sample_name_key=sample_name_key,
            stream=stream,
            output=output,
            roots=roots,
            detectors=detectors,
            monitors=monitors,
            metadata=metadata,
            qgrid=qgrid,
            reduction=reduction,
            selection=selection,
            integrals=integrals,
        )
    )


def _output(table: Table, base: Path) -> Output:
    folder = table.get("folder", str, "experiment")
    pending = table.get("max_pending_mb", int, 1024)
    block_s = table.get("max_block_s", float, 5.0)
    when_full = table.choice("when_full", WHEN_FULL, "fail")
    wait_s = table.get("max_wait_s", float, 30.0)
    for key, value in (
        ("max_pending_mb", pending),
        ("max_block_s", block_s),
        ("max_wait_s", wait_s),
    ):
        if value <= 0:
            raise table.error(key, f"expected a positive number, found {value}")
    return table.build(
        lambda: Output(
            folder=folder,
            base=base,
            max_pending_mb=pending,
            max_block_s=block_s,
            when_full="pause" if when_full == "pause" else "fail",
            max_wait_s=wait_s,
        )
    )


def _roots(table: Table, base: Path) -> Roots:
    found = {}
    for key in ("permanent", "allowed"):
        folders = tuple(base / str(folder) for folder in table.get(key, list, []))
        for folder in folders:
            if not folder.is_dir():
                raise table.error(key, f"expected a folder, found none at {folder}")
        found[key] = folders
    return table.build(lambda: Roots(**found))


def _monitors(table: Table) -> Monitors:
    incident = table.get("incident", str, None)
    transmitted = table.get("transmitted", str, None)
    uncertainty = table.get("relative_uncertainty", float, 0.0)
    own = _asynchronous(table.table("asynchronous")) if "asynchronous" in table else None
    return table.build(
        lambda: Monitors(
            incident=incident,
            transmitted=transmitted,
            relative_uncertainty=uncertainty,
            asynchronous=own,
        )
    )


def _asynchronous(table: Table) -> Asynchronous:
    texts: dict[str, Any] = {
        "incident_stream": table.get("incident_stream", str, None),
        "transmitted_stream": table.get("transmitted_stream", str, None),
        "trigger": table.get("trigger", str, None),
        "trigger_from": table.choice("trigger_from", TRIGGER_FROM, "timestamps"),
        "stamped": table.choice("stamped", STAMPED),
        "interpolation": table.choice("interpolation", INTERPOLATIONS, "linear"),
        "synchronise": table.choice("synchronise", SYNCHRONISE, "no"),
    }
    numbers: dict[str, Any] = {
        "dead_time_s": table.get("dead_time_s", float, 0.0),
        "offset_s": table.get("offset_s", float, 0.0),
        "max_gap_s": table.get("max_gap_s", float, None),
    }
    extend = table.get("extend", bool, False)
    return table.build(lambda: Asynchronous(**texts, **numbers, extend=extend))


def _metadata(table: Table) -> dict[str, MetadataSource]:
    sources = {}
    for name in table.keys():  # noqa: SIM118 - a Table is no mapping
        entry = table.table(name)
        source = entry.choice("from", SOURCES)
        key = entry.get("key", str)
        device = entry.get("device", str, None)
        if (source == "configuration") != (device is not None):
            raise entry.error("device", "expected a device with, and only with, a configuration")
        entry.build(lambda: None)
        sources[name] = MetadataSource(source=source, key=key, device=device)
    return table.build(lambda: sources)


def _integrals(table: Table) -> dict[str, tuple[float, float]]:
    ranges = {}
    for name in table.keys():  # noqa: SIM118 - a Table is no mapping
        low, high = table.numbers(name, 2)
        ranges[name] = (low, high)

    def checked() -> dict[str, tuple[float, float]]:
        for name, (low, high) in ranges.items():
            check_integral(name, low, high)
        return ranges

    return table.build(checked)


def _reduction(table: Table) -> ReductionOptions:
    estimator = table.choice("estimator", ESTIMATORS, "weighted")
    error_model = table.choice("error_model", ERROR_MODELS, "poisson")
    dezinger = table.get("dezinger", float, None)
    splitting = table.choice("splitting", SPLITTING, "no")
    polarization = table.get("polarization", float, None)
    solid_angle = table.get("solid_angle", bool, True)
    trans = table.choice("trans", TRANS_MODES, "external")
    peak = table.optional_numbers("water_q_range", 2) or WATER_Q_RANGE
    background = table.optional_numbers("water_background", 2)
    sc_factor: Any = table.get("sc_factor", object, 1.0)
    engine = table.choice("engine", ENGINES, "compiled")
    return table.build(
        lambda: ReductionOptions(
            estimator=estimator,
            error_model=error_model,
            dezinger=dezinger,
            splitting=splitting,
            polarization=polarization,
            solid_angle=solid_angle,
            trans=trans,
            water_q_range=(peak[0], peak[1]),
            water_background=None if background is None else (background[0], background[1]),
            sc_factor=sc_factor,
            engine=engine,
        )
    )


def _selection(table: Table) -> SelectionOptions:
    defaults = SelectionOptions()
    method = table.choice("method", METHODS, defaults.method)
    significance = table.get("significance", float, defaults.significance)
    q_range = table.optional_numbers("q_range", 2)
    tolerance = table.get("trans_tolerance", float, defaults.trans_tolerance)
    distance = table.get("max_distance", float, None)
    return table.build(
        lambda: SelectionOptions(
            method="all" if method == "all" else "cormap",
            significance=significance,
            q_range=None if q_range is None else (q_range[0], q_range[1]),
            trans_tolerance=tolerance,
            max_distance=distance,
        )
    )


_QGRID_KINDS = ("segments", "edges", "centers", "linear", "logarithmic")


_PER_ANGSTROM = {"1/angstrom": 1.0, "1/nm": 0.1}


def _qgrid(table: Table) -> QGrid:
    """Read the bins, in either unit, and give them in 1/Å."""
    factor = _PER_ANGSTROM[table.choice("unit", tuple(_PER_ANGSTROM), "1/angstrom")]
    grid = _qgrid_as_given(table)
    return grid if factor == 1 else QGrid(edges=grid.edges * factor, centers=grid.centers * factor)


def _qgrid_as_given(table: Table) -> QGrid:
    given = [key for key in _QGRID_KINDS if key in table]
    if len(given) != 1:
        raise table.error("", f"expected one of {list(_QGRID_KINDS)}, found {given or 'none'}")
    kind = given[0]
    if kind in ("linear", "logarithmic"):
        entry = table.table(kind)
        start, stop = entry.get("start", float), entry.get("stop", float)
        bins = entry.get("bins", int)
        make = QGrid.linear if kind == "linear" else QGrid.logarithmic
        entry.build(lambda: None)
        return table.build(lambda: make(start, stop, bins))
    if kind == "segments":
        rows = table.get(kind, list)
        segments = [
            Table({kind: row}, file=table.file, name="qgrid").numbers(kind, 3) for row in rows
        ]
        return table.build(lambda: QGrid.from_segments(segments))
    numbers = table.numbers(kind, None)
    make_from = QGrid.from_edges if kind == "edges" else QGrid.from_centers
    return table.build(lambda: make_from(numbers))
