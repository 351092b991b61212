# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Exceptions and warnings of the package.

Every error raised on purpose derives from `ClusterCNNError`, so that a
pipeline can catch what the package says without catching its bugs.
"""

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    'ClusterCNNError',
    'ClusterCNNWarning',
    'DataQualityWarning',
    'FluxImageError',
    'ImageMismatchError',
    'ImageReadError',
    'MissingDependencyError',
    'ModelFileError',
    'NoImageError',
    'TableReadError',
    'TrainingError',
]


class ClusterCNNError(Exception):
    """
    Base class of the errors that the package raises on purpose.

    Examples
    --------
    >>> from clustercnn.exceptions import ClusterCNNError, ImageReadError
    >>> issubclass(ImageReadError, ClusterCNNError)
    True
    """


class ImageReadError(ClusterCNNError, OSError):
    """
    An image file cannot be used.

    Parameters
    ----------
    path : str or path-like
        The file.
    reason : str
        What is wrong, what was expected and what to do.

    Examples
    --------
    >>> from clustercnn.exceptions import ImageReadError
    >>> print(ImageReadError('m31.fits', 'the file is empty; download it again'))
    m31.fits: the file is empty; download it again
    """

    def __init__(self, path, reason):
        self.path = str(path)
        self.reason = str(reason)
        super().__init__(f'{self.path}: {self.reason}')

    def __str__(self):
        return f'{self.path}: {self.reason}'

    def __reduce__(self):
        # OSError's own pickling would call the constructor with one argument
        return type(self), (self.path, self.reason)


class NoImageError(ImageReadError):
    """
    A file holds no image of the sky at all.

    Parameters
    ----------
    path : str or path-like
        The file.
    reason : str
        What it holds instead.

    Examples
    --------
    >>> from clustercnn.exceptions import ImageReadError, NoImageError
    >>> issubclass(NoImageError, ImageReadError)
    True
    """


class FluxImageError(ImageReadError):
    """
    The image holds fluxes, rates or smoothed values instead of counts.

    Parameters
    ----------
    path : str or path-like
        The file.
    reason : str
        How it was recognised and what to do.

    Examples
    --------
    >>> from clustercnn.exceptions import FluxImageError
    >>> raise FluxImageError('flux.fits', 'BUNIT is ct/s')
    Traceback (most recent call last):
        ...
    clustercnn.exceptions.FluxImageError: flux.fits: BUNIT is ct/s
    """


class ImageMismatchError(ClusterCNNError, ValueError):
    """
    Two images that must share one pixel grid do not.

    Examples
    --------
    >>> from clustercnn.exceptions import ImageMismatchError
    >>> issubclass(ImageMismatchError, ValueError)
    True
    """


class TableReadError(ClusterCNNError, OSError):
    """
    A table file cannot be used.

    Parameters
    ----------
    path : str or path-like
        The file.
    reason : str
        What is wrong, what was expected and what to do.

    Examples
    --------
    >>> from clustercnn.exceptions import TableReadError
    >>> print(TableReadError('votes.csv', 'row 3: 2 cells, expected 14'))
    votes.csv: row 3: 2 cells, expected 14
    """

    def __init__(self, path, reason):
        self.path = str(path)
        self.reason = str(reason)
        super().__init__(f'{self.path}: {self.reason}')

    def __str__(self):
        return f'{self.path}: {self.reason}'

    def __reduce__(self):
        return type(self), (self.path, self.reason)


class ModelFileError(ClusterCNNError, ValueError):
    """
    A model file is damaged, hostile, or of another kind than expected.

    Examples
    --------
    >>> from clustercnn.exceptions import ModelFileError
    >>> issubclass(ModelFileError, ValueError)
    True
    """


class TrainingError(ClusterCNNError, RuntimeError):
    """
    Training cannot start, resume or go on.

    Examples
    --------
    >>> from clustercnn.exceptions import TrainingError
    >>> issubclass(TrainingError, RuntimeError)
    True
    """


class MissingDependencyError(ClusterCNNError, ImportError):
    """
    An optional dependency is needed and absent.

    Examples
    --------
    >>> from clustercnn.exceptions import MissingDependencyError
    >>> issubclass(MissingDependencyError, ImportError)
    True
    """


class ClusterCNNWarning(AstropyUserWarning):
    """
    Base class of the package's warnings.

    Examples
    --------
    >>> from clustercnn.exceptions import ClusterCNNWarning, DataQualityWarning
    >>> issubclass(DataQualityWarning, ClusterCNNWarning)
    True
    """


class DataQualityWarning(ClusterCNNWarning):
    """
    Data were used, but something in them deserves a look.

    Examples
    --------
    >>> import warnings
    >>> from clustercnn.exceptions import DataQualityWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter('ignore', DataQualityWarning)
    ...     warnings.warn('12 pixels are NaN', DataQualityWarning)
    """
