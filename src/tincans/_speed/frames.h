/* What the module offers of frames.c. */
#ifndef TINCANS_FRAMES_H
#define TINCANS_FRAMES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* split(data, at, most): the whole small frames in `data` from `at` on, as a list, and where the rest begins. */
PyObject *split_frames(PyObject *module, PyObject *const *args, Py_ssize_t count);
/* join(messages): one frame after the other. */
PyObject *join_frames(PyObject *module, PyObject *messages);

#endif
