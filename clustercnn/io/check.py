# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What a file is, what is wrong with it, and what to do.
"""

import dataclasses
from pathlib import Path

from clustercnn.exceptions import ClusterCNNError
from clustercnn.io.hdf5 import read_stack
from clustercnn.io.images import read_image
from clustercnn.io.planes import read_plane

__all__ = ['FileReport', 'check_files']


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileReport:
    """
    What was learnt about a file.

    Parameters
    ----------
    path : str
        The file.
    kind : str
        What it is.
    problems : tuple of str, optional
        What is wrong and what to do.
    facts : dict, optional
        What was read.

    Examples
    --------
    >>> from clustercnn.io import FileReport
    >>> FileReport(path='a.fits', kind='image').ok
    True
    """

    path: str
    kind: str
    problems: tuple = ()
    facts: dict = dataclasses.field(default_factory=dict)

    @property
    def ok(self):
        """
        Whether nothing is wrong.
        """
        return not self.problems


def check_files(paths):
    """
    Look at files of any kind.

    Parameters
    ----------
    paths : iterable of str or path-like
        The files.

    Returns
    -------
    reports : list of FileReport
        One a file.

    Examples
    --------
    >>> from clustercnn.io import check_files
    >>> report = check_files(['no-such-file.fits'])[0]
    >>> report.ok, report.problems
    (False, ('no-such-file.fits: no such file; check the name',))
    """
    return [_check(path) for path in paths]


def _check(path):
    name = str(path)
    try:
        if Path(path).suffix in ('.h5', '.hdf5'):
            stack = read_stack(path)
            return FileReport(path=name, kind='cutouts', facts={'cutouts': len(stack)})
        data, header, _, number, _ = read_plane(path)
        facts = {'HDU': number, 'shape': data.shape}
        words = f'{header.get("DSTYPE", "")} {header.get("CONTENT", "")} {Path(path).name}'
        if any(word in words.upper() for word in ('EXPM', 'EXPOSUREMAP', 'EXPOSURE')):
            return FileReport(path=name, kind='exposure map', facts=facts)
        if any(word in words.upper() for word in ('BKGMAP', 'BACKGR')):
            return FileReport(path=name, kind='background map', facts=facts)
        image = read_image(path)
    except (ClusterCNNError, OSError) as error:
        return FileReport(path=name, kind='unusable', problems=(str(error),))
    facts |= {'mission': image.mission, 'counts': round(image.n_counts)}
    return FileReport(path=name, kind='counts image', facts=facts)
