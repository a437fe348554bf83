"""One-sided messages between the processes of a job, through the key-value store that it was started with.

Nobody waits for anybody: what is put stays until it is taken, and a box that holds nothing is empty. On a background
thread only; a store that does not answer is a lost mailbox, not an error.
"""

import contextlib
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from nbtoolkit.errors import first_line

if TYPE_CHECKING:
    from torch.distributed import Store

ANSWER_SECONDS = 5.0  # within which a store answers, or is dead


def connection(store: "Store", name: str) -> "Store":
    """A connection of our own to the job's store where the store has such a thing, under keys of our own."""
    from torch.distributed import PrefixStore

    own = store
    with contextlib.suppress(NotImplementedError, RuntimeError, AttributeError):
        own = store.clone()  # pyright: ignore[reportAttributeAccessIssue] - missing from the stubs
        own.set_timeout(timedelta(seconds=ANSWER_SECONDS))
    return PrefixStore(f"nbtoolkit/{name}", own)


class Mailbox:
    """What this process puts for others, and takes of what they have put; the order of each is kept.

    Args:
        store: that all processes see.
        rank: this process.

    Attributes:
        lost: why nothing more comes or goes; empty while all is well.
    """

    def __init__(self, store: "Store", rank: int) -> None:
        self._store, self._rank = store, rank
        self._put: dict[str, int] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self._turn = threading.Lock()
        self.lost = ""

    def put(self, box: str, data: bytes) -> bool:
        """Append a message to the box; whether it went."""
        with self._turn:
            if self.lost:
                return False
            number = self._put.get(box, 0)
            try:
                self._store.set(f"{box}/{self._rank}/{number}", data)  # type: ignore[arg-type] - bytes are taken
            except Exception as error:
                self.lose(first_line(error))
                return False
            self._put[box] = number + 1
            return True

    def take(self, box: str, rank: int) -> list[bytes]:
        """What ``rank`` has put into the box since the last look, oldest first; it is then there no more.

        Only one process may take from a box.
        """
        messages: list[bytes] = []
        with self._turn:
            try:
                while not self.lost:
                    number = self._taken.get((box, rank), 0)
                    key = f"{box}/{rank}/{number}"
                    if not self._store.check([key]):
                        break
                    message = bytes(self._store.get(key))
                    self._taken[box, rank] = number + 1
                    messages.append(message)
                    self._store.delete_key(key)
            except Exception as error:
                self.lose(first_line(error))
        return messages

    def lose(self, reason: str) -> None:
        """Nothing more comes or goes."""
        self.lost = f"the job's key-value store: {reason}"
