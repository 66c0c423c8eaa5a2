"""From the event document to the subscribers' callbacks, and what the scan notices of it."""

import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from numpy.typing import NDArray

from benchmarks.experiment import SAMPLE, beamline
from benchmarks.serving import Server, running, serving
from benchmarks.setup import SHAPE, cores, frames
from benchmarks.timing import Figure
from h5xs_bluesky.callbacks.live_reduction import LiveReduction

PERIOD_S = 0.2
_BLOCK = 10  # frames, with the server or without it
_PAUSE_S = 0.5  # before each block
_SETTLING = 25  # frames after the last subscriber has come: all read what they had missed
_PROCESSES = 2  # of many subscribers
_DIFFERENT = 8  # frames
_WAIT_S = 60.0


class Camera:
    """A detector for Bluesky's plans that gives frames that it has."""

    parent = None

    def __init__(self, data_key: str, shape: tuple[int, int]) -> None:
        self.name = data_key
        self._frames = frames(_DIFFERENT, shape=shape)
        self._taken = 0

    def read(self) -> dict[str, Any]:
        """Give the next frame."""
        self._taken += 1
        value = self._frames[self._taken % _DIFFERENT]
        return {self.name: {"value": value, "timestamp": time.time()}}

    def describe(self) -> dict[str, Any]:
        """Tell what `read` gives."""
        shape = list(self._frames.shape[1:])
        return {self.name: {"source": "benchmark", "dtype": "array", "shape": shape}}

    def read_configuration(self) -> dict[str, Any]:
        """Give nothing."""
        return {}

    describe_configuration = read_configuration


class Scan:
    """A scan that a RunEngine runs, while a server serves it to subscribers.

    Parameters
    ----------
    folder
        Of the experiment; it is made.
    shape
        Of the frames.
    """

    def __init__(self, folder: Path, shape: tuple[int, int]) -> None:
        line = beamline(shape=shape)
        self._live = LiveReduction(line, folder)
        self._camera = Camera(line.detectors[0].data_key, shape)
        self._engine = RunEngine()
        self._engine.subscribe(self._hand_over)  # type: ignore[no-untyped-call]
        self.begun, self.all_there, self.half = (threading.Event() for _ in range(3))
        self.handed_s: list[float] = []
        self.joining_s = 0.0
        self.settling = self.paced = range(0)
        self.block_s: dict[bool, list[float]] = {True: [], False: []}

    def run(self, count: int, pairs: int, others: list[Any]) -> None:
        """Take frames until all subscribers are there, `count` more in time, then some at once.

        Parameters
        ----------
        pairs
            How often frames are taken as fast as it goes, with the others and without them.
        others
            Processes that stand still meanwhile.
        """
        try:
            self._engine(self._plan(count, pairs, others), sample_name=SAMPLE)
        finally:
            for event in (self.begun, self.all_there, self.half):
                event.set()
            self._live.close()

    def _plan(self, count: int, pairs: int, others: list[Any]) -> Iterator[Any]:
        yield from bps.open_run()
        yield from bps.trigger_and_read([self._camera])
        self.begun.set()
        while not self.all_there.is_set():
            yield from bps.sleep(PERIOD_S)
            yield from bps.trigger_and_read([self._camera])
        joined, settling = len(self.handed_s), min(_SETTLING, count)
        self.joining_s = self.handed_s[-1] - self.handed_s[0]
        next_s = time.monotonic()
        for number in range(settling + count):
            next_s += PERIOD_S
            yield from bps.sleep(max(0.0, next_s - time.monotonic()))
            yield from bps.trigger_and_read([self._camera])
            if number == settling + count // 2:
                self.half.set()
        self.settling = range(joined, joined + settling)
        self.paced = range(joined + settling, len(self.handed_s))
        for pair in range(pairs):
            for served in (pair % 2 == 0, pair % 2 == 1):
                yield from self._block(served, others)
        yield from bps.close_run()

    def _block(self, served: bool, others: list[Any]) -> Iterator[Any]:
        """Take frames as fast as it goes."""
        self._live.wait(_WAIT_S)
        if not served:
            _tell(others, signal.SIGSTOP)
        try:
            yield from bps.sleep(_PAUSE_S)
            began = time.monotonic()
            for _ in range(_BLOCK):
                yield from bps.trigger_and_read([self._camera])
            self.block_s[served].append(time.monotonic() - began)
        finally:
            _tell(others, signal.SIGCONT)

    def _hand_over(self, name: str, doc: dict[str, Any]) -> None:
        if name == "event":
            self.handed_s.append(time.monotonic())
        self._live(name, doc)


def _tell(processes: list[Any], number: int) -> None:
    for process in processes:
        process.send_signal(number)


class Watched:
    """A scan with its server and its subscribers, and what came of it.

    Parameters
    ----------
    subscribers
        How many, in up to two processes. Two more come: one that joins when half of the frames are
        there, and one that leaves and comes back.
    """

    def __init__(self, subscribers: int) -> None:
        self._subscribers = subscribers
        self.found: list[dict[str, Any]] = []
        self.late: list[dict[str, Any]] = []

    def run(self, count: int, pairs: int, shape: tuple[int, int]) -> Scan:
        """Measure."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            scan = Scan(folder / "experiment", shape)
            server = stack.enter_context(serving(folder))
            processes = [server.process]
            watching = threading.Thread(target=self._watch, args=(scan, server, processes, stack))
            watching.start()
            scan.run(count, pairs, processes)
            watching.join()
        return scan

    def _watch(self, scan: Scan, server: Server, processes: list[Any], stack: ExitStack) -> None:
        scan.begun.wait()
        client = server.client()
        while f"experiment/{SAMPLE}" not in client:
            time.sleep(PERIOD_S)
        share = -(-self._subscribers // _PROCESSES)
        counts = [share, self._subscribers - share] if self._subscribers > 1 else [1]
        main = [stack.enter_context(_subscribers(server, number)) for number in counts]
        coming_back = stack.enter_context(_subscribers(server, 1, "--leaves-after=5"))
        for process in (*main, coming_back):
            process.stdout.readline()
        processes += [*main, coming_back]
        scan.all_there.set()
        scan.half.wait()
        late = stack.enter_context(_subscribers(server, 1))
        for process in main:
            self.found += _result(process)
        late.stdout.readline()
        self.late = [*_result(coming_back), *_result(late)]


def _subscribers(server: Server, count: int, *options: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.subscribers", server.address, server.api_key]
    return running([*command, f"experiment/{SAMPLE}", str(count), *options])


def _result(process: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(process.stdout.readline())
    return found


def measure(
    *, count: int, pairs: int, numbers: Sequence[int] = (1, 50), shape: tuple[int, int] = SHAPE
) -> list[Figure]:
    """Measure with so many subscribers, one after the other.

    Parameters
    ----------
    count
        Frames that are taken in time, five each second.
    pairs
        How often the RunEngine's own rate is taken with and without server and subscribers.
    numbers
        Of subscribers.
    """
    figures = []
    for subscribers in numbers:
        watched = Watched(subscribers)
        figures += _figures(watched.run(count, pairs, shape), watched, subscribers, shape)
    return figures


def _figures(
    scan: Scan, watched: Watched, subscribers: int, shape: tuple[int, int]
) -> list[Figure]:
    delays, settling = (
        np.concatenate([_delays_ms(scan, each, numbers) for each in watched.found])
        for numbers in (scan.paced, scan.settling)
    )
    everybody = [*watched.found, *watched.late]
    complete = [each["frames"] == list(range(len(scan.handed_s))) for each in everybody]
    conditions = {
        "frames": f"{len(scan.paced)}, each {PERIOD_S:g} s one, {shape[0]} x {shape[1]} int32",
        "from": "the event document is handed to LiveReduction",
        "to": "the callback of SampleClient.follow has I and sigma, in another process",
        "p99_ms": float(np.percentile(delays, 99)),
        "slowest_ms": float(delays.max()),
        "all_joined_after_s": scan.joining_s,
        "slowest_while_settling_ms": float(settling.max()),
        "cores": cores(),
        "complete": f"{sum(complete)} of {len(complete)} subscribers had every curve once and in "
        "order, one that joined late and one that came back among them",
    }
    alone, served = (np.array(scan.block_s[key]) for key in (False, True))
    name = "1_subscriber" if subscribers == 1 else f"{subscribers}_subscribers"
    return [
        Figure(
            key=f"to_{name}_ms",
            what=f"ms from the event document to each of {subscribers} on this machine",
            values=delays,
            target=100.0,
            at_least=False,
            conditions=conditions,
        ),
        Figure(
            key=f"to_{name}_p99_ms",
            what=f"ms, 99th percentile of the delays of {subscribers}",
            values=np.array([np.percentile(delays, 99)]),
            target=500.0,
            at_least=False,
            conditions=conditions,
        ),
        Figure(
            key=f"scan_with_{name}",
            what="of the RunEngine's own rate where server and subscribers stand still",
            values=alone / served,
            target=0.9,
            conditions={
                "blocks": f"{len(alone)} pairs of {_BLOCK} frames as fast as it goes, in one scan",
                "frames_per_s_alone": float(np.median(_BLOCK / alone)),
                "frames_per_s_served": float(np.median(_BLOCK / served)),
                "cores": cores(),
            },
        ),
    ]


def _delays_ms(scan: Scan, found: dict[str, Any], numbers: range) -> NDArray[np.float64]:
    """Give what each of the frames took to one subscriber."""
    had = dict(zip(found["frames"], found["times_s"], strict=True))
    return 1e3 * np.array([had[frame] - scan.handed_s[frame] for frame in numbers])
