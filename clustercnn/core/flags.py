# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The bits that say what may be wrong with a candidate, defined once.
"""

import enum

__all__ = ['FLAG_DESCRIPTIONS', 'CandidateFlag', 'decode_flags']


class CandidateFlag(enum.IntFlag):
    """
    Bits of the ``flags`` column.

    The values are part of the file format: new bits are appended, none is ever
    given another meaning.

    Examples
    --------
    >>> from clustercnn.core import CandidateFlag
    >>> flags = CandidateFlag.EDGE | CandidateFlag.BLENDED
    >>> int(flags)
    9
    >>> CandidateFlag.EDGE in flags
    True
    """

    EDGE = 1
    GAP = 2
    SATURATED = 4
    BLENDED = 8
    NO_EXPOSURE = 16
    NO_OPTICAL = 32
    PARTIAL_OPTICAL = 64
    PARTIAL_XRAY = 128
    EXTENT_AT_LIMIT = 256
    FIT_FAILED = 512
    FLUX_IMAGE = 1024
    BACKGROUND_SUSPECT = 2048
    NEAR_BRIGHT = 4096
    NO_XRAY = 8192


FLAG_DESCRIPTIONS = {
    CandidateFlag.EDGE: 'within two PSF widths of the edge of the exposed field',
    CandidateFlag.GAP: 'a chip gap, dead column or masked pixel lies inside the source',
    CandidateFlag.SATURATED: 'so many counts a pixel that pile-up or overflow is likely',
    CandidateFlag.BLENDED: 'shares its photons with a neighbouring source',
    CandidateFlag.NO_EXPOSURE: 'no exposure map was given; a flat exposure was assumed',
    CandidateFlag.NO_OPTICAL: 'no optical data here; classified without them',
    CandidateFlag.PARTIAL_OPTICAL: 'optical data cover only part of the cutout',
    CandidateFlag.PARTIAL_XRAY: 'X-ray data cover only part of the cutout',
    CandidateFlag.EXTENT_AT_LIMIT: 'the fitted extent lies at the end of its range',
    CandidateFlag.FIT_FAILED: 'the source model could not be fitted; likelihoods are missing',
    CandidateFlag.FLUX_IMAGE: 'from an image that does not hold counts; errors are approximate',
    CandidateFlag.BACKGROUND_SUSPECT: 'the background map given seems to contain the source',
    CandidateFlag.NEAR_BRIGHT: 'in the wings of a much brighter source',
    CandidateFlag.NO_XRAY: 'no X-ray data here; its score says nothing of an image',
}


def decode_flags(value):
    """
    Name the bits that are set.

    Parameters
    ----------
    value : int
        Value of the ``flags`` column.

    Returns
    -------
    names : tuple of str
        In the order of the bits.

    Raises
    ------
    ValueError
        If a bit is set that has no meaning.

    Examples
    --------
    >>> from clustercnn.core import decode_flags
    >>> decode_flags(9)
    ('EDGE', 'BLENDED')
    >>> decode_flags(0)
    ()
    """
    value = int(value)
    known = sum(int(flag) for flag in CandidateFlag)
    if value < 0 or value & ~known:
        msg = f"'value' has bits without a meaning: {value}; the known bits sum to {known}"
        raise ValueError(msg)
    return tuple(flag.name for flag in CandidateFlag if value & flag)
