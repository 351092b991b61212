# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Which classes count as a find where nobody said which.
"""

import re

__all__ = ['usual_positive']

# letters and digits of any alphabet
_END = r'(?![^\W_])'
# a letter by itself, not that of a kind such as N galaxy or Y dwarf
_ALONE = r'(?=\s*([^\w\s-]|$))'
# what begins names of classes that say that something is not there, or that nobody knows
_DENIAL = re.compile(
    rf'((no|not|non|none|nothing|isn.?t|without|false|0|negative|nein|nao|não|нет){_END}'
    rf'|(i\s+)?((do|can)\s*not|(don|can).?t){_END}|n{_ALONE})'
)
_AFFIRMATION = re.compile(rf'((yes|true|positive){_END}|y{_ALONE})')
_CLUSTER = re.compile(r'(?<![^\W_])clusters?' + _END)
# whole names of what is left over, or of doubt
_REST = frozenset(
    (
        *('absent', 'artefact', 'artifact', 'background', 'bad', 'fake', 'junk', 'maybe', 'noise'),
        *(
            'neither',
            'other',
            'others',
            'rest',
            'skip',
            'spurious',
            'uncertain',
            'unclear',
            'unsure',
        ),
    )
)


def usual_positive(classes):
    """
    Return the classes that count as a find where nobody said which, and why these.

    Parameters
    ----------
    classes : tuple of str
        Names of the classes, two or more.

    Returns
    -------
    positive : tuple of str
        ``'cluster'``, whatever the case; else those with that word; else those that begin with
        yes, true, y or positive; else 1 beside 0; else the first one that neither begins with a
        denial, such as no, not, false or 0, or with doubt, such as don't know, nor is what is
        left over, such as other or background; else the first one.
    reason : str
        Why, in words for people.

    Examples
    --------
    >>> from clustercnn.core._positive import usual_positive
    >>> usual_positive(('No', 'Yes'))
    (('Yes',), 'by its name')
    >>> usual_positive(('galaxy', 'star', 'other'))
    (('galaxy',), 'the first one, since the names do not tell')
    """
    folded = {name: name.strip().casefold() for name in classes}
    claims = [name for name in classes if not _DENIAL.match(folded[name])]
    rules = (
        ['cluster'] if 'cluster' in classes else [],
        [name for name in claims if folded[name] == 'cluster'][:1],
        [name for name in claims if _CLUSTER.search(folded[name])],
        [name for name in claims if _AFFIRMATION.match(folded[name])],
        [name for name in claims if '0' in folded.values() and folded[name] == '1'],
    )
    for found in rules:
        if found and len(found) < len(classes):
            return tuple(found), 'by its name' if len(found) == 1 else 'by their names'
    claims = [name for name in claims if folded[name] not in _REST]
    if len(claims) == 1:
        return tuple(claims), 'the only one that is neither a denial nor what is left over'
    first = (*claims, *classes)[0]
    return (first,), 'the first one, since the names do not tell'
