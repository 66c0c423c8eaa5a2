"""From the frames of a standard to new detectors, and the record of how they were found."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from h5xs_bluesky.api.standards import Standard
from h5xs_bluesky.errors import ConfigurationError, ReductionError
from h5xs_bluesky.io.calibration_files import CalibrationFiles, write_calibration
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.calibration.calibrate import Calibration, StandardFrame, calibrate
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_KEV_ANGSTROM = 12.398419843320026  # h c
_ANGSTROM_M = 1e-10
_PROGRAM = "h5xs_bluesky"
_FORMAT = "h5xs-calibration"
_DPI = 120


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DetectorCalibration:
    """A detector, calibrated.

    Parameters
    ----------
    detector
        As it was found: new geometry, new `fix_scale` unless that was fixed.
    result
        The fit: covariance, residuals of the rings, points.
    standard
        Where the frames are from.
    frame
        What the rings were found on.
    frames
        How many frames were added up.
    files
        PONI, JSON and picture; None where nothing was saved.
    """

    detector: Detector
    result: Calibration
    standard: str
    frame: StandardFrame
    frames: int
    files: CalibrationFiles | None = None

    @property
    def geometry(self) -> Geometry:
        """Where the detector stands."""
        return self.result.geometry

    def plot(self) -> "Figure":
        """Draw the frame with the rings as fitted, and the distances of the points from them."""
        from h5xs_bluesky.api.plots.calibration import plot_calibration

        return plot_calibration(
            self.result,
            self.frame,
            title=self.detector.extension,
            orientation=self.detector.orientation,
        )

    def record(self, date: datetime) -> dict[str, Any]:
        """Give all that is known as plain values, with units in the names."""
        result, fit = self.result, self.result.fit
        return {
            "format": _FORMAT,
            "version": 1,
            "program": _PROGRAM,
            "program_version": version(_PROGRAM),
            "date": date.isoformat(timespec="seconds"),
            "extension": self.detector.extension,
            "standard": self.standard,
            "frames": self.frames,
            "calibrant": result.calibrant,
            "start": asdict(result.start),
            "geometry": asdict(result.geometry),
            "fix_scale": self.detector.fix_scale,
            "beam_center_px": result.beam_center_px,
            "beam_center_sigma_px": result.beam_center_sigma_px,
            "parameters": fit.parameters,
            "sigma": result.sigma,
            "covariance": fit.covariance.tolist(),
            "points": result.points,
            "rejected": int(fit.used.size - result.points),
            "rms_px": result.rms_px,
            "scatter_px": fit.scatter_px,
            "reduced_chi2": fit.reduced_chi2,
            "explained": result.explained,
            "rings": [{**asdict(ring), "relative": ring.relative} for ring in result.rings],
        }

    def picture(self) -> bytes:
        """Give the picture as a PNG file's content."""
        buffer = io.BytesIO()
        self.plot().savefig(buffer, format="png", dpi=_DPI)
        return buffer.getvalue()

    def write(self, folder: Path, date: datetime) -> CalibrationFiles:
        """Write the files into an experiment's folder."""
        return write_calibration(
            folder,
            self.detector.extension,
            date=date,
            geometry=self.geometry,
            record=self.record(date),
            picture=self.picture(),
        )


def now() -> datetime:
    """Give the time, in UTC."""
    return datetime.now(UTC)


def beam_wavelength_m(
    energy_kev: float | None, wavelength_angstrom: float | None, e_range: Sequence[float]
) -> float | None:
    """Give the wavelength that the user names; None if that of the detectors holds.

    Parameters
    ----------
    energy_kev
        None, or −1 as the ancestor's users write it, if it is not known.
    wavelength_angstrom
        Instead of the energy.
    e_range
        The energies, in keV, that the beamline can have.

    Raises
    ------
    ConfigurationError
        If both are given, or the energy is out of range.
    """
    unknown = energy_kev is None or energy_kev == -1
    if wavelength_angstrom is not None:
        if not unknown:
            raise ConfigurationError(
                f"expected either energy or wavelength, found {energy_kev} keV and "
                f"{wavelength_angstrom} Å"
            )
        if not (np.isfinite(wavelength_angstrom) and wavelength_angstrom > 0):
            raise ConfigurationError(f"expected a positive wavelength, found {wavelength_angstrom}")
        energy_kev = _KEV_ANGSTROM / wavelength_angstrom
    if energy_kev is None or energy_kev == -1:
        return None
    low, high = e_range
    if not low <= energy_kev <= high:
        raise ConfigurationError(
            f"expected an energy from {low:g} to {high:g} keV (e_range), found {energy_kev:g} keV"
        )
    return _KEV_ANGSTROM / energy_kev * _ANGSTROM_M


def chosen_detectors(
    detectors: Sequence[Detector], extensions: str | Sequence[str] | None
) -> list[Detector]:
    """Give the detectors of these extensions; all with None.

    Raises
    ------
    ConfigurationError
        If one is not there.
    """
    if extensions is None:
        return list(detectors)
    wanted = [extensions] if isinstance(extensions, str) else list(extensions)
    known = {detector.extension: detector for detector in detectors}
    unknown = [extension for extension in wanted if extension not in known]
    if unknown or not wanted:
        raise ConfigurationError(f"expected some of the detectors {sorted(known)}, found {wanted}")
    return [known[extension] for extension in wanted]


def calibrate_detectors(
    detectors: Sequence[Detector], standard: Standard, calibrant: Calibrant, *, tilt: bool
) -> dict[str, Calibration]:
    """Calibrate detectors from a standard; if one is refused, all are.

    Their scales depend on each other, and a half calibrated experiment is worse than one that is
    calibrated as before.

    Raises
    ------
    ReductionError
        With what was wrong with each detector that could not be calibrated.
    """
    found, problems = {}, []
    for detector in detectors:
        frame = standard.frames[detector.extension]
        try:
            found[detector.extension] = calibrate(frame, detector.geometry, calibrant, tilt=tilt)
        except ReductionError as error:
            problems.append(f"{detector.extension}: {error}")
    if problems:
        fine = f"; {', '.join(found)} could be calibrated alone: name it" if found else ""
        raise ReductionError(f"{standard.origin}: nothing is changed: {'; '.join(problems)}{fine}")
    return found


def collect(
    detectors: Sequence[Detector], results: Mapping[str, Calibration], standard: Standard
) -> dict[str, DetectorCalibration]:
    """Join results with the detectors, as they are now, and with what they were found on."""
    return {
        detector.extension: DetectorCalibration(
            detector=detector,
            result=results[detector.extension],
            standard=standard.origin,
            frame=standard.frames[detector.extension],
            frames=standard.counts[detector.extension],
        )
        for detector in detectors
        if detector.extension in results
    }
