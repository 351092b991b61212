# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the commands share: arguments, their parsing, and how results are told.
"""

import argparse
import math
import re
from pathlib import Path

__all__ = [
    'UsageError',
    'add_common_arguments',
    'add_finder_arguments',
    'add_prefix_argument',
    'add_xray_arguments',
    'bands_of',
    'check_catalogue_name',
    'finder_options',
    'fraction',
    'looked_for',
    'positive_number',
    'prefix_of_ids',
    'psf_of',
    'quiet_of',
    'seed_number',
    'tell',
]


_FITS_NAME = re.compile(r'\.(fits?|fts|ftz|img)(\.(gz|bz2|xz))?$', re.IGNORECASE)


class UsageError(Exception):
    """
    The command line asks for something that cannot be.
    """


def seed_number(text):
    """
    Return a seed, or refuse it as wrong usage.

    Parameters
    ----------
    text : str
        The argument.

    Returns
    -------
    seed : int
        From 0 to 2**32 - 1.
    """
    seed = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= seed < 2**32:
        msg = f'expected a whole number from 0 to {2**32 - 1}, got {text}'
        raise argparse.ArgumentTypeError(msg)
    return seed


def positive_number(text):
    """
    Return a number of things, or refuse it as wrong usage.

    Parameters
    ----------
    text : str
        The argument.

    Returns
    -------
    number : int
        At least 1.
    """
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        msg = f'expected a whole number of at least 1, got {text}'
        raise argparse.ArgumentTypeError(msg)
    return number


def fraction(text):
    """
    Read a share from the command line.

    Parameters
    ----------
    text : str
        What was typed.

    Returns
    -------
    share : float
        Above 0 and below 1.

    Raises
    ------
    argparse.ArgumentTypeError
        If it is anything else.
    """
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 < share < 1:
        msg = f'{text!r} is not a number between 0 and 1'
        raise argparse.ArgumentTypeError(msg)
    return share


def add_common_arguments(parser, *, seed=True, overwrite=True):
    """
    Add the arguments that every command has.

    Parameters
    ----------
    parser : `~argparse.ArgumentParser`
        Parser of a command.
    seed, overwrite : bool, optional
        Whether they mean anything here; they are accepted in any case.
    """
    group = parser.add_argument_group('common options')
    group.add_argument(
        '-v', '--verbose', action='store_true', help='show where an error comes from'
    )
    group.add_argument(
        '-q', '--quiet', action='store_true', help='no progress bars, warnings or summary'
    )
    group.add_argument(
        '--seed',
        type=seed_number,
        default=None,
        help='seed of everything random' if seed else argparse.SUPPRESS,
    )
    group.add_argument(
        '--overwrite',
        action='store_true',
        help='replace existing files' if overwrite else argparse.SUPPRESS,
    )


def add_xray_arguments(parser):
    """
    Add the arguments that describe an X-ray image.

    Parameters
    ----------
    parser : `~argparse.ArgumentParser`
        Parser of a command.
    """
    group = parser.add_argument_group('the X-ray image')
    group.add_argument('--exposure', metavar='F', help='exposure map on the same grid')
    group.add_argument('--background', metavar='F', help='background map on the same grid')
    group.add_argument(
        '--allow-flux',
        action='store_true',
        help='use an image that does not hold counts, with approximate errors',
    )


def add_finder_arguments(parser):
    """
    Add the arguments of source finding.

    Parameters
    ----------
    parser : `~argparse.ArgumentParser`
        Parser of a command.
    """
    group = parser.add_argument_group('source finding')
    group.add_argument(
        '--psf',
        metavar='F|FWHM',
        help='image of the PSF, FITS, or its width in arcsec; default: the width of the mission',
    )
    group.add_argument(
        '--method', choices=('wavelet', 'segmentation'), default='wavelet', help='the finder'
    )
    group.add_argument(
        '--threshold', type=float, metavar='SIGMA', help='in equivalent Gaussian sigma'
    )
    group.add_argument(
        '--false-alarms',
        type=float,
        metavar='N',
        help='expected spurious sources in the field, instead of --threshold',
    )


def prefix_of_ids(text):
    """
    Return the beginning of identifiers, or refuse it as wrong usage.

    Parameters
    ----------
    text : str
        The argument.

    Returns
    -------
    prefix : str
        Of signs that every format of files keeps.
    """
    if not re.fullmatch(r'[A-Za-z0-9._+-]+', text):
        msg = f"expected letters, digits and the signs . _ + -, such as field_1, got '{text}'"
        raise argparse.ArgumentTypeError(msg)
    return text


def add_prefix_argument(parser):
    """
    Add the argument that names candidates after their field.

    Parameters
    ----------
    parser : `~argparse.ArgumentParser`
        Parser of a command.
    """
    parser.add_argument(
        '--prefix',
        type=prefix_of_ids,
        metavar='TEXT',
        help='name the candidates TEXT-1, TEXT-2, ... instead of 1, 2, ...: another text for each '
        'field whose candidates are to be labelled or learned together',
    )


def psf_of(options):
    """
    Return the width or the file asked for with ``--psf``.

    Parameters
    ----------
    options : `~argparse.Namespace`
        Parsed arguments.

    Returns
    -------
    settings : dict
        ``psf_fwhm``, in arcsec, with which a unit such as ``0.5arcmin`` may be written, and
        ``psf``, a file; at most one of them is not None.
    """
    import astropy.units as u

    text = options.psf
    if text is None:
        return {'psf_fwhm': None, 'psf': None}
    try:
        number = re.fullmatch(r'\s*([0-9.eE+-]+)\s*', text)
        width = float(number[1]) * u.arcsec if number else u.Quantity(text).to(u.arcsec)
    except (ValueError, TypeError) as error:
        # what looks like a file is left to the reader, who knows what to say of it
        if Path(text).exists() or '/' in text or _FITS_NAME.search(text):
            return {'psf_fwhm': None, 'psf': text}
        msg = (
            f'--psf {text}: expected a width in arcsec such as 8, or 0.2arcmin, or a FITS file '
            f'with the image of the PSF; there is no such file'
        )
        raise UsageError(msg) from error
    if not (width.value > 0 and math.isfinite(width.value)):
        msg = f'--psf {text}: the width must be finite and above 0'
        raise UsageError(msg)
    return {'psf_fwhm': width, 'psf': None}


def finder_options(options):
    """
    Return the settings of the finder.

    Parameters
    ----------
    options : `~argparse.Namespace`
        Parsed arguments.

    Returns
    -------
    settings : dict
        Keyword arguments of the functions of `clustercnn.pipeline`.
    """
    if options.threshold is not None and options.false_alarms is not None:
        msg = 'give --threshold or --false-alarms, not both: one follows from the other'
        raise UsageError(msg)
    for name in ('threshold', 'false_alarms'):
        value = getattr(options, name)
        if value is not None and not value > 0:
            msg = f'--{name.replace("_", "-")} {value:g}: must be above 0'
            raise UsageError(msg)
    return {
        **psf_of(options),
        'method': options.method,
        'threshold': options.threshold,
        'false_alarms': options.false_alarms,
    }


def bands_of(options):
    """
    Return the images given with ``--band NAME=F``.

    Parameters
    ----------
    options : `~argparse.Namespace`
        Parsed arguments.

    Returns
    -------
    bands : dict of str to str
        File by band.
    """
    bands = {}
    for text in options.band or ():
        name, separator, path = text.partition('=')
        if not separator or not name or not path:
            msg = f'--band {text}: expected NAME=FILE, such as r=field_r.fits'
            raise UsageError(msg)
        if name in bands:
            msg = f"--band {text}: the band '{name}' is given twice"
            raise UsageError(msg)
        bands[name] = path
    return bands


def check_catalogue_name(path):
    """
    Refuse a file of candidates whose name is that of no table which can be read.

    Parameters
    ----------
    path : str
        The file; of regions, which are written only, its reader knows what to say.
    """
    from clustercnn.core import CandidateCatalog
    from clustercnn.core.connect import guess_format

    try:
        guess_format(CandidateCatalog, path)
    except ValueError as error:
        msg = (
            f'{path}: expected a catalogue of candidates, .ecsv, .fits (.fit, .fits.gz) or .vot '
            f'(.votable, .xml), as clustercnn find writes it; of a list of positions '
            f'CandidateCatalog.from_columns(ra=..., dec=...).write(...) makes one'
        )
        raise ValueError(msg) from error


def quiet_of(options):
    """
    Return whether progress bars are hidden.

    Parameters
    ----------
    options : `~argparse.Namespace`
        Parsed arguments.

    Returns
    -------
    quiet : bool or None
        None lets the terminal decide.
    """
    return True if options.quiet else None


def tell(options, *lines):
    """
    Print the summary of a command unless it was asked to be quiet.

    Parameters
    ----------
    options : `~argparse.Namespace`
        Parsed arguments.
    *lines : str
        What to print.
    """
    if not options.quiet:
        print('\n'.join(lines))


def looked_for(schema, named=None):
    """
    Return the line that says which classes count as a find, and why these.

    Parameters
    ----------
    schema : LabelSchema
        The classes.
    named : iterable of str, optional
        Those that the user named.

    Returns
    -------
    lines : list of str
        Empty where it is the class ``'cluster'``, as is usual.
    """
    from clustercnn.core._positive import usual_positive

    if schema.positive == ('cluster',):
        return []
    usual, why = usual_positive(schema.classes)
    # a file of labels may have been written with others
    is_usual = not named and set(schema.positive) == set(usual)
    reason = f', {why}; --positive names another' if is_usual else ''
    return [f'     looked for: {", ".join(schema.positive)}{reason}']
