"""The only part that touches a live training loop."""

from nbtoolkit.capture.run import Run as Run
from nbtoolkit.capture.saved import open_run as open_run
from nbtoolkit.capture.status import Status as Status
from nbtoolkit.capture.watch import Discovery as Discovery
from nbtoolkit.capture.watch import watch as watch
