"""`h5xs calibrate`: detectors from the rings of a standard."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky import schema
from h5xs_bluesky.errors import H5xsError, ReductionError

if TYPE_CHECKING:
    from h5xs_bluesky.api.calibration import DetectorCalibration

REFUSED = 1
UNUSABLE = 2


def calibrate(
    experiment: Annotated[Path, typer.Argument(help="The experiment's folder, or its file.")],
    standard: Annotated[
        str,
        typer.Option(
            help="A sample of the experiment, a file with samples, or a picture of one detector."
        ),
    ],
    calibrant: Annotated[str, typer.Option(help="One of pyFAI's.")] = "AgBh",
    sample: Annotated[
        str | None, typer.Option(help="Which sample in the standard's file; its oldest.")
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(help="Extension of one to calibrate, as _SAXS; repeatable; else all."),
    ] = None,
    energy: Annotated[
        float | None, typer.Option(help="Of the beam, in keV; else as the detectors have it.")
    ] = None,
    wavelength: Annotated[float | None, typer.Option(help="In Å, instead of the energy.")] = None,
    tilt: Annotated[bool, typer.Option("--tilt", help="Fit two rotations, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change and save nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Find distance and beam centre of an experiment's detectors, and save them for its next run.

    Exit status 1 if rings are too few or do not fit, 2 if there is no such experiment, standard
    or detector. Nothing is changed then.
    """
    from h5xs_bluesky.api.h5exp import h5exp

    path = experiment / schema.EXPERIMENT_FILE if experiment.is_dir() else experiment
    try:
        found = h5exp(path, read_only=dry_run).recalibrate(
            standard,
            energy,
            (0.0, float("inf")),
            wavelength=wavelength,
            calibrant=calibrant,
            sn=sample,
            detectors=detector or None,
            tilt=tilt,
            dry_run=dry_run,
        )
    except (H5xsError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED if isinstance(error, ReductionError) else UNUSABLE) from error
    if as_json:
        typer.echo(json.dumps(_records(found), indent=1))
    else:
        _show(found)


def _records(found: Mapping[str, "DetectorCalibration"]) -> dict[str, object]:
    from h5xs_bluesky.api.calibration import now

    date = now()
    return {extension: one.record(date) | _files(one) for extension, one in found.items()}


def _files(one: "DetectorCalibration") -> dict[str, object]:
    if one.files is None:
        return {"files": None}
    paths = {"poni": one.files.poni, "record": one.files.record, "picture": one.files.picture}
    return {"files": {name: str(path) for name, path in paths.items()}}


def _show(found: Mapping[str, "DetectorCalibration"]) -> None:
    console = Console()
    table = Table("detector", "distance", "beam (row, column)", "rings", "points", "rms (pixels)")
    for extension, one in found.items():
        result, (row, column) = one.result, one.result.beam_center_px
        sigma = max(result.beam_center_sigma_px)
        table.add_row(
            extension,
            result.distance_text,
            f"{row:.2f}, {column:.2f} ± {sigma:.2f}",
            _spans([ring.ring for ring in result.rings]),
            f"{result.points} of {result.fit.used.size}",
            f"{result.rms_px:.2f}",
        )
    console.print(table)
    for one in found.values():
        if one.files is None:
            console.print("Nothing was changed: a dry run.")
            return
        console.print(f"Look at {one.files.picture}", soft_wrap=True)


def _spans(numbers: list[int]) -> str:
    """Write numbers as spans: 1–3, 5."""
    starts = [n for n in numbers if n - 1 not in numbers]
    stops = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(
        str(start) if start == stop else f"{start}–{stop}"
        for start, stop in zip(starts, stops, strict=True)
    )
