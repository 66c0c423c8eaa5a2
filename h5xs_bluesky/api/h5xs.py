"""`h5xs`: an experiment's files, and the curves and patterns in them."""

from h5xs_bluesky.api.methods.buffers import BufferMethods
from h5xs_bluesky.api.methods.chromatography import ChromatographyMethods
from h5xs_bluesky.api.methods.curves import CurveMethods
from h5xs_bluesky.api.methods.export import ExportMethods
from h5xs_bluesky.api.methods.monitors import MonitorMethods
from h5xs_bluesky.api.methods.patterns import PatternMethods
from h5xs_bluesky.api.methods.reduction import ReductionMethods


class h5xs(  # noqa: N801 - the ancestor's name
    ReductionMethods,
    MonitorMethods,
    BufferMethods,
    ChromatographyMethods,
    CurveMethods,
    PatternMethods,
    ExportMethods,
):
    """The scattering data of an experiment, sample by sample.

    Every method opens the file, reads, and closes it, so that what a running scan adds is seen;
    between `explicit_open` and `explicit_close` it stays open as `fh5`. A sample `sn` is named by
    its group, or by the name that its scan gave (the newest of that name); ``"/group"`` is the
    group in any case, for ``%h5xs``, too; None is the oldest. An
    unknown one raises `SampleNotFoundError`, a link out of the folder `RefusedError`.

    Parameters
    ----------
    fn
        The experiment's file, or another `Storage`, such as samples on a server.
    exp_setup
        ``[detectors, qgrid]``, instead of those in the file. The q-grid may be an array of centres.
    transField
        The field of the monitor of the transmitted beam, instead of the one in the file.
    save_d1
        Save at once what `load_data` and `average_d1s` compute. Where that cannot be, as while the
        scan runs, a warning is logged.
    have_raw_data
        False for a file that only holds curves: `load_data` refuses.
    read_only
        Never write.
    roots
        Folders outside the experiment's own that links may lead into, such as where an IOC keeps
        the frames. No file is trusted to name them.
    reduction
        How `load_data` makes curves from frames, instead of what the file says. A file of the
        ancestor says nothing: its beam is taken as polarised horizontally.

    Attributes
    ----------
    samples : list of str
        Their groups, oldest first, when they were last listed.
    d0s : dict
        What `get_mon` found: ``d0s[sample]["transmitted"]``, ``"incident"``, ``"transmission"``.

    Raises
    ------
    FileNotFoundError, FileFormatError
        If there is no such file, or it lacks detectors and q-grid and none are given.

    Examples
    --------
    >>> dt = h5xs("experiment/experiment.h5")  # doctest: +SKIP
    >>> dt.average_d1s()  # doctest: +SKIP
    >>> dt.plot_d1s("lysozyme")  # doctest: +SKIP
    """
