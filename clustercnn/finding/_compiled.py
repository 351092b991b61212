# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Loops over pixels in machine code.
"""

import numba
import numpy as np

__all__ = ['compiled', 'compiled_sums', 'inputs']

# products and sums may be one operation; their order is that of the source, so that results do not
# depend on how an image is divided
_OPTIONS = {'nogil': True, 'fastmath': {'contract'}, 'error_model': 'numpy'}


def compiled(function, **options):
    """
    Compile a function of arrays and numbers when it is first called, and keep it on disk.

    Beside the module, or in the user's cache where that cannot be written. Compiled functions call
    only such of their own module: a change elsewhere would not be noticed.

    Parameters
    ----------
    function : callable
        In the part of Python that numba knows; it runs without the interpreter's lock.
    **options
        For numba, in place of ours.

    Returns
    -------
    function : callable
        Does the same.
    """
    options = _OPTIONS | options
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # there is no place for it on this machine
        return numba.njit(**options)(function)


def compiled_sums(function):
    """
    Compile a function whose sums may be taken in any order, as those over a stamp.

    Parameters
    ----------
    function : callable
        As for `compiled`.

    Returns
    -------
    function : callable
        Does the same to rounding.
    """
    return compiled(function, fastmath={'contract', 'nsz', 'reassoc'})


def inputs(*arrays):
    """
    Return arrays as compiled functions take what they only read.

    Parameters
    ----------
    *arrays : `~numpy.ndarray`
        Some can be written and some cannot, of which two functions would be made.

    Returns
    -------
    views : list of `~numpy.ndarray`
        Of native byte order, contiguous and read-only.
    """
    views = []
    for array in arrays:
        dtype = array.dtype.newbyteorder('=')
        # which half-precision numbers are too short for
        native = array.astype(np.float32 if dtype == np.float16 else dtype, copy=False)
        view = np.ascontiguousarray(native).view()
        view.flags.writeable = False
        views.append(view)
    return views
