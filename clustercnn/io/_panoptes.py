# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The rows of a Panoptes export, CSV with JSON in its cells, what may be wrong with them, and the
columns that they become.
"""

import array
import bz2
import collections
import csv
import gzip
import hashlib
import json
import warnings
import zlib
from pathlib import Path

import numpy as np
from astropy.table import Table

from clustercnn._utils.progress import progress as progress_bar
from clustercnn.exceptions import DataQualityWarning, TableReadError

__all__ = ['Rows', 'Votes', 'is_number']

# what no honest cell reaches; drawings of hundreds of strokes stay far below
_LARGEST_CELL = 32 * 2**20
# a question is told by its beginning
_QUESTION_LENGTH = 80
_TRUE = frozenset({'true', 't', '1', 'yes'})


class Rows:
    """
    Rows of an export as dictionaries, damaged ones counted instead.

    Parameters
    ----------
    path : str or path-like
        The file.
    needed : tuple of str
        Columns without which it is no such export.
    what : str
        What the rows are, for messages.
    quiet : bool or None
        Whether to hide the progress bar.
    """

    def __init__(self, path, needed, *, what, quiet):
        self.path = Path(path)
        self.needed, self.what, self.quiet = needed, what, quiet
        self.n_rows = 0
        self.place = 'the header'
        self._n_lines = 0
        self._is_cut = self._skips_line = False
        self.dropped, self.dropped_answers = collections.Counter(), collections.Counter()
        self.damaged, self.first_damaged = collections.Counter(), {}

    def __enter__(self):
        try:
            size = self.path.stat().st_size
            self._binary = self.path.open('rb')
        except OSError as error:
            reason = f'cannot be opened: {error.strerror or error}'
            raise TableReadError(self.path, reason) from error
        self._bar = progress_bar(total=size, label='read', quiet=self.quiet, unit='B')
        self._bar.__enter__()
        return self

    def __exit__(self, *exception):
        self._bar.__exit__(*exception)
        self._binary.close()
        if exception[0] is None:
            self._warn()

    def _lines(self):
        """
        Yield decoded lines; what is not UTF-8 is taken for Latin-1, and counted.
        """
        opener = {b'\x1f\x8b': gzip.open, b'BZ': bz2.open}.get(self._binary.peek(2)[:2])
        stream = self._binary if opener is None else opener(self._binary)
        first, seen = True, 0
        while True:
            # no more than what a cell may have, so that a file without line breaks is no trap
            line = stream.readline(_LARGEST_CELL)
            if not line:
                break
            if self._skips_line:
                # the rest of a line of which a cell was too large
                self._skips_line = not line.endswith(b'\n')
                continue
            self._is_cut = not line.endswith(b'\n')
            if first:
                line, first = line.removeprefix(b'\xef\xbb\xbf'), False
            self._n_lines += 1
            place = self._binary.tell()
            self._bar.update(place - seen)
            seen = place
            try:
                yield line.decode('utf-8')
            except UnicodeDecodeError:
                self._count_damaged('not in UTF-8, read as Latin-1', f'in line {self._n_lines}')
                yield line.decode('latin-1')

    def __iter__(self):
        before = csv.field_size_limit(_LARGEST_CELL)
        try:
            yield from self._records()
        except TableReadError:
            raise
        except (OSError, EOFError, zlib.error) as error:
            # a compressed file that ends early
            self._count_damaged(f'after which the file cannot be read ({error})')
        finally:
            csv.field_size_limit(before)

    def _records(self):
        reader = csv.reader(self._lines())
        header = self._header(reader)
        self.place = 'row 1'
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.n_rows += 1
                self._count_damaged(
                    f'that are no CSV ({error})', f'row {self.n_rows} (line {reader.line_num})'
                )
                self._skips_line = self._is_cut
                continue
            if not any(cells):
                continue
            self.n_rows += 1
            self.place = f'row {self.n_rows} (line {reader.line_num})'
            if len(cells) < len(header):
                self._count_damaged(
                    f'cut short, with {len(cells)} of {len(header)} columns or fewer'
                )
                continue
            yield {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name}

    def _header(self, reader):
        try:
            header = [name.strip() for name in next(reader, [])]
        except (csv.Error, OSError, EOFError, zlib.error) as error:
            raise TableReadError(self.path, f'is no CSV file: {error}') from error
        missing = [name for name in self.needed if name not in header]
        if missing:
            there = ', '.join(header[:20]) or 'none'
            reason = (
                f'is no Zooniverse export of {self.what}: it lacks the columns '
                f'{", ".join(missing)}; there are {there[:300]}'
            )
            raise TableReadError(self.path, reason)
        double = [name for name, n in collections.Counter(header).items() if n > 1 and name]
        if double:
            raise TableReadError(self.path, f"has the column '{double[0]}' more than once")
        return header

    def json(self, row, column, kind):
        """
        Return what a cell of JSON holds, or None, counted, if it is damaged.
        """
        try:
            value = json.loads(row.get(column) or 'null')
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, kind):
            return value
        expected = {list: 'a list', dict: 'an object'}[kind]
        self._count_damaged(f"whose column '{column}' does not hold {expected} in JSON")
        return None

    def drop(self, reason):
        """
        Count a row that is left out.
        """
        self.dropped[reason] += 1

    def drop_answers(self, reason, number=1):
        """
        Count answers that are left out, beside which there may be others in their row.
        """
        if number:
            self.dropped_answers[reason] += number

    def _count_damaged(self, reason, place=None):
        self.damaged[reason] += 1
        self.first_damaged.setdefault(reason, place or self.place)

    def facts(self):
        """
        Return how many rows there were, and what became of them.
        """
        damaged = {f'rows {reason}': n for reason, n in self.damaged.items()}
        rows = {f'rows {reason}': n for reason, n in self.dropped.items()}
        answers = {f'answers: {reason}': n for reason, n in self.dropped_answers.items()}
        return {
            'path': str(self.path),
            'n_rows': self.n_rows,
            'dropped': {**damaged, **rows, **answers},
        }

    def _warn(self):
        for reason, number in self.damaged.items():
            warnings.warn(
                f'{self.path}: {number} row(s) {reason}, the first {self.first_damaged[reason]}',
                DataQualityWarning,
                stacklevel=5,
            )


def is_number(text):
    """
    Return whether a text is a whole number from 0 that 64 bits hold.

    Parameters
    ----------
    text : str
        The text.

    Returns
    -------
    number : bool
        False for superscripts and other digits that are no ASCII.
    """
    return text.isascii() and text.isdigit() and len(text) < 19


class _Names:
    """
    Texts and their numbers, each kept once.
    """

    def __init__(self):
        self.code = {}
        self.column = array.array('q')

    def add(self, text):
        self.column.append(self.code.setdefault(text, len(self.code)))

    def values(self):
        codes = np.frombuffer(self.column, np.int64) if len(self.column) else np.zeros(0, np.int64)
        return np.array([*self.code, ''], dtype=str)[codes]


class Votes:
    """
    The columns of the votes while they are read.
    """

    _TEXTS = ('item', 'annotator', 'workflow_id', 'workflow_version', 'task', 'label', 'created_at')

    def __init__(self, *, hash_names):
        self.hash_names = hash_names
        self.number = array.array('q')
        self.gold = array.array('b')
        self.texts = {name: _Names() for name in (*self._TEXTS, 'expert')}
        self.questions = collections.defaultdict(collections.Counter)

    def add(self, row, item, task, question, label):
        number = row['classification_id']
        self.number.append(int(number) if is_number(number) else -1)
        self.gold.append(row.get('gold_standard', '').lower() in _TRUE)
        annotator = row['user_name']
        if self.hash_names:
            annotator = hashlib.sha256(annotator.encode()).hexdigest()[:16]
        values = {
            'item': item,
            'annotator': annotator,
            'workflow_id': row['workflow_id'],
            'workflow_version': row.get('workflow_version', ''),
            'task': task,
            'label': label,
            'created_at': row.get('created_at', ''),
            'expert': row.get('expert', ''),
        }
        for name, value in values.items():
            self.texts[name].add(value)
        key = f'{row["workflow_id"]} {task}'.strip()
        self.questions[key][question[:_QUESTION_LENGTH]] += 1

    def table(self, rows):
        table = Table()
        table['classification_id'] = np.array(self.number, np.int64)
        for name in self._TEXTS:
            table[name] = self.texts[name].values()
        table['gold'] = np.array(self.gold, np.int8)
        table['expert'] = self.texts['expert'].values()
        table.meta = rows.facts() | {
            'n_answers': len(table),
            'questions': {key: dict(texts) for key, texts in sorted(self.questions.items())},
        }
        return table
