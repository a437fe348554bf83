"""The only part that talks to a browser: the Board, its messages, and pages that need no kernel."""

from nbtoolkit.widget.board import Board
from nbtoolkit.widget.display import following, show
from nbtoolkit.widget.export import export_html
from nbtoolkit.widget.image import export_image

__all__ = ["Board", "export_html", "export_image", "following", "show"]
