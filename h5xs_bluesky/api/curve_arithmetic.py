"""Arithmetic of curves: operators with curves and numbers, errors in quadrature."""

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from h5xs_bluesky.errors import ReductionError

# Attributes that tell the beam, and what scales with it.
BEAM = ("trans", "trans_sigma", "trans_w", "trans_w_sigma", "trans_e", "trans_e_sigma")

_SAME = 1e-9  # relative difference of two q that are the same


class CurveArithmetic:
    """What a curve does with ``+ − × ÷``, with numbers and with curves of independent errors.

    `trans` stays that of the left curve with a number and in a difference; it is the sum of both in
    a sum, and not known (NaN) in a product or a ratio; so are the other attributes of the beam,
    which a sum does not have. Overlaps are dropped.
    """

    __array_ufunc__ = None  # numpy's numbers leave the operation to the curve

    qgrid: NDArray[np.float64]
    data: NDArray[np.float64]
    err: NDArray[np.float64]
    trans: float
    label: str

    def __add__(self, other: Any) -> Self:
        if isinstance(other, Real):
            return self._made(self.data + float(other), self.err, self.trans)
        return self._with(other, np.add, np.hypot, self.trans + _trans(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Self:
        if isinstance(other, Real):
            return self._made(self.data - float(other), self.err, self.trans)
        return self._with(other, np.subtract, np.hypot, self.trans)

    def __rsub__(self, other: Any) -> Self:
        if isinstance(other, Real):
            return self._made(float(other) - self.data, self.err, self.trans)
        return NotImplemented

    def __neg__(self) -> Self:
        return self._made(-self.data, self.err, self.trans)

    def __mul__(self, other: Any) -> Self:
        if isinstance(other, Real):
            return self._made(self.data * float(other), self.err * abs(float(other)), self.trans)
        curve = self._same_grid(other)
        err = np.hypot(self.err * curve.data, self.data * curve.err)
        return self._made(self.data * curve.data, err, np.nan)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Self:
        if isinstance(other, Real):
            if other == 0:
                raise ZeroDivisionError(f"{self.label}: divided by 0")
            return self * (1 / float(other))
        curve = self._same_grid(other)
        return self._ratio(self.data, self.err, curve.data, curve.err)

    def __rtruediv__(self, other: Any) -> Self:
        if isinstance(other, Real):
            above = np.full(self.data.shape, float(other))
            return self._ratio(above, np.zeros(self.data.shape), self.data, self.err)
        return NotImplemented

    def _ratio(
        self,
        above: NDArray[np.float64],
        above_err: NDArray[np.float64],
        below: NDArray[np.float64],
        below_err: NDArray[np.float64],
    ) -> Self:
        divisor = np.where(below == 0, np.nan, below)  # nothing to divide by: not known
        ratio = above / divisor
        err = np.hypot(above_err, ratio * below_err) / np.abs(divisor)
        return self._made(ratio, err, np.nan)

    def _with(
        self,
        other: Any,
        combine: Callable[..., NDArray[np.float64]],
        combine_err: Callable[..., NDArray[np.float64]],
        trans: float,
    ) -> Self:
        curve = self._same_grid(other)
        return self._made(combine(self.data, curve.data), combine_err(self.err, curve.err), trans)

    def _same_grid(self, other: Any) -> "CurveArithmetic":
        if not isinstance(other, CurveArithmetic):
            raise TypeError(f"{self.label}: expected a curve or a number, found {other!r:.60}")
        one, two = self.qgrid, other.qgrid
        if one.shape != two.shape or not np.allclose(one, two, rtol=_SAME, atol=0):
            raise ReductionError(
                f"{self.label} and {other.label}: expected curves on the same q-grid, found "
                f"{one.size} bins up to {one[-1]:g} and {two.size} bins up to {two[-1]:g} Å⁻¹: "
                "reduce them on one grid"
            )
        return other

    def _made(self, data: NDArray[np.float64], err: NDArray[np.float64], trans: float) -> Self:
        beam = {} if trans is self.trans else {**dict.fromkeys(BEAM, np.nan), "trans": trans}
        changed = replace(cast("Any", self), data=data, err=err, overlaps=[], **beam)
        return cast("Self", changed)


def _trans(curve: Any) -> float:
    return float(getattr(curve, "trans", np.nan))
