# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables as spreadsheets write them, cell by cell.
"""

import codecs
import csv
import threading

import numpy as np
from astropy.table import Table

from clustercnn.exceptions import TableReadError

__all__ = ['read_csv']

# what is longer is no cell of a table of votes, but maybe what follows a stray quote
_LONGEST_CELL = 100_000
# the limit of the module csv is that of all threads
_LIMIT = threading.Lock()


def read_csv(path):
    """
    Read a table of comma-separated values, all of them text.

    Parameters
    ----------
    path : str or path-like
        The file, with a header, in UTF-8 with or without a byte-order mark; bytes that are no
        UTF-8 are read as Latin-1.

    Returns
    -------
    table : `~astropy.table.Table`
        Cells that are missing at the end of a row are empty.

    Raises
    ------
    TableReadError
        If a row has more cells than the header, a quote is not closed, a cell is huge, or a name
        of a column is there twice; names row and column, rows counted from 1 without the header.
    """
    with open(path, 'rb') as stream:
        begin = stream.read(2)
    if begin in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raise TableReadError(path, 'is text in UTF-16; save it as UTF-8')
    with _LIMIT:
        before = csv.field_size_limit(1 << 30)
        try:
            with open(path, 'rb') as stream:
                return _table_of(path, csv.reader(map(_decoded, stream), strict=True))
        finally:
            csv.field_size_limit(before)


def _decoded(line):
    try:
        return line.decode('utf-8-sig' if line.startswith(codecs.BOM_UTF8) else 'utf-8')
    except UnicodeDecodeError:
        return line.decode('latin-1')


def _table_of(path, reader):
    header, rows = None, []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = _names_of(path, cells)
                continue
            _check_row(path, header, cells, len(rows) + 1)
            rows.append(cells)
    except csv.Error as error:
        place = 'the header' if header is None else f'row {len(rows) + 1}'
        reason = f'is no CSV from {place} on, which ends in line {reader.line_num} ({error})'
        raise TableReadError(path, f'{reason}; a quote may not be closed') from error
    if header is None:
        raise TableReadError(path, 'has no header; expected names of columns in the first line')
    texts = {}
    for place, name in enumerate(header):
        column = [cells[place] if place < len(cells) else '' for cells in rows]
        texts[name] = np.array(column, dtype=str if column else 'U1')
    return Table(texts)


def _names_of(path, cells):
    header = [cell.strip() for cell in cells]
    double = [name for name in header if name and header.count(name) > 1]
    if double:
        raise TableReadError(path, f"has the column '{double[0]}' more than once; rename one")
    if len(header) == 1 and any(sign in header[0] for sign in ';\t'):
        reason = f'has one column, {header[0]!r}: separate the cells by commas'
        raise TableReadError(path, reason)
    return [name or f'column {number}' for number, name in enumerate(header, start=1)]


def _check_row(path, header, cells, number):
    if len(cells) > len(header):
        if any(cells[len(header) :]):
            reason = f'row {number} has {len(cells)} cells, the header {len(header)}'
            raise TableReadError(path, reason)
        del cells[len(header) :]
    if max(map(len, cells)) > _LONGEST_CELL:
        place = int(np.argmax([len(cell) for cell in cells]))
        reason = (
            f'row {number} has a cell of {len(cells[place])} characters in the column '
            f"'{header[place]}'; expected at most {_LONGEST_CELL}, a quote may not be closed"
        )
        raise TableReadError(path, reason)
