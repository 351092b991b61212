# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Catalogues, labels and predictions as ECSV, FITS and VOTable files.
"""

import contextlib
import json
import re

import numpy as np
from astropy.table import Column, MaskedColumn, QTable, Table

from clustercnn._utils.files import atomic_path
from clustercnn.core import (
    UNKNOWN_NAME,
    CandidateCatalog,
    LabelSchema,
    LabelSet,
    PredictionSet,
)
from clustercnn.core.columns import CANDIDATE_COLUMNS, column_definition
from clustercnn.exceptions import ImageReadError, TableReadError
from clustercnn.io._csv import read_csv
from clustercnn.io.planes import check_file, open_hdus
from clustercnn.io.surveys import likely_survey

__all__ = ['read_table', 'write_table']

_ASTROPY_FORMAT = {
    'ecsv': 'ascii.ecsv',
    'fits': 'fits',
    'votable': 'votable',
}


def read_table(path, format_name):
    """
    Read a table or say what is wrong with it.

    Parameters
    ----------
    path : str or path-like
        The file.
    format_name : {'csv', 'ecsv', 'fits', 'votable'}
        Its format.

    Returns
    -------
    table : `~astropy.table.Table`
        With text as text.

    Raises
    ------
    TableReadError
        If it cannot be read.
    """
    try:
        check_file(path)
        if format_name == 'csv':
            # text stays text: '0042' is no number, and 1.10 not 1.1
            return read_csv(path)
        if format_name == 'fits':
            table = open_hdus(path, lambda hdus: _first_table(path, hdus))
        else:
            table = Table.read(path, format=_ASTROPY_FORMAT[format_name])
    except TableReadError:
        raise
    except ImageReadError as error:
        raise TableReadError(path, error.reason) from error
    except Exception as error:
        reason = (
            f'cannot be read as {format_name} ({type(error).__name__}: {error}); it is truncated, '
            f'damaged or of another format'
        )
        raise TableReadError(path, ' '.join(reason.split())[:800]) from error
    for name in table.colnames:
        kind = _plain(table, name).dtype.kind
        if kind in 'SOU' or (name == 'id' and kind in 'iu'):
            # empty text comes back masked from ECSV
            values = np.ma.asarray(table[name])
            try:
                texts = [
                    '' if gone else value.decode() if isinstance(value, bytes) else str(value)
                    for value, gone in zip(values.data, np.ma.getmaskarray(values), strict=True)
                ]
            except UnicodeDecodeError as error:
                reason = f"column '{name}' holds no text in UTF-8 ({error}); it is damaged"
                raise TableReadError(path, reason) from error
            table[name] = Column(np.array(texts, dtype=str if texts else 'U16'))
    return table


def _plain(table, name):
    """
    Return a column; positions and times, which are no arrays, become text first.
    """
    column = table[name]
    if not hasattr(column, 'dtype'):
        texts = (
            column.to_string('hmsdms')
            if hasattr(column, 'skyoffset_frame')
            else [str(value) for value in column]
        )
        table[name] = column = Column(np.array(texts, dtype=str if len(table) else 'U16'))
    return column


# what the writer says of columns is no fact about the table
_DESCRIBES_COLUMN = re.compile(r'EXTNAME|CHECKSUM|DATASUM|(TUCD|TCOMM)\d+')


def _first_table(path, hdus):
    from astropy.io import fits

    for _, item in hdus:
        if isinstance(item, (fits.BinTableHDU, fits.TableHDU)) and not item.is_image:
            table = Table.read(item)
            for key in [key for key in table.meta if _DESCRIBES_COLUMN.fullmatch(key)]:
                del table.meta[key]
            return table
    raise TableReadError(path, 'has no table in any HDU; expected a catalogue')


def write_table(table, path, format_name, *, overwrite=False):
    """
    Write a table whole or not at all.

    Parameters
    ----------
    table : `~astropy.table.Table`
        What to write.
    path : str or path-like
        The file.
    format_name : {'ecsv', 'fits', 'votable'}
        Its format.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    """
    table = table.copy()
    for name in table.colnames:
        if _plain(table, name).dtype.kind == 'O':
            table[name] = Column(np.asarray(table[name]).astype(str))
    with atomic_path(path, overwrite=overwrite) as temporary:
        if format_name == 'fits':
            _write_fits(table, temporary)
        elif format_name == 'votable':
            _write_votable(table, temporary)
        else:
            table.write(temporary, format='ascii.ecsv')


def _write_fits(table, path):
    from astropy.io import fits

    plain = Table(table, copy=False)
    for name in plain.colnames:
        column = plain[name]
        if column.dtype.kind == 'U' and not all(str(text).isascii() for text in column):
            msg = f"FITS holds plain ASCII text, but column '{name}' does not; write ECSV (.ecsv)"
            raise ValueError(msg)
        if column.dtype.kind == 'b' and getattr(column, 'mask', np.False_).any():
            # a masked boolean would come back as True
            plain[name] = MaskedColumn(
                np.ma.asarray(column).astype(np.int16), fill_value=-1, description='1 yes, 0 no'
            )
    keep = {key: value for key, value in table.meta.items() if np.isscalar(value)}
    plain.meta = {key[:8].upper(): value for key, value in keep.items()}
    hdu = fits.table_to_hdu(plain)
    hdu.name = 'CATALOG'
    for number, name in enumerate(table.colnames, start=1):
        definition = column_definition(name)
        if definition is not None:
            # TOPCAT shows these; astropy's own writer leaves them out
            hdu.header[f'TUCD{number}'] = definition.ucd
            hdu.header[f'TCOMM{number}'] = definition.description
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path, checksum=True)


def _write_votable(table, path):
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys

    plain = Table(table, copy=True)
    plain.meta = {}
    votable = from_table(plain)
    resource = votable.resources[0]
    resource.coordinate_systems.append(CooSys(ID='icrs', system='ICRS'))
    for field in resource.tables[0].fields:
        definition = column_definition(field.name)
        if definition is not None:
            field.ucd = definition.ucd
            field.description = definition.description
    votable.to_xml(str(path))


def _catalog_reader(format_name):
    def read(path):
        table = read_table(path, format_name)
        there = set(table.colnames)
        missing = [column.name for column in CANDIDATE_COLUMNS if column.name not in there]
        if missing:
            raise TableReadError(path, _no_catalogue(table.colnames, missing))
        try:
            return CandidateCatalog(QTable(table))
        except ValueError as error:
            raise TableReadError(path, str(error)) from error

    return read


def _no_catalogue(names, missing):
    """
    Say what a table lacks of a catalogue of candidates, and how to make one of it.
    """
    words = f'lacks the columns {", ".join(missing)}; '
    survey = likely_survey(names)
    if survey is not None:
        return (
            f"{words}it looks like a list of '{survey}': in Python, read it with "
            f"format='{survey}' and write it as .ecsv"
        )
    return (
        f'{words}expected a catalogue of candidates as clustercnn find writes it (ECSV, FITS or '
        f'VOTable), with NaN for numbers that are not known and 0 for flags; in Python, '
        f'CandidateCatalog.from_columns(ra=..., dec=...) fills in what is missing, and write() '
        f'makes the file'
    )


def _catalog_writer(format_name):
    def write(catalog, path, *, overwrite=False):
        write_table(catalog.table, path, format_name, overwrite=overwrite)

    return write


def write_regions(catalog, path, *, overwrite=False):
    """
    Write DS9 regions: extended sources green, point sources red, named, on the sky.

    Parameters
    ----------
    catalog : CandidateCatalog
        The candidates.
    path : str or path-like
        The file.
    overwrite : bool, optional
        Whether an existing file may be replaced.
    """
    import astropy.units as u
    from regions import CircleSkyRegion, Regions

    regions = []
    for candidate, extended in zip(catalog, catalog.extended().tolist(), strict=True):
        extent = candidate.extent.value
        region = CircleSkyRegion(candidate.position, max(15.0, 2 * extent) * u.arcsec)
        region.meta['text'] = candidate.name
        region.visual['color'] = 'green' if extended else 'red'
        regions.append(region)
    with atomic_path(path, overwrite=overwrite) as temporary:
        if regions:
            Regions(regions).write(temporary, format='ds9')
        else:
            temporary.write_text('# Region file format: DS9\nicrs\n')


def _table_of(path, format_name, build):
    """
    Read a table and make an object of it; name the file in what goes wrong.
    """
    table = read_table(path, format_name)
    if 'id' not in table.colnames:
        listing = ', '.join(table.colnames[:8])
        raise TableReadError(path, f"has no column 'id'; there are {listing}")
    try:
        return build(table, {str(key).lower(): value for key, value in table.meta.items()})
    except TableReadError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        words = str(error.args[0]) if isinstance(error, KeyError) else str(error)
        raise TableReadError(path, words) from error


# beside probabilities, what a classifier says of candidates
_PREDICTED = {'rank', 'ood'}


def _label_reader(format_name):
    """
    Return the function that reads labels.

    Of a table, a column ``id`` names the objects, ``weight`` and ``source`` are kept where they
    are there, and labels are, in this order:

    1. in a table with what a classifier said (one of the columns ``rank``, ``ood`` and
       ``p_<...>_std``), the column ``label``, which somebody added: predictions are no labels;
    2. the columns ``p_<class>``, two or more, none of which ends in ``_std``. A column ``label``
       beside them, as `LabelSet` writes it, must name a likeliest class of each row, or
       ``unknown`` where there are no probabilities; empty cells say nothing;
    3. the column ``label``, whose empty cells are unknown.
    """

    def read(path):
        return _table_of(path, format_name, lambda table, meta: _labels_of(path, table, meta))

    return read


def _labels_of(path, table, meta):
    has = set(table.colnames)
    about = [name for name in table.colnames if name.startswith('p_')]
    shares = [name for name in about if not name.endswith('_std')]
    predicted = sorted(_PREDICTED & has | set(about) - set(shares))
    ids = [str(name) for name in table['id']]
    said = _said(table['label']) if 'label' in has else None
    common = {
        'weight': _matrix(table, ['weight'])[:, 0] if 'weight' in has else None,
        'source': [str(s) for s in table['source']] if 'source' in has else '',
    }
    if said is not None and (predicted or len(shares) < 2):
        return LabelSet.from_labels(ids, [name or UNKNOWN_NAME for name in said], **common)
    if predicted:
        words = (
            f'holds what a classifier said (columns {", ".join(predicted)}), which is no label; '
            f"add a column 'label' with the classes that are known, or remove these columns to "
            f'take the probabilities for labels'
        )
        raise TableReadError(path, words)
    if not shares:
        raise TableReadError(path, "has neither a column 'label' nor columns 'p_<class>'")
    classes = tuple(name[2:] for name in shares)
    votes = [f'n_{name}' for name in classes]
    labels = LabelSet(
        ids=ids,
        schema=LabelSchema(classes, _names(meta['positive']) if 'positive' in meta else ()),
        probability=_matrix(table, shares),
        votes=_matrix(table, votes) if set(votes) <= has else None,
        meta=json.loads(meta.get('meta', '{}')),
        **common,
    )
    if said is not None:
        _check_agreement(path, labels, said)
    return labels


def _said(column):
    """
    Return the cells of a column as text, empty where they are masked.
    """
    hidden = np.ma.getmaskarray(np.ma.asarray(column))
    return ['' if masked else str(cell) for cell, masked in zip(column, hidden, strict=True)]


def _check_agreement(path, labels, said):
    """
    Refuse probabilities that contradict the names beside them: one of them was changed.
    """
    rows = zip(said, labels.names(), labels.probability.tolist(), strict=True)
    for row, (name, likeliest, probability) in enumerate(rows):
        if name in ('', likeliest):
            continue
        share = dict(zip(labels.schema.classes, probability, strict=True))
        if likeliest != UNKNOWN_NAME and name in share and share[name] >= max(probability):
            # one of several that are as likely
            continue
        words = 'hold no numbers'
        if likeliest != UNKNOWN_NAME:
            words = f"say '{likeliest}' (p_{likeliest} = {share[likeliest]:g})"
        listing = ', '.join(f'p_{name}' for name in labels.schema.classes)
        reason = (
            f"row {row} ('{labels.ids[row]}') has the label '{name}', but its columns {listing} "
            f"{words}; remove the column 'label' or these columns, whichever does not count"
        )
        raise TableReadError(path, reason)


def _names(text):
    """
    Return the names that `_header` joined.
    """
    text = str(text)
    with contextlib.suppress(ValueError):
        names = json.loads(text)
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    return tuple(text.split(','))


def _matrix(table, names):
    columns = [np.ma.filled(np.ma.asarray(table[name], dtype=np.float32), np.nan) for name in names]
    return np.stack(columns, axis=1).reshape(len(table), len(names))


def _text(values):
    # a column of no rows must still be able to take names
    return Column(list(values), dtype=None if values else 'U16')


def _header(meta, **words):
    """
    Return what is kept of an object beside its rows.
    """
    # names with a comma, such as 'Yes, a large one', are told apart by their quotes
    header = {
        key: json.dumps(names) if any(',' in name for name in names) else ','.join(names)
        for key, names in words.items()
    }
    return header | ({'meta': json.dumps(dict(meta), default=str)} if meta else {})


def _label_writer(format_name):
    def write(labels, path, *, overwrite=False):
        table = Table()
        table['id'] = _text(labels.ids)
        table['label'] = _text(labels.names())
        for code, name in enumerate(labels.schema.classes):
            table[f'p_{name}'] = labels.probability[:, code]
            if labels.votes is not None:
                table[f'n_{name}'] = labels.votes[:, code]
        table['weight'] = labels.weight
        table['source'] = _text(labels.source)
        table.meta = _header(labels.meta, positive=labels.schema.positive)
        write_table(table, path, format_name, overwrite=overwrite)

    return write


# 'p_cluster' is the probability of all positive classes; a class that is called cluster and
# is not all of them has a column of its own
_CLUSTER_ALONE = 'p_class_cluster'


def _prediction_reader(format_name):
    def read(path):
        def build(table, meta):
            if 'classes' not in meta:
                raise TableReadError(path, "its header has no 'classes'; is it a prediction?")
            schema = LabelSchema(_names(meta['classes']), _names(meta['positive']))
            has = set(table.colnames)
            columns = [f'p_{name}' for name in schema.classes]
            if _CLUSTER_ALONE in has:
                columns[columns.index('p_cluster')] = _CLUSTER_ALONE
            logits = [f'logit_{name}' for name in schema.classes]
            return PredictionSet(
                ids=[str(name) for name in table['id']],
                schema=schema,
                probability=_matrix(table, columns),
                std=_matrix(table, ['p_cluster_std'])[:, 0] if 'p_cluster_std' in has else None,
                ood=_matrix(table, ['ood'])[:, 0] if 'ood' in has else None,
                logits=_matrix(table, logits) if set(logits) <= has else None,
                meta=json.loads(meta.get('meta', '{}')),
            )

        return _table_of(path, format_name, build)

    return read


def _prediction_writer(format_name):
    def write(prediction, path, *, overwrite=False):
        table = prediction.to_table()
        schema = prediction.schema
        if 'cluster' in schema.classes and schema.positive != ('cluster',):
            table[_CLUSTER_ALONE] = prediction.probability[:, schema.code('cluster')]
        if prediction.logits is not None:
            for code, name in enumerate(schema.classes):
                table[f'logit_{name}'] = prediction.logits[:, code]
        table.meta = _header(prediction.meta, classes=schema.classes, positive=schema.positive)
        write_table(table, path, format_name, overwrite=overwrite)

    return write
