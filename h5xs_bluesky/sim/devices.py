"""Devices that speak Bluesky's protocols: a shutter, and what reads the exposure it makes."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ophyd.sim import NullStatus
from ophyd.status import Status

from h5xs_bluesky.sim.shots import Shot

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values = dict[str, dict[str, Any]]


class Shutter:
    """Makes exposure after exposure; the other devices read the one made last.

    Setting it to the number of an exposure makes that, or keeps it if it is the present one, so
    that a plan may go back to its last checkpoint.

    Parameters
    ----------
    name
        Of the device.
    """

    parent = None

    def __init__(self, name: str) -> None:
        self.name = name
        self._shots: Iterator[Shot] = iter(())
        self._number = -1
        self._shot: Shot | None = None

    def load(self, shots: Iterator[Shot]) -> None:
        """Take what the next exposures, from number 0 on, will give."""
        self._shots, self._number, self._shot = iter(shots), -1, None

    @property
    def shot(self) -> Shot:
        """The present exposure.

        Raises
        ------
        RuntimeError
            If none was made.
        """
        if self._shot is None:
            raise RuntimeError(f"{self.name}: expected an exposure, found none: set it first")
        return self._shot

    def set(self, number: int) -> Status:
        """Make the exposure of this number, in a thread of its own."""
        status = Status(obj=self)
        threading.Thread(target=self._expose, args=(number, status), daemon=True).start()
        return status

    def _expose(self, number: int, status: Status) -> None:
        try:
            if number == self._number + 1:
                self._shot = next(self._shots)
                self._number = number
            elif number != self._number:
                raise ValueError(
                    f"{self.name}: expected exposure {self._number + 1}, found {number}"
                )
        except StopIteration:
            status.set_exception(
                RuntimeError(f"{self.name}: expected exposure {number}, found no more of them")
            )
        except Exception as error:  # noqa: BLE001 - handed to the plan
            status.set_exception(error)
        else:
            status.set_finished()

    def read(self) -> Values:
        """Give the number of the present exposure."""
        return {self.name: {"value": self._number, "timestamp": time.time()}}

    def describe(self) -> Values:
        """Describe what `read` gives."""
        return {self.name: {"source": f"SIM:{self.name}", "dtype": "integer", "shape": []}}

    def read_configuration(self) -> Values:
        """Give nothing: it has no configuration."""
        return {}

    def describe_configuration(self) -> Values:
        """Describe nothing."""
        return {}


class AreaDetector:
    """Hands out frames inside events, from a buffer that the next frame overwrites.

    Parameters
    ----------
    name
        Of the device; its frames are in the field ``<name>_image``.
    shape, dtype
        Of a frame.
    shutter
        Makes the exposures.
    """

    parent = None

    def __init__(
        self, name: str, *, shape: tuple[int, int], dtype: np.dtype[Any], shutter: Shutter
    ) -> None:
        self.name = name
        self.data_key = f"{name}_image"
        self._shutter = shutter
        self._buffer: NDArray[Any] = np.zeros(shape, dtype)
        self._timestamp = 0.0
        self._exposure_s = 1.0

    @property
    def hints(self) -> Mapping[str, Any]:
        """Nothing for tables and plots of scalars."""
        return {"fields": []}

    def configure(self, values: Mapping[str, float]) -> tuple[Values, Values]:
        """Set ``exposure_time`` in seconds; gives the configuration before and after."""
        unknown = sorted(set(values) - {"exposure_time"})
        if unknown:
            raise ValueError(f"{self.name}: expected exposure_time, found {unknown}")
        before = self.read_configuration()
        self._exposure_s = float(values["exposure_time"])
        return before, self.read_configuration()

    def trigger(self) -> NullStatus:
        """Read the present exposure out."""
        frame = self._shutter.shot.frames[self.data_key]
        np.copyto(self._buffer, frame, casting="no")
        self._timestamp = time.time()
        return NullStatus()

    def read(self) -> Values:
        """Give the frame; it is the device's own buffer."""
        return {self.data_key: {"value": self._buffer, "timestamp": self._timestamp}}

    def describe(self) -> Values:
        """Describe what `read` gives."""
        return {
            self.data_key: {
                "source": f"SIM:{self.name}",
                "dtype": "array",
                "shape": list(self._buffer.shape),
                "dtype_numpy": self._buffer.dtype.str,
            }
        }

    def read_configuration(self) -> Values:
        """Give the exposure time in seconds."""
        key = f"{self.name}_exposure_time"
        return {key: {"value": self._exposure_s, "timestamp": time.time()}}

    def describe_configuration(self) -> Values:
        """Describe what `read_configuration` gives."""
        key = f"{self.name}_exposure_time"
        return {key: {"source": f"SIM:{self.name}", "dtype": "number", "shape": [], "units": "s"}}


class Monitor:
    """Reads the beam's intensity during the present exposure.

    Parameters
    ----------
    name
        Of the device, and of its field.
    shutter
        Makes the exposures.
    reading
        What it reads of an exposure.
    """

    parent = None

    def __init__(self, name: str, *, shutter: Shutter, reading: Callable[[Shot], float]) -> None:
        self.name = name
        self._shutter = shutter
        self._reading = reading
        self._value: dict[str, Any] = {"value": 0.0, "timestamp": 0.0}

    @property
    def hints(self) -> Mapping[str, Any]:
        """Its one field."""
        return {"fields": [self.name]}

    def trigger(self) -> NullStatus:
        """Read the present exposure out."""
        self._value = {"value": self._reading(self._shutter.shot), "timestamp": time.time()}
        return NullStatus()

    def read(self) -> Values:
        """Give the reading."""
        return {self.name: dict(self._value)}

    def describe(self) -> Values:
        """Describe what `read` gives."""
        return {
            self.name: {
                "source": f"SIM:{self.name}",
                "dtype": "number",
                "shape": [],
                "units": "photons",
            }
        }

    def read_configuration(self) -> Values:
        """Give nothing: it has no configuration."""
        return {}

    def describe_configuration(self) -> Values:
        """Describe nothing."""
        return {}
