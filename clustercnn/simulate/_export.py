# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Rows of a Panoptes classification export, as the reader of real ones finds them.
"""

import datetime as dt
import hashlib
import json

__all__ = ['COLUMNS', 'classification_row']

COLUMNS = (
    'classification_id',
    'user_name',
    'user_id',
    'user_ip',
    'workflow_id',
    'workflow_name',
    'workflow_version',
    'created_at',
    'gold_standard',
    'expert',
    'metadata',
    'annotations',
    'subject_data',
    'subject_ids',
)
QUESTION = 'What sends the X-rays in the middle of the picture?'
_FIRST_CLASSIFICATION, _FIRST_SUBJECT, _FIRST_USER = 600_000_000, 80_000_000, 2_000_000
_BEGIN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_SECONDS_APART = 7
# one visitor in so many does not log in
_NOT_LOGGED_IN = 8


def _digest(text, length):
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def classification_row(number, *, person, item, answer, subject):
    """
    Return the cells of one classification, in the order of the columns.

    Parameters
    ----------
    number : int
        Of the classification, from 0.
    person : int
        Number of the volunteer, from 0; some do not log in.
    item : int
        Number of the subject, from 0.
    answer : str
        What was said.
    subject : dict
        The metadata of the subject, a row of its manifest.

    Returns
    -------
    cells : list
        One a column.
    """
    logged_in = person % _NOT_LOGGED_IN != _NOT_LOGGED_IN - 1
    address = _digest(f'address {person}', 20)
    name = f'simulated_user_{person:05d}' if logged_in else f'not-logged-in-{address}'
    done = _BEGIN + dt.timedelta(seconds=_SECONDS_APART * number)
    begun = done - dt.timedelta(seconds=5)
    metadata = {
        'source': 'api',
        'session': _digest(f'session {person}', 64),
        'viewport': {'width': 1440, 'height': 780},
        'started_at': f'{begun:%Y-%m-%dT%H:%M:%S}.000Z',
        'user_agent': 'simulated',
        'utc_offset': '0',
        'finished_at': f'{done:%Y-%m-%dT%H:%M:%S}.000Z',
        'live_project': True,
        'user_language': 'en',
        'subject_selection_state': {'retired': False, 'already_seen': False},
    }
    subject_id = _FIRST_SUBJECT + item
    return [
        _FIRST_CLASSIFICATION + number,
        name,
        _FIRST_USER + person if logged_in else '',
        address,
        1,
        'Simulated hunt for galaxy clusters',
        '1.1',
        f'{done:%Y-%m-%d %H:%M:%S} UTC',
        '',
        '',
        json.dumps(metadata),
        json.dumps([{'task': 'T0', 'task_label': QUESTION, 'value': answer}]),
        json.dumps({str(subject_id): {'retired': None, **subject}}),
        subject_id,
    ]


def user_name(person):
    """
    Return the name under which a volunteer stands in the export.

    Parameters
    ----------
    person : int
        Number of the volunteer, from 0.

    Returns
    -------
    name : str
        Of an account, or of a visitor.
    """
    return classification_row(0, person=person, item=0, answer='', subject={})[1]
