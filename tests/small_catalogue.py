"""What a catalogue holds of runs, to compare it with what it should."""

import json
from typing import Any

from h5xs_bluesky.tiled.published_runs import CATALOGUE
from h5xs_bluesky.tiled.sources import COMPLETE, DIGEST, SOURCE


def complete(client: Any, uids: list[str]) -> bool:
    """Whether these raw runs, and their curves and processed runs, are in a catalogue."""
    runs = client.get("runs", {})
    if not {"raw", "processed", "curves"} <= set(runs):
        return False
    processed = {
        node.metadata["start"]["original_run_uid"]: node for node in runs["processed"].values()
    }
    return all(
        uid in runs["raw"]
        and DIGEST in runs["raw"][uid].metadata
        and DIGEST in getattr(processed.get(uid), "metadata", {})
        and uid in runs["curves"]
        and runs["curves"][uid].metadata[COMPLETE]
        for uid in uids
    )


def tree(node: Any, path: str = "") -> dict[str, Any]:
    """Give all that a node of a catalogue holds, by its path: metadata, and values.

    TiledWriter's notes come in any order. Source and digest tell where the files lie, too, and
    each catalogue has a name of its own.
    """
    base = getattr(node, "base", node)
    passing = ("notes", CATALOGUE, DIGEST, SOURCE)
    known = {key: value for key, value in base.metadata.items() if key not in passing}
    known["notes"] = sorted(base.metadata.get("notes", []))
    metadata = json.dumps(known, sort_keys=True, default=list)
    family = base.structure_family.name
    if family == "container":
        found: dict[str, Any] = {path: metadata}
        for key, child in base.items():
            found |= tree(child, f"{path}/{key}")
        return found
    values = base.read()
    if family == "table":
        columns = {name: values[name].tolist() for name in sorted(values)}
        return {path: (metadata, repr(columns))}
    return {path: (metadata, values.dtype.str, values.shape, values.tobytes())}
