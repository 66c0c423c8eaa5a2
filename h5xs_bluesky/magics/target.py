"""What ``%h5xs`` works on: the live reduction in the user's namespace, or an experiment's file."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from h5xs_bluesky import schema
from h5xs_bluesky.api.h5xs import h5xs
from h5xs_bluesky.api.source import GROUP_MARK, experiment_file
from h5xs_bluesky.errors import FileInUseError, SampleNotFoundError
from h5xs_bluesky.io.experiment import find_sample, open_for_reading
from h5xs_bluesky.io.known_samples import KnownSample, known_samples

if TYPE_CHECKING:
    from h5xs_bluesky.callbacks.live_reduction import LiveReduction

LIVE_NAME = "live"


class Target:
    """Finds the live reduction and its experiment.

    Parameters
    ----------
    namespace
        The user's.

    Attributes
    ----------
    chosen : Path or None
        The experiment's file that the user chose instead.
    """

    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self._namespace = namespace
        self.chosen: Path | None = None

    def use(self, name: str | None) -> Path | None:
        """Choose an experiment's file or folder; None for the live reduction's again.

        Raises
        ------
        FileNotFoundError, FileFormatError
            If there is no such file, or it holds no experiment; the choice stays as it was.
        """
        if name is None:
            self.chosen = None
            return None
        path = experiment_file(Path(name).expanduser())
        h5xs(path, read_only=True)
        self.chosen = path.resolve()
        return self.chosen

    def live(self) -> "LiveReduction | None":
        """Give ``live`` of the user's namespace, or the only live reduction there.

        Raises
        ------
        LookupError
            If there are several, and none is called so.
        """
        module = sys.modules.get("h5xs_bluesky.callbacks.live_reduction")
        if self.chosen is not None or module is None:
            return None
        kind = module.LiveReduction
        if isinstance(self._namespace.get(LIVE_NAME), kind):
            found: LiveReduction = self._namespace[LIVE_NAME]
            return found
        known = {
            id(value): (name, value)
            for name, value in list(self._namespace.items())
            if isinstance(value, kind) and not name.startswith("_")
        }
        if len(known) > 1:
            names = sorted(name for name, _ in known.values())
            raise LookupError(
                f"expected one LiveReduction, found {', '.join(names)}: call one {LIVE_NAME!r}"
            )
        return next((value for _, value in known.values()), None)

    def experiment(self) -> Path:
        """Give the experiment's file, which need not be there yet.

        Raises
        ------
        LookupError
            If there is no live reduction, and no file was chosen.
        """
        if self.chosen is not None:
            return self.chosen
        live = self.live()
        if live is None:
            raise LookupError(
                f"expected a LiveReduction in your namespace, called {LIVE_NAME!r}, or an "
                "experiment's file, found neither: %h5xs use FILE"
            )
        return _folder_of(live) / schema.EXPERIMENT_FILE

    def measured(self) -> Path:
        """Give the experiment's file.

        Raises
        ------
        LookupError
            As from `experiment`, or if nothing was measured yet.
        """
        path = self.experiment()
        if not path.exists():
            raise LookupError(f"{path}: nothing was measured yet")
        return path

    def roots(self) -> list[Path]:
        """Give the folders outside the experiment that its links may lead into."""
        live = self.live()
        if live is None:
            return []
        return [*live.beamline.roots.permanent, *live.beamline.roots.allowed]

    def open(self, *, read_only: bool = True) -> h5xs:
        """Open the experiment."""
        return h5xs(self.measured(), read_only=read_only, roots=self.roots())

    def newest(self, dt: h5xs, sample: str | None) -> str:
        """Give the newest sample of a name, by default the one measured last that is no buffer.

        ``/group`` is the sample of that group. A buffer is what another sample names as its own;
        where there is nothing else, the last one is meant.

        Raises
        ------
        SampleNotFoundError
            If there is none.
        """
        with open_for_reading(Path(dt.fn)) as file:
            known = known_samples(file)
            groups, buffers = [each.group for each in known], _buffers(known)
            if sample is not None:
                group = sample.removeprefix(GROUP_MARK)
                if group != sample and group in groups:
                    return group
                return find_sample(file, sample) or sample
        if not known:
            raise SampleNotFoundError(f"{dt.fn}: nothing was measured yet")
        return next((name for name in reversed(groups) if name not in buffers), groups[-1])

    def check_ended(self, dt: h5xs, sample: str) -> None:
        """Refuse to replace what a run is still writing.

        Raises
        ------
        FileInUseError
            If the sample's run goes on.
        """
        live = self.live()
        if live is None:
            return
        for run in live.status()["runs"]:
            if not run["finished"] and run["sample"] == sample and run["folder"]:
                raise FileInUseError(f"{sample} is being measured: wait until its run has ended")


def _buffers(known: Sequence[KnownSample]) -> set[str]:
    """Give the samples that others call their buffers."""
    return {
        other.group
        for sample in known
        for buffer in sample.buffers
        for other in known
        if sample.calls(other, buffer)
    }


def _folder_of(live: "LiveReduction") -> Path:
    """Give the folder of the experiment that the newest run went into, or the next will."""
    if live.folder is not None:
        return live.folder
    folders = [Path(run["folder"]).parent for run in live.status()["runs"] if run["folder"]]
    output = live.beamline.output
    return folders[-1] if folders else output.base / output.folder
