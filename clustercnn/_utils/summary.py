# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Objects introduce themselves: one list of facts feeds text and HTML.
"""

import html

__all__ = ['html_summary', 'text_summary']


def text_summary(title, facts):
    """
    Return a short multi-line text.

    Parameters
    ----------
    title : str
        First line, such as the name of the class.
    facts : list of (str, object)
        Name and value of each fact.

    Returns
    -------
    text : str
        One fact a line.
    """
    if not facts:
        return f'<{title}>'
    width = max(len(name) for name, _ in facts)
    lines = [f'  {name:<{width}}  {value}' for name, value in facts]
    return '\n'.join([f'<{title}', *lines]) + '>'


def html_summary(title, facts, *, figure=None):
    """
    Return the same facts as an HTML table.

    Parameters
    ----------
    title : str
        Caption.
    facts : list of (str, object)
        Name and value of each fact.
    figure : str, optional
        HTML put beside the table.

    Returns
    -------
    text : str
        A self-contained fragment; every value is escaped.
    """
    rows = ''.join(
        f'<tr><th style="text-align:left">{html.escape(str(name))}</th>'
        f'<td style="text-align:left">{html.escape(str(value))}</td></tr>'
        for name, value in facts
    )
    table = f'<table><caption>{html.escape(title)}</caption><tbody>{rows}</tbody></table>'
    return f'<div class="clustercnn-summary">{table}{figure or ""}</div>'
