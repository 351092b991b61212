# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Catalogues, labels and predictions as ECSV, FITS and VOTable files.
"""

import numpy as np
from astropy.table import Column, QTable, Table

from clustercnn._utils.files import atomic_path
from clustercnn.core import CandidateCatalog, LabelSchema, LabelSet, PredictionSet
from clustercnn.core.columns import column_definition
from clustercnn.exceptions import ImageReadError, TableReadError
from clustercnn.io.planes import check_file, open_hdus

__all__ = ['read_table', 'write_table']

_ASTROPY_FORMAT = {'ecsv': 'ascii.ecsv', 'fits': 'fits', 'votable': 'votable'}


def read_table(path, format_name):
    """
    Read a table or say what is wrong with it.

    Parameters
    ----------
    path : str or path-like
        The file.
    format_name : {'ecsv', 'fits', 'votable'}
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
        if format_name == 'fits':
            table = open_hdus(path, lambda hdus: _first_table(path, hdus))
        else:
            table = Table.read(path, format=_ASTROPY_FORMAT[format_name])
    except ImageReadError as error:
        raise TableReadError(path, error.reason) from error
    except Exception as error:
        reason = (
            f'cannot be read as {format_name} ({type(error).__name__}: {error}); it is truncated, '
            f'damaged or of another format'
        )
        raise TableReadError(path, ' '.join(reason.split())[:800]) from error
    for name in table.colnames:
        if table[name].dtype.kind in 'SOU':
            # empty text comes back masked from ECSV
            empty = b'' if table[name].dtype.kind == 'S' else ''
            values = np.ma.filled(np.ma.asarray(table[name]), empty)
            texts = [t.decode() if isinstance(t, bytes) else str(t) for t in values]
            table[name] = Column(np.array(texts, dtype=str if texts else 'U16'))
    return table


def _first_table(path, hdus):
    from astropy.io import fits

    for _, item in hdus:
        if isinstance(item, (fits.BinTableHDU, fits.TableHDU)) and not item.is_image:
            return Table.read(item)
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
        if table[name].dtype.kind == 'O':
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
        try:
            return CandidateCatalog(QTable(table))
        except ValueError as error:
            raise TableReadError(path, str(error)) from error

    return read


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
    for candidate in catalog:
        extent = candidate.extent.value
        extended = bool(extent > 0)
        region = CircleSkyRegion(candidate.position, max(15.0, 2 * extent) * u.arcsec)
        region.meta['text'] = candidate.name
        region.visual['color'] = 'green' if extended else 'red'
        regions.append(region)
    with atomic_path(path, overwrite=overwrite) as temporary:
        if regions:
            Regions(regions).write(temporary, format='ds9')
        else:
            temporary.write_text('# Region file format: DS9\nicrs\n')


def _label_reader(format_name):
    def read(path):
        table = read_table(path, format_name)
        if 'id' not in table.colnames:
            raise TableReadError(path, "has no column 'id'")
        ids = [str(name) for name in table['id']]
        shares = [name for name in table.colnames if name.startswith('p_')]
        if not shares:
            if 'label' not in table.colnames:
                raise TableReadError(path, "has neither a column 'label' nor columns 'p_<class>'")
            return LabelSet.from_labels(ids, list(table['label']))
        meta = {str(key).lower(): value for key, value in table.meta.items()}
        classes = tuple(name[2:] for name in shares)
        positive = tuple(str(meta.get('positive', classes[0])).split(','))
        votes = [f'n_{name}' for name in classes]
        return LabelSet(
            ids=ids,
            schema=LabelSchema(classes, positive),
            probability=_matrix(table, shares),
            votes=_matrix(table, votes) if set(votes) <= set(table.colnames) else None,
            weight=np.asarray(table['weight'], np.float32) if 'weight' in table.colnames else None,
            source=[str(s) for s in table['source']] if 'source' in table.colnames else None,
        )

    return read


def _matrix(table, names):
    columns = [np.ma.filled(np.ma.asarray(table[name], dtype=np.float32), np.nan) for name in names]
    return np.stack(columns, axis=1).reshape(len(table), len(names))


def _label_writer(format_name):
    def write(labels, path, *, overwrite=False):
        table = Table()
        table['id'] = Column(list(labels.ids), dtype=None if labels.ids else 'U16')
        table['label'] = Column(labels.names(), dtype=None if labels.ids else 'U16')
        for code, name in enumerate(labels.schema.classes):
            table[f'p_{name}'] = labels.probability[:, code]
            if labels.votes is not None:
                table[f'n_{name}'] = labels.votes[:, code]
        table['weight'] = labels.weight
        table['source'] = Column(list(labels.source), dtype=None if labels.ids else 'U16')
        table.meta['positive'] = ','.join(labels.schema.positive)
        write_table(table, path, format_name, overwrite=overwrite)

    return write


def _prediction_reader(format_name):
    def read(path):
        table = read_table(path, format_name)
        meta = {str(key).lower(): value for key, value in table.meta.items()}
        if 'classes' not in meta:
            raise TableReadError(path, "its header has no 'classes'; is it a prediction?")
        schema = LabelSchema(
            tuple(str(meta['classes']).split(',')), tuple(str(meta['positive']).split(','))
        )
        return PredictionSet(
            ids=[str(name) for name in table['id']],
            schema=schema,
            probability=_matrix(table, [f'p_{name}' for name in schema.classes]),
            std=np.asarray(table['p_cluster_std']) if 'p_cluster_std' in table.colnames else None,
            ood=np.asarray(table['ood']) if 'ood' in table.colnames else None,
        )

    return read


def _prediction_writer(format_name):
    def write(prediction, path, *, overwrite=False):
        table = prediction.to_table()
        table.meta = {
            'classes': ','.join(prediction.schema.classes),
            'positive': ','.join(prediction.schema.positive),
        }
        write_table(table, path, format_name, overwrite=overwrite)

    return write
