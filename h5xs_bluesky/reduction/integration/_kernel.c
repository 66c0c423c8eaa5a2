/* One pass over the pixels of a frame, in the frame's own dtype, without the interpreter's lock.
 *
 * Everything that does not change from frame to frame comes in as arrays; see compiled.py, which is
 * the only caller and checks shapes, dtypes and bounds of indices. A pixel that is left out adds
 * nothing, and all others are added in the order that they always have: the bits are those that a
 * mask would give.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* Where the loops are inlined, GCC forgets what restrict says of their arrays. */
#define NOT_INLINED __attribute__((noinline)) static

enum { MOST_PIXELS = 1024, MOST_BUFFERS = 16 }; /* of a span; compiled.py cuts longer ones */

/* Whether a value counts: 0 <= value <= high. A negative integer is beyond every limit once it is
 * taken for an unsigned one; NaN fails both comparisons. */
#define OUT_INTEGER(value, high) ((value) > (high))
#define OUT_FLOAT(value, high) (!((value) >= 0 && (value) <= (high)))

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define FOUR_AT_A_TIME
typedef uint32_t Four __attribute__((vector_size(16)));

#define EACH_OF_FOUR(x, values) const Four x = {values[0], values[1], values[2], values[3]}
#define ALL_FOUR(x, values)                                                                        \
    Four x;                                                                                        \
    memcpy(&x, values, sizeof x)
#endif
#endif

/* Running sums of n values; gives their bits, or-ed: at least as large as the largest of them. */
#ifdef FOUR_AT_A_TIME
#define RUNNING_SUMS(NAME, U, LOAD)                                                                \
    static uint32_t NAME(const U *restrict values, uint32_t n, uint32_t *restrict sums)            \
    {                                                                                              \
        const Four zero = {0, 0, 0, 0};                                                            \
        Four all = zero, before = zero;                                                            \
        uint32_t i = 0;                                                                            \
        for (; i + 4 <= n; i += 4) {                                                               \
            LOAD(x, (values + i));                                                                 \
            all |= x;                                                                              \
            Four y = x + __builtin_shufflevector(zero, x, 0, 4, 5, 6);                             \
            y += __builtin_shufflevector(zero, y, 0, 1, 4, 5);                                     \
            y += before;                                                                           \
            memcpy(sums + i, &y, sizeof y);                                                        \
            before = __builtin_shufflevector(y, y, 3, 3, 3, 3);                                    \
        }                                                                                          \
        uint32_t bits = all[0] | all[1] | all[2] | all[3], sum = before[0];                        \
        for (; i < n; i++) {                                                                       \
            bits |= values[i];                                                                     \
            sums[i] = sum += values[i];                                                            \
        }                                                                                          \
        return bits;                                                                               \
    }
#else
#define RUNNING_SUMS(NAME, U, LOAD)                                                                \
    static uint32_t NAME(const U *restrict values, uint32_t n, uint32_t *restrict sums)            \
    {                                                                                              \
        uint32_t bits = 0, sum = 0;                                                                \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            bits |= values[i];                                                                     \
            sums[i] = sum += values[i];                                                            \
        }                                                                                          \
        return bits;                                                                               \
    }
#endif

RUNNING_SUMS(running_sums_8, uint8_t, EACH_OF_FOUR)
RUNNING_SUMS(running_sums_16, uint16_t, EACH_OF_FOUR)
RUNNING_SUMS(running_sums_32, uint32_t, ALL_FOUR)

/* Notes what is left out, as far as there is room, and counts it. */
#define NOTE(what)                                                                                 \
    do {                                                                                           \
        if (found < most)                                                                          \
            bad[found] = (what);                                                                   \
        found++;                                                                                   \
    } while (0)

/* Adds to each run of pixels of one bin the difference of the running sums at its ends. */
#define ADD_RUNS(RUNNING)                                                                          \
    do {                                                                                           \
        uint64_t before = 0;                                                                       \
        for (uint32_t run = 0; run < runs[span]; run++) {                                          \
            const uint64_t here = RUNNING[stop[run] - 1];                                          \
            sums[bin[run]] += here - before;                                                       \
            before = here;                                                                         \
        }                                                                                          \
    } while (0)

/* Counts of each bin. Pixels in use lie in spans, each of them in runs of one bin that stop at an
 * offset in it. Gives how many pixels were left out, and which. Running sums of a span are 32 bits
 * wide where they cannot overflow; spans that hold something to leave out are looked at closely. */
#define COUNT_SUMS(NAME, T, U, RUNNING_SUMS_OF_U)                                                  \
    NOT_INLINED Py_ssize_t NAME(const T *restrict frame, int checked, uint64_t limit,                   \
                           const uint32_t *restrict start, const uint32_t *restrict length,        \
                           const uint32_t *restrict runs, Py_ssize_t spans,                        \
                           const uint16_t *restrict stop, const uint32_t *restrict bin,            \
                           uint64_t *restrict sums, uint32_t *restrict bad, Py_ssize_t most)       \
    {                                                                                              \
        uint32_t narrow[MOST_PIXELS];                                                              \
        uint64_t wide[MOST_PIXELS];                                                                \
        const U high = (U)limit;                                                                   \
        Py_ssize_t found = 0;                                                                      \
        for (Py_ssize_t span = 0; span < spans; span++) {                                          \
            const T *values = frame + start[span];                                                 \
            const uint32_t n = length[span];                                                       \
            const uint32_t bits = RUNNING_SUMS_OF_U((const U *)values, n, narrow);                 \
            if (bits <= high && (uint64_t)bits * n <= UINT32_MAX) {                                \
                ADD_RUNS(narrow);                                                                  \
            } else {                                                                               \
                uint64_t sum = 0;                                                                  \
                for (uint32_t i = 0; i < n; i++) {                                                 \
                    if (checked && OUT_INTEGER((U)values[i], high))                                \
                        NOTE(start[span] + i);                                                     \
                    else                                                                           \
                        sum += (uint64_t)(int64_t)values[i];                                       \
                    wide[i] = sum;                                                                 \
                }                                                                                  \
                ADD_RUNS(wide);                                                                    \
            }                                                                                      \
            stop += runs[span];                                                                    \
            bin += runs[span];                                                                     \
        }                                                                                          \
        return found;                                                                              \
    }

/* Which pixels count: good[i] = 1, else 0. */
#define CHECK(NAME, T, U, LIMIT, OUT)                                                              \
    static void NAME(const T *restrict frame, Py_ssize_t n, int checked, LIMIT limit,              \
                     uint8_t *restrict good)                                                       \
    {                                                                                              \
        const U high = (U)limit;                                                                   \
        for (Py_ssize_t i = 0; i < n; i++)                                                         \
            good[i] = !(checked && OUT((U)frame[i], high));                                        \
    }

/* Entry e says that bin[e] has a share of pixel[e]. It is left out where good says so, or where
 * that is NULL, its value. */
#define LEFT_OUT(T_OUT, U, value, e)                                                               \
    (good ? !good[pixel[e]] : checked && T_OUT((U)(value), high))

#define SHARED_LOOP(T, IS_OUT, ADD)                                                                \
    for (Py_ssize_t e = 0; e < n; e++) {                                                           \
        const T value = frame[pixel[e]];                                                           \
        if (IS_OUT)                                                                                \
            NOTE((uint32_t)e);                                                                     \
        else                                                                                       \
            ADD;                                                                                   \
    }

/* Side by side: both are added at once. */
#define ADD_SHARE(value, e)                                                                        \
    do {                                                                                           \
        const double c = share[e], part = c * (double)value;                                       \
        double *sum = sums + 2 * (size_t)bin[e];                                                   \
        sum[0] += part;                                                                            \
        sum[1] += c * part;                                                                        \
    } while (0)

/* Sums over each bin of share * counts and share^2 * counts, in pairs; of the counts alone, one
 * each, where share is NULL. Gives how many entries were left out, and which. */
#define SHARED_SUMS(NAME, T, U, LIMIT, OUT)                                                        \
    NOT_INLINED Py_ssize_t NAME(const T *restrict frame, int checked, LIMIT limit,                      \
                           const uint32_t *restrict pixel, const uint32_t *restrict bin,           \
                           Py_ssize_t n, const uint8_t *restrict good,                             \
                           const double *restrict share, double *restrict sums,                    \
                           uint32_t *restrict bad, Py_ssize_t most)                                \
    {                                                                                              \
        const U high = (U)limit;                                                                   \
        Py_ssize_t found = 0;                                                                      \
        if (checked && !good && share) /* the same loop, without what is not there */             \
            SHARED_LOOP(T, OUT((U)value, high), ADD_SHARE(value, e))                               \
        else if (checked && !good)                                                                 \
            SHARED_LOOP(T, OUT((U)value, high), sums[bin[e]] += (double)value)                     \
        else if (share)                                                                            \
            SHARED_LOOP(T, LEFT_OUT(OUT, U, value, e), ADD_SHARE(value, e))                        \
        else                                                                                       \
            SHARED_LOOP(T, LEFT_OUT(OUT, U, value, e), sums[bin[e]] += (double)value)              \
        return found;                                                                              \
    }

/* What spreads: signal s = share * (counts - dark) and weight w of an entry. */
#define SIGNAL(value, e) ((share ? share[e] : 1.0) * ((double)(value) - (dark ? dark[e] : 0.0)))
#define WEIGHT(e) (weight ? weight[e] : 1.0)

#define SPREAD_LOOP(T, IS_OUT, S, W)                                                               \
    for (Py_ssize_t e = 0; e < n; e++) {                                                           \
        const T value = frame[pixel[e]];                                                           \
        if (IS_OUT) {                                                                              \
            NOTE((uint32_t)e);                                                                     \
            continue;                                                                              \
        }                                                                                          \
        const double s = S, w = W, d = s - shift[bin[e]] * w;                                      \
        double *sum = sums + 4 * (size_t)bin[e];                                                   \
        sum[0] += s;                                                                               \
        sum[1] += d * w;                                                                           \
        sum[2] += d * d;                                                                           \
        sum[3] += d;                                                                               \
    }

/* Sums over each bin of s, d * w, d^2 and d with d = s - shift * w, in fours, where shift is s / w
 * of the bin's first entry that counts: near the mean, so that little cancels when the sum of
 * squares about the mean is made of them. */
#define SPREAD_SUMS(NAME, T, U, LIMIT, OUT)                                                        \
    NOT_INLINED Py_ssize_t NAME(const T *restrict frame, int checked, LIMIT limit,                      \
                           const uint32_t *restrict pixel, const uint32_t *restrict bin,           \
                           Py_ssize_t n, const uint8_t *restrict good,                             \
                           const double *restrict share, const double *restrict dark,              \
                           const double *restrict weight, const uint32_t *restrict first,          \
                           Py_ssize_t bins, double *restrict shift, double *restrict sums,         \
                           uint32_t *restrict bad, Py_ssize_t most)                                \
    {                                                                                              \
        const U high = (U)limit;                                                                   \
        Py_ssize_t found = 0, without = 0;                                                         \
        for (Py_ssize_t b = 0; b < bins; b++) {                                                    \
            const uint32_t e = first[b];                                                           \
            shift[b] = 0.0;                                                                        \
            if (e >= n)                                                                            \
                continue; /* a bin without pixels */                                               \
            const T value = frame[pixel[e]];                                                       \
            if (!LEFT_OUT(OUT, U, value, e))                                                       \
                shift[b] = WEIGHT(e) > 0 ? SIGNAL(value, e) / WEIGHT(e) : 0.0;                     \
            else                                                                                   \
                without++, sums[4 * b] = 1.0; /* marks it */                                       \
        }                                                                                          \
        for (Py_ssize_t e = 0; e < n && without; e++) {                                            \
            const T value = frame[pixel[e]];                                                       \
            if (sums[4 * (size_t)bin[e]] == 0.0 || LEFT_OUT(OUT, U, value, e))                     \
                continue;                                                                          \
            shift[bin[e]] = WEIGHT(e) > 0 ? SIGNAL(value, e) / WEIGHT(e) : 0.0;                    \
            sums[4 * (size_t)bin[e]] = 0.0;                                                        \
            without--;                                                                             \
        }                                                                                          \
        for (Py_ssize_t b = 0; b < bins && without; b++)                                           \
            sums[4 * b] = 0.0;                                                                     \
        if (checked && !good && !dark && share && weight) /* the same loop, without what is not there */      \
            SPREAD_LOOP(T, OUT((U)value, high), share[e] * (double)value, weight[e])      \
        else if (checked && !good && !dark && share)                                                          \
            SPREAD_LOOP(T, OUT((U)value, high), share[e] * (double)value, 1.0)            \
        else                                                                                       \
            SPREAD_LOOP(T, LEFT_OUT(OUT, U, value, e), SIGNAL(value, e), WEIGHT(e))               \
        return found;                                                                              \
    }

#define INTEGERS(SUFFIX, T, U, RUNNING_SUMS_OF_U)                                                  \
    COUNT_SUMS(count_sums_##SUFFIX, T, U, RUNNING_SUMS_OF_U)                                       \
    CHECK(check_##SUFFIX, T, U, uint64_t, OUT_INTEGER)                                             \
    SHARED_SUMS(shared_sums_##SUFFIX, T, U, uint64_t, OUT_INTEGER)                                 \
    SPREAD_SUMS(spread_sums_##SUFFIX, T, U, uint64_t, OUT_INTEGER)

#define FLOATS(SUFFIX, T)                                                                          \
    CHECK(check_##SUFFIX, T, double, double, OUT_FLOAT)                                            \
    SHARED_SUMS(shared_sums_##SUFFIX, T, double, double, OUT_FLOAT)                                \
    SPREAD_SUMS(spread_sums_##SUFFIX, T, double, double, OUT_FLOAT)

INTEGERS(u1, uint8_t, uint8_t, running_sums_8)
INTEGERS(u2, uint16_t, uint16_t, running_sums_16)
INTEGERS(u4, uint32_t, uint32_t, running_sums_32)
INTEGERS(i1, int8_t, uint8_t, running_sums_8)
INTEGERS(i2, int16_t, uint16_t, running_sums_16)
INTEGERS(i4, int32_t, uint32_t, running_sums_32)
FLOATS(f4, float)
FLOATS(f8, double)

/* The dtypes, by the codes that compiled.py hands over, and the limit that each takes. */
#define FOR_INTEGERS(CASE)                                                                         \
    CASE(0, u1, high_int) CASE(1, u2, high_int) CASE(2, u4, high_int)                              \
    CASE(3, i1, high_int) CASE(4, i2, high_int) CASE(5, i4, high_int)
#define FOR_ALL(CASE) FOR_INTEGERS(CASE) CASE(6, f4, high_float) CASE(7, f8, high_float)

/* Takes buffers of the arguments; None gives NULL. Writable ones come last. */
static int take(PyObject *const *objects, Py_buffer *buffers, int count, int writable)
{
    for (int i = 0; i < count; i++) {
        buffers[i].obj = NULL;
        buffers[i].buf = NULL;
    }
    for (int i = 0; i < count; i++) {
        if (objects[i] == Py_None)
            continue;
        const int flags = i >= count - writable ? PyBUF_WRITABLE : PyBUF_SIMPLE;
        if (PyObject_GetBuffer(objects[i], &buffers[i], flags) < 0)
            return -1;
    }
    return 0;
}

/* Gives the buffers back, and then the result, or NULL after an error. */
static PyObject *give(Py_buffer *buffers, int count, Py_ssize_t result)
{
    for (int i = 0; i < count; i++)
        if (buffers[i].obj)
            PyBuffer_Release(&buffers[i]);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(result);
}

#define ROOM(buffer) ((buffer).len / (Py_ssize_t)sizeof(uint32_t))

static PyObject *count_sums(PyObject *self, PyObject *args)
{
    PyObject *o[8];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    unsigned long long high_int;
    double high_float;
    Py_ssize_t result = -1;
    if (!PyArg_ParseTuple(args, "iOpKdOOOOOOO", &code, &o[0], &checked, &high_int, &high_float,
                          &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7]))
        return NULL;
    if (take(o, b, 8, 2) == 0) {
        const Py_ssize_t spans = b[1].len / (Py_ssize_t)sizeof(uint32_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, HIGH)                                                                   \
    case CODE:                                                                                     \
        result = count_sums_##SUFFIX(b[0].buf, checked, HIGH, b[1].buf, b[2].buf, b[3].buf, spans, \
                                     b[4].buf, b[5].buf, b[6].buf, b[7].buf, ROOM(b[7]));          \
        break;
            FOR_INTEGERS(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    return give(b, 8, result);
}

static PyObject *check(PyObject *self, PyObject *args)
{
    PyObject *o[2];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    unsigned long long high_int;
    double high_float;
    if (!PyArg_ParseTuple(args, "iOpKdO", &code, &o[0], &checked, &high_int, &high_float, &o[1]))
        return NULL;
    if (take(o, b, 2, 1) == 0) {
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, HIGH)                                                                   \
    case CODE:                                                                                     \
        check_##SUFFIX(b[0].buf, b[1].len, checked, HIGH, b[1].buf);                               \
        break;
            FOR_ALL(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    return give(b, 2, 0);
}

static PyObject *shared_sums(PyObject *self, PyObject *args)
{
    PyObject *o[7];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    unsigned long long high_int;
    double high_float;
    Py_ssize_t result = -1;
    if (!PyArg_ParseTuple(args, "iOpKdOOOOOO", &code, &o[0], &checked, &high_int, &high_float,
                          &o[1], &o[2], &o[3], &o[4], &o[5], &o[6]))
        return NULL;
    if (take(o, b, 7, 2) == 0) {
        const Py_ssize_t n = b[1].len / (Py_ssize_t)sizeof(uint32_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, HIGH)                                                                   \
    case CODE:                                                                                     \
        result = shared_sums_##SUFFIX(b[0].buf, checked, HIGH, b[1].buf, b[2].buf, n, b[3].buf,    \
                                      b[4].buf, b[5].buf, b[6].buf, ROOM(b[6]));                   \
        break;
            FOR_ALL(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    return give(b, 7, result);
}

static PyObject *spread_sums(PyObject *self, PyObject *args)
{
    PyObject *o[11];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    unsigned long long high_int;
    double high_float;
    Py_ssize_t result = -1;
    if (!PyArg_ParseTuple(args, "iOpKdOOOOOOOOOO", &code, &o[0], &checked, &high_int, &high_float,
                          &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7], &o[8], &o[9], &o[10]))
        return NULL;
    if (take(o, b, 11, 3) == 0) {
        const Py_ssize_t n = b[1].len / (Py_ssize_t)sizeof(uint32_t);
        const Py_ssize_t bins = b[7].len / (Py_ssize_t)sizeof(uint32_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, HIGH)                                                                   \
    case CODE:                                                                                     \
        result = spread_sums_##SUFFIX(b[0].buf, checked, HIGH, b[1].buf, b[2].buf, n, b[3].buf,    \
                                      b[4].buf, b[5].buf, b[6].buf, b[7].buf, bins, b[8].buf,      \
                                      b[9].buf, b[10].buf, ROOM(b[10]));                           \
        break;
            FOR_ALL(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    return give(b, 11, result);
}

/* Sums over each bin of weight, weight^2, share, 1, part * dark and part^2 * dark_variance, six in
 * a row; what is NULL is 1 (weight, share, part) or 0 (darks). part is the share of the signal.
 * Only bins that are wanted, where that is not NULL. */
static PyObject *weight_sums(PyObject *self, PyObject *args)
{
    PyObject *o[10];
    Py_buffer b[MOST_BUFFERS];
    if (!PyArg_ParseTuple(args, "OOOOOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &o[7], &o[8], &o[9]))
        return NULL;
    if (take(o, b, 10, 1) == 0) {
        const uint32_t *pixel = b[0].buf, *bin = b[1].buf;
        const uint8_t *good = b[2].buf, *wanted = b[3].buf;
        const double *weight = b[4].buf, *share = b[5].buf, *part = b[6].buf;
        const double *dark = b[7].buf, *dark_variance = b[8].buf;
        double *sums = b[9].buf;
        const Py_ssize_t n = b[1].len / (Py_ssize_t)sizeof(uint32_t);
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t e = 0; e < n; e++) {
            if ((wanted && !wanted[bin[e]]) || (good && !good[pixel[e]]))
                continue;
            const double w = WEIGHT(e), c = part ? part[e] : 1.0;
            double *sum = sums + 6 * (size_t)bin[e];
            sum[0] += w;
            sum[1] += w * w;
            sum[2] += share ? share[e] : 1.0;
            sum[3] += 1.0;
            if (dark)
                sum[4] += c * dark[e];
            if (dark_variance)
                sum[5] += c * c * dark_variance[e];
        }
        Py_END_ALLOW_THREADS
    }
    return give(b, 10, 0);
}

static PyMethodDef methods[] = {
    {"count_sums", count_sums, METH_VARARGS, "Counts of each bin, as integers."},
    {"check", check, METH_VARARGS, "Which pixels of a frame count."},
    {"shared_sums", shared_sums, METH_VARARGS, "Signal and variance of each bin."},
    {"spread_sums", spread_sums, METH_VARARGS, "Signal of each bin, and how its pixels spread."},
    {"weight_sums", weight_sums, METH_VARARGS, "What does not depend on the counts."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "One pass over the pixels of a frame.", 0, methods,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModule_Create(&definition);
}
