"""Every error that this package raises on purpose.

Each one is also a builtin error, so that code which does not know this package can catch it.
Messages say what was expected, what was found, where, and what to do next.
"""


class H5xsError(Exception):
    """Base of all errors raised on purpose by this package."""


class ConfigurationError(H5xsError, ValueError):
    """A beamline configuration (TOML or stored in a file) cannot be used."""


class FileFormatError(H5xsError, ValueError):
    """A file does not hold what its format promises."""


class FileDamagedError(H5xsError, OSError):
    """A part of a file cannot be read, and will not get better by itself."""


class FileCutError(FileDamagedError):
    """A file is shorter than it says: it was cut short, or is still being copied."""


class FrameAbsentError(H5xsError, OSError):
    """A frame is not on disk, or not any more, where HDF5 would give zeros without a word."""


class RefusedError(H5xsError, PermissionError):
    """Something in a file or document asks for what is never done: run code, leave a folder."""


class FileInUseError(H5xsError, BlockingIOError):
    """Another process holds the lock of a sample or an experiment."""


class SampleNotFoundError(H5xsError, KeyError):
    """The experiment holds no sample of this name."""

    def __str__(self) -> str:
        """Give the message as it was written; `KeyError` would show it quoted."""
        return str(self.args[0]) if self.args else ""


class RunNotFoundError(SampleNotFoundError):
    """A catalogue holds no run of this uid."""


class CatalogError(H5xsError, OSError):
    """A catalogue cannot be reached, or does not give a run back."""


class ReductionError(H5xsError, ValueError):
    """Arrays do not fit each other, or nothing is left to reduce."""


class PlanError(H5xsError, ValueError):
    """A plan was given a number that makes no sense."""


class FramesNotSavedError(H5xsError, RuntimeError):
    """Pixels of a scan would be lost; the only error that the callback raises into a scan."""


class ServerError(H5xsError, ConnectionError):
    """A server that belongs to this session has ended or does not answer."""


def details_of(error: BaseException) -> BaseException | None:
    """Give what a log shows of an error beyond its message: nothing where that says it all.

    Parameters
    ----------
    error
        One of ours, or of the operating system, does; of all others the traceback is shown.

    Returns
    -------
    BaseException or None
        For `exc_info`.
    """
    told = isinstance(error, H5xsError) or getattr(error, "errno", None) is not None
    return None if told else error
