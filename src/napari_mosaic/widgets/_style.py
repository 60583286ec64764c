"""Colours and sizes of the panel, from napari's theme.

One decision: one style sheet over object names, made anew when the theme changes.
"""

from __future__ import annotations

from typing import Any

_SHEET = """
#mosaicPanel, #mosaicPanel QScrollArea, #mosaicBody {{ background: {background}; border: none; }}
#step {{ background: {background}; border: none; border-top: 1px solid {foreground}; }}
#stepTitle {{ font-weight: 600; color: {text}; background: transparent; }}
#stepTitle[mark="later"] {{ color: {faint}; }}
#stepSummary, #note {{ color: {muted}; background: transparent; }}
#badge {{ border-radius: 10px; min-width: 20px; max-width: 20px; min-height: 20px; max-height: 20px;
          font-weight: 600; color: {muted}; background: {foreground}; }}
#badge[mark="next"] {{ color: #ffffff; background: {current}; }}
#badge[mark="done"] {{ color: {background}; background: {done}; }}
#message {{ color: {warning}; background: {foreground}; border-radius: 4px; padding: 6px; }}
#primary {{ background: {current}; color: #ffffff; font-weight: 600; border-radius: 3px; padding: 4px; }}
#primary:hover {{ background: {highlight}; }}
#primary:disabled {{ background: {foreground}; color: {faint}; }}
#figure {{ color: {text}; font-weight: 600; background: transparent; }}
#mosaicPanel #slid {{ min-width: 34px; max-width: 34px; padding: 1px; margin: 0px; }}
#mosaicPanel QLabel {{ background: transparent; }}
#mosaicPanel QPushButton, #mosaicPanel QToolButton {{ padding: 3px 6px; }}
#mosaicPanel QToolButton {{ background: {button}; border-radius: 3px; }}
#mosaicPanel QToolButton:hover {{ background: {highlight}; }}
#mosaicPanel QToolButton:checked {{ background: {current}; color: #ffffff; }}
#mosaicPanel QToolButton:disabled {{ color: {faint}; }}
#mosaicPanel QToolButton::menu-indicator {{ subcontrol-position: right center; right: 6px; }}
#mosaicPanel QPushButton:disabled {{ color: {faint}; }}
#mosaicPanel QProgressBar {{ min-height: 6px; max-height: 6px; border: none; border-radius: 3px; }}
#mosaicPanel QProgressBar::chunk {{ background: {current}; border-radius: 3px; }}
"""


def style_sheet(theme_name: str) -> str:
    """The panel's style sheet for a theme of napari."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_name)
    dark = _is_dark(theme.background)
    return _SHEET.format(
        background=_hex(theme.background),
        foreground=_hex(theme.foreground),
        text=_hex(theme.text),
        highlight=_hex(theme.highlight),
        button=_hex(theme.primary),
        current="#2f7fd0",
        warning=_hex(theme.warning) if dark else "#9a5b00",
        muted="#b4b8bf" if dark else "#50545a",
        faint=_faint(dark),
        done="#7fbf8f" if dark else "#3d8a52",
    )


def ink_of(theme_name: str) -> tuple[str, str]:
    """The colours of icons in a theme: that of text, and a faint one for what is off."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_name)
    return _hex(theme.text), _faint(_is_dark(theme.background))


def plot_colours(theme_name: str) -> tuple[str, str]:
    """The colours of a plot in a theme: of its text and lines, and of its ground."""
    from napari.utils.theme import get_theme

    theme = get_theme(theme_name)
    return _hex(theme.text), _hex(theme.background)


def _faint(dark: bool) -> str:
    return "#7d828a" if dark else "#8a8e94"


def _hex(colour: Any) -> str:
    return str(colour.as_hex())


def _is_dark(colour: Any) -> bool:
    red, green, blue = colour.as_rgb_tuple()[:3]
    return bool(red + green + blue < 384)
