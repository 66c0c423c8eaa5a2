/* One pass over the pixels of a frame, in the frame's own dtype, without the interpreter's lock.
 *
 * Everything that does not change from frame to frame comes in as arrays; see compiled.py, which is
 * the only caller and checks shapes, dtypes and bounds of indices. Pixels are visited in their
 * order, and one that is left out adds nothing: the bits are those that a mask would give.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <float.h>
#include <stdint.h>

/* A pixel counts if checked == 0 or low <= value <= high; NaN does not. */
#define LEFT_OUT(value) (checked && !((value) >= low && (value) <= high))

/* Counts of each bin, over spans [start, stop) of pixels that are used. A span is looked at as a
 * whole first, in a type that wide registers compare; most hold nothing that is left out. Gives how
 * many pixels were. */
#define COUNT_SUMS(NAME, T, SUM, NARROW, MOST)                                                     \
    static Py_ssize_t NAME(const T *restrict frame, const uint16_t *restrict bins,                 \
                           const uint32_t *restrict start, const uint32_t *restrict stop,          \
                           Py_ssize_t spans, int checked, SUM low, SUM high, SUM *restrict sums)   \
    {                                                                                              \
        const NARROW least = (NARROW)low, most = high < (SUM)MOST ? (NARROW)high : MOST;           \
        Py_ssize_t bad = 0;                                                                        \
        for (Py_ssize_t span = 0; span < spans; span++) {                                          \
            const uint32_t begin = start[span], end = stop[span];                                  \
            int any = 0;                                                                           \
            for (uint32_t i = begin; i < end; i++)                                                 \
                any |= !((NARROW)frame[i] >= least) | !((NARROW)frame[i] <= most);                 \
            if (!any || !checked) {                                                                \
                for (uint32_t i = begin; i < end; i++)                                             \
                    sums[bins[i]] += (SUM)frame[i];                                                \
                continue;                                                                          \
            }                                                                                      \
            for (uint32_t i = begin; i < end; i++) {                                               \
                const SUM value = (SUM)frame[i];                                                   \
                const int out = LEFT_OUT(value);                                                   \
                sums[bins[i]] += out ? (SUM)0 : value;                                             \
                bad += out;                                                                        \
            }                                                                                      \
        }                                                                                          \
        return bad;                                                                                \
    }

/* Which pixels count: good[i] = 1, else 0. */
#define CHECK(NAME, T, SUM)                                                                        \
    static void NAME(const T *restrict frame, Py_ssize_t n, int checked, SUM low, SUM high,        \
                     uint8_t *restrict good)                                                       \
    {                                                                                              \
        for (Py_ssize_t i = 0; i < n; i++) {                                                       \
            const SUM value = (SUM)frame[i];                                                       \
            good[i] = (uint8_t)!LEFT_OUT(value);                                                   \
        }                                                                                          \
    }

/* Pixels shared by bins: entry e says that bin[e] has share[e] of pixel[e]. Sums over each bin of
 * share * (counts - dark) and share^2 * (counts + dark_variance), in pairs. Which pixels count is
 * told by good, or where that is NULL, by their values; gives how many entries were left out. */
#define SHARED_SUMS(NAME, T, SUM)                                                                  \
    static Py_ssize_t NAME(const T *restrict frame, const uint32_t *restrict pixel,                \
                           const uint16_t *restrict bin, Py_ssize_t n,                             \
                           const uint8_t *restrict good, int checked, SUM low, SUM high,           \
                           const double *restrict share, const double *restrict dark,              \
                           const double *restrict dark_variance, double *restrict sums)            \
    {                                                                                              \
        Py_ssize_t bad = 0;                                                                        \
        for (Py_ssize_t e = 0; e < n; e++) {                                                       \
            const SUM value = (SUM)frame[pixel[e]];                                                \
            if (good ? !good[pixel[e]] : LEFT_OUT(value)) {                                        \
                bad++;                                                                             \
                continue;                                                                          \
            }                                                                                      \
            const double counts = (double)value, c = share[e];                                     \
            double *sum = sums + 2 * bin[e]; /* side by side: both are added at once */            \
            sum[0] += c * (dark ? counts - dark[e] : counts);                                      \
            sum[1] += c * c * (dark_variance ? counts + dark_variance[e] : counts);                \
        }                                                                                          \
        return bad;                                                                                \
    }

/* Sum over each bin of (share * (counts - dark) - mean * weight)^2. */
#define AZIMUTHAL(NAME, T)                                                                         \
    static void NAME(const T *restrict frame, const uint32_t *restrict pixel,                      \
                     const uint16_t *restrict bin, Py_ssize_t n, const uint8_t *restrict good,     \
                     const double *restrict share, const double *restrict dark,                    \
                     const double *restrict weight, const double *restrict mean,                   \
                     double *restrict spread)                                                      \
    {                                                                                              \
        for (Py_ssize_t e = 0; e < n; e++) {                                                       \
            if (good && !good[pixel[e]])                                                           \
                continue;                                                                          \
            const double counts = (double)frame[pixel[e]];                                         \
            const double off = share[e] * (dark ? counts - dark[e] : counts)                       \
                               - mean[bin[e]] * weight[e];                                         \
            spread[bin[e]] += off * off;                                                           \
        }                                                                                          \
    }

#define ALL(SUFFIX, T, SUM, NARROW, MOST)                                                          \
    COUNT_SUMS(count_sums_##SUFFIX, T, SUM, NARROW, MOST)                                          \
    CHECK(check_##SUFFIX, T, SUM)                                                                  \
    SHARED_SUMS(shared_sums_##SUFFIX, T, SUM)                                                      \
    AZIMUTHAL(azimuthal_sums_##SUFFIX, T)

ALL(u1, uint8_t, int64_t, uint8_t, UINT8_MAX)
ALL(u2, uint16_t, int64_t, uint16_t, UINT16_MAX)
ALL(u4, uint32_t, int64_t, uint32_t, UINT32_MAX)
ALL(i1, int8_t, int64_t, int8_t, INT8_MAX)
ALL(i2, int16_t, int64_t, int16_t, INT16_MAX)
ALL(i4, int32_t, int64_t, int32_t, INT32_MAX)
ALL(f4, float, double, double, DBL_MAX)
ALL(f8, double, double, double, DBL_MAX)

/* The dtypes, by the codes that compiled.py hands over. */
#define FOR_INTEGERS(CASE) CASE(0, u1, uint8_t) CASE(1, u2, uint16_t) CASE(2, u4, uint32_t)        \
    CASE(3, i1, int8_t) CASE(4, i2, int16_t) CASE(5, i4, int32_t)
#define FOR_FLOATS(CASE) CASE(6, f4, float) CASE(7, f8, double)

enum { MOST_BUFFERS = 12 };

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

static void release(Py_buffer *buffers, int count)
{
    for (int i = 0; i < count; i++)
        if (buffers[i].obj)
            PyBuffer_Release(&buffers[i]);
}

static PyObject *count_sums(PyObject *self, PyObject *args)
{
    PyObject *o[5];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    long long low_i, high_i;
    double low_f, high_f;
    Py_ssize_t bad = -1;
    if (!PyArg_ParseTuple(args, "iOpLLddOOOO", &code, &o[0], &checked, &low_i, &high_i, &low_f,
                          &high_f, &o[1], &o[2], &o[3], &o[4]))
        return NULL;
    if (take(o, b, 5, 1) == 0) {
        const Py_ssize_t n = b[2].len / (Py_ssize_t)sizeof(uint32_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        bad = count_sums_##SUFFIX(b[0].buf, b[1].buf, b[2].buf, b[3].buf, n, checked, low_i,       \
                                  high_i, b[4].buf);                                               \
        break;
            FOR_INTEGERS(CASE)
#undef CASE
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        bad = count_sums_##SUFFIX(b[0].buf, b[1].buf, b[2].buf, b[3].buf, n, checked, low_f,       \
                                  high_f, b[4].buf);                                               \
        break;
            FOR_FLOATS(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    release(b, 5);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(bad);
}

static PyObject *check(PyObject *self, PyObject *args)
{
    PyObject *o[2];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    long long low_i, high_i;
    double low_f, high_f;
    if (!PyArg_ParseTuple(args, "iOpLLddO", &code, &o[0], &checked, &low_i, &high_i, &low_f,
                          &high_f, &o[1]))
        return NULL;
    if (take(o, b, 2, 1) == 0) {
        const Py_ssize_t n = b[1].len;
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        check_##SUFFIX(b[0].buf, n, checked, low_i, high_i, b[1].buf);                             \
        break;
            FOR_INTEGERS(CASE)
#undef CASE
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        check_##SUFFIX(b[0].buf, n, checked, low_f, high_f, b[1].buf);                             \
        break;
            FOR_FLOATS(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    release(b, 2);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *shared_sums(PyObject *self, PyObject *args)
{
    PyObject *o[8];
    Py_buffer b[MOST_BUFFERS];
    int code, checked;
    long long low_i, high_i;
    double low_f, high_f;
    Py_ssize_t bad = -1;
    if (!PyArg_ParseTuple(args, "iOpLLddOOOOOOO", &code, &o[0], &checked, &low_i, &high_i, &low_f,
                          &high_f, &o[1], &o[2], &o[3], &o[4], &o[5], &o[6], &o[7]))
        return NULL;
    if (take(o, b, 8, 1) == 0) {
        const Py_ssize_t n = b[2].len / (Py_ssize_t)sizeof(uint16_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        bad = shared_sums_##SUFFIX(b[0].buf, b[1].buf, b[2].buf, n, b[3].buf, checked, low_i,      \
                                   high_i, b[4].buf, b[5].buf, b[6].buf, b[7].buf);                \
        break;
            FOR_INTEGERS(CASE)
#undef CASE
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        bad = shared_sums_##SUFFIX(b[0].buf, b[1].buf, b[2].buf, n, b[3].buf, checked, low_f,      \
                                   high_f, b[4].buf, b[5].buf, b[6].buf, b[7].buf);                \
        break;
            FOR_FLOATS(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    release(b, 8);
    return PyErr_Occurred() ? NULL : PyLong_FromSsize_t(bad);
}

static PyObject *azimuthal_sums(PyObject *self, PyObject *args)
{
    PyObject *o[9];
    Py_buffer b[MOST_BUFFERS];
    int code;
    if (!PyArg_ParseTuple(args, "iOOOOOOOOO", &code, &o[0], &o[1], &o[2], &o[3], &o[4], &o[5],
                          &o[6], &o[7], &o[8]))
        return NULL;
    if (take(o, b, 9, 1) == 0) {
        const Py_ssize_t n = b[2].len / (Py_ssize_t)sizeof(uint16_t);
        Py_BEGIN_ALLOW_THREADS
        switch (code) {
#define CASE(CODE, SUFFIX, T)                                                                      \
    case CODE:                                                                                     \
        azimuthal_sums_##SUFFIX(b[0].buf, b[1].buf, b[2].buf, n, b[3].buf, b[4].buf, b[5].buf,     \
                                b[6].buf, b[7].buf, b[8].buf);                                     \
        break;
            FOR_INTEGERS(CASE)
            FOR_FLOATS(CASE)
#undef CASE
        }
        Py_END_ALLOW_THREADS
    }
    release(b, 9);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* Sums over each bin of weight, weight^2, share, and the number of pixels; good may be NULL. */
static PyObject *weight_sums(PyObject *self, PyObject *args)
{
    PyObject *o[9];
    Py_buffer b[MOST_BUFFERS];
    if (!PyArg_ParseTuple(args, "OOOOOOOOO", &o[0], &o[1], &o[2], &o[3], &o[4], &o[5], &o[6],
                          &o[7], &o[8]))
        return NULL;
    if (take(o, b, 9, 4) == 0) {
        const uint32_t *pixel = b[0].buf;
        const uint16_t *bin = b[1].buf;
        const uint8_t *good = b[2].buf;
        const double *weight = b[3].buf, *share = b[4].buf;
        double *sum = b[5].buf, *square = b[6].buf, *shares = b[7].buf, *pixels = b[8].buf;
        const Py_ssize_t n = b[1].len / (Py_ssize_t)sizeof(uint16_t);
        Py_BEGIN_ALLOW_THREADS
        for (Py_ssize_t e = 0; e < n; e++) {
            if (good && !good[pixel[e]])
                continue;
            const double w = weight[e];
            sum[bin[e]] += w;
            square[bin[e]] += w * w;
            shares[bin[e]] += share[e];
            pixels[bin[e]] += 1.0;
        }
        Py_END_ALLOW_THREADS
    }
    release(b, 9);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"count_sums", count_sums, METH_VARARGS, "Counts of each bin."},
    {"check", check, METH_VARARGS, "Which pixels of a frame count."},
    {"shared_sums", shared_sums, METH_VARARGS, "Signal and variance of each bin."},
    {"weight_sums", weight_sums, METH_VARARGS, "What does not depend on the counts."},
    {"azimuthal_sums", azimuthal_sums, METH_VARARGS, "Squared distances from the mean."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "One pass over the pixels of a frame.", 0, methods,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModule_Create(&definition);
}
