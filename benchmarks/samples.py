"""An experiment of very many samples, in which each is a copy of one that was measured."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import h5py

from benchmarks.experiment import SAMPLE, write_experiment
from h5xs_bluesky import h5xs, schema
from h5xs_bluesky.io.frames import LIBVER

FRAMES = 4
_SHAPE = (104, 98)
_BEGAN_S = 1.75e9
_APART_S = 60.0
PLANS = ("count", "scan")


def write_samples(folder: Path, count: int) -> Path:
    """Write an experiment of `count` reduced samples, `FRAMES` frames of two detectors each.

    Headers are each sample's own: name, uid, number, time and plan. Their frames and curves are
    files of one sample, under several names.

    Returns
    -------
    Path
        Of the experiment's file.
    """
    path = write_experiment(folder, FRAMES, shape=_SHAPE, detectors=2)
    dt = h5xs(path)
    dt.load_data()
    dt.average_d1s()
    for number in range(count):
        _copy_sample(folder, number)
    with h5py.File(path, "r+") as file:
        del file[SAMPLE]
        for number in range(count):
            file[name_of(number)] = h5py.ExternalLink(
                f"{name_of(number)}/{schema.RUN_FILE}", f"/{name_of(number)}"
            )
    return path


def name_of(number: int) -> str:
    """Give the name of a sample."""
    return f"protein_{number:05d}"


def _copy_sample(folder: Path, number: int) -> None:
    name = name_of(number)
    (folder / name).mkdir()
    for file in _data_files(folder / SAMPLE):
        os.link(file, folder / name / file.name)  # a file is never changed in its place
    with (
        h5py.File(folder / SAMPLE / schema.RUN_FILE) as one,
        h5py.File(folder / name / schema.RUN_FILE, "w", libver=LIBVER) as run,
    ):
        one.copy(SAMPLE, run, name=name)
        headers = run[name].attrs
        start, stop = (json.loads(headers[key]) for key in (schema.START, schema.STOP))
        time = _BEGAN_S + number * _APART_S
        start |= {
            schema.SAMPLE_NAME: name,
            "uid": str(UUID(int=number + 1)),
            "scan_id": number + 1,
            schema.TIME: time,
            "plan_name": PLANS[number % len(PLANS)],
        }
        stop |= {"run_start": start["uid"], schema.TIME: time + _APART_S / 2}
        headers[schema.START], headers[schema.STOP] = json.dumps(start), json.dumps(stop)
        headers[schema.SAMPLE_NAME] = name


def _data_files(sample: Path) -> Iterator[Path]:
    return (file for file in sample.glob("*.h5") if file.name != schema.RUN_FILE)
