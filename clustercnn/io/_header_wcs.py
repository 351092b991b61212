# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the header of an image says of the sky.
"""

from astropy.wcs import WCS

from clustercnn.exceptions import ImageReadError

__all__ = ['wcs_of']

_CELESTIAL = ('RA-', 'DEC', 'GLO', 'GLA', 'ELO', 'ELA')


def wcs_of(path, header, text, n_axes):
    """
    Return the world coordinates, those of an alternate key where there are no others.

    Parameters
    ----------
    path : str or path-like
        The file, for errors.
    header : `~astropy.io.fits.Header`
        Of the image.
    text : str
        Which HDU it is, for errors.
    n_axes : int
        Axes of the image, those of length one included.

    Returns
    -------
    wcs : `~astropy.wcs.WCS` or None
        None where there are only alternates, none of which is of the sky.

    Raises
    ------
    ImageReadError
        If it is not understood, or its reference point is not stated: by the standard what is
        absent is 0, which would be a wrong place without a word.
    """
    key = ''
    if 'CTYPE1' not in header:
        other = [card[-1] for card in header if len(card) == 7 and card.startswith('CTYPE1')]
        sky = [one for one in other if str(header[f'CTYPE1{one}'])[:3] in _CELESTIAL]
        if other and not sky:
            return None
        key = sky[0] if sky else key
    axes = range(1, n_axes + 1)
    for axis in (a for a in axes if str(header.get(f'CTYPE{a}{key}'))[:3] in _CELESTIAL):
        for word in (f'CRVAL{axis}{key}', f'CRPIX{axis}{key}'):
            value = header.get(word)
            if isinstance(value, bool) or not isinstance(value, int | float):
                found = 'is absent' if value is None else f'= {value!r}'
                reason = f'{text}: {word} {found}; expected a number, of CRVAL in degrees: add it'
                raise ImageReadError(path, reason)
    try:
        key = key or ' '
        return WCS(header, naxis=2, key=key) if n_axes == 2 else WCS(header, key=key).celestial
    except Exception as error:
        words = ' '.join(str(error).split())
        reason = f'{text}: its WCS cannot be used ({words[:200]}); correct the WCS keywords'
        raise ImageReadError(path, reason) from error
