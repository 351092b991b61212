# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The registry of file formats, and the objects behind ``read`` and ``write``.

The formats themselves are registered by `clustercnn.io`, one file a format,
so that this package imports none of them.
"""

from pathlib import Path

from astropy.io.registry import IORegistryError, UnifiedIORegistry, UnifiedReadWrite

__all__ = ['IO_REGISTRY', 'guess_format', 'make_reader', 'make_writer', 'register_suffixes']

IO_REGISTRY = UnifiedIORegistry()

# (class name, suffix) -> format; the content of a file is not looked at, since
# astropy would have to open it and damaged files deserve our own words
_FORMATS_BY_SUFFIX = {}


def register_suffixes(data_class, format_name, suffixes):
    """
    Say which file names a format uses.

    Parameters
    ----------
    data_class : type
        Class that is read or written.
    format_name : str
        Name under which the reader and writer are registered.
    suffixes : iterable of str
        Endings in lower case, such as ``'.fits'``.
    """
    for suffix in suffixes:
        _FORMATS_BY_SUFFIX[data_class.__name__, suffix] = format_name


def guess_format(data_class, path):
    """
    Return the format that a file name stands for.

    Parameters
    ----------
    data_class : type
        Class that is read or written.
    path : str or path-like
        File name.

    Returns
    -------
    format_name : str
        Name of the format.

    Raises
    ------
    ValueError
        If no suffix fits; the message lists those that would.
    """
    name = Path(path).name.lower()
    known = {
        suffix: format_name
        for (class_name, suffix), format_name in _FORMATS_BY_SUFFIX.items()
        if class_name == data_class.__name__
    }
    for suffix in sorted(known, key=len, reverse=True):
        if name.endswith(suffix):
            return known[suffix]
    if '' in known:
        return known['']
    listing = ', '.join(f'{suffix} ({known[suffix]})' for suffix in sorted(known))
    msg = (
        f'{path}: cannot tell the format of a {data_class.__name__} from this name; '
        f'use one of {listing}; in Python, format=... says what it is'
    )
    raise ValueError(msg)


def make_reader(summary):
    """
    Return the class behind a ``read`` method.

    Parameters
    ----------
    summary : str
        First line of the method's documentation.

    Returns
    -------
    reader : type
        To be wrapped in `~astropy.io.registry.UnifiedReadWriteMethod`.
    """

    class Reader(UnifiedReadWrite):
        def __init__(self, instance, cls):
            super().__init__(instance, cls, 'read', registry=IO_REGISTRY)

        def __call__(self, path, *args, format=None, **kwargs):  # noqa: A002 - astropy's name
            name = format or guess_format(self._cls, path)
            try:
                self.registry.get_reader(name, self._cls)
            except IORegistryError as error:
                if format is not None:
                    raise
                msg = (
                    f'{path}: files of this kind (format {name!r}) are written, not read; give '
                    f'the {self._cls.__name__} in another format'
                )
                raise ValueError(msg) from error
            return self.registry.read(self._cls, path, *args, format=name, **kwargs)

    # astropy appends the table of formats and needs an indented body to do so
    Reader.__doc__ = f"""{summary}

    Parameters
    ----------
    path : str or path-like
        The file.
    format : str, optional
        Name of the format; by default it follows from the file name.
    **kwargs
        Options of the format, see ``read.help(format)``.

    Returns
    -------
    object
        A new object of this class.
    """
    return Reader


def make_writer(summary):
    """
    Return the class behind a ``write`` method.

    Parameters
    ----------
    summary : str
        First line of the method's documentation.

    Returns
    -------
    writer : type
        To be wrapped in `~astropy.io.registry.UnifiedReadWriteMethod`.
    """

    class Writer(UnifiedReadWrite):
        def __init__(self, instance, cls):
            super().__init__(instance, cls, 'write', registry=IO_REGISTRY)

        def __call__(self, path, *args, format=None, **kwargs):  # noqa: A002 - astropy's name
            name = format or guess_format(self._cls, path)
            return self.registry.write(self._instance, path, *args, format=name, **kwargs)

    Writer.__doc__ = f"""{summary}

    Parameters
    ----------
    path : str or path-like
        The file; it is written whole or not at all.
    format : str, optional
        Name of the format; by default it follows from the file name.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    **kwargs
        Options of the format, see ``write.help(format)``.
    """
    return Writer
