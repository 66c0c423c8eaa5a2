"""The methods of `h5xs` that write files for other programs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from h5xs_bluesky import schema
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.exported import CANSAS_CURVES, cansas_entry, curves_to_export
from h5xs_bluesky.api.metadata import RunMetadata, lines_of
from h5xs_bluesky.api.monitor_table import frame_times, write_monitors
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.names import safe_name
from h5xs_bluesky.io.nxcansas import write_nxcansas

logger = logging.getLogger(__name__)

Samples = str | Sequence[str] | None


class ExportMethods(Experiment):
    """Write curves, monitors and metadata for other programs."""

    def md_dict(self, sn: str | None = None, md_keys: Sequence[str] = ()) -> dict[str, Any]:
        """Give the metadata of a sample for the header of an exported file, in order.

        Where they stand is what the beamline's ``[metadata]`` says; ``exposure`` (s) and ``energy``
        (keV) have lines of their own, every other one has its name. Without an energy the
        wavelength is that of the detectors' geometry.

        Parameters
        ----------
        sn
            The sample's name; the oldest one by default.
        md_keys
            Further keys of the start document; one that it lacks is left out.

        Returns
        -------
        dict
            Text or number by name; units are part of the names.

        Raises
        ------
        FileFormatError
            If the sample has no start document.
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            return self._metadata(name).to_mapping(md_keys)

    def md_string(self, sn: str | None = None, md_keys: Sequence[str] = ()) -> str:
        """Give what `md_dict` does as lines ``# name : value``.

        Parameters
        ----------
        sn, md_keys
            As in `md_dict`.

        Returns
        -------
        str
            One line for each entry.
        """
        return "".join(f"# {line}\n" for line in lines_of(self.md_dict(sn, md_keys)))

    def export_d1s(
        self,
        samples: Samples = None,
        path: str | Path = "",
        save_subtracted: bool | Literal["merged"] = True,
        *,
        exclude: Samples = (),
        md_keys: Sequence[str] = (),
        normalize: bool = False,
    ) -> list[Path]:
        """Write curves as three columns (q, I, σ) under a header with the metadata.

        Unless they are normalized, ``trans`` in the header carries the intensity of the beam.

        Parameters
        ----------
        samples
            One or several. By default all, and those without such a curve are passed over.
        path
            The folder, which is made if it is not there.
        save_subtracted
            True for ``<sample>_s.dat``, subtracted; False for ``<sample>_a.dat``, averaged;
            ``"merged"`` for ``<sample>_<frame>m.dat``, each frame.
        exclude
            Samples not to write.
        md_keys
            As in `md_dict`.
        normalize
            Divide by the monitor, whose uncertainty goes into σ.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ReductionError
            If a sample named has no such curve, or one to be normalized no usable monitor.
            If `save_subtracted` is none of the three.
        """
        kinds = {True: schema.SUBTRACTED, False: schema.AVERAGED, "merged": schema.MERGED}
        if save_subtracted not in kinds:
            raise ReductionError(
                f"expected save_subtracted as one of {list(kinds)}, found {save_subtracted!r}"
            )
        group, written = kinds[save_subtracted], []
        with self._source.reading():
            for name in self._to_export(samples, exclude, [group]):
                header = lines_of(self._metadata(name).to_mapping(md_keys))
                for number, curve in enumerate(
                    curves_to_export(self._memory, name, group, normalize=normalize)
                ):
                    ending = f"_{number}m" if group == schema.MERGED else f"_{group[0]}"
                    file = _in_folder(path) / f"{safe_name(name)}{ending}.dat"
                    comments = "\n".join([*header, *curve.comments.splitlines()])
                    replace(curve, comments=comments).save(file)
                    written.append(file)
        return written

    def export_nxcansas(
        self,
        samples: Samples = None,
        path: str | Path = "",
        *,
        exclude: Samples = (),
        normalize: bool = False,
    ) -> list[Path]:
        """Write averaged and subtracted curves as NXcanSAS, ``<sample>.h5``, which needs no other.

        Parameters
        ----------
        samples, path, exclude, normalize
            As in `export_d1s`.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ReductionError
            If a sample named has no average, or one to be normalized no usable monitor.
        """
        written = []
        with self._source.reading():
            for name in self._to_export(samples, exclude, CANSAS_CURVES):
                file = _in_folder(path) / f"{safe_name(name)}.h5"
                if file.resolve().parent == self.fn.resolve().parent:
                    raise ReductionError(
                        f"{file}: expected a folder other than the experiment's: name one as path"
                    )
                write_nxcansas(file, cansas_entry(self._memory, name, normalize=normalize))
                written.append(file)
        return written

    def export_monitors(
        self, samples: Samples = None, path: str | Path = "", *, exclude: Samples = ()
    ) -> list[Path]:
        """Write what belongs to each frame as ``<sample>_monitors.csv``.

        Columns: frame, time, incident and transmitted beam and transmission, each with its σ,
        whether the frame is averaged, and why not.

        Parameters
        ----------
        samples, path, exclude
            As in `export_d1s`.

        Returns
        -------
        list of Path
            What was written.

        Raises
        ------
        ReductionError
            If a sample named is not reduced.
        """
        written = []
        with self._source.reading():
            for name in self._to_export(samples, exclude, [schema.MERGED]):
                reduced = self._memory.reduced.get(name)
                if reduced is None:
                    logger.warning("%s: no monitors are known: it was not reduced here", name)
                    continue
                file = _in_folder(path) / f"{safe_name(name)}_monitors.csv"
                times_s = frame_times(
                    self._source.sample(name),
                    safe_name(self._memory.beamline.stream),
                    frames=len(reduced.superseded),
                    roots=self._source.roots,
                )
                write_monitors(
                    file,
                    reduced,
                    times_s=times_s,
                    relative_uncertainty=self._memory.beamline.monitor_uncertainty,
                )
                written.append(file)
        return written

    def _metadata(self, name: str) -> RunMetadata:
        sample = self._source.sample(name)
        return RunMetadata.read(sample, self._memory.beamline, roots=self._source.roots)

    def _to_export(
        self, samples: Samples, exclude: Samples, groups: Sequence[str]
    ) -> Iterator[str]:
        """Give the samples that have one of some curves; one that is named has to."""
        left_out = set(self._source.chosen(exclude or ()))
        for name in self._source.chosen(samples):
            if name in left_out:
                continue
            self._memory.load(name)
            if any(group in self.d1s[name] for group in groups):
                yield name
            elif samples is None:
                logger.info("%s has no %s: passed over", name, " or ".join(groups))
            else:
                self._memory.curves(name, groups[-1])  # raises


def _in_folder(path: str | Path) -> Path:
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
