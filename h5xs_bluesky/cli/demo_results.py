"""What the demo reads back from its files, checks and shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from h5xs_bluesky import schema
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.cli.demo_checks import (
    Check,
    GuinierFit,
    SentFrames,
    check_frames,
    check_guinier,
    check_rings,
    check_same_bits,
    fit_guinier,
)
from h5xs_bluesky.cli.demo_pictures import Findings, name_frames
from h5xs_bluesky.io.processed import read_processed
from h5xs_bluesky.reduction.sample import ReducedSample
from h5xs_bluesky.sim.beamline import SimulatedBeamline

STANDARD = "agbh"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Results:
    """What was read back.

    Parameters
    ----------
    path
        The experiment's file.
    experiment
        The same, opened.
    reduced
        The reduction of each sample.
    sample, buffer
        The sample that has a background, and that.
    guinier
        The fit of sample minus buffer; None where there is no Guinier region.
    """

    path: Path
    experiment: h5xs
    reduced: Mapping[str, ReducedSample]
    sample: str
    buffer: str
    guinier: GuinierFit | None

    @classmethod
    def read(cls, path: Path, setup: SimulatedBeamline) -> "Results":
        """Read what the scans left.

        Raises
        ------
        H5xsError
            If something is missing.
        """
        experiment = h5xs(path, read_only=True)
        experiment.load_d1s()
        experiment.explicit_open()
        file: Any = experiment.fh5
        reduced = {name: read_processed(file[name]) for name in experiment.samples}
        experiment.explicit_close()
        sample = next(sample for sample in setup.samples if sample.buffer is not None)
        return cls(
            path=path,
            experiment=experiment,
            reduced=reduced,
            sample=sample.name,
            buffer=str(sample.buffer),
            guinier=fit_guinier(experiment.get_d1(sample.name, schema.SUBTRACTED)),
        )

    def findings(self) -> Findings:
        """Give what the pictures show."""
        patterns = self.experiment.get_d2(STANDARD)
        return Findings(
            patterns=patterns if isinstance(patterns, dict) else {"": patterns},
            sample=self.sample,
            buffer=self.buffer,
            reduced=self.reduced,
            curves=self.experiment,
            guinier=self.guinier,
        )

    def checks(
        self, setup: SimulatedBeamline, *, sent: SentFrames, status: Mapping[str, Any]
    ) -> list[Check]:
        """Check all that the demo promises."""
        originals = {sample.name: sample.originals for sample in setup.samples if sample.originals}
        radius = setup.guinier_radius_angstrom
        return [
            check_status(status),
            *check_frames(self.experiment, sent.digests, originals),
            check_same_bits(self.path),
            *check_rings(self.experiment.get_d1(STANDARD, schema.AVERAGED)),
            check_guinier(self.guinier, radius_angstrom=radius[0], tolerance_angstrom=radius[1]),
        ]


def check_status(status: Mapping[str, Any]) -> Check:
    """Check that all frames that came were acknowledged and reduced."""
    received, acknowledged, reduced = (
        int(status[key]) for key in ("received", "acknowledged", "reduced")
    )
    return Check(
        what="images acknowledged, and reduced live",
        expected=f"{received}, {received}",
        found=f"{acknowledged}, {reduced}",
        passed=received == acknowledged == reduced > 0,
    )


def samples_table(results: Results) -> Table:
    """Tabulate what was measured and kept."""
    table = Table(title="Samples")
    table.add_column("sample")
    for column in ("frames", "kept"):
        table.add_column(column, justify="right")
    table.add_column("rejected")
    for column in ("transmission", "counts per frame"):
        table.add_column(column, justify="right")
    for name, reduced in results.reduced.items():
        table.add_row(name, *_row(reduced))
    return table


def _row(reduced: ReducedSample) -> list[str]:
    reasons = ("",) * len(reduced.superseded)
    if reduced.selection is not None:
        reasons = reduced.selection.reason
    kept = np.array([reason == "" for reason in reasons])
    rejected = [
        f"{reason}: {name_frames(np.flatnonzero(np.array(reasons) == reason).tolist())}"
        for reason in dict.fromkeys(reason for reason in reasons if reason)
    ]
    transmission = reduced.transmitted[kept] / reduced.incident[kept]
    counts = reduced.merged.signal.sum(axis=-1)[kept]
    return [
        str(len(reasons)),
        str(kept.sum()),
        "\n".join(rejected) or "–",
        f"{transmission.mean():.3f}",
        f"{counts.mean():.4g}",
    ]


def checks_table(checks: Sequence[Check]) -> Table:
    """Tabulate what was promised and what was found."""
    table = Table("check", "expected", "found", "", title="Checks")
    for check in checks:
        mark = "[green]✓" if check.passed else "[red]✗"
        table.add_row(check.what, check.expected, check.found, mark)
    return table
