# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn find``.
"""

import shlex

from clustercnn.cli._common import (
    add_common_arguments,
    add_finder_arguments,
    add_prefix_argument,
    add_xray_arguments,
    finder_options,
    tell,
)

__all__ = ['add_parser']


def add_parser(commands):
    """
    Add the command to the parser.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        'find',
        help='source finding only',
        description='Find the sources of an X-ray image and write their catalogue.',
    )
    parser.add_argument('xray', metavar='XRAY', help='counts image, FITS with a celestial WCS')
    parser.add_argument(
        '-o',
        '--output',
        required=True,
        metavar='CANDIDATES',
        help='catalogue to write: .ecsv, .fits, .vot or .reg',
    )
    add_prefix_argument(parser)
    add_xray_arguments(parser)
    add_finder_arguments(parser)
    add_common_arguments(parser, seed=False)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.pipeline import find_sources

    catalog = find_sources(
        options.xray,
        exposure=options.exposure,
        background=options.background,
        allow_flux=options.allow_flux,
        prefix=options.prefix,
        output=options.output,
        overwrite=options.overwrite,
        **finder_options(options),
    )
    dropped = dict(catalog.meta.get('dropped', {}))
    command = ['clustercnn', 'cut', options.output, '--band', f'xray={options.xray}']
    for name in ('exposure', 'background'):
        if getattr(options, name) is not None:
            command += [f'--{name}', getattr(options, name)]
    command += ['--allow-flux'] if options.allow_flux else []
    following = shlex.join([*command, '-o', 'cutouts.h5'])
    if options.output.lower().endswith('.reg'):
        following = shlex.join(['ds9', options.xray, '-regions', options.output])
    tell(
        options,
        f'in:  {options.xray}, {"no" if options.exposure is None else "with"} exposure map, '
        f'{"no" if options.background is None else "with"} background map',
        f'out: {len(catalog)} sources in {options.output}',
        *(f'     {number} left out: {reason}' for reason, number in dropped.items()),
        f'next: {following}',
    )
