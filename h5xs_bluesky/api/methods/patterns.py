"""The methods of `h5xs` that hand out patterns and show them."""

from h5xs_bluesky.api.data2d import Data2d
from h5xs_bluesky.api.experiment import Experiment
from h5xs_bluesky.api.raw import read_patterns


class PatternMethods(Experiment):
    """Hand out patterns."""

    def get_d2(
        self, sn: str | None = None, det_ext: str | None = None, frn: int | None = None
    ) -> Data2d | dict[str, Data2d]:
        """Give one frame of a sample: of one detector, or of each by its extension.

        Parameters
        ----------
        det_ext
            The detector's extension.
        frn
            Which frame; the first by default, −1 for each detector's latest.

        Raises
        ------
        IndexError
            If the sample has no such frame, or not of this detector.
        """
        name = self._source.resolve(sn)
        with self._source.reading():
            patterns = read_patterns(
                self._source.sample(name),
                self._memory.beamline,
                extension=det_ext or None,
                frn=frn or 0,
                roots=self._source.roots,
            )
        return patterns[det_ext] if det_ext else patterns
