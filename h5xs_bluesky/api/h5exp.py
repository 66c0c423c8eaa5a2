"""`h5exp`: an experiment whose detectors and q-grid can be changed, and calibrated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike, NDArray

from h5xs_bluesky.api.calibration import (
    DetectorCalibration,
    beam_wavelength_m,
    calibrate_detectors,
    chosen_detectors,
    collect,
    now,
)
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.standards import read_standard
from h5xs_bluesky.errors import ConfigurationError, RefusedError
from h5xs_bluesky.io.experiment import ExperimentSettings, write_settings
from h5xs_bluesky.reduction.calibration.calibrants import Calibrant
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.merge import moved_detectors
from h5xs_bluesky.reduction.qgrid import QGrid

__all__ = ["h5exp"]


class h5exp(h5xs):  # noqa: N801 - the ancestor's name
    """An experiment's detectors and q-grid, which hold for all its samples.

    The next run of a live reduction into the same experiment, and `h5xs` opened on it, use what
    is saved here.

    Parameters
    ----------
    fn
        The experiment's file.
    exp_setup
        ``[detectors, qgrid]``, which are saved at once: into a new file, or in place of those in
        an experiment, whose samples stay.
    roots, read_only
        As of `h5xs`.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If there is no such file, or it lacks detectors and q-grid, and none are given.

    Examples
    --------
    >>> dt = h5exp("experiment/experiment.h5")  # doctest: +SKIP
    >>> found = dt.recalibrate("agbh")  # a sample of the experiment  # doctest: +SKIP
    >>> found["_SAXS"].result.beam_center_px  # doctest: +SKIP
    (318.9, 588.1)
    """

    def __init__(
        self,
        fn: str | Path,
        exp_setup: Sequence[Any] | None = None,
        *,
        roots: Sequence[str | Path] = (),
        read_only: bool = False,
    ) -> None:
        if exp_setup is not None:
            if read_only:
                raise RefusedError(f"{fn}: opened read-only: exp_setup cannot be saved")
            write_settings(Path(fn), _settings(exp_setup))
        super().__init__(fn, roots=roots, read_only=read_only)

    @property
    def detectors(self) -> list[Detector]:
        """The detectors; those that are set are used, and saved by `save_detectors`."""
        return list(self._memory.beamline.detectors)

    @detectors.setter
    def detectors(self, detectors: Sequence[Detector]) -> None:
        beamline = self._memory.beamline
        self._memory.beamline = beamline.with_detectors(detectors, beamline.qgrid)

    @property
    def qgrid(self) -> QGrid:
        """The bins of q; may be set, also to an array of centres."""
        return self._memory.beamline.qgrid

    @qgrid.setter
    def qgrid(self, qgrid: QGrid | ArrayLike) -> None:
        beamline = self._memory.beamline
        self._memory.beamline = beamline.with_detectors(beamline.detectors, _grid(qgrid))

    def save_detectors(self) -> None:
        """Save detectors and q-grid in the experiment's file, which is replaced whole.

        Raises
        ------
        RefusedError
            If it was opened read-only, or the file holds samples itself.
        FileInUseError, OSError
            If it cannot be replaced.
        """
        if self.read_only:
            raise RefusedError(f"{self.fn}: opened read-only: the detectors cannot be saved")
        write_settings(self.fn, _settings([self.detectors, self.qgrid]))
        if self.fh5 is not None:  # still the file that was replaced
            self.explicit_close()
            self.explicit_open()

    def read_detectors(self) -> NDArray[Any]:
        """Read detectors and q-grid from the file; gives the centres of the bins.

        Returns
        -------
        ndarray
            In Å⁻¹.

        Raises
        ------
        FileFormatError
            If the file has none.
        """
        with self._source.reading() as file:
            self._memory.beamline = self._read_beamline(file)
        return self.qgrid.centers

    def recalibrate(
        self,
        fn_std: str | Path,
        energy: float | None = -1,
        e_range: Sequence[float] = (5, 20),
        use_recalib: bool = False,
        det_type: Mapping[str, str] | None = None,
        bkg: Mapping[str, ArrayLike] | None = None,
        temp_file_location: str = "/tmp",
        *,
        wavelength: float | None = None,
        calibrant: str = "AgBh",
        sn: str | None = None,
        frn: int | None = None,
        detectors: str | Sequence[str] | None = None,
        tilt: bool = False,
        dry_run: bool = False,
    ) -> dict[str, DetectorCalibration]:
        """Calibrate the detectors from the rings of a standard, and save them.

        Distance and beam centre of each detector are fitted to the rings that it sees, with
        `tilt` two rotations, too. Nobody has to help: the start may be off by a hundred pixels
        and a third of the distance. Nothing is changed if one of the detectors cannot be
        calibrated. `fix_scale` follows the distances where it did so before.

        Parameters
        ----------
        fn_std
            A file with the standard's frames, of any origin that `h5xs` opens; a picture, for a
            single detector; or the name of a sample of this experiment.
        energy
            Of the beam, in keV; −1 or None to keep the wavelength of the detectors. It is not
            fitted: at small angles the rings tell only the product of wavelength and distance.
        e_range
            Energies, in keV, that can be; another is refused.
        use_recalib, det_type, temp_file_location
            Of the ancestor, which ran pyFAI's programs; without effect.
        bkg
            By extension, what is subtracted from each frame.
        wavelength
            Of the beam, in Å, instead of the energy. Either holds for all detectors.
        calibrant
            One of pyFAI's.
        sn
            The sample in the file `fn_std`; its oldest by default.
        frn
            Which frame; all are added by default.
        detectors
            The extensions of those to calibrate; all by default.
        tilt
            Whether rot1 and rot2 are fitted. They need rings at large angles, of 10° and more.
        dry_run
            Change and save nothing.

        Returns
        -------
        dict
            By extension. PONI, JSON and picture lie beside the experiment's file.

        Raises
        ------
        ReductionError
            If rings are too few, or do not fit; it tells what of which detector.
        ConfigurationError, SampleNotFoundError
            If energy, detectors or sample are not as they should be.
        RefusedError
            If the experiment was opened read-only and this is no dry run.
        """
        if self.read_only and not dry_run:
            raise RefusedError(f"{self.fn}: opened read-only: use dry_run=True to look only")
        new_wavelength = beam_wavelength_m(energy, wavelength, e_range)
        before = [_at_wavelength(detector, new_wavelength) for detector in self.detectors]
        wanted = chosen_detectors(before, detectors)
        standard = read_standard(
            self._source,
            fn_std,
            wanted,
            stream=self._memory.beamline.stream,
            sn=sn,
            frn=frn,
            bkg=bkg or {},
        )
        results = calibrate_detectors(wanted, standard, Calibrant.named(calibrant), tilt=tilt)
        geometries = {extension: result.geometry for extension, result in results.items()}
        after = moved_detectors(before, geometries)
        found = collect(after, results, standard)
        return found if dry_run else self._keep(after, found)

    def _keep(
        self, detectors: Sequence[Detector], found: Mapping[str, DetectorCalibration]
    ) -> dict[str, DetectorCalibration]:
        """Write the files of a calibration, then the detectors; both, or neither."""
        date, before = now(), self.detectors
        kept: dict[str, DetectorCalibration] = {}
        try:
            for extension, one in found.items():
                kept[extension] = replace(one, files=one.write(self.fn.parent, date))
            self.detectors = list(detectors)
            self.save_detectors()
        except BaseException:
            self.detectors = before
            for one in kept.values():
                if one.files is not None:
                    one.files.remove()
            raise
        return kept


def _at_wavelength(detector: Detector, wavelength_m: float | None) -> Detector:
    if wavelength_m is None:
        return detector
    return replace(detector, geometry=replace(detector.geometry, wavelength_m=wavelength_m))


def _grid(qgrid: QGrid | ArrayLike) -> QGrid:
    return qgrid if isinstance(qgrid, QGrid) else QGrid.from_centers(qgrid)


def _settings(exp_setup: Sequence[Any]) -> ExperimentSettings:
    if len(exp_setup) != 2:
        raise ConfigurationError(
            f"expected exp_setup = [detectors, qgrid], found {len(exp_setup)} items"
        )
    detectors, qgrid = exp_setup
    return ExperimentSettings(
        detectors=tuple(detectors), qgrid=_grid(qgrid), trans_field="", beamline={}
    )
