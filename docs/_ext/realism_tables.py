# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The tables of the page that says how real the simulated sky is, from what
``validation/simulator`` measured.
"""

import json

from generated_tables import ROOT, Generated, table

RESULTS = ROOT / 'validation' / 'simulator' / 'results'


def _span(values, form='.2f'):
    """
    Return a value with its interval.
    """
    if values is None or values[0] is None:
        return 'too few'
    middle, low, high = (format(value, form) for value in values)
    return f'{middle} [{low}, {high}]'


class SimulatorRealism(Generated):
    """
    One comparison of simulated with real.
    """

    required_arguments = 1

    def lines(self):
        """
        Return the table that the argument names.
        """
        part = self.arguments[0]
        file, make = _PARTS[part]
        path = RESULTS / file
        self.env.note_dependency(str(path))
        results = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
        lines = make(results) if results else None
        return lines or ['This has not been measured for this version yet.', '']


def _encircled_energy(results):
    rows = []
    for row in results.get('encircled energy', ()):
        low, high = row['off_axis']
        cells = [
            f'{_span(row[name]["real"], digits)} / {row[name]["simulated"]:{digits}}'
            for name, digits in (('60%', '.1f'), ('80%', '.1f'), ('axis ratio', '.2f'))
        ]
        rows.append((row['camera'], f"{low:g}-{high:g}'", str(row['places']), *cells))
    heads = ('camera', 'off axis', 'places')
    heads += tuple(f'{name}: real / *simulated*' for name in ('60 %', '80 %', 'axis ratio'))
    return table(heads, rows, widths='8 10 8 24 24 26') if rows else None


def _point_source(results):
    own = results['simulated']
    rows = [
        (
            f'fitted, slope {fit["slope"]:g}',
            f'{fit["core_radius"]:.1f}',
            f'{fit["axis_ratio"]:.2f}',
            f'{fit["cash_above_best"]:.1f}',
        )
        for fit in results['fits']
    ]
    core, ratio = f'{own["core_radius"]:.1f}', f'{own["axis_ratio"]:.2f}'
    rows.append(
        (f'*simulated*, slope {own["slope"]:g}', core, ratio, f'{own["cash_above_best"]:.1f}')
    )
    worse = own['cash_above_best_with_three_times_the_growth']
    rows.append(('the same with three times the growth', '', ratio, f'{worse:.1f}'))
    place = f'{results["counts"]} counts, {results["off_axis"]:g} arcmin off axis'
    heads = (
        place,
        'tangential core radius [arcsec]',
        'axis ratio',
        'Cash statistic above the best',
    )
    return table(heads, rows, widths='34 24 14 28')


def _agn(results):
    rows = []
    for row in results.get('agn', {}).get('bins', ()):
        low, high = row['flux']
        rows.append(
            (
                f'{low:.1e}-{high:.1e}',
                f'{row["published"]:.0f}',
                str(row['in']),
                _span((row['found'], *row['found_interval']), '.0f'),
                _span(row['detected']),
                _span(row['flux_out_over_in']),
                _span(row['flux_in_over_out']),
            )
        )
    heads = (
        'flux',
        'published',
        '*simulated*',
        'found at this flux',
        'share detected',
        'out / in, by flux in',
        'in / out, by flux out',
    )
    return table(heads, rows, widths='16 10 10 16 16 16 16') if rows else None


def _fields(results, kind):
    rows = []
    for field, entry in results.get('fields', {}).items():
        side = 'by others' if 'by others' in field else 'real'
        for sources in ('with sources', 'without sources'):
            real = entry['real'][sources][kind]
            simulated = entry['simulated'][sources][kind]
            for name, values in real.items():
                if kind == 'pixels' and name == 'share with 3':
                    continue
                form = '.4f' if kind == 'pixels' else '.2f'
                rows.append(
                    (
                        field if name == next(iter(real)) and sources == 'with sources' else '',
                        sources if name == next(iter(real)) else '',
                        name,
                        f'{_span(values, form)}{"" if side == "real" else " (by others)"}',
                        _span(simulated[name], form),
                    )
                )
    heads = (
        'field',
        '',
        '',
        'real [95 % from blocks of sky]',
        '*simulated* [1.96 standard deviations]',
    )
    return table(heads, rows, widths='18 14 18 25 25') if rows else None


def _optical(results):
    rows = []
    for kind, bins in results['drawn'].items():
        for number, row in enumerate(bins):
            low, high = row['R']
            rows.append(
                (
                    kind if number == 0 else '',
                    f'R {low:g}-{high:g}',
                    _span(row['drawn'], '.0f'),
                    f'{row["table"]:.0f} (own table)',
                )
            )
    published = results['published']
    for number, row in enumerate(published['galaxies']):
        low, middle, high = row['simulated_per_deg2']
        rows.append(
            (
                'galaxies, independent' if number == 0 else '',
                row['limit'],
                f'{middle} [{low}, {high}]',
                f'{row["published_per_deg2"]} ({row["source"]})',
            )
        )
    stars = published['stars']
    rows.append(
        (
            'stars, independent',
            'latitudes beyond 25, 15 < r < 21.5',
            str(stars['simulated_per_deg2']),
            f'{stars["published_per_deg2"]} and more (Juric et al. 2008)',
        )
    )
    heads = ('', 'magnitude', '*simulated* a deg2', 'published a deg2')
    return table(heads, rows, widths='24 26 24 26')


def _nuclei(results):
    entry = results['active nuclei']
    rows = [
        ('ratio from -1 to 1', _span(entry['share with ratio from -1 to 1'], '.3f'), 'most AGN'),
        ('ratio above 1', _span(entry['share with ratio above 1'], '.3f'), ''),
        (
            'counterpart brighter than I (AB) 25',
            _span(entry['share brighter than I 25'], '.3f'),
            f'{_span(entry["published share brighter than I 25"], ".3f")} '
            '(XMM-COSMOS, Brusa et al. 2007: 626 of 695)',
        ),
        (
            'counterpart on a plate of R 20.8',
            _span(entry['share brighter than R 20.8'], '.3f'),
            'no number known to us',
        ),
        ('median R at 1e-14 erg/s/cm2', f'{entry["median R at 1e-14"]:.1f}', ''),
    ]
    heads = (f'{entry["agn"]} AGN above 1e-15', '*simulated*', 'real')
    return table(heads, rows, widths='34 28 38')


def _richness(results):
    rows = [
        (
            f'{name} in redMaPPer',
            f'{entry["matched"]} of {entry["clusters"]}',
            _span(entry['real_over_simulated']),
            f'{entry["scatter_real"]:.2f} / {entry["scatter_simulated"]:.2f}',
        )
        for name, entry in results['richness'].items()
    ]
    heads = (
        'real clusters',
        'with richness',
        'real over *simulated* richness',
        'scatter (ln): real / *simulated*',
    )
    return table(heads, rows, widths='26 18 28 28')


def _cluster_counts(results):
    rows = []
    for row in results['cluster counts']:
        (faint, bright), (low, high) = row['flux'], row['redshift']
        rows.append(
            (
                f'{faint:.0e}-{bright:.0e}',
                f'{low:g}-{high:g}',
                _span(row['real'], '.0f'),
                f'{row["simulated"]:.0f}',
            )
        )
    heads = ('flux', 'redshift', 'real (eFEDS)', '*simulated* on as much sky')
    return table(heads, rows, widths='26 20 27 27')


def _core_radii(results):
    entry = results['core radii']
    rows = [
        (
            row['cluster'],
            f'{row["core_over_r500"]:.3f}',
            f'{share:.0%} of the simulated ones are smaller',
        )
        for row, share in zip(entry['real'], entry['real_among_simulated'], strict=True)
    ]
    rows.append(
        (
            f'{entry["simulated_clusters"]} *simulated* clusters',
            _span(entry['simulated_measured'], '.3f'),
            f'drawn: {_span(entry["simulated_true"], ".3f")}',
        )
    )
    heads = ('cluster', 'core radius over r500, from the finder', '')
    return table(heads, rows, widths='34 33 33')


def _plates(results):
    rows = []
    for plate, entry in results.items():
        for number, (name, row) in enumerate(entry['statistics'].items()):
            real = 'too few' if row['real'] is None else f'{row["real"]:.4g}'
            rows.append((plate if number == 0 else '', name, real, _span(row['simulated'], '.4g')))
    heads = ('plate', '', 'real', '*simulated* [19 of 20 pieces]')
    return table(heads, rows, widths='24 30 16 30')


def _stamps(results):
    rows = []
    for field, entry in results.items():
        if not isinstance(entry, dict):
            continue
        kinds = [kind for kind in ('all', 'candidate', 'blank') if kind in entry]
        for number, kind in enumerate(kinds):
            auc, n = entry[kind]['auc'], entry[kind]['stamps'] // 2
            rows.append(
                (
                    _plain_field(field) if number == 0 else '',
                    kind,
                    f'{n} + {n}',
                    *(
                        _span(auc[name]) if name in auc else ''
                        for name in ('boosted trees', 'logistic regression', 'cn network')
                    ),
                )
            )
    heads = ('field', 'stamps', 'number', 'boosted trees', 'logistic regression', 'cn network')
    return table(heads, rows, widths='22 15 12 17 17 17')


def _plain_field(name):
    if name.startswith('control: '):
        return f'*{name}*'
    return '**pooled**' if name == 'pooled' else name


def _gives_away(results):
    rows = []
    for field, entry in results.items():
        if not isinstance(entry, dict) or field.startswith('control'):
            continue
        for number, row in enumerate(entry['all']['goes by'][:4]):
            rows.append(
                (
                    _plain_field(field) if number == 0 else '',
                    row['statistic'],
                    f'{row["auc_lost"]:.3f}',
                    f'{row["real_minus_simulated"]:+.2f}',
                )
            )
    heads = (
        'field',
        'statistic',
        'AUC lost when it is shuffled',
        'real - *simulated*, in standard deviations',
    )
    return table(heads, rows, widths='26 30 20 24')


def _speed(results):
    field, cutouts = results['field with plate'], results['labelled cutouts']
    ny, nx = field['plate_pixels']
    first, last = cutouts['largest_process_mb'].items()
    rows = [
        (
            f'one XMM field with a plate of {ny} x {nx}',
            f'{_span(field["cpu_seconds"])} s',
            f'{_span(field["clock_seconds"])} s',
        ),
        (
            f'{cutouts["cutouts"]} labelled cutouts of {cutouts["fields"]} fields, two processes',
            f'{cutouts["cpu_minutes_over_2"]:.0f} min on each core',
            f'{cutouts["clock_minutes_on_2_cores"]:.0f} min',
        ),
        (
            f'largest memory of a process {first[0]}; {last[0]}',
            f'{first[1]}; {last[1]} MB',
            '',
        ),
    ]
    heads = (
        '*simulated*',
        'CPU',
        f'clock, {results["cores"]} cores with a load of {results["load_at_start"]:g}',
    )
    return table(heads, rows, widths='44 28 28')


def _pile_up(results):
    rows = []
    for camera, entry in results['pile-up'].items():
        for number, row in enumerate(entry['rows']):
            at_limit = ' (limit)' if row['rate'] == entry['limit'] else ''
            rows.append(
                (
                    camera if number == 0 else '',
                    f'{row["rate"]:g}{at_limit}',
                    _span([100 * value for value in row['all']]),
                    f'{100 * row["formula"]:.2f}',
                    _span([100 * value for value in row['core']]),
                )
            )
    heads = (
        'camera',
        'counts a second',
        '*simulated*: % lost',
        'formula',
        '*simulated*: % lost inside the FWHM',
    )
    return table(heads, rows, widths='12 18 26 12 30')


def _rare(results):
    kinds = results['fields']
    rows = [
        (name, *(_span([100 * value for value in kinds[kind][name]], '.1f') for kind in kinds))
        for name in kinds['default']
    ]
    heads = ('% of *simulated* XMM-Newton fields that hold', 'by default', 'randomised')
    return table(heads, rows, widths='44 28 28')


def _mosaic(results):
    entry = results['mosaic']
    names = ('simulated', 'simulated, without point sources and noise', 'without')
    rows = [
        (
            scale if form == '.3f' else 'mean, ct/s/arcsec2',
            format(value, form),
            *(_span(entry[name][scale], form) for name in names),
        )
        for scale, value in entry['real'].items()
        for form in ('.1e' if scale == 'mean' else '.3f',)
    ]
    heads = (
        'scale',
        'real, Cygnus',
        '*simulated*',
        '*simulated*: diffuse alone',
        '*simulated*: all but diffuse',
    )
    return table(heads, rows, widths='16 18 22 22 22')


def _shapes(results):
    rows = []
    for kind, name in (('plerion', 'G21.5-0.9'), ('group', 'NGC 5044')):
        entry = results[kind]
        for number, (statistic, value) in enumerate(entry['real'].items()):
            rows.append(
                (
                    f'{kind}, {name}' if number == 0 else '',
                    statistic,
                    f'{value:.3f}',
                    _span(entry['simulated'][statistic], '.3f'),
                )
            )
    heads = ('', 'statistic', 'real', '*simulated* [18 of 20]')
    return table(heads, rows, widths='26 30 16 28')


def _depths(results):
    by_survey = {}
    for row in results['depth']:
        cells = by_survey.setdefault((row['survey'], f'{row["pixel"]:g}'), {})
        cells[row['band']] = _span(row['signal to noise'])
    rows = [
        (f'``{survey}``', pixel, *(cells.get(band, '') for band in 'griz'))
        for (survey, pixel), cells in by_survey.items()
    ]
    heads = ('survey', 'pixel [arcsec]', *(f'{band}, *simulated*' for band in 'griz'))
    return table(heads, rows, widths='12 12 19 19 19 19')


def _red_sequence(results):
    rows = []
    for row in results['red sequence']:
        for number, name in enumerate(('g-r', 'r-i', 'i-z')):
            entry = row[name]
            others = [entry.get(key) for key in ('redMaPPer in the SDSS', 'start of redMaPPer')]
            rows.append(
                (
                    f'{row["redshift"]:g}' if number == 0 else '',
                    f'{name}, {entry["recovered"][3]} galaxies',
                    _span(entry['recovered'][:3]),
                    f'{entry["table"]:.2f}',
                    *('' if other is None else f'{other:.2f}' for other in others),
                    f'{entry["elliptical of Coleman et al."]:.2f}',
                )
            )
    heads = (
        'redshift',
        '',
        '*simulated*, from the images',
        'own table',
        'redMaPPer in the SDSS',
        'start of redMaPPer',
        'elliptical of Coleman et al.',
    )
    return table(heads, rows, widths='8 18 24 10 14 12 14')


def _members(results):
    rows = [
        (
            f'{row["redshift"]:g}',
            *(_span(row[name], '.0f') for name in ('plate', 'sdss', 'decals', 'lsst')),
            _span(row['blue']),
            f'{row["Butcher & Oemler"]:.2f}',
        )
        for row in results['members']
    ]
    heads = (
        'redshift',
        'plate, R 20.8',
        'SDSS',
        'DECam Legacy',
        'LSST, ten years',
        'blue, *simulated*',
        'blue in the core, asked for',
    )
    return table(heads, rows, widths='10 14 15 15 17 18 12')


def _stars(results):
    rows = [
        (
            f'{row["g-i"]:g}',
            str(row['stars']),
            _span(row['r-i'], '.3f'),
            f'{row["published r-i"]:.2f}',
            _span(row['spread'], '.3f'),
            f'{row["published spread"]:.2f}',
        )
        for row in results['stars']
    ]
    heads = (
        'g-i',
        'stars',
        'r-i, *simulated*',
        'published',
        'spread, *simulated*',
        'published',
    )
    return table(heads, rows, widths='8 8 26 14 26 14')


def _counts_by_band(results):
    rows = []
    for row in results['galaxies']['published']:
        middle, low, high = row['simulated_per_deg2']
        published = f'{row["published_per_deg2"]} ({row["source"]})'
        ratio = _span(row['simulated_over_published'])
        rows.append((row['limit'], f'{middle} [{low}, {high}]', published, ratio))
    heads = ('limit', '*simulated* a deg2', 'published a deg2', '*simulated* over published')
    return table(heads, rows, widths='16 28 32 24')


def _real_colours(results):
    rows = []
    for row in results['real colours']:
        low, high = row['r']
        rows.append(
            (
                row['what'],
                f'r {low:g}-{high:g}',
                *(
                    f'{_span(row[side][:3])}, {row[side][3]} galaxies; '
                    f'{row[f"{side} 16 to 84 %"][0]:.2f} to {row[f"{side} 16 to 84 %"][1]:.2f}'
                    for side in ('real', 'simulated')
                ),
            )
        )
    heads = ('g-r of', '', 'real: median; 16 to 84 %', '*simulated*')
    return table(heads, rows, widths='24 12 32 32')


def _characteristic(results):
    rows = [
        (f'{row["redshift"]:g}', f'{row["simulated"]:.1f}', f'{row["redMaPPer"]:.1f}')
        for row in results['characteristic i']
    ]
    return table(('redshift', '*simulated* i of L*', 'redMaPPer'), rows, widths='30 35 35')


def _band_speed(results):
    rows = [(f'``{row["survey"]}``', _span(row['seconds a band'])) for row in results['speed']]
    heads = ('survey', 'CPU seconds a band of 2000 x 2000 pixels of 1 arcsec')
    return table(heads, rows, widths='30 70')


_PARTS = {
    'pile-up': ('structure.json', _pile_up),
    'rare': ('structure.json', _rare),
    'mosaic': ('structure.json', _mosaic),
    'shapes': ('structure.json', _shapes),
    'encircled-energy': ('xray.json', _encircled_energy),
    'point-source': ('point_source.json', _point_source),
    'agn': ('xray.json', _agn),
    'pixels': ('xray.json', lambda results: _fields(results, 'pixels')),
    'wavelets': ('xray.json', lambda results: _fields(results, 'wavelet power')),
    'optical': ('sky.json', _optical),
    'nuclei': ('sky.json', _nuclei),
    'richness': ('sky.json', _richness),
    'cluster-counts': ('sky.json', _cluster_counts),
    'core-radii': ('sky.json', _core_radii),
    'plates': ('plates.json', _plates),
    'stamps': ('stamps.json', _stamps),
    'gives-away': ('stamps.json', _gives_away),
    'speed': ('speed.json', _speed),
    'band-depths': ('bands.json', _depths),
    'red-sequence': ('bands.json', _red_sequence),
    'members': ('bands.json', _members),
    'star-locus': ('bands.json', _stars),
    'band-counts': ('bands.json', _counts_by_band),
    'real-colours': ('bands.json', _real_colours),
    'band-speed': ('bands.json', _band_speed),
    'characteristic': ('colours.json', _characteristic),
}


def setup(app):
    """
    Register the directive.

    Parameters
    ----------
    app : `~sphinx.application.Sphinx`
        The application.

    Returns
    -------
    metadata : dict
        For Sphinx.
    """
    app.add_directive('simulator-realism', SimulatorRealism)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
