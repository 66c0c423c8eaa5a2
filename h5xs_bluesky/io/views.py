"""What a virtual dataset shows: which of its rows are views of which rows of other datasets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import h5py

Index = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Slab:
    """What a regular selection takes along one axis: `count` blocks, `stride` apart.

    HDF5 gives a single block any stride.
    """

    start: int
    stride: int
    count: int
    block: int

    @property
    def size(self) -> int:
        """How many it takes."""
        return self.count * self.block

    def ordinal(self, place: int) -> int | None:
        """Which of them a place is; None if it is none."""
        if place < self.start:
            return None
        number, rest = divmod(place - self.start, max(self.stride, self.block))
        if number >= self.count or rest >= self.block:
            return None
        return number * self.block + rest

    def place(self, ordinal: int) -> int:
        """Give the place of one of them."""
        number, rest = divmod(ordinal, self.block)
        return self.start + number * max(self.stride, self.block) + rest


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A part of a virtual dataset, and where it comes from.

    Parameters
    ----------
    file, dataset
        The source; in both "%b" stands for the number of the block.
    here
        Along the leading axes of the virtual dataset.
    there
        Along those of the source; None where it takes all of them.
    trailing
        How many axes are not leading.
    regular
        Whether it is known which row there a row here is.
    """

    file: str
    dataset: str
    here: tuple[Slab, ...]
    there: tuple[Slab, ...] | None
    trailing: int
    regular: bool = True

    def ordinal(self, index: Index) -> int | None:
        """Tell as which of its rows, counted flat, the view shows a row here; None if it does not.

        Of blocks that come from sources of their own, counted in the block.
        """
        number = 0
        for axis, (place, slab) in enumerate(zip(index, self.here, strict=True)):
            own = slab.ordinal(place)
            if own is None:
                return None
            if axis == 0 and self._numbered:
                own %= slab.block
            number = own if axis == 0 else number * slab.size + own
        return number

    def names(self, index: Index) -> tuple[str, str]:
        """Give the file and the dataset that a row comes from."""
        if not self._numbered or not index:
            return self.file, self.dataset
        slab = self.here[0]
        block = str((index[0] - slab.start) // max(slab.stride, slab.block))
        return self.file.replace("%b", block), self.dataset.replace("%b", block)

    def source_index(self, ordinal: int, shape: Index | None) -> Index | None:
        """Give the place in the source; None where that does not exist, or needs its shape."""
        if not self.regular:
            return None
        if self.there is None:
            return _unravel(ordinal, shape) if shape is not None else None
        found: list[int] = []
        for slab in reversed(self.there[1:]):
            ordinal, own = divmod(ordinal, slab.size)
            found.append(slab.place(own))
        if self.there:
            found.append(self.there[0].place(ordinal))
        return tuple(reversed(found))

    @property
    def _numbered(self) -> bool:
        return "%b" in self.file or "%b" in self.dataset


def views_of(data: h5py.Dataset, axes: int) -> Sequence[View]:
    """List the views that make a virtual dataset with so many leading axes."""
    trailing = data.ndim - axes
    views = []
    for source in data.virtual_sources():
        here = _slabs(source.vspace, axes)
        selected = source.src_space
        takes_all = selected.get_select_type() == h5py.h5s.SEL_ALL
        there = (
            None if takes_all else _slabs(selected, selected.get_simple_extent_ndims() - trailing)
        )
        views.append(
            View(
                file=source.file_name,
                dataset=source.dset_name,
                here=here or _around(source.vspace, axes),
                there=there,
                trailing=trailing,
                regular=here is not None and (takes_all or there is not None),
            )
        )
    return views


def _slabs(space: h5py.h5s.SpaceID, axes: int) -> tuple[Slab, ...] | None:
    """Give what a selection takes along its leading axes; None where it is irregular."""
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        lengths = space.get_simple_extent_dims()[: max(0, axes)]
        return tuple(Slab(0, 1, 1, length) for length in lengths)
    if space.get_select_type() != h5py.h5s.SEL_HYPERSLABS or not space.is_regular_hyperslab():
        return None
    starts, strides, counts, blocks = space.get_regular_hyperslab()
    every = zip(starts, strides, counts, blocks, strict=True)
    return tuple(Slab(*(int(n) for n in numbers)) for numbers in every)[: max(0, axes)]


def _around(space: h5py.h5s.SpaceID, axes: int) -> tuple[Slab, ...]:
    """Give the box around an irregular selection."""
    low, high = space.get_select_bounds()
    return tuple(Slab(int(a), 1, 1, int(b) - int(a) + 1) for a, b in zip(low, high, strict=True))[
        :axes
    ]


def _unravel(ordinal: int, shape: Index) -> Index | None:
    if not shape:
        return () if ordinal == 0 else None
    found: list[int] = []
    for length in reversed(shape[1:]):
        ordinal, own = divmod(ordinal, max(1, length))
        found.append(own)
    return (ordinal, *reversed(found)) if math.prod(shape[1:]) else None
