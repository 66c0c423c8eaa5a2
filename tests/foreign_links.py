"""Every way in which an HDF5 file can lead to data outside its folder."""

from pathlib import Path

import h5py

KINDS = [
    "external link",
    "relative external link",
    "soft link to an external link",
    "virtual dataset",
    "external raw storage",
]


def link_out(kind: str, data: h5py.Group, secret: Path, name: str = "leak") -> None:
    """Let a member of a group lead to the dataset ``d`` of another file, in one of `KINDS`."""
    if kind == "external link":
        data[name] = h5py.ExternalLink(str(secret), "/d")
    elif kind == "relative external link":
        up = "../" * 30 + str(secret).lstrip("/")
        data[name] = h5py.ExternalLink(up, "/d")
    elif kind == "soft link to an external link":
        data.file["hidden"] = h5py.ExternalLink(str(secret), "/d")
        data[name] = h5py.SoftLink("/hidden")
    elif kind == "virtual dataset":
        layout = h5py.VirtualLayout(shape=(1, 3, 4), dtype=float)
        layout[:] = h5py.VirtualSource(secret, "d", shape=(1, 3, 4))
        data.create_virtual_dataset(name, layout)
    else:
        data.create_dataset(
            name, shape=(1, 3, 4), dtype=float, external=[(str(secret), 0, h5py.h5f.UNLIMITED)]
        )
