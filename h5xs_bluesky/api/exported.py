"""Curves as they are exported, and all that an exported file tells about them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky import schema
from h5xs_bluesky.api.data1d import Data1d
from h5xs_bluesky.api.metadata import RunMetadata, lines_of
from h5xs_bluesky.api.workspace import Workspace
from h5xs_bluesky.errors import ReductionError
from h5xs_bluesky.io.nxcansas import CanSasCurve, CanSasEntry
from h5xs_bluesky.io.provenance import Process, Provenance
from h5xs_bluesky.reduction.normalize import normalize_curve

CANSAS_CURVES = (schema.SUBTRACTED, schema.AVERAGED)  # the first that there is is shown


def curves_to_export(
    workspace: Workspace, name: str, group: str, *, normalize: bool
) -> list[Data1d]:
    """Give one curve of a sample, or one for each frame.

    Parameters
    ----------
    normalize
        Whether to divide by the monitor, whose uncertainty then goes into σ.

    Raises
    ------
    ReductionError
        If there is none, or no usable monitor.
    """
    found = workspace.curves(name, group)
    curves = [found] if isinstance(found, Data1d) else found
    if not normalize:
        return curves
    reduced = workspace.reduced.get(name)
    average = None if reduced is None or group == schema.MERGED else reduced.average
    unsubtracted = None
    if group == schema.SUBTRACTED:
        (whole,) = curves_to_export(workspace, name, schema.AVERAGED, normalize=False)
        unsubtracted = _array(whole)
    uncertainty = workspace.beamline.monitor_uncertainty
    sigmas = [uncertainty * d1.trans for d1 in curves]
    if average is not None:
        sigmas = [average.trans_sigma]
    elif reduced is not None:
        sigmas = reduced.trans_sigma(uncertainty).tolist()
    done = []
    for d1, sigma in zip(curves, sigmas, strict=True):
        try:
            data, err = normalize_curve(
                _array(d1),
                trans=d1.trans,
                trans_sigma=sigma,
                unsubtracted=unsubtracted,
            )
        except ReductionError as error:
            raise ReductionError(f"{d1.label}: {error}") from error
        comments = f"{d1.comments}\nnormalized: I and sigma are divided by trans".strip()
        done.append(replace(d1, data=data, err=err, comments=comments))
    return done


def cansas_entry(workspace: Workspace, name: str, *, normalize: bool) -> CanSasEntry:
    """Gather what a sample's NXcanSAS file tells; it is loaded, and the source's file open.

    Raises
    ------
    ReductionError
        If it has neither curve, or to be normalized no usable monitor.
    FileFormatError
        If it has no start document.
    """
    sample = workspace.source.sample(name)
    metadata = RunMetadata.read(sample, workspace.beamline, roots=workspace.source.roots)
    curves = {
        group: curves_to_export(workspace, name, group, normalize=normalize)
        for group in CANSAS_CURVES
        if group in workspace.d1s[name]
    }
    if not curves:
        workspace.curves(name, schema.AVERAGED)  # raises
    normalized = ["normalized: I and Idev are divided by the monitor"] if normalize else []
    provenance = workspace.provenance.get(name)
    return CanSasEntry(
        title=str(sample.attrs.get(schema.SAMPLE_NAME, name)),
        run=str(metadata.start.get("uid", "")),
        curves=[
            CanSasCurve(name=group, q=d1.qgrid, intensity=d1.data, sigma=d1.err)
            for group, (d1,) in curves.items()
        ],
        sample={"details": "\n".join([*lines_of(metadata.to_mapping()), *normalized])},
        instrument=metadata.instrument,
        wavelength_angstrom=metadata.wavelength_angstrom,
        detectors=metadata.detectors,
        processes={} if provenance is None else _processes(provenance),
    )


def _array(d1: Data1d) -> NDArray[np.float64]:
    return np.stack([d1.data, d1.err])


def _processes(provenance: Provenance) -> dict[str, Process]:
    steps = {"reduction": provenance.frames, "averaging": provenance.averaging}
    return {name: process for name, process in steps.items() if process is not None}
