"""How a series behind a column is analysed."""

from dataclasses import dataclass

from h5xs_bluesky.errors import ReductionError


@dataclass(frozen=True, kw_only=True, slots=True)
class ChromatographyOptions:
    """How a series behind a column is analysed.

    Parameters
    ----------
    trace_q_range
        Over which the intensity of each frame is integrated, in Å⁻¹.
    q_range
        Where Guinier's law is fitted and where shapes are compared, in Å⁻¹. Leave out what lies
        in the shadow of the beam stop.
    largest_q_rg
        Up to which q Rg Guinier's law is fitted.
    smoothing
        Frames of the moving average in which peaks are looked for.
    significance
        Of the tests for trends, for constancy, and of the comparison of shapes.
    fewest_buffer, most_buffer
        Frames of the buffer.
    fewest_sample
        Frames of the sample.
    rg_tolerance
        How much Rg may vary among them besides its σ, relative to it: what is smaller does not
        matter, however many counts there are.
    least_height
        Part of the main peak's height that every frame of the sample has.

    Raises
    ------
    ReductionError
        If a value is out of range.
    """

    trace_q_range: tuple[float, float] = (0.0, 0.1)
    q_range: tuple[float, float] = (0.0, 0.3)
    largest_q_rg: float = 1.3
    smoothing: int = 5
    significance: float = 0.01
    fewest_buffer: int = 8
    most_buffer: int = 100
    fewest_sample: int = 5
    rg_tolerance: float = 0.005
    least_height: float = 0.5

    def __post_init__(self) -> None:
        for name in ("trace_q_range", "q_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ReductionError(f"expected {name} to increase, found {low:g} to {high:g}")
        for name, least in (("smoothing", 1), ("fewest_buffer", 3), ("fewest_sample", 3)):
            if getattr(self, name) < least:
                raise ReductionError(
                    f"expected {name} of at least {least}, found {getattr(self, name)}"
                )
        if self.most_buffer < self.fewest_buffer:
            raise ReductionError(
                f"expected most_buffer of at least fewest_buffer = {self.fewest_buffer}, found "
                f"{self.most_buffer}"
            )
        for name in ("significance", "least_height"):
            if not 0 < getattr(self, name) < 1:
                raise ReductionError(
                    f"expected {name} between 0 and 1, found {getattr(self, name):g}"
                )
        if not self.rg_tolerance >= 0:
            raise ReductionError(
                f"expected rg_tolerance of at least 0, found {self.rg_tolerance:g}"
            )
        if not self.largest_q_rg > 0:
            raise ReductionError(f"expected a positive largest_q_rg, found {self.largest_q_rg:g}")
