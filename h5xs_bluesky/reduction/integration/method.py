"""How the pixels of a bin become one number and its uncertainty."""

from dataclasses import dataclass

from h5xs_bluesky.errors import ReductionError

ESTIMATORS = ("weighted", "unweighted")
ERROR_MODELS = ("poisson", "azimuthal")
ENGINES = ("compiled", "numpy", "pyfai")  # see `integrate.make_integrator`


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """Estimator and error model.

    With s the counts of a pixel less its dark, v their variance, n its normalisation, c its share
    in the bin:

    ==============  =====================================  ===================================
    estimator       I                                      standard error of I
    ==============  =====================================  ===================================
    ``weighted``    Σ c s / Σ c n                          √(Σ c² v) / Σ c n
    ``unweighted``  Σ c (s/n) / Σ c                        √(Σ c² v/n²) / Σ c
    ==============  =====================================  ===================================

    The weighted one has the least uncertainty for counts, the unweighted one is py4xs'.

    Parameters
    ----------
    estimator
        One of them.
    error_model
        ``"poisson"``: v is the counts, and the dark's variance. ``"azimuthal"``: v is how far the
        pixel is from the mean of its bin, (s − I n)²; a bin with a single pixel has no σ (NaN).
    dezinger
        Pixels that many standard deviations above the median of their bin are left out; None for
        none (`dezinger.zingers`).

    Raises
    ------
    ReductionError
        If one of them is not known.
    """

    estimator: str = "weighted"
    error_model: str = "poisson"
    dezinger: float | None = None

    def __post_init__(self) -> None:
        if self.estimator not in ESTIMATORS:
            raise ReductionError(f"expected an estimator of {ESTIMATORS}, found {self.estimator!r}")
        if self.error_model not in ERROR_MODELS:
            raise ReductionError(
                f"expected an error_model of {ERROR_MODELS}, found {self.error_model!r}"
            )
        if self.dezinger is not None and not self.dezinger > 0:
            raise ReductionError(f"expected a positive dezinger, found {self.dezinger}")
