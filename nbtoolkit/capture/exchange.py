"""What the processes of one training tell each other of the steps they make, while none waits for another.

Every process measures its own part. A thread of the background sends it to the first process a few times a second;
there the rows of a step wait until the parts of all have come, and only then reach the columns.
"""

import atexit
import threading
import weakref
from collections.abc import Iterator
from time import monotonic, thread_time
from typing import TYPE_CHECKING

from nbtoolkit.capture import intake
from nbtoolkit.capture.parcels import Packing, Parcel, Unpacking, below, chosen
from nbtoolkit.capture.parts import Partner, whole
from nbtoolkit.capture.ranks import Ranks
from nbtoolkit.capture.stretch import Block

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

ROWS, OVER = "rows", "over"
TURN_SECONDS, PER_RANK = 0.2, 1 / 250  # between two turns; seconds for each process where they are many
SHARE, MOST_SECONDS = 0.005, 5.0  # of a core that turns may take, for which they come more seldom, but not more than so
BEAT_SECONDS = 2.0  # a process that has nothing to send says so
SILENT_SECONDS = 30.0  # after which one that has said nothing, while the training went on, is lost
END_SECONDS = 5.0  # that the first process waits at its end for what is on its way
LOOK_SECONDS = 0.02

_open: "weakref.WeakSet[Exchange]" = weakref.WeakSet()


def _close_all() -> None:
    for exchange in tuple(_open):
        exchange.close()
        exchange.store()


class Exchange:
    """Sends what this process measures, or in the first process makes it whole.

    Args:
        run: of this process.
        ranks: the processes.
    """

    def __init__(self, run: "Run", ranks: Ranks) -> None:
        self._run, self.ranks, self._mail = run, ranks, ranks.mailbox
        self._words: dict[str, dict[str, str]] = {}
        self._waiting: list[Block] = []  # of this process; with the run's lock only
        self._packing, self._unpacking = Packing(), [Unpacking() for _ in range(ranks.count)]
        self._partners = [Partner(rank, monotonic(), run.step) for rank in range(1, ranks.count)]
        self._turn_seconds = max(TURN_SECONDS, ranks.count * PER_RANK)
        self._told = (monotonic(), run.step)
        self._over = False
        self._done = threading.Event()
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="nbtoolkit ranks", daemon=True)
        self._thread.start()
        if not _open:  # a script may end without detaching
            getattr(threading, "_register_atexit", atexit.register)(_close_all)
        _open.add(self)

    def take(self, block: Block) -> Iterator[Block]:
        """Take rows that have reached the host; gives those that can go on to the columns. With the run's lock."""
        words = self._of(block.group)
        if self._over or not words:
            yield block
        elif self.ranks.writes:
            self._waiting.append(block)
        else:
            self._waiting.append(chosen(block, words))
            yield block

    def close(self) -> None:
        """Send, or wait a little for, what is left; whatever comes later is this process's own. Safe to repeat."""
        with self._closing:
            _open.discard(self)
            self._done.set()
            if self._thread is not threading.current_thread():
                self._thread.join(END_SECONDS)
            if self._over:
                return
            if self._thread.is_alive():  # it waits for a store that does not answer
                self._mail.lose("it does not answer in time")
            with self._run.lock:
                self._run.gather(wait=True)
                left, self._waiting = self._waiting, []
                self._over = True
            if self.ranks.writes:
                self._await_rest()
                for partner in self._partners:
                    partner.lose(partner.silent() if partner.through < self._run.step else "")
                    self._mail.put(f"{OVER}{partner.rank}", b"")
                with self._run.lock:
                    self._keep(left)
            else:
                self._send(left, self._run.step, ended=True)

    def store(self) -> None:
        """Write what has become whole at the end; the thread that writes may have ended."""
        if self._run.appender is not None:
            self._run.appender.write()

    # -- on the thread ---------------------------------------------------------------------

    def _work(self) -> None:
        turn = self._receive if self.ranks.writes else self._report
        pause = self._turn_seconds
        while not self._done.wait(pause):
            began = thread_time()
            try:
                turn()
            except Exception as error:
                reason = f"rows of the processes could not be exchanged: {type(error).__name__}: {error}"
                self._run.note(reason)
                for partner in self._partners:
                    partner.lose(reason)
                self._over = self._over or not self.ranks.writes
            seldom = min((thread_time() - began) / SHARE, MOST_SECONDS)
            pause = max(self._turn_seconds, seldom)

    def _report(self) -> None:
        """Send what has arrived since the last turn, or at least that all is well."""
        if self._mail.take(f"{OVER}{self.ranks.rank}", 0):
            self._over = True  # nobody listens any more
            self._done.set()
            return
        if not self._run.lock.acquire(timeout=self._turn_seconds):
            return
        try:
            self._run.gather()
            through, blocks, self._waiting = self._run.rows.through, self._waiting, []
        finally:
            self._run.lock.release()
        if blocks or monotonic() - self._told[0] > BEAT_SECONDS:
            self._send(blocks, through)

    def _send(self, blocks: list[Block], through: int, *, ended: bool = False) -> None:
        if self._mail.put(ROWS, self._packing.bytes(Parcel(through, blocks, ended))):
            self._told = (monotonic(), through)
        elif self._mail.lost:
            self._over = True
            self._run.note(f"nothing more is sent to the first process from step {through} on: {self._mail.lost}")

    def _receive(self) -> None:
        """Take what the others have sent, and keep what is whole."""
        self._collect()
        self._miss()
        through = min((one.through for one in self._partners if not one.lost), default=None)
        if not self._waiting or not self._run.lock.acquire(timeout=self._turn_seconds):
            return
        try:
            waiting, self._waiting, ready = self._waiting, [], []
            for one in waiting:
                now, later = below(one, through)
                ready += [now] if now is not None else []
                self._waiting += [later] if later is not None else []
            self._keep(ready)
            if ready and self._run.control.paused_since is not None:  # no step will tell of them
                self._run.tell()
        finally:
            self._run.lock.release()

    def _collect(self) -> None:
        for partner in self._partners:
            for message in self._mail.take(ROWS, partner.rank):
                partner.take(self._unpacking[partner.rank].parcel(message), monotonic())

    def _miss(self) -> None:
        """Give up a process that has said nothing for long, while this one went on."""
        for partner in self._partners:
            quiet = monotonic() - partner.heard > SILENT_SECONDS and self._run.step > partner.through
            if (quiet or self._mail.lost) and not partner.lost:
                partner.lose(f"{partner.silent()}: {self._mail.lost}" if self._mail.lost else partner.silent())

    def _await_rest(self) -> None:
        end = monotonic() + END_SECONDS
        while True:
            self._collect()
            late = [one for one in self._partners if not one.lost and one.through < self._run.step]
            if not late or self._mail.lost or monotonic() > end:
                return
            threading.Event().wait(LOOK_SECONDS)

    def _keep(self, blocks: list[Block]) -> None:
        """Make rows whole and bring them into the columns. With the run's lock."""
        run = self._run
        for own in blocks:
            columns, instrument = run.record.groups[own.group], run.instruments.get(own.group)
            for block in whole(own, self._partners, self._of(own.group)):
                if block.reason and not own.reason:  # the others' part is missing: a note in their words
                    run.note(f"{block.reason}: what all processes measure together is unknown from there on")
                    for output in columns.variables:
                        columns.missing(output, block.steps[0], block.reason, len(block.steps))
                    block.reason = ""
                intake.take(block, columns, instrument, run.note)

    def _of(self, group: str) -> dict[str, str]:
        """How the outputs of an instrument are combined here: means always, the others where tensors are sharded."""
        if group not in self._words:
            instrument = self._run.instruments.get(group)
            words = {} if instrument is None else instrument.combine
            self._words[group] = {key: word for key, word in words.items() if word == "mean" or self.ranks.sharded}
        return self._words[group]
