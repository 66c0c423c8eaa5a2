"""`h5xs import`: an experiment from files, without Bluesky."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from h5xs_bluesky import schema
from h5xs_bluesky.cli.common import key_value
from h5xs_bluesky.config import Beamline
from h5xs_bluesky.errors import H5xsError

INCOMPLETE = 1
UNUSABLE = 2


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(help="HDF5 files (NeXus, an Eiger's master, py4xs), or pictures in order."),
    ],
    sample: Annotated[
        str | None,
        typer.Option(help="The sample's name; of a file of py4xs, which of its samples."),
    ] = None,
    folder: Annotated[Path, typer.Option(help="The experiment's folder.")] = Path("experiment"),
    config: Annotated[
        Path | None,
        typer.Option(help="The beamline's TOML file; not needed for an experiment that exists."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Where the frames are in an HDF5 file.")
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="Extension of the detector that took them, as _SAXS.")
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option("--metadata", "-m", help="key=value for the start document; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Copy frames from files into an experiment, and reduce them as if they came from a scan.

    Exit status 1 if some frames were not reduced, 2 if the files or the configuration cannot be
    used.
    """
    from h5xs_bluesky.callbacks.import_files import import_files

    try:
        runs = import_files(
            files,
            folder,
            _beamline(config, folder, files),
            sample=sample,
            dataset=dataset,
            detector=detector,
            metadata=dict(key_value(text, option="--metadata") for text in metadata or []),
        )
    except (H5xsError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(UNUSABLE) from error
    if as_json:
        typer.echo(json.dumps(runs, indent=1))
    else:
        _show(runs)
    if any(run["reduced"] < run["received"] or run["errors"] for run in runs):
        raise typer.Exit(INCOMPLETE)


def _beamline(config: Path | None, folder: Path, files: list[Path]) -> Beamline:
    """Read the configuration: from the TOML file, the experiment, or the imported file itself."""
    from h5xs_bluesky.io.experiment import ExperimentSettings, open_for_reading

    if config is not None:
        return Beamline.from_toml(config)
    experiment = folder / schema.EXPERIMENT_FILE
    origin = experiment if experiment.exists() else files[0]
    try:
        with open_for_reading(origin) as file:
            settings = ExperimentSettings.read(file)
    except (H5xsError, OSError) as error:
        raise typer.BadParameter(
            f"expected the beamline's configuration, found none in {experiment} or {files[0]} "
            f"({error})",
            param_hint="--config",
        ) from error
    return Beamline.from_mapping(
        settings.beamline,
        detectors=settings.detectors,
        qgrid=settings.qgrid,
        origin=str(origin),
    )


def _show(runs: list[dict[str, Any]]) -> None:
    table = Table("sample", "frames", "reduced", "outcome")
    for run in runs:
        outcome = run["last_error"] or "; ".join(run["warnings"]) or "done"
        table.add_row(run["sample"], str(run["received"]), str(run["reduced"]), outcome)
    Console().print(table)
