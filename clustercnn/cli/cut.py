# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn cut``.
"""

import shlex

from clustercnn.cli._common import (
    UsageError,
    add_common_arguments,
    add_xray_arguments,
    bands_of,
    check_catalogue_name,
    quiet_of,
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
        'cut',
        help='co-registered multi-band cutouts',
        description='Cut the candidates of a catalogue out of the images of several bands, each '
        'band onto its own north-up grid.',
    )
    parser.add_argument('candidates', metavar='CANDIDATES', help='catalogue of candidates')
    parser.add_argument(
        '--band',
        action='append',
        required=True,
        metavar='NAME=F',
        help='image of a band; repeatable; the X-ray band is called xray',
    )
    parser.add_argument('-o', '--output', required=True, metavar='CUTOUTS.h5', help='file to write')
    add_xray_arguments(parser)
    add_common_arguments(parser, seed=False)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.pipeline import make_cutouts

    bands = bands_of(options)
    if 'xray' not in bands and (options.exposure or options.background):
        msg = '--exposure and --background belong to the band xray, which is not given'
        raise UsageError(msg)
    from clustercnn.cutouts import PARTIAL_COVERAGE

    check_catalogue_name(options.candidates)
    stack = make_cutouts(
        options.candidates,
        bands,
        exposure=options.exposure,
        background=options.background,
        allow_flux=options.allow_flux,
        output=options.output,
        overwrite=options.overwrite,
        quiet=quiet_of(options),
    )
    lines = [
        f'in:  {len(stack)} candidates of {options.candidates}',
        f'out: {len(stack)} cutouts in {options.output}; none was left out',
    ]
    for name in stack.band_names:
        coverage = stack.band(name).coverage
        lines.append(
            f'     {name}: {(coverage >= PARTIAL_COVERAGE).sum()} whole to '
            f'{PARTIAL_COVERAGE:.0%}, {((coverage > 0) & (coverage < PARTIAL_COVERAGE)).sum()} in '
            f'part, {(coverage == 0).sum()} absent'
        )
    following = ['clustercnn', 'classify', options.output, '--model', 'default']
    lines.append(f'next: {shlex.join([*following, "-o", "catalog.ecsv"])}')
    tell(options, *lines)
