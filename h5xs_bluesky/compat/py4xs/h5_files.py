"""Looking into HDF5 files, and putting several of them together, as py4xs' ``hdf`` does."""

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import h5py

from h5xs_bluesky import schema
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.errors import FileFormatError, SampleNotFoundError
from h5xs_bluesky.io.experiment import open_for_reading, samples
from h5xs_bluesky.io.replace import replace_whole
from h5xs_bluesky.io.writing import made_in_memory

_P = ParamSpec("_P")
_R = TypeVar("_R")
_E = TypeVar("_E", bound=Experiment)


def lsh5(
    hd: h5py.Group,
    prefix: str = "",
    top_only: bool = False,
    silent: bool = False,
    print_attrs: bool = True,
) -> list[str]:
    """Show what a file or group holds, on the standard output.

    Parameters
    ----------
    hd
        The file or group.
    prefix
        Begins each line.
    top_only
        Only the members of the group itself.
    silent
        Show nothing.
    print_attrs
        Show the attributes of groups, too.

    Returns
    -------
    list of str
        Names of the group's members.
    """
    names = list(hd)
    if not silent:
        lines = [str(names)] if top_only else list(_lines(hd, prefix, print_attrs))
        sys.stdout.writelines(line + "\n" for line in lines)
    return names


def _lines(group: h5py.Group, prefix: str, print_attrs: bool) -> Any:
    for name in group:
        yield f"{prefix} {name}"
        member = group.get(name)
        if isinstance(member, h5py.Group):
            if print_attrs:
                yield str(list(member.attrs.items()))
            yield from _lines(member, prefix + "=", print_attrs)


def find_field(fh5: h5py.File, fieldName: str, sname: str | None = None) -> str | dict[str, str]:
    """Tell in which stream a field is.

    Parameters
    ----------
    fh5
        The open file.
    fieldName
        The field.
    sname
        A sample; by default all of them.

    Returns
    -------
    str or dict
        The stream; without `sname` that of each sample that has the field.

    Raises
    ------
    SampleNotFoundError
        If the sample has no such field.
    """
    found: dict[str, str] = {}
    for name, group in samples(fh5) if sname is None else [(sname, fh5[sname])]:
        for stream in group:
            if f"{stream}/{schema.DATA}/{fieldName}" in group:
                found[name] = stream
                break
    if sname is None:
        return found
    if sname not in found:
        raise SampleNotFoundError(f"{sname}: expected the field {fieldName!r}, found none")
    return found[sname]


def create_linked_files(fn: str | Path, fnlist: Sequence[str | Path]) -> None:
    """Make a file that shows the samples of others; its settings are those of the first.

    The links are relative, so that the files can be moved together. `h5xs` follows them inside
    the new file's folder; elsewhere with ``roots=[…]``.

    Parameters
    ----------
    fn
        The new file; one that is there is replaced.
    fnlist
        The others.

    Raises
    ------
    FileFormatError
        If two files hold a sample of one name, or they were made with other detectors or another
        q-grid.
    """
    target = Path(fn).absolute()
    with replace_whole(target) as temporary, made_in_memory(temporary) as new:
        for path in (Path(other).absolute() for other in fnlist):
            with open_for_reading(path) as old:
                _take_settings(new, old)
                for name in old:
                    if name in new:
                        raise FileFormatError(
                            f"{path}: expected names of samples that differ between the files, "
                            f"found {name!r} in an earlier one, too"
                        )
                    link = os.path.relpath(path, target.parent)
                    new[name] = h5py.ExternalLink(link, "/" + name)


def _take_settings(new: h5py.File, old: h5py.File) -> None:
    if not new.attrs:
        for key, value in old.attrs.items():
            new.attrs[key] = value
    for key in (schema.DETECTORS, schema.QGRID):
        one, other = (str(file.attrs.get(key)) for file in (new, old))
        if one != other:
            raise FileFormatError(
                f"{old.filename}: expected the same {key!r} as in the first file, found others: "
                "reduce the samples with one configuration first"
            )


def h5_file_access(method: Callable[Concatenate[_E, _P], _R]) -> Callable[Concatenate[_E, _P], _R]:
    """Open an experiment's file while a method runs; for classes that extend `h5xs`."""

    @wraps(method)
    def opened(self: _E, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        was_open = bool(self.fh5)
        self.explicit_open()
        try:
            return method(self, *args, **kwargs)
        finally:
            if not was_open:
                self.explicit_close()

    return opened
