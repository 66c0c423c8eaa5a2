"""Names of files, groups, datasets and attributes; each stands here and nowhere else.

The layout that readers see through ``experiment.h5`` (or a packed file)::

    /                                      attrs DETECTORS, QGRID, TRANS, SCHEMA, ...
    /<sample>                              attrs START, STOP, DESCRIPTORS (JSON), BUFFER, ...
    /<sample>/<stream>/time                (events,)
    /<sample>/<stream>/seq_num             (events,)
    /<sample>/<stream>/superseded          (events,) once the run has ended
    /<sample>/<stream>/data/<field>        frames (n, H, W) or values (events, ...)
    /<sample>/<stream>/timestamps/<field>  (n,) or (events,)
    /<sample>/processed/<curve>            (n, 2, nq) per frame, (2, nq) averaged and subtracted
    /<sample>/reduction/...                accumulators, monitors, selection, provenance
"""

from typing import Final

SCHEMA_VERSION: Final = 1

# Files of an experiment folder.
EXPERIMENT_FILE: Final = "experiment.h5"
EXPERIMENT_LOCK: Final = "experiment.lock"
RUN_FILE: Final = "run.h5"
RUN_LOCK: Final = "run.lock"
PROCESSED_FILE: Final = "processed.h5"
JOURNAL_FILE: Final = "documents.msgpack"
STATUS_FILE: Final = "status.json"
H5_SUFFIX: Final = ".h5"
SIDECAR_SUFFIX: Final = ".processed.h5"  # results for samples in a file of another origin
SIDECAR_LOCK_SUFFIX: Final = ".processed.lock"

# Files beside the experiment's, <extension>.CALIBRATION.<date>.poni, .json and .png.
CALIBRATION: Final = "calibration"

# Attributes of the root; the first three are the ancestor's.
DETECTORS: Final = "detectors"
QGRID: Final = "qgrid"
TRANS: Final = "trans"
QGRID_EDGES: Final = "qgrid_edges"
SCHEMA: Final = "h5xs_schema"
BEAMLINE: Final = "beamline"

# Attributes of a sample.
START: Final = "start"
STOP: Final = "stop"
DESCRIPTORS: Final = "descriptors"
BUFFER: Final = "buffer"
EMPTY: Final = "empty"
SELECTED: Final = "selected"
SC_FACTOR: Final = "sc_factor"
SAMPLE_NAME: Final = "sample_name"
ORIGIN: Final = "origin"  # JSON: the store that a run was read from, and what that had lost

# Groups and datasets of a sample.
PRIMARY: Final = "primary"
TIME: Final = "time"
SEQ_NUM: Final = "seq_num"
SUPERSEDED: Final = "superseded"
DATA: Final = "data"
TIMESTAMPS: Final = "timestamps"
PROCESSED: Final = "processed"
REDUCTION: Final = "reduction"

# Curves in `processed`; the others are named by their detector's extension.
MERGED: Final = "merged"
AVERAGED: Final = "averaged"
SUBTRACTED: Final = "subtracted"

# A frame file: DATA (n, H, W) or a link to the file of another writer, TIMESTAMPS (n,) and
# POSITION (n,) of each frame in its stream, COMMITTED (1,) of how many count. FIELD,
# FRAMES_PER_EVENT and RECONSTRUCTED are attributes of TIMESTAMPS.
COMMITTED: Final = "committed"
FRAMES_PER_EVENT: Final = "frames_per_event"
FIELD: Final = "field"
RECONSTRUCTED: Final = "reconstructed"  # the times are when the frames were announced
POSITION: Final = "position"
NO_POSITION: Final = -1  # of frames that belong to no event, or to one with another number of them

# Of a dataset in DATA that has values for some events only: their rows.
EVENT_ROWS: Final = "event_rows"

# Members of `reduction`.
ACCUMULATORS: Final = "accumulators"
TRANSMITTED: Final = "transmitted"
INCIDENT: Final = "incident"
SELECTION: Final = "selection"
KEPT: Final = "kept"
P_VALUE: Final = "p_value"
LONGEST_RUN: Final = "longest_run"
REFERENCE: Final = "reference"
DISTANCE: Final = "distance"
REASON: Final = "reason"
TRANS_SIGMA: Final = "trans_sigma"
TRANS_MODE: Final = "trans_mode"
TRANSMITTED_SIGMA: Final = "transmitted_sigma"
INCIDENT_SIGMA: Final = "incident_sigma"
WATER: Final = "water"
WATER_Q_RANGE: Final = "water_q_range"
WATER_BACKGROUND: Final = "water_background"
AUTOMATIC: Final = "automatic"  # of a subtraction: its factor was found from the water peak
PROVENANCE: Final = "provenance"  # of the accumulators
AVERAGING: Final = "averaging"  # of the average, an NXprocess, too
NO_AVERAGE: Final = "no_average"  # an attribute: why a series behind a column has none

# Members of `reduction/chromatogram`, of a series behind a column; TRANS and CONFIGURATION are
# attributes there, too.
CHROMATOGRAM: Final = "chromatogram"
INTENSITY: Final = "intensity"
RG: Final = "rg"
I0: Final = "i0"
BUFFER_FRAMES: Final = "buffer_frames"
SAMPLE_FRAMES: Final = "sample_frames"
PEAKS: Final = "peaks"
BUFFER_GIVEN: Final = "buffer_given"
SAMPLE_GIVEN: Final = "sample_given"

# Members of an NXprocess; DETECTORS stands there, too.
SEQUENCE_INDEX: Final = "sequence_index"
PROGRAM: Final = "program"
VERSION: Final = "version"
DATE: Final = "date"
PROCESSOR: Final = "processor"
RUN_UID: Final = "run_uid"
VERSIONS: Final = "versions"
CONFIGURATION: Final = "configuration"

# What a packed file has beyond: flats and darks of a sample, by digest; positions of frames by
# their field; what stands there for py4xs alone; and the buffer's name where py4xs would trip.
CORRECTIONS: Final = "corrections"
POSITIONS: Final = "positions"
PY4XS_ADDED: Final = "py4xs_added"
H5XS_BUFFER: Final = "h5xs_buffer"
BUFFER_ASSIGNED: Final = "buffer_assigned"  # the user chose them afterwards, by their groups

# A key of start documents: runs with the same value belong together, a sample and its buffers.
MEASUREMENT: Final = "h5xs_measurement"
