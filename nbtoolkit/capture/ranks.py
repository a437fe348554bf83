"""The processes that train one model together, and how they meet."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from nbtoolkit.capture import shards
from nbtoolkit.capture.mailbox import Mailbox, connection
from nbtoolkit.errors import WatchError, first_line

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup, Store

    from nbtoolkit.capture.alike import Terms

MEET_SECONDS = 60.0  # that one process waits for the others before anything that needs them all
LOOK_SECONDS = (0.001, 0.05)  # between two looks whether they have come: at first, and at most
GO = "go"
TERMS, DIFFERS = "terms", "differs"
ATTEMPTS = "attempts"  # to come together for a watch, of those that are decided
TOGETHER = "the values are those of {count} processes that train together"
OTHER = "this is {place}: what is measured here is its own part; process 0 keeps what belongs to all"


class Ranks:
    """The processes of one job that train one model: this one's place among them, and how to reach the others.

    ``total`` and ``first`` are collective: every process calls them, in the same order, after a `meet`.

    Args:
        rank: of this process.
        count: of processes.
        store: that they all see, with keys of this run's own.
        sharded: whether each holds a part of the parameters only.
        group: of the processes, for nobody else's collectives.
    """

    def __init__(
        self, rank: int, count: int, store: "Store", *, sharded: bool = False, group: "ProcessGroup | None" = None
    ) -> None:
        self.rank, self.count, self.sharded, self.group = rank, count, sharded, group
        self.job: Store | None = None  # kept, so that it answers also when the training has let it go
        self.mailbox = Mailbox(store, rank)
        self._store = store
        self._met = 0  # times that all have come
        self._past: tuple[str, ...] = ()  # keys of the last meeting

    @property
    def writes(self) -> bool:
        """Whether this process keeps what belongs to all."""
        return self.rank == 0

    @property
    def place(self) -> str:
        """This process among the others, in words."""
        return f"process {self.rank} of {self.count}"

    def meet(self, why: str, limit: float | None = None, deciding: Callable[[], Any] = bool) -> None:
        """Wait until every process is here for the same reason; nothing collective is then entered with one missing.

        All get the same answer: once one has waited in vain, those that come later do not go on either.

        Args:
            why: what they meet for; the same words in every process.
            limit: seconds; by default `MEET_SECONDS`.
            deciding: done by who decides whether all have come, before anybody learns of it.

        Raises:
            WatchError: not all have come in time; names those that did not.
        """
        place = f"meet/{self._met}/{why}"
        try:
            verdict = self._verdict(place, MEET_SECONDS if limit is None else limit, deciding)
        except RuntimeError as error:
            raise WatchError(f"{why}: the job's key-value store does not answer: {first_line(error)}") from None
        if verdict != GO:
            raise WatchError(f"{why}: {verdict}")
        self._forget(place)
        self._met += 1

    def total(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Sums over all processes, with the same bits in each; collective, and waits for the device.

        Args:
            tensors: of the same shapes everywhere.
        """
        import torch.distributed as dist

        result: list[Tensor] = [tensor.detach() for tensor in tensors]
        for dtype in dict.fromkeys(tensor.dtype for tensor in result):
            places = [place for place, tensor in enumerate(result) if tensor.dtype == dtype]
            home = self._device(result[places[0]].device)
            flat = torch.cat([result[place].reshape(-1).to(home) for place in places])
            _wait(home)
            dist.all_reduce(flat, group=self.group)
            for place, part in zip(places, flat.split([result[p].numel() for p in places]), strict=True):
                result[place] = part.view(result[place].shape).to(result[place].device)
        return result

    def first(self, values: Sequence[float]) -> list[float]:
        """The numbers of the first process, in every process; collective.

        Args:
            values: as many everywhere.
        """
        import torch.distributed as dist

        home = self._device(torch.device("cpu"))
        numbers = torch.tensor(list(values), dtype=torch.float64, device=home)
        _wait(home)
        dist.broadcast(numbers, group=self.group, group_src=0)
        return numbers.tolist()

    def _device(self, wanted: torch.device) -> torch.device:
        """A device that the group can send from: the wanted one where it can."""
        kinds = [device.type for device in getattr(self.group, "_device_types", ())]
        if wanted.type in kinds or not kinds:
            return wanted
        return torch.device(kinds[0], torch.accelerator.current_device_index() if kinds[0] != "cpu" else 0)

    def _verdict(self, place: str, limit: float, deciding: Callable[[], Any]) -> str:
        """Whether all go on, or the reason why nobody does: decided once, for all."""
        store, verdict = self._store, f"{place}/verdict"
        store.set(f"{place}/{self.rank}", "here")
        if store.add(f"{place}/count", 1) == self.count:
            deciding()
            return _text(store.compare_set(verdict, "", GO))
        end, pause = time.monotonic() + limit, LOOK_SECONDS[0]
        while not store.check([verdict]):
            if time.monotonic() > end:
                deciding()
                missing = [rank for rank in range(self.count) if not store.check([f"{place}/{rank}"])]
                return _text(store.compare_set(verdict, "", _missing(missing, limit)))
            time.sleep(pause)
            pause = min(2 * pause, LOOK_SECONDS[1])
        return _text(store.get(verdict))

    def _forget(self, place: str) -> None:
        """All have come here, so nobody needs what was left at the meeting before."""
        past, self._past = self._past, (f"{place}/{self.rank}",)
        if self.rank == 0:
            self._past += (f"{place}/count", f"{place}/verdict")
        for key in past:
            self._store.delete_key(key)


class Found:
    """What is known of the other processes when watching begins.

    Attributes:
        ranks: those that train together; None where this one trains alone, as far as is known.
        writes: whether this process may write the store.
        notes: what deserves attention, in words.
        differs: between what the processes are to measure together, as `Terms` tells it; empty if nothing does.
    """

    def __init__(
        self, ranks: Ranks | None = None, *, writes: bool = True, notes: Sequence[str] = (), differs: str = ""
    ) -> None:
        self.differs = differs
        self.ranks, self.writes, self.notes = ranks, writes, list(notes)
        if ranks is not None:
            self.notes.append(TOGETHER.format(count=ranks.count) if ranks.writes else OTHER.format(place=ranks.place))

    @property
    def facts(self) -> dict[str, Any]:
        """What the record says of the processes."""
        return {} if self.ranks is None else {"ranks": self.ranks.count, "sharded": self.ranks.sharded}


def together(optimizer: Optimizer, models: Mapping[str, nn.Module]) -> Ranks | None:
    """The processes that train these models together, met here; None where this one trains alone or apart.

    Args:
        optimizer: of this process.
        models: whose parameters it holds.
    """
    return find(optimizer, models).ranks


def find(optimizer: Optimizer, models: Mapping[str, nn.Module], terms: "Terms | None" = None) -> Found:
    """Meet the processes that train these models together, if there are any, with their terms; see `together`."""
    dist = torch.distributed
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() < 2:
        return Found()
    rank, count = dist.get_rank(), dist.get_world_size()
    apart = shards.apart(optimizer, models, count)
    if apart:
        return Found(notes=[f"{apart}; what is measured here is the part of this process, {rank} of {count}, alone"])
    try:
        job = dist.distributed_c10d._get_default_store()
        store = connection(job, "watch")
        number = int(_text(store.get(ATTEMPTS))) if store.check([ATTEMPTS]) else 0
        ranks = Ranks(rank, count, dist.PrefixStore(f"{number}", store), sharded=shards.sharded(optimizer))
        own = ranks._store
        own.set(f"{TERMS}/{rank}", "" if terms is None else terms.told(ranks))

        def decide() -> None:
            store.set(ATTEMPTS, f"{number + 1}")
            _compare(own, count)

        ranks.meet("watch", deciding=decide)
        differs = _text(own.get(DIFFERS))
        ranks.group, ranks.job = _whole_group(dist), job
    except (WatchError, RuntimeError) as error:
        text = (
            f"{first_line(error)}; call watch in every process. From here on this process, {rank} of {count}, is "
            "watched alone, and what is measured is its own part"
        )
        warnings.warn(f"nbtoolkit: {text}.", stacklevel=5)
        return Found(writes=rank == 0, notes=[text])
    return Found(ranks, writes=ranks.writes, differs=differs)


def _compare(store: "Store", count: int) -> None:
    """Let all know what differs between their terms, if all have told them."""
    from nbtoolkit.capture import alike

    keys = [f"{TERMS}/{rank}" for rank in range(count)]
    if store.check(keys):
        told = [_text(store.get(key)) for key in keys]
        store.set(DIFFERS, alike.compared(told) if all(told) else "")


def _whole_group(dist: Any) -> "ProcessGroup":
    """All processes once more, so that no collective of ours comes between two of the training's."""
    make: Callable[..., Any] = dist.new_group
    return make(group_desc="nbtoolkit")


def _missing(ranks: Sequence[int], limit: float) -> str:
    who = f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}" if ranks else "a rank"
    return f"{who} did not come within {limit:g} s"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _wait(device: torch.device) -> None:
    """Let what the training has under way on the device come to its end: no two collectives at once."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
