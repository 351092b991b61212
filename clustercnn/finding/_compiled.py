# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Loops over pixels in machine code.
"""

import logging

import numba
import numpy as np
from numba.core.caching import FunctionCache

__all__ = ['compiled', 'compiled_sums', 'inputs']

# products and sums may be one operation; their order is that of the source, so that results do not
# depend on how an image is divided
_OPTIONS = {'nogil': True, 'fastmath': {'contract'}, 'error_model': 'numpy'}

_LOGGER = logging.getLogger(__name__)


class _Cache(FunctionCache):
    """
    Machine code on disk, without which everything runs, only later: what cannot be read is
    made again, and what cannot be kept is not.
    """

    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception as error:  # noqa: BLE001 - unpickling raises anything
            _LOGGER.info('%s: compiled code cannot be read (%r)', self.cache_path, error)
        try:
            # an index cut short would stop what is made now from being kept
            self.flush()
        except Exception as error:  # noqa: BLE001 - unpickling raises anything
            _LOGGER.info('%s: nor can its index be replaced (%r)', self.cache_path, error)
        return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception as error:  # noqa: BLE001 - unpickling raises anything
            _LOGGER.info('%s: compiled code cannot be kept (%r)', self.cache_path, error)


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
    dispatcher = numba.njit(**(_OPTIONS | options))(function)
    try:
        dispatcher._cache = _Cache(function)  # noqa: SLF001 - numba has no other way
    except (OSError, RuntimeError) as error:
        _LOGGER.info('there is no place for compiled code on this machine (%r)', error)
    return dispatcher


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
