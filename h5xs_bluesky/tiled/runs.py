"""The runs in a folder: where they lie, whether they go on, and what of them may be told."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import httpx
from fastapi import HTTPException
from tiled.client.utils import ClientError

from h5xs_bluesky import schema
from h5xs_bluesky.errors import FileFormatError, H5xsError
from h5xs_bluesky.io.experiment import open_for_reading
from h5xs_bluesky.io.journal import read_journal
from h5xs_bluesky.tiled.adapter import curve_metadata
from h5xs_bluesky.tiled.files import ServedFile, one_reader
from h5xs_bluesky.tiled.folders import (
    Key,
    ServedFolder,
    Signature,
    file_signature,
    goes_on,
    linked_samples,
    listing_signature,
    own_file,
)
from h5xs_bluesky.tiled.results import results_of

logger = logging.getLogger(__name__)

RUNS = "runs"  # the container of all that is published of runs
RAW, PROCESSED, CURVES = "raw", "processed", "curves"  # in it


@dataclass(frozen=True, kw_only=True, slots=True)
class RunPlace:
    """Where a run lies that was measured into an experiment.

    Parameters
    ----------
    key
        The names of the containers that lead to the experiment in the catalogue.
    experiment
        The experiment's file.
    sample
        The sample's group in it, and the folder beside it.
    """

    key: Key
    experiment: Path
    sample: str

    @property
    def label(self) -> str:
        """How the run is called in messages."""
        return "/".join((*self.key, self.sample))

    @property
    def folder(self) -> Path:
        """The sample's folder."""
        return self.experiment.parent / self.sample

    @property
    def served(self) -> ServedFile:
        """The experiment, as it is opened for a server."""
        return ServedFile(path=self.experiment)

    def own_file(self, name: str) -> Path:
        """Give a file of the sample's folder.

        Raises
        ------
        RefusedError
            If it leads out of the experiment.
        """
        return own_file(self.experiment, self.sample, name)

    def signature(self) -> Signature:
        """Give what changes when there is news of a run."""
        names = (schema.PROCESSED_FILE, schema.JOURNAL_FILE, schema.STATUS_FILE)
        return tuple(file_signature(self.folder / name) for name in names)

    def goes_on(self) -> bool:
        """Tell whether more will come: a process holds the run, and has not finished it."""
        return goes_on(self.experiment, self.sample)

    def metadata(self) -> dict[str, Any]:
        """Give what is told of the sample with its curves, from the experiment's file.

        Raises
        ------
        FileFormatError
            If the run has no uid that can be a name in the catalogue.
        HTTPException
            As `ServedFile.reading`.
        """
        with self.served.reading() as file:
            group = self.served.group(file, self.sample)
            with results_of(self.served, group, self.sample) as results:
                metadata = curve_metadata(file, group, results)
        checked_uid(metadata.get("uid"), self.label)
        return metadata


def checked_uid(uid: Any, label: str) -> str:
    """Give a run's uid, if it can be a name in the catalogue.

    Raises
    ------
    FileFormatError
        If it cannot.
    """
    text = uid if isinstance(uid, str) else ""
    if not text or not text.isascii() or not text.replace("-", "").replace("_", "").isalnum():
        raise FileFormatError(
            f"{label}: expected a start document with a uid of letters and digits, found {uid!r}"
        )
    return text


class RunsOfFolder:
    """Finds the runs in a folder, again and again; files that hold no journals have none.

    Of a run that several samples hold one is taken: that which was measured before those that were
    read from a store (the attribute ``origin``), then the first in the order of the paths.
    """

    def __init__(self, folder: Path) -> None:
        self._served = ServedFolder(folder, tells=False)  # the samples' does
        self._listed: dict[Key, tuple[Signature, list[RunPlace]]] = {}
        self._told: dict[Key, str] = {}
        self._uids: dict[RunPlace, str] = {}
        self._from_store: dict[RunPlace, bool] = {}
        self.found: list[RunPlace] = []  # with all copies
        self.copies: dict[str, str] = {}  # labels of those that are passed over, and of those taken

    @property
    def path(self) -> Path:
        """The folder."""
        return self._served.folder

    def places(self) -> list[RunPlace]:
        """List the runs, oldest experiment first, each once; `found` and `copies` belong to it."""
        found = self.found = self._all_places()
        same: dict[str, list[RunPlace]] = {}
        for place in found:
            same.setdefault(self.uid(place) or place.label, []).append(place)
        copies: dict[str, str] = {}
        for several in same.values():
            if len(several) > 1:
                taken = min(several, key=lambda p: (self._is_from_store(p), p.experiment, p.sample))
                copies |= {place.label: taken.label for place in several if place != taken}
        self.copies = copies
        return [place for place in found if place.label not in copies]

    def _all_places(self) -> list[RunPlace]:
        """List the runs, oldest experiment first, with all copies."""
        files = self._served.files()
        for key in self._listed.keys() - files.keys():
            del self._listed[key]
        found = [place for key, path in files.items() for place in self._of_file(key, path)]
        for known in (self._uids, self._from_store):
            for place in known.keys() - set(found):
                del known[place]
        return found

    def uid(self, place: RunPlace) -> str:
        """Give the uid of a run, "" where it cannot be read now; read once."""
        if place not in self._uids:
            try:
                with closing(read_journal(place.own_file(schema.JOURNAL_FILE))) as journal:  # type: ignore[type-var]
                    _, start = next(journal, ("", {}))
            except (H5xsError, OSError):  # told when the run is published
                return ""
            if uid := start.get("uid"):
                self._uids[place] = str(uid)
        return self._uids.get(place, "")

    def _is_from_store(self, place: RunPlace) -> bool:
        """Tell whether a run was not measured here, but read from a store."""
        if place not in self._from_store:
            try:
                with place.served.reading() as file:
                    group = place.served.group(file, place.sample)
                    self._from_store[place] = schema.ORIGIN in group.attrs
            except HTTPException:
                return True  # nothing can be published of it now
        return self._from_store[place]

    def _of_file(self, key: Key, path: Path) -> list[RunPlace]:
        if path.name != schema.EXPERIMENT_FILE:
            return []
        now = listing_signature(path)
        before, places = self._listed.get(key, ((), []))
        if now != before:
            try:
                names = linked_samples(path)
            except Exception as error:  # noqa: BLE001 - it is logged
                if self._told.get(key) != str(error):
                    self._told[key] = str(error)
                    logger.warning("%s cannot be read at the moment: %s", path, error)
                return places
            self._told.pop(key, None)
            places = list(_with_journal(key, path, names))
            self._listed[key] = (now, places)
        return places


def _with_journal(key: Key, path: Path, names: list[str]) -> Iterator[RunPlace]:
    for name in names:
        place = RunPlace(key=key, experiment=path, sample=name)
        if (place.folder / schema.JOURNAL_FILE).is_file():
            yield place
        else:
            logger.info("%s has no journal: it is served, and no run of it is published", name)


@contextmanager
def open_processed(place: RunPlace) -> Iterator[h5py.File]:
    """Open the processed file of a run, which may be growing, for one read.

    Raises
    ------
    FileNotFoundError, OSError
        If it is not there, or cannot be read at the moment.
    RefusedError
        If it leads out of the experiment.
    """
    with one_reader, open_for_reading(place.own_file(schema.PROCESSED_FILE)) as file:
        yield file


def roots_of(place: RunPlace) -> list[Path]:
    """Give the folders that links in the files of a run may lead into."""
    return place.served.roots


def container(parent: Any, name: str, *, specs: list[Any], access_tags: list[str] | None) -> Any:
    """Give a container of the catalogue; made where it is missing."""
    if name not in parent:
        try:
            parent.create_container(name, metadata={}, specs=specs, access_tags=access_tags)
        except ClientError as error:
            if error.response.status_code != httpx.codes.CONFLICT:  # somebody else has made it
                raise
    return parent[name]
