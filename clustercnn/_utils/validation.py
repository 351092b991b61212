# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Validators: each takes the name of an argument and its value, and returns the
value in its canonical form or raises with what was expected and what was got.
"""

import astropy.units as u
import numpy as np

__all__ = [
    'check_angle',
    'check_identifiers',
    'check_image',
    'check_one_of',
    'check_positive',
    'check_rows',
    'check_same_length',
    'check_whole',
    'lock',
    'native',
]


def native(array, dtype=None):
    """
    Return an array in the machine's byte order, contiguous.

    Parameters
    ----------
    array : array-like
        FITS data are big-endian, which jax refuses.
    dtype : dtype, optional
        Wanted type; by default that of ``array``.

    Returns
    -------
    array : `~numpy.ndarray`
        C-contiguous and in native byte order.
    """
    array = np.asarray(array)
    wanted = np.dtype(dtype) if dtype is not None else array.dtype
    return np.ascontiguousarray(array, dtype=wanted.newbyteorder('='))


def lock(array):
    """
    Return a read-only version of an array that nobody else can write through.

    Parameters
    ----------
    array : `~numpy.ndarray` or None
        If it, or what it is a view of, is writeable it is copied first, since its
        owner could change it.

    Returns
    -------
    array : `~numpy.ndarray` or None
        With ``flags.writeable`` False.
    """
    if array is None:
        return None
    owner, writeable = array, False
    while isinstance(owner, np.ndarray) and not writeable:
        writeable = owner.flags.writeable
        owner = owner.base
    if writeable:
        array = array.copy()
        array.setflags(write=False)
    return array


def plain_texts(values):
    """
    Return the text of each value; bytes, as HDF5 and FITS files have them, are UTF-8.

    Parameters
    ----------
    values : iterable of object
        Texts, bytes, numbers.

    Returns
    -------
    texts : tuple of str
        In the same order.
    """
    return tuple(
        value.decode('utf-8', 'replace') if isinstance(value, bytes) else str(value)
        for value in values
    )


def check_identifiers(ids):
    """
    Return identifiers that are unique.

    Parameters
    ----------
    ids : iterable of object
        Their text is what counts.

    Returns
    -------
    ids : tuple of str
        In the same order.
    """
    if isinstance(ids, str | bytes):
        msg = f"'ids' must be several identifiers, got the text {ids!r}"
        raise TypeError(msg)
    ids = plain_texts(ids)
    if len(set(ids)) != len(ids):
        seen = set()
        double = next(name for name in ids if name in seen or seen.add(name))
        msg = f"identifiers must be unique, but '{double}' occurs more than once"
        raise ValueError(msg)
    return ids


def check_rows(rows, n_rows):
    """
    Return a choice of rows as their numbers.

    Parameters
    ----------
    rows : slice, or 1D array-like of int or bool
        What was put in brackets; a mask must have one value a row.
    n_rows : int
        How many there are.

    Returns
    -------
    rows : 1D `~numpy.ndarray` of int
        From 0.
    """
    everything = np.arange(n_rows)
    if isinstance(rows, slice):
        return everything[rows]
    rows = np.asarray(rows)
    if rows.size == 0 and rows.dtype.kind != 'b':
        rows = rows.astype(np.intp)
    if rows.ndim != 1 or rows.dtype.kind not in 'bui':
        msg = f'rows are chosen by number, slice, mask or index array, got {rows!r}'
        raise TypeError(msg)
    if rows.dtype.kind == 'b' and len(rows) != n_rows:
        msg = f'a mask of rows must have length {n_rows}, got {len(rows)}'
        raise IndexError(msg)
    return everything[rows]


def check_image(name, value, *, dtype=np.float32, shape=None, n_dim=2, optional=False):
    """
    Return an array of the right type, dimension and shape.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : array-like
        The array.
    dtype : dtype, optional
        Type to convert to.
    shape : tuple of int, optional
        Expected shape.
    n_dim : int, optional
        Expected number of dimensions.
    optional : bool, optional
        Whether ``None`` is allowed and passed through.

    Returns
    -------
    array : `~numpy.ndarray`
        Read-only.
    """
    if value is None and optional:
        return None
    array = np.asarray(value)
    if np.ma.is_masked(value):
        msg = (
            f"'{name}' has {int(np.ma.getmaskarray(value).sum())} masked values, and what lies "
            f'below the mask would be used; give the mask apart, or NaN where nothing is known'
        )
        raise ValueError(msg)
    if array.dtype.kind not in 'buif':
        msg = f"'{name}' must hold numbers, got an array of dtype {array.dtype}"
        raise TypeError(msg)
    if array.ndim != n_dim:
        msg = f"'{name}' must have {n_dim} dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != tuple(shape):
        msg = f"'{name}' must have shape {tuple(shape)}, got {array.shape}"
        raise ValueError(msg)
    if array.dtype != np.dtype(dtype) or not array.dtype.isnative or not array.flags.c_contiguous:
        array = native(array, dtype)
    return lock(array)


def check_positive(name, value, *, optional=False):
    """
    Return a finite number above zero as float.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : float
        The number.
    optional : bool, optional
        Whether ``None`` is allowed and passed through.

    Returns
    -------
    value : float
        The number.
    """
    if value is None and optional:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        msg = f"'{name}' must be a number, got {value!r}"
        raise TypeError(msg) from None
    if not (np.isfinite(number) and number > 0):
        msg = f"'{name}' must be finite and above 0, got {value!r}"
        raise ValueError(msg)
    return number


def check_whole(name, value):
    """
    Return a whole number of at least 1.

    Parameters
    ----------
    name : str
        Of the argument.
    value : int
        The number; floats without a fraction are taken.

    Returns
    -------
    value : int
        The number.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        whole = not isinstance(value, bool) and int(value) == value and value >= 1
    except (TypeError, ValueError, OverflowError):
        whole = False
    if not whole:
        msg = f"'{name}' must be a whole number of at least 1, got {value!r}"
        raise ValueError(msg)
    return int(value)


def check_share(name, value):
    """
    Return a number above 0 and below 1 as float.

    Parameters
    ----------
    name : str
        Of the argument.
    value : float
        The number.

    Returns
    -------
    value : float
        The number.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = np.nan
    if not 0 < share < 1:
        msg = f"'{name}' must be a number above 0 and below 1, got {value!r}"
        raise ValueError(msg)
    return share


def check_angle(name, value, *, optional=False):
    """
    Return a positive scalar angle in arcseconds.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : `~astropy.units.Quantity`
        The angle; bare numbers are refused, since their unit would be a guess.
    optional : bool, optional
        Whether ``None`` is allowed and passed through.

    Returns
    -------
    value : `~astropy.units.Quantity`
        Scalar, in arcsec.
    """
    if value is None and optional:
        return None
    if not isinstance(value, u.Quantity):
        msg = f"'{name}' must be an angle with a unit, such as 4 * u.arcsec, got {value!r}"
        raise TypeError(msg)
    if value.ndim != 0:
        msg = f"'{name}' must be a scalar angle, got shape {value.shape}"
        raise ValueError(msg)
    angle = value.to(u.arcsec)
    if not (np.isfinite(angle.value) and angle.value > 0):
        msg = f"'{name}' must be finite and above 0, got {value}"
        raise ValueError(msg)
    return u.Quantity(float(angle.value), u.arcsec)


def check_one_of(name, value, allowed):
    """
    Return a value that is one of several.

    Parameters
    ----------
    name : str
        Name of the argument, for the message.
    value : object
        The value.
    allowed : iterable
        What it may be.

    Returns
    -------
    value : object
        Unchanged.
    """
    allowed = tuple(allowed)
    if value not in allowed:
        msg = f"'{name}' must be one of {', '.join(map(repr, allowed))}, got {value!r}"
        raise ValueError(msg)
    return value


def check_same_length(**arrays):
    """
    Return the common length of several sequences.

    Parameters
    ----------
    **arrays : sequence or None
        Named sequences; ``None`` is left out.

    Returns
    -------
    length : int
        The common length.
    """
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        listing = ', '.join(f'{name}: {length}' for name, length in lengths.items())
        msg = f'the lengths must agree, got {listing}'
        raise ValueError(msg)
    return next(iter(lengths.values()), 0)
