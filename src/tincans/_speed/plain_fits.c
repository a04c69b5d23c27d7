/* Whether plain values are what a function wants, in one call.
 *
 * Rules of this file
 * - It says yes only to values that the function may get just as they are; everything else goes the thorough way.
 */
#include "plain.h"

bool plain_right_count(const char *name, Py_ssize_t count, Py_ssize_t wanted) {
    if (count == wanted)
        return true;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd arguments, not %zd", name, wanted, count);
    return false;
}

const char plain_fits_doc[] =
    "fits(args, shape, /)\n--\n\n"
                       "Whether plain values fit: `shape` is the exact class of each (None: any), and how many at least.";

int plain_fit(PyObject *args, PyObject *shape) {
    if (!PyTuple_CheckExact(args) || !PyTuple_CheckExact(shape) || PyTuple_GET_SIZE(shape) != 2 ||
        !PyTuple_CheckExact(PyTuple_GET_ITEM(shape, 0)))
        return 0; /* no shape: nothing fits */
    PyObject *kinds = PyTuple_GET_ITEM(shape, 0);
    Py_ssize_t number = PyTuple_GET_SIZE(args), least = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, 1));
    if (least == -1 && PyErr_Occurred())
        return -1;
    bool fit = number >= least && number <= PyTuple_GET_SIZE(kinds);
    for (Py_ssize_t i = 0; fit && i < number; i++) {
        PyObject *kind = PyTuple_GET_ITEM(kinds, i);
        fit = kind == Py_None || (PyObject *)Py_TYPE(PyTuple_GET_ITEM(args, i)) == kind;
    }
    return fit;
}

PyObject *plain_fits(PyObject *Py_UNUSED(module), PyObject *const *given, Py_ssize_t count) {
    int fit = plain_right_count("fits", count, 2) ? plain_fit(given[0], given[1]) : -1;
    return fit < 0 ? NULL : PyBool_FromLong(fit);
}
