"""The parts of a beamline's configuration that are plain values."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.integration.method import ENGINES, Method
from h5xs_bluesky.reduction.integration.splitting import SPLITTING
from h5xs_bluesky.reduction.scale import check_sc_factor
from h5xs_bluesky.reduction.water import TRANS_MODES, WATER_Q_RANGE, WaterPeak

WHEN_FULL = ("fail", "pause")
SOURCES = ("start", "configuration", "baseline")
_FIELDS = ("frame", "q", "I", "sigma", "transmitted", "incident", "kept", "buffer", "sc_factor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """Where files go, and what happens when they cannot be written as fast as frames come.

    Parameters
    ----------
    folder
        Of the experiment, below `base`; may hold ``{keys}`` of the start document.
    base
        The folder of the configuration file.
    max_pending_mb
        Memory for frames on their way, in MB (10⁶ bytes).
    max_block_s
        How long the scan may be held when that is full.
    when_full
        What happens then: the plan fails, or is paused.
    max_wait_s
        How long frames are waited for that documents announce in the files of other writers.
    """

    folder: str = "experiment"
    base: Path = field(default_factory=Path.cwd)
    max_pending_mb: int = 1024
    max_block_s: float = 5.0
    when_full: Literal["fail", "pause"] = "fail"
    max_wait_s: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Roots:
    """Folders of files that others write.

    Parameters
    ----------
    permanent
        What lies here stays, and is linked instead of copied.
    allowed
        What lies here may be read.
    """

    permanent: tuple[Path, ...] = ()
    allowed: tuple[Path, ...] = ()


def check_integral(name: str, low: float, high: float) -> None:
    """Check the name and the range in Å⁻¹ of an integral that processed documents carry.

    Raises
    ------
    ConfigurationError
        If the name is taken by another field, or cannot be one; or if the range is none.
    """
    if not name.isidentifier() or name in _FIELDS or name.endswith("_sigma"):
        raise ConfigurationError(
            f"expected a name for an integral that can be a field and is not taken, found {name!r}"
        )
    if not 0 <= low < high:
        raise ConfigurationError(
            f"expected the range of q of {name} to increase from 0 or more, found [{low}, {high}]"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataSource:
    """Where one piece of metadata stands in a run's documents.

    Parameters
    ----------
    source
        The start document, a device's configuration in a descriptor, or the baseline stream.
    key
        There; dotted into nested tables.
    device
        Of a configuration.
    """

    source: str
    key: str
    device: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReductionOptions:
    """How frames become curves.

    Parameters
    ----------
    estimator, error_model, dezinger
        As in `Method`.
    splitting
        ``"no"``: a pixel counts for the bin of its centre. ``"bbox"``: it is shared by the bins
        that its bounding box meets.
    polarization
        Factor of the beam, 1 for horizontal; None for no correction.
    solid_angle
        Whether the pixels' solid angles are corrected for.
    trans
        What tells the transmitted beam: ``"external"`` the monitors, ``"water"`` the water peak.
    water_q_range
        Of the peak, in Å⁻¹.
    water_background
        A range of q whose mean intensity is subtracted from the peak; None for nothing.
    sc_factor
        By what a buffer is scaled beyond the ratio of the transmitted beams, or ``"auto"``.
    engine
        What adds the pixels up, as `make_integrator` knows them.
    """

    estimator: str = "weighted"
    error_model: str = "poisson"
    dezinger: float | None = None
    splitting: str = "no"
    polarization: float | None = None
    solid_angle: bool = True
    trans: str = "external"
    water_q_range: tuple[float, float] = WATER_Q_RANGE
    water_background: tuple[float, float] | None = None
    sc_factor: float | str = 1.0
    engine: str = "compiled"

    def __post_init__(self) -> None:
        _ = self.method, self.water_peak  # check what they take
        if self.trans not in TRANS_MODES:
            raise ConfigurationError(f"expected a trans of {TRANS_MODES}, found {self.trans!r}")
        check_sc_factor(self.sc_factor)
        if self.splitting not in SPLITTING:
            raise ConfigurationError(f"expected a splitting of {SPLITTING}, found {self.splitting}")
        if self.engine not in ENGINES:
            raise ConfigurationError(f"expected an engine of {ENGINES}, found {self.engine!r}")
        if self.polarization is not None and not -1 <= self.polarization <= 1:
            raise ConfigurationError(
                f"expected a polarization from -1 to 1, found {self.polarization}"
            )

    @property
    def method(self) -> Method:
        """Estimator, error model and dezingering, as integrators take them."""
        return Method(
            estimator=self.estimator, error_model=self.error_model, dezinger=self.dezinger
        )

    @property
    def water_peak(self) -> WaterPeak:
        """Where the water peak is, as its integration takes it."""
        return WaterPeak(q_range=self.water_q_range, background=self.water_background)
