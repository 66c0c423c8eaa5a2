"""An endstation of small detectors in a RunEngine with live reduction, and its configuration."""

from pathlib import Path
from typing import Any, Self

import numpy as np
from bluesky import RunEngine

from h5xs_bluesky import h5xs
from h5xs_bluesky.callbacks import LiveReduction, SamplePathProvider
from h5xs_bluesky.config import Asynchronous, Beamline, MetadataSource, Monitors, ReductionOptions
from h5xs_bluesky.reduction.detector import Detector
from h5xs_bluesky.reduction.geometry import Geometry
from h5xs_bluesky.reduction.merge import default_scales
from h5xs_bluesky.reduction.qgrid import QGrid
from h5xs_bluesky.reduction.similarity import SelectionOptions
from h5xs_bluesky.sim.endstation import Endstation

PIXEL_M = 860e-6  # five pixels of a Pilatus
WAVELENGTH_M = 0.82e-10
SAXS, WAXS = "pil1M_image", "pilW1_image"
METADATA = {
    "buffer": MetadataSource(source="start", key="buffer"),
    "exposure": MetadataSource(source="start", key="exposure_time"),
    "energy": MetadataSource(source="baseline", key="energy_kev"),
}
SELECTION = SelectionOptions(q_range=(0.015, 0.25), trans_tolerance=0.03)


def endstation_detectors() -> tuple[Detector, ...]:
    def detector(
        extension: str, key: str, shape: tuple[int, int], center: tuple[float, float], length: float
    ) -> Detector:
        return Detector(
            extension=extension,
            data_key=key,
            model="small",
            geometry=Geometry.from_beam_center(
                shape=shape,
                pixel_size_m=(PIXEL_M, PIXEL_M),
                distance_m=length,
                beam_center_px=center,
                wavelength_m=WAVELENGTH_M,
            ),
            mask=np.zeros(shape, bool),
        )

    detectors = [
        detector("_SAXS", SAXS, (208, 196), (104.0, 86.0), 2.2),
        detector("_WAXS", WAXS, (124, 98), (62.0, -12.0), 0.4),
    ]
    scales = default_scales([each.geometry for each in detectors])
    return tuple(
        Detector(
            extension=each.extension,
            data_key=each.data_key,
            model=each.model,
            geometry=each.geometry,
            mask=each.mask,
            fix_scale=scale,
        )
        for each, scale in zip(detectors, scales, strict=True)
    )


def own_monitors(**changes: Any) -> Monitors:
    values: dict[str, Any] = {
        "incident_stream": "em1_monitor",
        "transmitted_stream": "em2_monitor",
        "trigger": "pil1M_timestamp",
        "trigger_from": "values",
        "stamped": "start",
        "synchronise": "transmitted",
    }
    return Monitors(
        incident="em1_mean_value",
        transmitted="em2_mean_value",
        relative_uncertainty=5e-4,
        asynchronous=Asynchronous(**{**values, **changes}),
    )


def endstation_beamline(**changes: Any) -> Beamline:
    values: dict[str, Any] = {
        "name": "small endstation",
        "detectors": endstation_detectors(),
        "monitors": own_monitors(),
        "metadata": METADATA,
        "qgrid": QGrid.from_segments([(0.012, 0.06, 0.002), (0.06, 0.5, 0.004), (0.5, 1.5, 0.02)]),
        "reduction": ReductionOptions(polarization=0.99),
        "selection": SELECTION,
    }
    return Beamline(**{**values, **changes})


class Hutch:
    """A RunEngine, its live reduction, and an endstation."""

    def __init__(self, folder: Path, beamline: Beamline | None = None, **options: Any) -> None:
        self.folder = folder
        self.beamline = beamline or endstation_beamline()
        self.live = LiveReduction(self.beamline, folder)
        self.engine = RunEngine()
        self.engine.subscribe(self.live)
        self.station = Endstation.from_beamline(
            self.beamline,
            path_provider=SamplePathProvider(self.live),
            **{"rate_hz": 100.0, **options},
        )
        self.engine.preprocessors.append(self.station.supplemental_data())
        self.devices = {
            "shutter": self.station.shutter,
            "changer": self.station.changer,
            "settle_s": 0.06,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.live.close()

    def run(self, plan: Any) -> dict[str, Any]:
        """Run a plan, wait for its reduction, and give the status of its last run."""
        self.engine(plan)
        assert self.live.wait(60)
        return dict(self.live.status()["runs"][-1])

    def open(self) -> h5xs:
        return h5xs(self.folder / "experiment.h5")
