# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A dictionary that can be read, copied and pickled, but not changed.
"""

__all__ = ['ReadOnlyDict']


class ReadOnlyDict(dict):
    """
    A dictionary whose content is settled at construction.

    The standard library's mapping proxy cannot be pickled, and frozen objects
    have to travel between processes.

    Parameters
    ----------
    *args, **kwargs
        As for `dict`.
    """

    __slots__ = ()

    def _refuse(self, *args, **kwargs):
        msg = 'this mapping is read-only; make a new object with replace()'
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):
        return type(self), (dict(self),)

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self
