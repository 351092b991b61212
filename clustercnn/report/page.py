# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The page: what was found, how it looks, and where it comes from.
"""

import base64
import hashlib
import html
import urllib.parse

import astropy.units as u
import numpy as np

from clustercnn._utils.files import atomic_path
from clustercnn.core import FLAG_DESCRIPTIONS, CandidateFlag
from clustercnn.report._field import field_figure, histogram, scale_bar
from clustercnn.report._pictures import contour_paths, optical_picture, xray_picture
from clustercnn.report._style import SCRIPT, STYLE

__all__ = ['write_report']


def write_report(path, *, catalog, stack, image, meta, optical=None, n_show=40, overwrite=False):
    """
    Write the report of one field as a single page.

    Parameters
    ----------
    path : str or path-like
        The file to write.
    catalog : CandidateCatalog
        The candidates in the order to show them; predictions are shown if it has them.
    stack : CutoutStack or None
        Their cutouts, joined by identifier; those without one have no stamp.
    image : XrayImage
        The field.
    meta : dict
        Record of the run: ``inputs``, ``versions``, ``options``, ``seed``, ``timings``,
        ``counts``, ``notes``, ``created``; any may be absent, others are listed as well.
    optical : `~astropy.nddata.NDData`, optional
        The optical image, of which the page states size and origin.
    n_show : int, optional
        So many candidates get stamps; the table has all.
    overwrite : bool, optional
        Whether an existing file may be replaced.

    Raises
    ------
    OSError
        If the file exists or cannot be written.

    Notes
    -----
    The page loads nothing: pictures are inside it, and its content security policy allows no
    script or style but its own, by hash. Every text from outside is escaped. Links to
    Aladin, SIMBAD and NED are followed only when clicked.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from clustercnn.report import write_report
    >>> from clustercnn.testing import tiny_catalog, tiny_image, tiny_stack
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'report.html'
    ...     write_report(path, catalog=tiny_catalog(), stack=tiny_stack(), image=tiny_image(),
    ...                  meta={'seed': 1})
    ...     path.read_text(encoding='utf-8')[:15]
    '<!DOCTYPE html>'
    """
    n_show = max(int(n_show), 0)
    ranks = _ranks(catalog)
    rows = {} if stack is None else {name: row for row, name in enumerate(stack.ids)}
    shown = min(n_show, len(catalog)) if rows else 0
    parts = [
        _head(image, meta),
        _tiles(catalog, image, meta),
        _notes(meta),
        '<h2 id="field">The field</h2><div class="overview">',
        field_figure(image, catalog, ranks=ranks, shown=shown),
        f'<div>{_scores(catalog)}{_facts(image, optical, meta)}</div></div>',
        _table(catalog, ranks, shown),
        _gallery(catalog, ranks, stack, rows, shown),
        _provenance(meta),
    ]
    title = html.escape(_title(image))
    text = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{title}</title><style>{STYLE}</style></head>\n<body>'
        + '\n'.join(part for part in parts if part)
        + f'<script>{SCRIPT}</script></body></html>\n'
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        # names of files need not be UTF-8
        temporary.write_text(text, encoding='utf-8', errors='backslashreplace')


def _policy():
    def digest(text):
        code = base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')
        return f"'sha256-{code}'"

    return (
        f"default-src 'none'; img-src data:; style-src {digest(STYLE)}; "
        f"script-src {digest(SCRIPT)}; base-uri 'none'; form-action 'none'"
    )


def _ranks(catalog):
    if 'rank' in catalog:
        return [int(rank) for rank in catalog['rank']]
    return list(range(1, len(catalog) + 1))


def _title(image):
    where = image.center.to_string('hmsdms', precision=0)
    mission = '' if image.mission in ('', 'generic') else f'{image.mission} {image.instrument} '
    return f'Galaxy-cluster candidates, {mission}field {where}'.replace('  ', ' ')


def _head(image, meta):
    created = str(meta.get('created', ''))
    version = dict(meta.get('versions', {})).get('clustercnn', '')
    made = ' '.join(part for part in ('clustercnn', str(version)) if part)
    line = f'Made by {made}' + (f' on {created}' if created else '')
    links = ''.join(
        f'<a href="#{anchor}">{name}</a>'
        for anchor, name in (
            ('field', 'Field'),
            ('candidates', 'Candidates'),
            ('cutouts', 'Cutouts'),
            ('provenance', 'Where this comes from'),
        )
    )
    return (
        f'<h1>{html.escape(_title(image))}</h1><p class="soft">{html.escape(line)}</p>'
        f'<nav aria-label="parts of the page">{links}</nav>'
    )


def _tiles(catalog, image, meta):
    tiles = [(f'{len(catalog)}', 'candidates')]
    if 'p_cluster' in catalog:
        likely = int((np.asarray(catalog['p_cluster']) > 0.5).sum())
        tiles.append((f'{likely}', 'with p_cluster above 0.5'))
    if len(catalog):
        tiles.append((f'{int(catalog.extended().sum())}', 'extended, ext_like of 3 or more'))
    tiles.append((f'{image.n_counts:,.0f}', 'counts in the image'))
    if image.exposure is not None and image.exposure.max() > 0:
        peak = float(image.exposure.max())
        if image.exposure_unit == u.s:
            tiles.append((f'{peak / 1e3:.1f} ks', 'largest exposure'))
        else:
            tiles.append((f'{peak:.3g} {image.exposure_unit}', 'largest exposure'))
    timings = dict(meta.get('timings', {}))
    if timings:
        tiles.append((f'{sum(timings.values()):.1f} s', 'of computing'))
    return '<div class="tiles">' + ''.join(
        f'<div class="tile"><b>{html.escape(value)}</b><span>{html.escape(name)}</span></div>'
        for value, name in tiles
    ) + '</div>'  # fmt: skip


def _notes(meta):
    notes = [str(note) for note in meta.get('notes', ())]
    if not notes:
        return ''
    items = ''.join(f'<li>{html.escape(note)}</li>' for note in notes)
    return f'<div class="notes" role="note"><b>Worth knowing</b><ul>{items}</ul></div>'


def _scores(catalog):
    if not len(catalog):
        return '<p>Nothing was found in this field.</p>'
    if 'p_cluster' in catalog:
        return histogram(
            catalog['p_cluster'],
            limits=(0.0, 1.0),
            n_bins=20,
            title='Candidates by probability of being a cluster',
            x_label='p_cluster',
        )
    values = np.nan_to_num(np.asarray(catalog['significance']))
    limit = max(10.0, float(np.percentile(values, 98)))
    return histogram(
        np.minimum(values, limit),
        limits=(0.0, limit),
        n_bins=20,
        title='Candidates by significance (not classified; the last bar holds the rest)',
        x_label='significance [sigma]',
    )


def _facts(image, optical, meta):
    facts = list(image._facts())  # noqa: SLF001 - what the image says of itself
    if optical is None:
        facts.append(('optical image', 'none'))
    else:
        shape = np.shape(optical.data)
        source = dict(meta.get('inputs', {})).get('optical')
        path = source.get('path') if isinstance(source, dict) else source
        name = dict(getattr(optical, 'meta', None) or {}).get('path') or path or 'given'
        facts.append(('optical image', f'{name}, {" x ".join(map(str, shape[::-1]))} pixels'))
    return _pairs(facts)


def _pairs(facts):
    lines = ''.join(
        f'<tr><th scope="row">{html.escape(str(name))}</th><td>{_value(value)}</td></tr>'
        for name, value in facts
    )
    return f'<table class="provenance"><tbody>{lines}</tbody></table>'


def _value(value):
    if isinstance(value, dict):
        if not value:
            return 'none'
        return '<br>'.join(
            f'{html.escape(str(name))}: {_value(item)}' for name, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return ', '.join(_value(item) for item in value) or 'none'
    if value is None:
        return 'default'
    text = str(value)
    if len(text) == 64 and all(letter in '0123456789abcdef' for letter in text):
        return f'<code>{text}</code>'
    return html.escape(text)


def _flags_of(catalog, row):
    bits = int(catalog['flags'][row])
    return [flag for flag in CandidateFlag if bits & flag]


def _flag_words(flags):
    return ', '.join(flag.name.lower().replace('_', ' ') for flag in flags)


def _flag_legend(catalog):
    """
    Return what the flags that occur mean.
    """
    bits = int(np.bitwise_or.reduce(np.asarray(catalog['flags'], np.int64), initial=0))
    lines = ''.join(
        f'<dt>{_flag_words([flag])}</dt><dd>{html.escape(FLAG_DESCRIPTIONS[flag])}</dd>'
        for flag in CandidateFlag
        if bits & flag
    )
    return f'<details open><summary>Flags</summary><dl>{lines}</dl></details>' if lines else ''


def _links(ra, dec):
    place = f'{ra:.6f} {dec:+.6f}'
    targets = {
        'Aladin': 'https://aladin.cds.unistra.fr/AladinLite/?'
        + urllib.parse.urlencode({'target': place, 'fov': '0.15'}),
        'SIMBAD': 'https://simbad.cds.unistra.fr/simbad/sim-coo?'
        + urllib.parse.urlencode(
            {'Coord': place, 'CooFrame': 'ICRS', 'Radius': '2', 'Radius.unit': 'arcmin'}
        ),
        'NED': 'https://ned.ipac.caltech.edu/conesearch?'
        + urllib.parse.urlencode(
            {
                'search_type': 'Near Position Search',
                'in_csys': 'Equatorial',
                'in_equinox': 'J2000',
                'ra': f'{ra:.6f}d',
                'dec': f'{dec:.6f}d',
                'radius': '2',
            }
        ),
    }
    return ' '.join(
        f'<a href="{html.escape(target)}" target="_blank" rel="noopener noreferrer">{name}</a>'
        for name, target in targets.items()
    )


def _with_error(value, error, digits):
    if not np.isfinite(value):
        return '-'
    if value == 0 and not error > 0:
        return '0'
    text = f'{value:.{digits}f}'
    return f'{text} ± {error:.{digits}f}' if np.isfinite(error) else text


def _extent(value, error):
    return 'point' if value == 0 else _with_error(value, error, 1)


def _column(catalog, name):
    """
    Return a column as floats, NaN throughout where the catalogue lacks it.
    """
    if name not in catalog:
        return np.full(len(catalog), np.nan)
    column = catalog[name]
    return np.asarray(getattr(column, 'value', column), float)


def _table(catalog, ranks, shown):
    opening = '<h2 id="candidates">Candidates</h2>'
    if not len(catalog):
        return opening + '<p>No source passed the detection threshold.</p>'
    classified = 'p_cluster' in catalog
    heads = [
        ('rank', 'number', ' data-first="ascending"'),
        ('name', '', ''),
        ('RA, Dec (ICRS)', '', ''),
        ('p_cluster', 'number', ''),
        ('counts', 'number', ''),
        ('signif.', 'number', ''),
        ('extent [″]', 'number', ''),
        ('ext_like', 'number', ''),
        ('ood', 'number', ''),
    ]
    keep = [classified if name == 'p_cluster' else name != 'ood' for name, _, _ in heads]
    keep[-1] = 'ood' in catalog
    columns = ''.join(
        f'<th scope="col" class="{kind}"{more}><button type="button">{name}</button></th>'
        for (name, kind, more), wanted in zip(heads, keep, strict=True)
        if wanted
    )
    columns += '<th scope="col">flags</th><th scope="col">look up</th>'
    names = (
        'p_cluster', 'p_cluster_std', 'counts', 'counts_err', 'significance', 'extent',
        'extent_err', 'ext_like', 'ood',
    )  # fmt: skip
    values = {name: _column(catalog, name) for name in names}
    positions = catalog.positions
    places = positions.to_string('hmsdms', precision=1, sep=':')
    lines = []
    for row in range(len(catalog)):
        one = {name: column[row] for name, column in values.items()}
        ra, dec = positions.ra.deg[row], positions.dec.deg[row]
        name = html.escape(str(catalog['name'][row]))
        if row < shown:
            name = f'<a href="#c{row + 1}">{name}</a>'
        cells = [
            ('number', ranks[row], str(ranks[row])),
            ('name', html.escape(str(catalog['name'][row])), name),
            ('place', f'{ra:010.6f}', html.escape(places[row])),
            ('number', one['p_cluster'], _with_error(one['p_cluster'], one['p_cluster_std'], 3)),
            ('number', one['counts'], _with_error(one['counts'], one['counts_err'], 0)),
            ('number', one['significance'], _with_error(one['significance'], np.nan, 1)),
            ('number', one['extent'], _extent(one['extent'], one['extent_err'])),
            ('number', one['ext_like'], _with_error(one['ext_like'], np.nan, 1)),
            ('number', one['ood'], _with_error(one['ood'], np.nan, 2)),
        ]
        line = ''.join(
            f'<td class="{kind}" data-sort="{_sort_key(key)}">{text}</td>'
            for (kind, key, text), wanted in zip(cells, keep, strict=True)
            if wanted
        )
        flags = _flag_words(_flags_of(catalog, row)) or '-'
        lines.append(
            f'<tr id="r{row + 1}">{line}<td class="flags">{flags}</td>'
            f'<td class="look">{_links(ra, dec)}</td></tr>'
        )
    order = 'by probability of being a cluster' if classified else 'in the order of the finder'
    return (
        f'{opening}<p class="soft">Ranked {order}; click a heading to sort. '
        'Extent is the core radius of the beta model; signif. is in sigma, '
        'ext_like is &minus;ln P against a point source'
        + ('; ood is higher the stranger it is to the model.</p>' if 'ood' in catalog else '.</p>')
        + '<div class="scroll"><table class="candidates">'
        f'<thead><tr>{columns}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>{_flag_legend(catalog)}'
    )


def _sort_key(key):
    if isinstance(key, str):
        return key
    return f'{key:.6g}' if np.isfinite(key) else ''


def _gallery(catalog, ranks, stack, rows, shown):
    if not shown:
        return ''
    cards = [
        _card(catalog, number, ranks[number], stack, rows.get(catalog.ids[number]))
        for number in range(shown)
    ]
    more = f'The first {shown} of {len(catalog)}. ' if shown < len(catalog) else ''
    return (
        f'<h2 id="cutouts">Cutouts</h2><p class="soft">{more}North is up, east is left, '
        f'{_widths(stack)}. X-ray counts are smoothed; their contours on the other band '
        'rise from 3 times the noise of the background, by factors of 2. Grey is masked or off '
        f'the image.</p><div class="gallery">{"".join(cards)}</div>'
    )


def _width(band):
    return band.shape[2] * band.pixel_scale.to_value(u.arcmin)


def _widths(stack):
    """
    Return how wide the stamps are, band by band where they differ.
    """
    widths = {band.name: f'{_width(band):.1f}&prime; across' for band in stack.bands.values()}
    if len(set(widths.values())) == 1:
        return next(iter(widths.values()))
    return ', '.join(f'{html.escape(name)} {width}' for name, width in widths.items())


def _card(catalog, number, rank, stack, row):
    name = str(catalog['name'][number])
    score = ''
    if 'p_cluster' in catalog:
        value = float(catalog['p_cluster'][number])
        spread = _column(catalog, 'p_cluster_std')[number]
        high = ' high' if value > 0.5 else ''
        text = html.escape(_with_error(value, spread, 3))
        score = f'<span class="score{high}">p_cluster {text}</span>'
    flags = _flag_words(_flags_of(catalog, number))
    counts = _with_error(
        _column(catalog, 'counts')[number], _column(catalog, 'counts_err')[number], 0
    )
    extent = _extent(_column(catalog, 'extent')[number], _column(catalog, 'extent_err')[number])
    facts = f'{counts} counts, ' + ('point-like' if extent == 'point' else f'extent {extent}″')
    others = _other_classes(catalog, number)
    if others:
        facts += f' · {others}'
    absent = '<div class="absent">no cutout</div>'
    stamps = absent if row is None else _stamps(name, stack, row)
    return (
        f'<article class="card" id="c{number + 1}"><div class="head"><h3>'
        f'<a href="#r{number + 1}">{rank}</a> · {html.escape(name)}</h3>{score}</div>'
        f'<div class="pair">{stamps}</div><p class="facts">{html.escape(facts)}</p>'
        + (f'<p class="facts soft">{html.escape(flags)}</p>' if flags else '')
        + '</article>'
    )


def _other_classes(catalog, number):
    own = ('p_cluster', 'p_cluster_std')
    names = [name for name in catalog.column_names if name.startswith('p_') and name not in own]
    return ', '.join(f'{name[2:]} {float(catalog[name][number]):.2f}' for name in names)


def _stamps(name, stack, row):
    """
    Return one stamp a band, the contours of the X-ray band on each other one.
    """
    lines, xray = [], stack.bands.get('xray')
    if xray is not None:
        lines = contour_paths(xray.data[row], xray.mask[row])
    stamps = []
    for band in stack.bands.values():
        _, ny, nx = band.shape
        seconds = band.pixel_scale.value
        label = html.escape(band.name)
        if band.mask[row].all():
            stamps.append(f'<div class="absent">no {label} image here</div>')
            continue
        about = f'{name} in the band {band.name}, {_width(band):.1f} arcmin across, north up'
        if band.name == 'xray':
            uri, drawing, color = xray_picture(band.data[row], band.mask[row]), '', '#ffffff'
        else:
            uri, color = optical_picture(band.data[row], band.mask[row]), '#000000'
            drawing = _contours(lines, xray, band) if lines else ''
            about += ', with contours of the X-ray counts' if lines else ''
        stamps.append(
            f'<div class="picture"><img src="{uri}" width="{nx}" height="{ny}" loading="lazy" '
            f'alt="{html.escape(about)}"><svg viewBox="0 0 {nx} {ny}" aria-hidden="true">'
            f'{drawing}{scale_bar(nx, ny, seconds, fraction=0.3, color=color, size=0.065 * ny)}'
            '</svg></div>'
        )
    if len(stamps) == 1:
        stamps.append('<div class="absent">no optical image</div>')
    return ''.join(stamps)


def _contours(lines, xray, band):
    """
    Return X-ray contours in the pixels of another band; both share their middle.
    """
    scale = xray.pixel_scale.value / band.pixel_scale.value
    _, ny, nx = band.shape
    paths = []
    for line in lines:
        x = (line[:, 0] - (xray.shape[2] - 1) / 2) * scale + nx / 2
        y = ny / 2 - (line[:, 1] - (xray.shape[1] - 1) / 2) * scale
        points = ' '.join(f'{a:.1f} {b:.1f}' for a, b in zip(x, y, strict=True))
        paths.append(f'M{points}')
    width = 0.007 * ny
    return f'<path class="contour" stroke-width="{width:.2f}" d="{"".join(paths)}"/>'


_KNOWN = ('created', 'inputs', 'versions', 'options', 'seed', 'timings', 'counts', 'notes')


def _provenance(meta):
    facts = []
    for name, source in dict(meta.get('inputs', {})).items():
        facts.append((f'input: {name}', source))
    counts = dict(meta.get('counts', {}))
    dropped = counts.pop('dropped', {})
    for name, value in counts.items():
        facts.append((name.replace('_', ' '), value))
    facts.append(('left out, and why', dropped or 'nothing'))
    if 'seed' in meta:
        facts.append(('seed', meta['seed']))
    if meta.get('options'):
        facts.append(('options', meta['options']))
    if meta.get('timings'):
        facts.append(('seconds', meta['timings']))
    facts += [(name, value) for name, value in meta.items() if name not in _KNOWN]
    versions = dict(meta.get('versions', {}))
    listing = ''
    if versions:
        listing = (
            f'<details><summary>Software versions</summary>{_pairs(versions.items())}</details>'
        )
    return f'<h2 id="provenance">Where this comes from</h2>{_pairs(facts)}{listing}'
