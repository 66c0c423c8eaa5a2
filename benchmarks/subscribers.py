"""`python -m benchmarks.subscribers`: subscribers to a sample's curves, and when each has them.

In a process of their own, so that they take no time from what is measured. The clock is the same
for all processes of a machine.
"""

import argparse
import json
import sys
import threading
import time
from typing import Any

from h5xs_bluesky.api.data1d import Data1d


class Subscriber:
    """Notes when it has each curve.

    Parameters
    ----------
    sample
        The sample's node, of Tiled's client.
    leaves_after
        It unsubscribes after so many curves, and subscribes anew; None: it stays.
    """

    def __init__(self, sample: Any, *, leaves_after: int | None = None) -> None:
        self._sample = sample
        self._leaves_after = leaves_after
        self.began_s = time.monotonic()
        self.frames: list[int] = []
        self.times_s: list[float] = []
        self.first = threading.Event()
        self._left = threading.Event()
        self._following = sample.follow(self._take)

    def wait(self) -> None:
        """Wait for the end of the run."""
        if self._leaves_after is not None:
            self._left.wait()
            self._following.stop()
            self.began_s, self.frames, self.times_s = time.monotonic(), [], []
            self._leaves_after = None
            self._following = self._sample.follow(self._take)
        self._following.wait()

    def _take(self, curve: Data1d) -> None:
        if self._left.is_set() and self._leaves_after is not None:
            return
        if not (curve.data.shape == curve.err.shape == curve.qgrid.shape):
            raise ValueError(f"expected I and sigma for each q, found {curve.data.shape}")
        self.times_s.append(time.monotonic())
        self.frames.append(int(curve.label.rpartition(" ")[2]))
        self.first.set()
        if len(self.frames) == self._leaves_after:
            self._left.set()


def main() -> None:
    """Subscribe, say "ready" once each has a curve, and at the end when each had which."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.subscribers", description=__doc__)
    parser.add_argument("address")
    parser.add_argument("api_key")
    parser.add_argument("sample")
    parser.add_argument("count", type=int)
    parser.add_argument("--leaves-after", type=int)
    asked = parser.parse_args()
    from tiled.client import from_uri

    sample = from_uri(asked.address, api_key=asked.api_key)[asked.sample]
    subscribers = [Subscriber(sample, leaves_after=asked.leaves_after) for _ in range(asked.count)]
    for subscriber in subscribers:
        subscriber.first.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for subscriber in subscribers:
        subscriber.wait()
    found = [{"began_s": s.began_s, "frames": s.frames, "times_s": s.times_s} for s in subscribers]
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
