"""Which monitors a beamline has, and how those are read that run on their own."""

from dataclasses import dataclass
from typing import Literal

from h5xs_bluesky.errors import ConfigurationError
from h5xs_bluesky.reduction.monitors import (
    INTERPOLATIONS,
    STAMPED,
    SYNCHRONISE,
    TRIGGER_FROM,
    IntegrationOptions,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asynchronous:
    """Monitors that are not read with the detectors, but in streams of their own.

    Parameters
    ----------
    incident_stream, transmitted_stream
        Where the monitors' fields are; None for one that is read with the detectors.
    stamped
        Whether the frames' timestamps mark the start of an exposure or its end.
    trigger
        A field whose timestamps are those of the frames, as a motor's in a fly scan, or ``"time"``
        for the times of the events; None for the detectors' own.
    trigger_from
        Whether those times are the field's ``"timestamps"`` or its ``"values"``, in s since the
        epoch, as detectors write them into their files.
    dead_time_s
        Between the frames of one event.
    interpolation, extend, max_gap_s
        As in `IntegrationOptions`.
    synchronise
        Clocks to set by the opening of the shutter: ``"transmitted"`` sets the incident monitor's
        to the transmitted one's, ``"frames"`` sets both to the start of the first exposure.
    offset_s
        Added to the monitors' times; before they are synchronised, where they are.

    Raises
    ------
    ConfigurationError
        If a value is out of range.
    """

    incident_stream: str | None = None
    transmitted_stream: str | None = None
    stamped: Literal["start", "end"]
    trigger: str | None = None
    trigger_from: Literal["timestamps", "values"] = "timestamps"
    dead_time_s: float = 0.0
    interpolation: Literal["linear", "step"] = "linear"
    extend: bool = False
    max_gap_s: float | None = None
    synchronise: Literal["no", "transmitted", "frames"] = "no"
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (
            ("stamped", STAMPED),
            ("trigger_from", TRIGGER_FROM),
            ("interpolation", INTERPOLATIONS),
            ("synchronise", SYNCHRONISE),
        ):
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"expected {name} to be one of {known}, found {getattr(self, name)!r}"
                )
        if self.incident_stream is None and self.transmitted_stream is None:
            raise ConfigurationError(
                "expected an incident_stream or a transmitted_stream, found neither"
            )
        if self.trigger_from == "values" and self.trigger in (None, "time"):
            raise ConfigurationError(
                f"expected a field of the stream as trigger, since its values are the times of the "
                f"frames, found {self.trigger!r}"
            )
        if self.dead_time_s < 0:
            raise ConfigurationError(f"expected no negative dead_time_s, found {self.dead_time_s}")
        if self.max_gap_s is not None and not self.max_gap_s > 0:
            raise ConfigurationError(f"expected a positive max_gap_s, found {self.max_gap_s}")

    def integration(self, relative_uncertainty: float) -> IntegrationOptions:
        """Give how a stream is integrated.

        Parameters
        ----------
        relative_uncertainty
            Standard uncertainty of one reading, relative to it.

        Returns
        -------
        IntegrationOptions
            For `integrate_exposures`.
        """
        return IntegrationOptions(
            interpolation=self.interpolation,
            extend=self.extend,
            max_gap_s=self.max_gap_s,
            relative_uncertainty=relative_uncertainty,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Monitors:
    """The fields of the beam monitors.

    Parameters
    ----------
    incident, transmitted
        Data keys; either may be missing. The transmitted beam normalises, else the incident.
    relative_uncertainty
        Standard uncertainty of one reading, relative to it.
    asynchronous
        Tells which of them run on their own; None where both are read with the detectors.
    """

    incident: str | None = None
    transmitted: str | None = None
    relative_uncertainty: float = 0.0
    asynchronous: Asynchronous | None = None

    def __post_init__(self) -> None:
        if self.incident is None and self.transmitted is None:
            raise ConfigurationError("expected an incident or a transmitted monitor, found neither")
        if not 0 <= self.relative_uncertainty < 1:
            raise ConfigurationError(
                f"expected a relative_uncertainty from 0 to 1, found {self.relative_uncertainty}"
            )
        for name in self.streams:
            if getattr(self, name) is None:
                raise ConfigurationError(
                    f"expected the field of the {name} monitor beside its {name}_stream, found none"
                )

    @property
    def normalizing(self) -> str:
        """The field that normalises."""
        return self.transmitted or self.incident or ""

    @property
    def streams(self) -> dict[str, str]:
        """The streams of those that run on their own, by ``"incident"`` and ``"transmitted"``."""
        own = self.asynchronous
        if own is None:
            return {}
        found = {"incident": own.incident_stream, "transmitted": own.transmitted_stream}
        return {name: stream for name, stream in found.items() if stream is not None}

    @property
    def with_frames(self) -> dict[str, str]:
        """The fields of those that are read with the detectors, by the same names."""
        found = {"incident": self.incident, "transmitted": self.transmitted}
        return {
            name: key for name, key in found.items() if key is not None and name not in self.streams
        }
