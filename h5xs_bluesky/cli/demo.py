"""`h5xs demo`: scans with live reduction, from the first document to the last picture."""

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from h5xs_bluesky import schema
from h5xs_bluesky.errors import ConfigurationError, FileFormatError, FileInUseError, H5xsError
from h5xs_bluesky.io.replace import FileLock

if TYPE_CHECKING:
    from h5xs_bluesky.sim.beamline import SimulatedBeamline

FAILED = 1
WRONG_INPUT = 2
INTERRUPTED = 130  # as shells have it

MARKER = ".h5xs-demo"
EXPERIMENT = "experiment"


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of real exposures to split into frames; else simulated ones."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where files and pictures go.")] = Path("demo-output"),
    frames: Annotated[int, typer.Option(help="Frames of each sample.")] = 12,
) -> None:
    """Scan samples on a simulated beamline, reduce them live, read them back and draw them.

    A RunEngine measures a standard, a buffer and a protein with a SAXS and a WAXS detector. Exit
    status 1 if a result is not what it should be, 2 if the input cannot be used.
    """
    began = time.perf_counter()
    console = Console()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with ExitStack() as stack:
        try:
            _check_arguments(data=data, out=out, frames=frames)
            stack.enter_context(_demo_folder(out))
            with console.status("Preparing the beamline"):
                setup = _beamline(out, data)
        except (ConfigurationError, FileFormatError, FileInUseError, OSError) as error:
            raise _exit(error, WRONG_INPUT) from error
        try:
            passed = _run(setup, out, frames, console)
        except KeyboardInterrupt as interrupt:
            raise _exit("interrupted", INTERRUPTED) from interrupt
        except (H5xsError, OSError) as error:
            raise _exit(error, FAILED) from error
    console.print(f"Done in {time.perf_counter() - began:.0f} s.", highlight=False)
    if not passed:
        raise _exit("some results are not as expected: see the table of checks", FAILED)


def _exit(problem: object, code: int) -> typer.Exit:
    typer.echo(f"h5xs demo: {problem}", err=True)
    return typer.Exit(code)


def _check_arguments(*, data: Path | None, out: Path, frames: int) -> None:
    if frames < 1:
        raise ConfigurationError(f"--frames: expected at least 1, found {frames}")
    if data is not None and not data.is_dir():
        raise ConfigurationError(f"--data: expected a folder of exposures, found none at {data}")
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"--out: expected a folder, found a file at {out}")
    if out.exists() and not (out / MARKER).is_file() and any(out.iterdir()):
        raise ConfigurationError(
            "--out: expected a new or empty folder, or that of an earlier demo, found other "
            f"files in {out}: name another"
        )


@contextmanager
def _demo_folder(out: Path) -> Iterator[None]:
    """Hold the folder for this process, and remove what an earlier demo left there."""
    from h5xs_bluesky.cli.demo_pictures import PICTURES

    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / MARKER)
    lock.acquire()
    try:
        if (out / EXPERIMENT).exists():
            shutil.rmtree(out / EXPERIMENT)
        for name in PICTURES:
            (out / name).unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _beamline(out: Path, data: Path | None) -> "SimulatedBeamline":
    from h5xs_bluesky.sim.beamline import exposures_beamline, simulated_beamline

    return simulated_beamline(out) if data is None else exposures_beamline(out, data)


def _run(setup: "SimulatedBeamline", out: Path, frames: int, console: Console) -> bool:
    """Measure, read back, draw and tell; gives whether everything is as it should be."""
    from h5xs_bluesky.cli.demo_checks import SentFrames
    from h5xs_bluesky.cli.demo_pictures import draw_all
    from h5xs_bluesky.cli.demo_results import Results, checks_table, samples_table
    from h5xs_bluesky.cli.demo_scan import measure

    path = out / EXPERIMENT / schema.EXPERIMENT_FILE
    sent = SentFrames(list(setup.beamline.data_keys))
    status = measure(setup, out / EXPERIMENT, frames=frames, sent=sent, console=console)
    with console.status("Reading back"):
        results = Results.read(path, setup)
    console.print(samples_table(results))
    if setup.note:
        console.print(setup.note, style="dim")
    with console.status("Checking"):
        checks = results.checks(setup, sent=sent, status=status)
    console.print(checks_table(checks))
    with console.status("Drawing"):
        pictures = draw_all(results.findings(), out)
    names = ", ".join(picture.name for picture in pictures)
    for line in (f"Pictures in {out}: {names}", f'To read the results: h5xs("{path}")'):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return all(check.passed for check in checks)
