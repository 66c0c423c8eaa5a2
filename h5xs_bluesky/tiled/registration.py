"""A folder's samples in a Tiled catalogue: one node for each, kept as the folder is."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.exc import SQLAlchemyError
from tiled.structures.core import Spec
from tiled.structures.data_source import Asset, DataSource, Management
from tiled.utils import path_from_uri

from h5xs_bluesky.errors import RefusedError
from h5xs_bluesky.tiled.adapter import EXPERIMENT_SPEC, MIMETYPE, SAMPLE_SPEC
from h5xs_bluesky.tiled.files import EXPECTED, file_uri, reason_of
from h5xs_bluesky.tiled.folders import (
    Key,
    ServedFolder,
    Signature,
    linked_samples,
    listing_signature,
    sample_signature,
)
from h5xs_bluesky.tiled.keeping import keep_trying
from h5xs_bluesky.tiled.own_catalog import OwnCatalog
from h5xs_bluesky.tiled.registered import (
    Changes,
    Registered,
    is_complete,
    is_there,
    read_sample,
    read_summary,
    uri_of,
)
from h5xs_bluesky.tiled.runs import RUNS
from h5xs_bluesky.tiled.summaries import from_client

logger = logging.getLogger(__name__)

FOLDER_SPEC = Spec("H5XSFolder", "1")

_MANY = 10  # new samples, that are put into the server's own catalogue
_AT_ONCE = 50
_CANNOT_READ = (
    httpx.codes.FORBIDDEN,
    httpx.codes.NOT_FOUND,
    httpx.codes.INTERNAL_SERVER_ERROR,
)


class FolderRegistration:
    """Keeps a catalogue as a folder is; the catalogue can be lost, and is made anew from it.

    Parameters
    ----------
    client
        The container of the catalogue that the folder's files go into.
    folder
        What is served; the server has to be allowed to read it.
    access_tags
        Of every node that is made, where the server has a policy of tags.
    alone
        Nothing else is in the container: what an earlier call left there and is gone is removed.
    catalog
        The server's own, where this process has it and `client` is its root: many new samples are
        put into it at once.
    """

    def __init__(
        self,
        client: Any,
        folder: Path,
        *,
        access_tags: Sequence[str] | None = None,
        alone: bool = False,
        catalog: OwnCatalog | None = None,
    ) -> None:
        self._catalog = catalog
        self._root = client
        self._served = ServedFolder(folder)
        self._access_tags = None if access_tags is None else list(access_tags)
        self._containers: dict[Key, Any] = {}
        self._samples: dict[Key, dict[str, Registered]] = {}
        self._listed: dict[Key, tuple[Signature, list[str]]] = {}
        self._uris: dict[Key, str] = {}
        self._alone = self._look_for_strangers = alone
        self._told: dict[str, str] = {}
        self._readable: set[Key] = set()  # by the server
        self._stale = False

    def forget(self) -> None:
        """Look at the catalogue anew at the next occasion: it may not be what it was."""
        self._stale = True

    def update(self, stop: threading.Event | None = None) -> Changes:
        """Look at the folder once, and bring the catalogue up to it.

        A sample that cannot be read now is tried again the next time.

        Parameters
        ----------
        stop
            Once it is set, the rest is left.

        Raises
        ------
        httpx.HTTPError
            If the server cannot be reached.
        """
        if self._stale:
            self._stale = False
            self._containers.clear()
            self._samples.clear()
            self._readable.clear()
        changes = Changes()
        files = self._files(changes)
        if self._look_for_strangers:
            self._remove_strangers(files, changes)
            self._look_for_strangers = False
        for key, path in files.items():
            names = self._names(key, path, changes)
            with suppress(RefusedError):  # none of its samples can be registered
                self._uris[key] = file_uri(path)
            self._add_many(key, path, names, changes, stop)
            asked = False
            for sample in names:
                if stop is not None and stop.is_set():
                    return changes
                self._update_sample(key, path, sample, changes)
                asked = asked or self._ask_for(key, path, sample, changes)
        self._remove(files, changes)
        return changes

    def _files(self, changes: Changes) -> dict[Key, Path]:
        """Give the files to register: none in the container that runs are published in."""
        files = self._served.files()
        if any(key[0] == RUNS for key in files):
            reason = (
                f"expected no folder of the name {RUNS!r} here, under which runs are published: "
                "rename it"
            )
            self._fail(RUNS, RefusedError(reason), changes)
        return {key: path for key, path in files.items() if key[0] != RUNS}

    def _names(self, key: Key, path: Path, changes: Changes) -> list[str]:
        """List a file's samples; anew when it has changed."""
        now = listing_signature(path)
        before, names = self._listed.get(key, ((), []))
        if now != before:
            try:
                names = linked_samples(path)
            except Exception as error:  # noqa: BLE001 - it is logged
                self._fail("/".join(key), error, changes)
            else:
                self._listed[key] = (now, names)
                self._told.pop("/".join(key), None)
        return names

    def _add_many(
        self,
        key: Key,
        path: Path,
        names: list[str],
        changes: Changes,
        stop: threading.Event | None,
    ) -> None:
        """Put samples that are all new into the catalogue, some at once; leaves others alone."""
        if self._catalog is None:
            return
        new = [name for name in names if name not in self._known(key)]
        for some in _batched(new if len(new) >= _MANY else [], _AT_ONCE):
            found: dict[str, Registered] = {}
            for sample in some:
                if stop is not None and stop.is_set():
                    return
                with suppress(Exception):  # it is told of when it is tried alone
                    found[sample] = read_sample(path, sample)
            try:
                self._catalog.add(key, path, {name: each.metadata for name, each in found.items()})
            except (SQLAlchemyError, RefusedError) as error:
                logger.warning("Samples of %s are registered one by one: %s", path, error)
                return
            self._known(key).update(found)
            changes.added += ["/".join((*key, sample)) for sample in found]

    def _update_sample(self, key: Key, path: Path, sample: str, changes: Changes) -> None:
        known = self._known(key).get(sample)
        signature = sample_signature(path, sample, ended=known is not None and known.ended)
        if known is not None and known.signature == signature:
            return
        label = "/".join((*key, sample))
        try:
            metadata = read_summary(path, sample)
        except Exception as error:  # noqa: BLE001 - it is logged
            self._fail(label, error, changes)
            return
        try:
            if known is not None and known.uri != file_uri(path):
                self._refuse_another(known.uri)
                self._container(key).delete_contents(sample)
                del self._known(key)[sample]  # also where the next line fails
                self._add(key, path, sample, metadata)
                changes.updated.append(label)
            elif known is None:
                self._add(key, path, sample, metadata)
                changes.added.append(label)
            elif known.metadata != metadata:
                node = self._container(key)[sample]
                node.replace_metadata(metadata, drop_revision=True)
                changes.updated.append(label)
        except (httpx.TransportError, KeyError):  # of the server, and not of this sample
            raise
        except Exception as error:  # noqa: BLE001 - it is logged
            self._fail(label, error, changes)
            return
        self._told.pop(label, None)
        ended = is_complete(metadata)
        if ended != (known is not None and known.ended):
            signature = sample_signature(path, sample, ended=ended)
        self._known(key)[sample] = Registered(
            metadata=metadata, uri=file_uri(path), signature=signature
        )

    def _refuse_another(self, uri: str) -> None:
        """Refuse to take the place of a sample of another folder; that of a lost file is free."""
        if not self._alone and is_there(path_from_uri(uri)):
            raise RefusedError(
                f"another folder has this name: use --under (it is registered from {uri})"
            )

    def _ask_for(self, key: Key, path: Path, sample: str, changes: Changes) -> bool:
        """Let the server read what is in a sample, as it may not be allowed to; False: not asked.

        Its own catalogue lists none but what it may read.
        """
        if self._catalog is not None or key in self._readable:
            return True
        known = self._known(key).get(sample)
        if known is None or known.uri != self._uris.get(key):
            return False
        # Tiled's client would try for a minute where the server refuses with a 500.
        address = self._container(key)[sample].item["links"]["search"]
        answer = self._root.context.http_client.get(address, params={"page[limit]": 1})
        if answer.status_code in _CANNOT_READ:
            reason = f"the server cannot read {path}: it has to lie below its readable_storage"
            self._fail("/".join((*key, sample)), RefusedError(reason), changes)
        elif answer.is_success:
            self._readable.add(key)
        return True

    def _fail(self, label: str, error: Exception, changes: Changes) -> None:
        """Note why something is not in the catalogue; it is logged when the reason is a new one."""
        reason = reason_of(error)
        changes.failed[label] = reason
        if self._told.get(label) == reason:
            return
        self._told[label] = reason
        unexpected = None if isinstance(error, EXPECTED) else error
        logger.warning("%s is not up to date: %s", label, reason, exc_info=unexpected)

    def _known(self, key: Key) -> dict[str, Registered]:
        """Give what the catalogue has of a file; asked once."""
        if key not in self._samples:
            container = self._container(key)
            nodes = container.new_variation(include_data_sources=True).items()
            self._samples[key] = {
                name: Registered(metadata=from_client(node.metadata), uri=uri_of(node))
                for name, node in nodes
                if SAMPLE_SPEC.name in {spec.name for spec in node.specs}
            }
        return self._samples[key]

    def _container(self, key: Key) -> Any:
        """Give the container of a file, or of a folder above it; made where it is missing."""
        if not key:
            return self._root
        if key not in self._containers:
            parent = self._container(key[:-1])
            if key[-1] not in parent:
                spec = EXPERIMENT_SPEC if key in self._served.files() else FOLDER_SPEC
                parent.create_container(
                    key[-1], metadata={}, specs=[spec], access_tags=self._access_tags
                )
            self._containers[key] = parent[key[-1]]
        return self._containers[key]

    def _add(self, key: Key, path: Path, sample: str, metadata: dict[str, Any]) -> None:
        source = DataSource(
            "container",
            None,
            mimetype=MIMETYPE,
            parameters={"sample": sample},
            management=Management.external,
            assets=[Asset(file_uri(path), False, "data_uris", 0)],
        )
        self._container(key).new(
            "container",
            [source],
            key=sample,
            metadata=metadata,
            specs=[SAMPLE_SPEC],
            access_tags=self._access_tags,
        )

    def _remove_strangers(self, files: dict[Key, Path], changes: Changes) -> None:
        """Take what an earlier call registered and is gone out of a catalogue that was kept."""
        wanted = {RUNS, *(key[0] for key in files)}
        ours = {EXPERIMENT_SPEC.name, FOLDER_SPEC.name}
        for name, node in list(self._root.items()):
            if name not in wanted and ours & {spec.name for spec in node.specs}:
                node.delete(recursive=True)
                changes.removed.append(name)

    def _remove(self, files: dict[Key, Path], changes: Changes) -> None:
        """Take what the folder does not hold any more out of the catalogue."""
        for key in list(self._samples):
            if key not in files:
                self._remove_file(key, changes)
                for known in (self._samples, self._containers, self._listed, self._uris):
                    known.pop(key, None)
            elif key in self._listed:
                for sample in self._samples[key].keys() - set(self._listed[key][1]):
                    if self._is_ours(key, sample):
                        self._container(key).delete_contents(sample)
                        changes.removed.append("/".join((*key, sample)))
                        del self._samples[key][sample]

    def _remove_file(self, key: Key, changes: Changes) -> None:
        """Take a file's samples out of the catalogue, and their container if it is then empty."""
        container, samples = self._container(key), self._samples[key]
        ours = [sample for sample in samples if self._is_ours(key, sample)]
        if self._alone or set(container) <= set(ours):
            container.delete(recursive=True)
            changes.removed.append("/".join(key))
            return
        container.delete_contents(ours)
        changes.removed += ["/".join((*key, sample)) for sample in ours]

    def _is_ours(self, key: Key, sample: str) -> bool:
        """Tell whether a sample was registered from this folder."""
        return self._alone or self._samples[key][sample].uri == self._uris.get(key)


def _batched(names: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Give a sequence in pieces."""
    return (names[first : first + size] for first in range(0, len(names), size))


def watch_folder(
    registration: FolderRegistration, *, period_s: float, stop: threading.Event
) -> None:
    """Keep a catalogue as a folder is until told to stop; trouble is logged, and tried again."""

    def update() -> float:
        if changes := registration.update(stop):
            logger.info("Catalogue: %s", changes)
        return period_s

    keep_trying(
        update,
        what="The catalogue is behind its folder",
        forget=registration.forget,
        again_s=period_s,
        stop=stop,
    )
