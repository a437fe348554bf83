"""A job that takes commands from a file beside its store, for whoever follows it from elsewhere.

Beside ``X.zarr`` lie ``X.commands``, to which others append (see `commands`), and ``X.acks``, in which the job says
what can be controlled and what came of each command. A command may name the start of the job that it is for: ``job``.
"""

import threading
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nbtoolkit.capture import commands, controls
from nbtoolkit.capture.agreement import Agreement, unbegun
from nbtoolkit.capture.lines import Lines
from nbtoolkit.errors import StoreError, WatchError
from nbtoolkit.store.places import Place

if TYPE_CHECKING:
    from nbtoolkit.capture.run import Run

COMMANDS, ACKS = ".commands", ".acks"
LONGEST = 4096  # bytes of a command
IDS = 10_000  # remembered
END_SECONDS = 2.0  # for the last answers
OTHER = "was written for another start of this job; look at it again, and ask once more"
NO_STORE = "commands=True: they are read from a file beside the store; give store=path too."
LEFT_OUT = "what is no command was left out of {place}: each is one line of JSON, {longest} bytes at most"
UNREAD = "no commands can be read at {place} ({error}); the training goes on"


def check(commands: bool, store: Any) -> None:
    """Refuse commands that there is no place for.

    Raises:
        WatchError: there is no store.
    """
    if commands and store is None:
        raise WatchError(NO_STORE)


def begin(run: "Run", store: Any = None) -> None:
    """Let a run be controlled from elsewhere: by all processes that train with it, and beside its store if given.

    Raises:
        StoreError: nothing can be written there.
    """
    ranks = run.ranks
    if ranks is not None:
        run.control.agreement = Agreement(run, ranks)
    if store is None or run.appender is None:
        return
    try:
        run.control.listening = Listening(run, Place(store))
    except StoreError as error:
        unbegun(ranks, error)  # before the run says that it has ended
        run.detach("failed")
        raise


class Listening:
    """Reads the commands of a run on a thread of its own, hands them on, and writes what came of them.

    Nothing that stands in the file is ever executed: it is checked as what a browser sends is.

    Args:
        run: that the commands are for.
        store: beside which they lie.

    Raises:
        StoreError: nothing can be written there.
    """

    def __init__(self, run: "Run", store: Place) -> None:
        self.job = uuid4().hex
        self._run = run
        self._commands = Lines(store.beside(COMMANDS), LONGEST)
        self._acks = Lines(store.beside(ACKS), LONGEST)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._said: deque[dict[str, Any]] = deque()
        self._standing: tuple[Any, ...] | None = None
        self._bell, self._done = threading.Event(), threading.Event()
        try:
            self._pass_over()
            self._commands.append([])
            self._acks.append([])
        except Exception as error:
            fault = store.fault(error)
            raise StoreError(f"commands=True: cannot write beside {store}: {fault}; choose another path.") from error
        self._thread = threading.Thread(target=self._work, name="nbtoolkit commands", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left to say and end the thread."""
        self._done.set()
        self._bell.set()
        if self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)

    def _pass_over(self) -> None:
        """What was asked before this job began is not for it."""
        while old := self._commands.fresh():
            for given in old:
                self._remember(given.get("id"))

    def _work(self) -> None:
        while True:
            last = self._done.is_set()
            try:
                if not last:
                    self._listen()
                    self._describe()
                else:
                    self._said.append({"op": "end"})
                self._say()
            except Exception as error:
                self._run.note(UNREAD.format(place=self._commands.place, error=self._acks.place.fault(error)))
            if last:
                return
            self._bell.wait(self._commands.rest_seconds)
            self._bell.clear()

    def _listen(self) -> None:
        for given in self._commands.fresh():
            name = given.get("id")
            if given.get("op", "command") != "command" or not commands.is_id(name):
                self._commands.left_out += 1
            elif self._remember(name):
                if given.get("job", self.job) == self.job:
                    commands.act(self._run, given, self._tell)
                else:
                    self._tell({"op": "ack", "id": name, "state": "refused", "text": f"this command {OTHER}"})
        if self._commands.left_out:
            self._run.note(LEFT_OUT.format(place=self._commands.place, longest=LONGEST))

    def _remember(self, name: Any) -> bool:
        """Whether this id is new."""
        if not commands.is_id(name) or name in self._seen:
            return False
        self._seen[name] = None
        if len(self._seen) > IDS:
            self._seen.popitem(last=False)
        return True

    def _describe(self) -> None:
        """Say what can be controlled, at first and when that has changed."""
        standing = controls.standing(self._run)
        if not standing or standing == self._standing:
            return
        with self._run.lock:
            described = controls.described(self._run)
        self._standing = standing
        if described:
            self._said.append({"op": "controls", "controls": described})

    def _tell(self, message: dict[str, Any]) -> None:
        """Take an answer, on whichever thread; it is written on ours."""
        self._said.append(message)
        self._bell.set()

    def _say(self) -> None:
        said = list(self._said)
        if said:
            self._acks.append({"job": self.job, **one} for one in said)
        for _ in said:
            self._said.popleft()
