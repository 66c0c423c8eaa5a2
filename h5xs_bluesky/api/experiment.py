"""What all methods of `h5xs` work on: the experiment's file, and what is held in memory."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from h5xs_bluesky.api.settings import read_beamline
from h5xs_bluesky.api.source import ExperimentSource
from h5xs_bluesky.api.storage import Storage
from h5xs_bluesky.api.stored import Curves
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.config import Beamline, Monitors, ReductionOptions
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.qgrid import QGrid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Experiment:
    """An experiment's file, its configuration and its samples; see `h5xs` for the parameters."""

    def __init__(
        self,
        fn: str | Path | Storage,
        exp_setup: Sequence[Any] | None = None,
        transField: str = "",  # noqa: N803 - the ancestor's name
        save_d1: bool = True,
        have_raw_data: bool = True,
        read_only: bool = False,
        *,
        roots: Sequence[str | Path] = (),
        reduction: ReductionOptions | None = None,
    ) -> None:
        storage = Path(fn) if isinstance(fn, str | Path) else fn
        self._source = ExperimentSource(storage, roots=[Path(root) for root in roots])
        self.fn = self._source.path
        self.save_d1 = save_d1
        self.have_raw_data = have_raw_data
        self.read_only = read_only or self._source.storage.elsewhere
        self.samples: list[str] = []
        self.d0s: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._given = (exp_setup, transField, reduction)
        self._own_monitors: Monitors | None = None
        with self._source.reading() as file:
            self._memory = Workspace(self._source, self._read_beamline(file))
            self.list_samples()

    @property
    def fh5(self) -> h5py.File | None:
        """The file between `explicit_open` and `explicit_close`, otherwise None."""
        return self._source.file

    @property
    def d1s(self) -> dict[str, Curves]:
        """The curves in memory: ``d1s[sample][name]``, a list of `Data1d` where one per frame.

        One's own may be put there under other names; they stay until `load_d1s` or `load_data`.
        """
        return self._memory.d1s

    @property
    def d2s(self) -> dict[str, dict[str, Any]]:
        """Room for one's own patterns and maps: ``d2s[sample][name]``.

        A sample has an entry, empty at first, once it was read or computed. Nothing is put there
        (`get_d2` and `get_qphi` hand out patterns and maps), saved from there, or removed.
        """
        return self._memory.d2s

    @property
    def attrs(self) -> dict[str, dict[str, Any]]:
        """What is known of samples in memory: ``selected`` (n,) and ``sc_factor``.

        A changed ``selected`` is the user's selection at the next `average_d1s`.
        """
        return self._memory.attrs

    @property
    def monitors(self) -> Monitors | None:
        """Which monitors the beamline has; to be set where the file does not tell."""
        return self._memory.beamline.monitors

    @monitors.setter
    def monitors(self, monitors: Monitors | None) -> None:
        self._own_monitors = monitors
        self._memory.beamline = replace(self._memory.beamline, monitors=monitors)

    @property
    def buffer_list(self) -> dict[str, list[str]]:
        """The buffers assigned by `assign_buffer`: ``buffer_list[sample]``."""
        return self._memory.buffer_list

    @property
    def detectors(self) -> list[Detector]:
        """The detectors with which frames are reduced."""
        return list(self._memory.beamline.detectors)

    @property
    def qgrid(self) -> QGrid:
        """The bins of q."""
        return self._memory.beamline.qgrid

    def explicit_open(self) -> h5py.File:
        """Open the file, keep it open as `fh5`, and give it; if it is open, it stays so.

        It is the object's own: `explicit_close` closes it.

        Returns
        -------
        h5py.File
            Open for reading.

        Raises
        ------
        RefusedError
            If the samples are read from a server.
        """
        self._source.need_files("explicit_open()")
        self._source.open()
        return self._source.opened

    def explicit_close(self) -> None:
        """Close the file; nothing happens if it is closed."""
        self._source.close()

    def explict_open_h5(self) -> h5py.File:
        """Open the file; py4xs' spelling of `explicit_open`.

        Returns
        -------
        h5py.File
            Open for reading.
        """
        return self.explicit_open()

    def explicit_open_h5(self) -> h5py.File:
        """Open the file; see `explicit_open`.

        Returns
        -------
        h5py.File
            Open for reading.
        """
        return self.explicit_open()

    def explicit_close_h5(self) -> None:
        """Close the file; see `explicit_close`."""
        self.explicit_close()

    def list_samples(self, quiet: bool = False) -> list[str]:
        """Read the names of the samples, oldest first, into `samples`; nothing is printed.

        Parameters
        ----------
        quiet
            Not needed; taken so that calls written for py4xs run.

        Returns
        -------
        list of str
            The names.
        """
        self.samples = self._source.names()
        return list(self.samples)

    def header(self, sn: str) -> dict[str, Any]:
        """Give the start document of the scan that measured a sample.

        Parameters
        ----------
        sn
            The sample's name.

        Returns
        -------
        dict
            As Bluesky made it.

        Raises
        ------
        FileFormatError
            If it is not there, or is no JSON.
        """
        return self._source.header(sn)

    def _read_beamline(self, file: h5py.File) -> Beamline:
        beamline = read_beamline(file, *self._given)
        own = self._own_monitors
        return beamline if own is None else replace(beamline, monitors=own)

    def _save_at_once(self, name: str) -> None:
        if self.save_d1 and not self.read_only:
            self._memory.save_if_possible(name)
