# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The command ``clustercnn simulate``.
"""

import shlex
from pathlib import Path

from clustercnn.cli._common import UsageError, add_common_arguments, positive_number, tell

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
        'simulate',
        help='simulated fields with truth',
        description='Write simulated X-ray and optical fields, each a folder with its images '
        'and the truth.',
    )
    parser.add_argument('directory', metavar='DIR', help='folder to write to')
    parser.add_argument('--mission', default='xmm', metavar='NAME', help='default: %(default)s')
    parser.add_argument(
        '--fields', type=positive_number, default=1, metavar='N', help='number of fields'
    )
    parser.add_argument(
        '--bands',
        metavar='SURVEY',
        help='optical images in several bands as the survey SURVEY takes them (sdss, decals, '
        'lsst); by default one plate or CCD frame',
    )
    parser.add_argument(
        '--votes',
        type=positive_number,
        metavar='N',
        help='also simulate N votes of volunteers on each source, and two experts',
    )
    add_common_arguments(parser)
    parser.set_defaults(execute=_execute)


def _execute(options):
    from clustercnn.simulate import (
        MISSIONS,
        OPTICAL_SURVEYS,
        SimulationConfig,
        simulate_fields,
        simulate_votes,
    )

    if options.mission not in MISSIONS:
        msg = f'--mission {options.mission}: there are {", ".join(MISSIONS)}'
        raise UsageError(msg)
    config = None
    if options.bands is not None:
        if options.bands not in OPTICAL_SURVEYS:
            msg = f'--bands {options.bands}: there are {", ".join(OPTICAL_SURVEYS)}'
            raise UsageError(msg)

        def config(seed):
            return SimulationConfig.randomised(
                seed, mission=options.mission, optical='ccd', optical_bands=options.bands
            )

    index = simulate_fields(
        options.directory,
        mission=options.mission,
        n_fields=options.fields,
        seed=options.seed or 0,
        config=config,
        overwrite=options.overwrite,
        progress=not options.quiet,
    )
    folder = f'{options.directory}/{index["field"][0]}'
    command = f'clustercnn run {folder}/xray.fits --exposure {folder}/exposure.fits'
    if options.bands:
        command = f'clustercnn find {folder}/xray.fits --exposure {folder}/exposure.fits -o c.ecsv'
    elif index['optical'][0] != 'none':
        command += f' --optical {folder}/optical.fits'
    lines = [f'out: {len(index)} simulated fields in {options.directory}']
    following = [command]
    if options.votes:
        names = index['field'].tolist()
        _check_voted(options, names)
        items = simulate_votes(
            options.directory,
            n_votes=options.votes,
            seed=options.seed or 0,
            overwrite=options.overwrite,
        )
        lines.append(
            f'     {options.votes} simulated votes on each of {len(items)} sources in votes.csv, '
            f'two experts in experts.csv, the classes in truth.ecsv, and as a catalogue to be cut '
            f'out in {_VOTED} of each field'
        )
        _write_voted(options.directory, names, items)
        following = _from_votes(options.directory, names)
    first, *more = following
    tell(options, *lines, f'next: {first}', *(f'      {command}' for command in more))


# the sources of a field that people were asked about, which no finder names as their votes do
_VOTED = 'voted.ecsv'


def _check_voted(options, fields):
    from clustercnn._utils.files import check_output

    for name in ('votes.csv', *(f'{field}/{_VOTED}' for field in fields)):
        check_output(Path(options.directory, name), overwrite=options.overwrite)


def _write_voted(directory, fields, items):
    """
    Write the sources with votes into the folders of their fields, to be cut out there.
    """
    from clustercnn.core import CandidateCatalog

    owner = [name.rpartition('-')[0] for name in items['id'].tolist()]
    for field in fields:
        here = items[[name == field for name in owner]]
        catalog = CandidateCatalog.from_columns(
            id=here['id'].tolist(), ra=here['ra'], dec=here['dec'], meta={'simulated': True}
        )
        catalog.write(Path(directory, field, _VOTED), overwrite=True)


def _from_votes(directory, fields):
    """
    Return the commands from votes to a model.
    """
    folder, bands = Path(directory, fields[0]), []
    for path in sorted(folder.glob('optical*.fits')):
        bands += ['--band', f'{path.stem.removeprefix("optical_")}={path}']
    cut = ['clustercnn', 'cut', f'{folder / _VOTED}', '--band', f'xray={folder / "xray.fits"}']
    cut += [*bands, '--exposure', f'{folder / "exposure.fits"}', '-o', f'{fields[0]}.h5']
    votes = str(Path(directory, 'votes.csv'))
    several = '  # and so for each field' if len(fields) > 1 else ''
    return [
        shlex.join(['clustercnn', 'labels', 'read', votes, '--item', 'candidate', '-o', 'l.ecsv']),
        shlex.join(cut) + several,
        f'clustercnn train {"field_*.h5" if several else cut[-1]} l.ecsv -o model.safetensors',
    ]
