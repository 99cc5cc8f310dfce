"""A bar chart as SVG, drawn by hand: no library is worth an installation for this."""

from html import escape

_WIDTH, _LABELS, _BAR, _GAP, _HEAD = 760, 190, 18, 5, 30
_VALUES = 110
_COLOURS = {"streamgate": "#0f766e", "no-op": "#94a3b8"}
_PEER_COLOUR = "#d97706"


def bars(title, groups):
    """Horizontal bars; groups is [(heading, unit, [(label, value)])], each with its own scale."""
    drawn, y = [], 34
    for heading, unit, rows in groups:
        drawn.append(_text(12, y + 16, f"{heading} ({unit})", weight="bold"))
        y += _HEAD
        longest = max(value for _, value in rows)
        for label, value in rows:
            drawn.append(_bar(y, label, value, longest))
            y += _BAR + _GAP
        y += 10
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" '
            f'font-family="system-ui, sans-serif" font-size="13">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>',
            _text(12, 22, title, weight="bold"),
            *drawn,
            "</svg>\n",
        ]
    )


def _bar(y, label, value, longest):
    length = max(1, (_WIDTH - _LABELS - _VALUES) * value / longest)
    colour = _COLOURS.get(label, _PEER_COLOUR)
    middle = y + _BAR - 5
    return "\n".join(
        [
            _text(_LABELS - 8, middle, label, anchor="end"),
            f'<rect x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>',
            _text(_LABELS + length + 6, middle, f"{value:,.1f}"),
        ]
    )


def _text(x, y, text, anchor="start", weight="normal"):
    where = f'x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {where} fill="#1e293b">{escape(text)}</text>'
