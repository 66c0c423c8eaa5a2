"""A soft IOC on loopback: a Pilatus with its HDF5 plugin, motors, a shutter, electrometers.

Run as a program it serves Channel Access until its standard input is closed; `serving` runs it. Its
records behave as those of areaDetector and the motor record where clients rely on it: puts end when
the device is there, states are busy meanwhile, what is set can be read back, and of an HDF5 file
readers see what was flushed.
"""

import asyncio
import atexit
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import cache
from pathlib import Path, PureWindowsPath
from typing import Any
from xml.etree import ElementTree

import h5py
import numpy as np
from caproto import (
    ChannelChar,
    ChannelData,
    ChannelDouble,
    ChannelEnum,
    ChannelInteger,
    ChannelString,
)
from caproto.asyncio.server import start_server
from caproto.server import PVGroup, pvproperty

SHAPE = (195, 487)  # a Pilatus 100k
CENTER_PX = (97.0, 20.0)
PERIOD_S = 0.02  # of the electrometers
DARK, BEAM = 1e3, 1e6
TRANSMISSION = {"buffer": 0.80, "protein": 0.78, "agbh": 0.60}
POSITIONS_MM = {"buffer": 0.0, "protein": 10.0, "agbh": 20.0}  # of the changer
READOUT_S = 0.00095
SINCE_1990_S = 631152000  # areaDetector counts from 1990 on
_LIVES_S = 3600.0  # at the most

Put = Callable[[Any], Awaitable[None]]


def hooked(base: type[ChannelData]) -> type[ChannelData]:
    class Hooked(base):  # type: ignore[valid-type,misc]
        """Ends a client's put when its hook has ended."""

        put: Put | None = None

        async def verify_value(self, data: Any) -> Any:
            value = await super().verify_value(data)
            if self.put is not None:
                await self.put(value)
            return value

        async def tell(self, value: Any) -> None:
            await self.write(value, verify_value=False)

    return Hooked


DOUBLE, INTEGER = hooked(ChannelDouble), hooked(ChannelInteger)
CHAR, STRING, ENUM = hooked(ChannelChar), hooked(ChannelString), hooked(ChannelEnum)


def channel(value: Any) -> Any:
    """Make a channel of a value's type; bytes are a string record, str a waveform of characters."""
    if isinstance(value, bool):
        return ENUM(value=int(value), enum_strings=("No", "Yes"))
    if isinstance(value, tuple):
        return ENUM(value=0, enum_strings=value)
    if isinstance(value, str):
        return CHAR(value=value, max_length=4096, string_encoding="utf-8", report_as_string=False)
    if isinstance(value, bytes):
        return STRING(value=value.decode(), string_encoding="utf-8")
    return (INTEGER if isinstance(value, int) else DOUBLE)(value=value)


def records(prefix: str, plain: Mapping[str, Any], paired: Mapping[str, Any]) -> dict[str, Any]:
    """Make records, and those that have another with the end _RBV for what is read back."""
    made = {prefix + name: channel(value) for name, value in plain.items()}
    for name, value in paired.items():
        demand, readback = channel(value), channel(value)
        demand.put = readback.tell
        made |= {prefix + name: demand, f"{prefix}{name}_RBV": readback}
    return made


_tasks: set[asyncio.Task[None]] = set()


def soon(telling: Coroutine[Any, Any, None], *, after_s: float = 0.0) -> None:
    """Do something once the present put has ended."""

    async def wait() -> None:
        await asyncio.sleep(after_s)
        await telling

    task = asyncio.create_task(wait())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


ARRAY = {
    "PortName_RBV": "PIL",
    "UniqueId_RBV": 0,
    "NDAttributesFile": "",
    "ArraySizeX_RBV": SHAPE[1],
    "ArraySizeY_RBV": SHAPE[0],
    "ArraySizeZ_RBV": 0,
    "ArraySize0_RBV": SHAPE[1],
    "ArraySize1_RBV": SHAPE[0],
    "ArraySize2_RBV": 0,
    "ColorMode_RBV": ("Mono", "Bayer", "RGB1", "RGB2", "RGB3", "YUV444", "YUV422", "YUV421"),
    "DataType_RBV": ("Int32", "Int8", "UInt8", "Int16", "UInt16", "UInt32"),
    "ADCoreVersion_RBV": "3.12.1",
    "DriverVersion_RBV": "2.9.0",
}
STATES = (
    *("Idle", "Acquire", "Readout", "Correct", "Saving", "Aborting"),
    *("Error", "Waiting", "Initializing", "Disconnected", "Aborted"),
)
CAM = {
    "DetectorState_RBV": STATES,
    "WaitForPlugins": True,
    "Manufacturer_RBV": "Dectris",
    "Model_RBV": "Pilatus",
    "SerialNumber_RBV": "1",
    "SDKVersion_RBV": "7.9",
    "FirmwareVersion_RBV": "1",
    "Armed": False,
}
CAM_PAIRS = {
    "ArrayCounter": 0,
    "AcquireTime": 1.0,
    "AcquirePeriod": 1.0,
    "NumImages": 1,
    "ImageMode": ("Single", "Multiple", "Continuous"),
    "Acquire": False,
    "TriggerMode": ("Internal", "Ext. Enable", "Ext. Trigger", "Mult. Trigger", "Alignment"),
}
HDF = {
    "FilePathExists_RBV": False,
    "FullFileName_RBV": "",
    "FileNumber": 0,
    "AutoIncrement": True,
    "NumCaptured_RBV": 0,
    "ArraySize0": SHAPE[1],
    "ArraySize1": SHAPE[0],
    "CreateDirectory": 0,
    "FlushNow": False,
}
HDF_PAIRS = {
    "ArrayCounter": 0,
    "NDArrayPort": "PIL",
    "EnableCallbacks": ("Disable", "Enable"),
    "NDArrayAddress": 0,
    "QueueSize": 20,
    "FilePath": "",
    "FileName": "",
    "FileTemplate": "%s%s_%d.h5",
    "FileWriteMode": ("Single", "Capture", "Stream"),
    "NumCapture": 1,
    "Capture": False,
    "PositionMode": False,
    "Compression": ("None", "N-bit", "szip", "zlib", "Blosc", "BSLZ4", "LZ4", "JPEG"),
    "NumExtraDims": 0,
    "SWMRMode": False,
    "XMLFileName": b"",
    "NumFramesChunks": 0,
    "ChunkSizeAuto": False,
    "LazyOpen": False,
}


class Plugin:
    """Writes frames as areaDetector's HDF5 plugin does; our disk is its drive X, too."""

    def __init__(self, prefix: str) -> None:
        self._file: h5py.File | None = None
        self.records = records(prefix, ARRAY | HDF, HDF_PAIRS)
        self._of = {name.removeprefix(prefix): each for name, each in self.records.items()}
        self._of["FilePath"].put = self._look
        self._of["Capture"].put = self._capture
        self._of["FlushNow"].put = self._flush

    def _folder(self, path: str) -> Path:
        there = PureWindowsPath(path)
        return Path("/", *there.parts[1:]) if there.drive == "X:" else Path(path)

    async def _look(self, path: str) -> None:
        there = self._folder(path).is_absolute() and self._folder(path).is_dir()
        await self._of["FilePathExists_RBV"].tell(int(there))
        await self._of["FilePath_RBV"].tell(path)

    async def _capture(self, value: Any) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if value == "Yes":
            await self._of["NumCaptured_RBV"].tell(0)
        await self._of["Capture_RBV"].tell(value)

    async def _flush(self, value: Any) -> None:
        """Only now, or once the file is closed, readers see what was written."""
        if self._file is not None:
            self._file.flush()

    def _open(self) -> h5py.File:
        name = self._of["FileTemplate"].value % ("", self._of["FileName"].value)
        path = self._folder(self._of["FilePath"].value) / name
        file = h5py.File(path, "w", libver="latest")
        chunks, size = (self._of["NumFramesChunks"].value, *SHAPE), (None, *SHAPE)
        file.create_dataset("entry/data/data", (0, *SHAPE), "<i4", maxshape=size, chunks=chunks)
        for attribute in ("NDArrayTimeStamp", *self._attributes()):
            place = f"entry/instrument/NDAttributes/{attribute}"
            file.create_dataset(place, (0,), "<f8", maxshape=(None,), chunks=(16384,))
        file.swmr_mode = self._of["SWMRMode"].value == "Yes"
        return file

    def _attributes(self) -> list[str]:
        text = self._of["NDAttributesFile"].value
        params = ElementTree.fromstring(text) if text else ()
        return [each.attrib["name"] for each in params if each.attrib["source"] == "TIME_STAMP"]

    async def write(self, frame: Any, stamp_s: float) -> None:
        if self._of["Capture_RBV"].value != "Yes" or self._of["EnableCallbacks"].value != "Enable":
            return
        self._file = self._file or self._open()
        group = self._file["entry/instrument/NDAttributes"]
        frames = self._file["entry/data/data"]
        for dataset in (frames, *group.values()):
            dataset.resize(len(dataset) + 1, axis=0)
            dataset[-1] = frame if dataset == frames else stamp_s
        await self._of["NumCaptured_RBV"].tell(len(frames))


class Pilatus:
    """Exposes frames of the sample in the beam; as ADPilatus it stamps a series with its begin."""

    def __init__(self, prefix: str, plugin: Plugin, expose: Callable[[float], Any]) -> None:
        self._plugin, self._expose = plugin, expose
        self.records = records(prefix, ARRAY | CAM, CAM_PAIRS)
        self._of = {name.removeprefix(prefix): each for name, each in self.records.items()}
        self._of["Acquire"].put = self._acquire
        self._stopped = asyncio.Event()

    async def _acquire(self, value: Any) -> None:
        if value != "Yes":
            self._stopped.set()
            return
        self._stopped.clear()
        exposure_s, number = self._of["AcquireTime"].value, self._of["NumImages"].value
        period_s = max(self._of["AcquirePeriod"].value, exposure_s + READOUT_S)
        begin_s = time.time()
        await self._tell("Acquire", "Yes")
        for frame in range(number):
            end_s = begin_s + frame * period_s + exposure_s
            try:
                await asyncio.wait_for(self._stopped.wait(), max(end_s - time.time(), 0))
                break
            except TimeoutError:
                pass
            await self._plugin.write(self._expose(exposure_s), begin_s - SINCE_1990_S)
        await self._tell("Aborted" if self._stopped.is_set() else "Idle", "No")
        soon(self._of["Acquire"].tell("No"))

    async def _tell(self, state: str, busy: str) -> None:
        for name, value in (("DetectorState", state), ("Acquire", busy)):
            await self._of[f"{name}_RBV"].tell(value)
        await self._of["Armed"].tell(busy)


class Motor(PVGroup):
    """A motor record; a put to it ends when it is there."""

    motor = pvproperty(value=0.0, name="", record="motor", precision=4)

    @motor.startup
    async def motor(self, instance: Any, async_lib: Any) -> None:
        fields = instance.field_inst
        await fields.velocity.write(20.0)
        await fields.max_velocity.write(20.0)
        await fields.seconds_to_velocity.write(0.05)
        await fields.engineering_units.write("mm")

    @motor.putter
    async def motor(self, instance: Any, value: float) -> None:
        fields = instance.field_inst
        await fields.done_moving_to_value.write(0)
        await fields.stop.write(0)
        start_s, old = time.time(), fields.user_readback_value.value
        takes_s = abs(value - old) / fields.velocity.value
        while (gone_s := time.time() - start_s) < takes_s and not fields.stop.value:
            await fields.user_readback_value.write(old + (value - old) * gone_s / takes_s)
            await asyncio.sleep(min(0.02, takes_s - gone_s))
        if not fields.stop.value:
            await fields.user_readback_value.write(value)
        await fields.done_moving_to_value.write(1)


class Beamline:
    """All of it, and what is in its beam."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        row, column = np.indices(SHAPE)
        self._radius_px = np.hypot(row - CENTER_PX[0], column - CENTER_PX[1])
        self._command = channel(("Close", "Open"))
        self._state = channel(("closed", "open", "moving"))
        self._command.put = self._move_shutter
        self._currents = {"I0": channel(DARK), "It": channel(DARK)}
        self._averaging = channel(False)
        self._averaging.put = self._average
        self._changer = Motor("BL:CHANGER:X")
        plugin = Plugin("BL:PIL1:HDF1:")
        self.records = {
            **Pilatus("BL:PIL1:cam1:", plugin, self._frame).records,
            **plugin.records,
            **self._changer.pvdb,
            **Motor("BL:STAGE:X").pvdb,
            **Motor("BL:STAGE:Y").pvdb,
            "BL:SHUTTER:CMD": self._command,
            "BL:SHUTTER:STATE": self._state,
            "BL:MONO:ENERGY": channel(12.4),
            **{f"BL:EM:{name}": each for name, each in self._currents.items()},
            "BL:DIODE:Acquire": self._averaging,
            "BL:DIODE:AveragingTime": channel(0.1),
            "BL:DIODE:MeanValue": channel(0.0),
        }

    async def _move_shutter(self, value: str) -> None:
        """Move after the put has ended, as real ones do."""
        await self._state.tell("moving")
        soon(self._state.tell("open" if value == "Open" else "closed"), after_s=0.05)

    async def _average(self, value: str) -> None:
        await asyncio.sleep(self.records["BL:DIODE:AveragingTime"].value)
        await self.records["BL:DIODE:MeanValue"].tell(self._currents["It"].value)

    def _sample(self) -> str:
        place = self._changer.motor.field_inst.user_readback_value.value
        return min(POSITIONS_MM, key=lambda name: abs(POSITIONS_MM[name] - place))

    def _frame(self, exposure_s: float) -> Any:
        if self._state.value != "open":
            return self._rng.poisson(1e-3, SHAPE)
        sample = self._sample()
        expected = 20 + 200 * np.exp(-((self._radius_px / 60) ** 2)) * (sample == "protein")
        return self._rng.poisson(expected * exposure_s * TRANSMISSION[sample])

    async def read_currents(self) -> None:
        while True:
            beam = BEAM * (self._state.value == "open")
            passed = beam * TRANSMISSION[self._sample()]
            for each, current in zip(self._currents.values(), (beam, passed), strict=True):
                await each.tell(DARK + current * (1 + 1e-3 * self._rng.standard_normal()))
            await asyncio.sleep(PERIOD_S)


async def _serve() -> None:
    logging.getLogger("caproto").setLevel(logging.CRITICAL)  # nobody listens to its beacons
    beamline = Beamline()
    reading = asyncio.create_task(beamline.read_currents())
    server = asyncio.create_task(
        start_server(beamline.records, interfaces=["127.0.0.1"], log_pv_names=False)
    )
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    await asyncio.wait({reading, server, ended}, timeout=_LIVES_S, return_when="FIRST_COMPLETED")
    os._exit(0)


@cache
def serving() -> None:
    """Run the IOC until this process ends, and let this process's Channel Access find it.

    Once in a process: libca looks at the environment when it is first used.
    """
    with socket.socket() as free, socket.socket() as repeater:
        free.bind(("127.0.0.1", 0))
        repeater.bind(("127.0.0.1", 0))
        port, other = free.getsockname()[1], repeater.getsockname()[1]
    os.environ |= {
        "EPICS_CA_ADDR_LIST": "127.0.0.1",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CA_SERVER_PORT": str(port),
        "EPICS_CA_REPEATER_PORT": str(other),
        "EPICS_CAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_BEACON_ADDR_LIST": "127.0.0.1",
        "EPICS_CAS_AUTO_BEACON_ADDR_LIST": "NO",
    }
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def stop() -> None:
        process.stdin.close()  # type: ignore[union-attr]
        process.wait(10)
        process.stdout.close()  # type: ignore[union-attr]

    atexit.register(stop)
    assert process.stdout.readline() == "serving\n"


if __name__ == "__main__":
    asyncio.run(_serve())
