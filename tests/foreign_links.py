"""Every way in which an HDF5 file can lead to data outside its folder."""

from pathlib import Path

import h5py

KINDS = [
    "external link",
    "relative external link",
    "soft link to an external link",
    "virtual dataset",
    "external raw storage",
    "external link into the working directory",
    "virtual dataset in the working directory",
    "relative external raw storage",
    "virtual dataset of a link",
    "virtual dataset of a virtual dataset",
    "virtual dataset of numbered files",
]
SHAPE = (1, 3, 4)


def link_out(kind: str, data: h5py.Group, secret: Path, name: str = "leak") -> None:
    """Let a member of a group lead to the dataset ``d`` of another file, in one of `KINDS`.

    What leads through the working directory does so where that is the other file's folder.
    """
    beside = Path(data.file.filename).with_name(f"{name}.bin")
    if kind == "external link":
        data[name] = h5py.ExternalLink(str(secret), "/d")
    elif kind == "relative external link":
        up = "../" * 30 + str(secret).lstrip("/")
        data[name] = h5py.ExternalLink(up, "/d")
    elif kind == "soft link to an external link":
        data.file["hidden"] = h5py.ExternalLink(str(secret), "/d")
        data[name] = h5py.SoftLink("/hidden")
    elif kind == "virtual dataset":
        show(data, name, secret)
    elif kind == "external link into the working directory":
        data[name] = h5py.ExternalLink(secret.name, "/d")
    elif kind == "virtual dataset in the working directory":
        show(data, name, secret.name)
    elif kind == "virtual dataset of a link":
        with h5py.File(beside, "w") as file:
            file["d"] = h5py.ExternalLink(str(secret), "/d")
        show(data, name, beside.name)
    elif kind == "virtual dataset of a virtual dataset":
        with h5py.File(beside, "w") as file:
            show(file, "d", secret)
        show(data, name, beside.name)
    elif kind == "virtual dataset of numbered files":
        beside.with_name(f"{name}_0.bin").symlink_to(secret)
        show_numbered(data, name, f"{name}_%b.bin")
    else:
        target = str(secret) if kind == "external raw storage" else secret.name
        data.create_dataset(
            name, shape=SHAPE, dtype=float, external=[(target, 0, h5py.h5f.UNLIMITED)]
        )


def show(data: h5py.Group, name: str, target: Path | str) -> None:
    """Make a virtual dataset of the dataset ``d`` of another file."""
    layout = h5py.VirtualLayout(shape=SHAPE, dtype=float)
    layout[:] = h5py.VirtualSource(target, "d", shape=SHAPE)
    data.create_virtual_dataset(name, layout)


def show_numbered(data: h5py.Group, name: str, pattern: str, source: str = "d") -> None:
    """Make a virtual dataset with a block from each source; "%b" stands for the block's number."""
    endless = (h5py.h5s.UNLIMITED, *SHAPE[1:])
    space = h5py.h5s.create_simple(SHAPE, endless)
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 1, 1), SHAPE)
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(space, pattern.encode(), source.encode(), h5py.h5s.create_simple(SHAPE))
    whole = h5py.h5s.create_simple(SHAPE, endless)
    h5py.h5d.create(data.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, whole, properties)
