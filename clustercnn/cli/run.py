# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn run``.
"""

import shlex

from clustercnn.cli._common import (
    add_common_arguments,
    add_finder_arguments,
    add_prefix_argument,
    add_xray_arguments,
    bands_of,
    finder_options,
    quiet_of,
    tell,
)

__all__ = ['add_parser', 'describe']


def add_parser(commands):
    """
    Add the command to the parser.

    Parameters
    ----------
    commands : object
        What ``add_subparsers`` returned.
    """
    parser = commands.add_parser(
        'run',
        help='X-ray image (and optical) to ranked catalogue',
        description='Find the sources of an X-ray image, cut them out, classify them, and write '
        'a catalogue ranked by the probability of being a galaxy cluster. Everything but the '
        'X-ray image may be absent.',
    )
    parser.add_argument('xray', metavar='XRAY', help='counts image, FITS with a celestial WCS')
    parser.add_argument('--optical', metavar='F', help='optical image')
    parser.add_argument(
        '--band', action='append', metavar='NAME=F', help='image of a further band; repeatable'
    )
    parser.add_argument(
        '--model', default='default', metavar='NAME|PATH', help='shipped model or model file'
    )
    parser.add_argument(
        '-o', '--output', default='clustercnn-run', metavar='DIR', help='default: %(default)s'
    )
    add_prefix_argument(parser)
    add_xray_arguments(parser)
    add_finder_arguments(parser)
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.pipeline import run_field

    result = run_field(
        options.xray,
        exposure=options.exposure,
        background=options.background,
        optical=options.optical,
        bands=bands_of(options),
        model=options.model,
        allow_flux=options.allow_flux,
        prefix=options.prefix,
        output=options.output,
        overwrite=options.overwrite,
        seed=options.seed or 0,
        quiet=quiet_of(options),
        **finder_options(options),
    )
    report = shlex.quote(str(result.files['report.html']))
    tell(options, *describe(result), f'next: open {report}')


def describe(result):
    """
    Tell what became of a field.

    Parameters
    ----------
    result : FieldResult
        Result of a run.

    Returns
    -------
    lines : list of str
        In and out, what was lost and why, the first candidates.
    """
    counts = result.record['counts']
    lines = [
        f'in:  {counts["counts_in_image"]} counts in {counts["pixels_exposed"]} exposed pixels, '
        f'{counts["pixels_masked"]} masked',
        f'out: {counts["found"]} sources found, {counts["cut_out"]} cut out, '
        f'{counts["classified"]} classified, {counts["p_cluster_above_0.5"]} with p_cluster '
        f'above 0.5',
    ]
    for reason, number in counts['dropped'].items():
        lines.append(f'     {number} left out: {reason}')
    if counts['without_optical']:
        lines.append(f'     {counts["without_optical"]} classified without optical data')
    lines += [f'note: {note}' for note in result.record['notes']]
    if counts['classified']:
        lines.append(' rank  p_cluster  name                        counts  extent["]  flags')
        for candidate in result.catalog[:5]:
            lines.append(
                f' {candidate.extra["rank"]:4d}  {candidate.extra["p_cluster"]:9.3f}  '
                f'{candidate.name:26s}  {candidate.counts.value:6.0f}  '
                f'{candidate.extent.value:9.1f}  {", ".join(candidate.flag_names) or "-"}'
            )
    lines.append(f'time: {result.record.get("seconds", 0):.1f} s')
    return lines
