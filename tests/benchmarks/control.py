"""What a pause costs, how fast a command is felt, and whether a loop that nobody acts on is slower for it.

``python -m tests.benchmarks.control``
"""

import statistics
import threading
import time

import torch

import nbtoolkit
from nbtoolkit.capture import orders, rates
from tests import problems

SECONDS = 5.0
CLICKS = 30


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    print(f"a paused loop uses {paused():.2%} of a core without a Board, {paused(ears=1):.2%} with one that listens")
    for what, make in (("pause", orders.Hold), ("learning rate", lambda: rates.SetRate(0.01))):
        seconds, step = latency(make)
        print(
            f"{what}: {1e3 * seconds:.1f} ms from another thread until it is answered; a step takes {1e3 * step:.2f} ms"
        )
    empty, full = boundary()
    print(f"a look at the orders at the end of a step: {1e9 * (full - empty):.0f} ns")


def paused(ears: int = 0) -> float:
    """Share of a core that a paused loop uses."""
    problem = problems.mlp()
    share: list[float] = []
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    run.ears += [lambda: None] * ears

    def look() -> None:
        while run.status().state != "paused":
            time.sleep(0.01)
        before, began = time.process_time(), time.perf_counter()
        time.sleep(SECONDS)
        share.append((time.process_time() - before) / (time.perf_counter() - began))
        run.resume()

    watcher = threading.Thread(target=look)
    problem.train(20)
    run.pause()
    watcher.start()
    problem.train(1)
    watcher.join()
    run.detach()
    return share[0]


def latency(make: type[orders.Order] | object) -> tuple[float, float]:
    """Median seconds from giving an order to its answer, and of a step."""
    problem = problems.cnn()
    run = nbtoolkit.watch(problem.model, problem.optimizer)
    taken: list[float] = []

    def click() -> None:
        for _ in range(CLICKS):
            done = threading.Event()
            began = time.perf_counter()
            run.control.give(make(), lambda *_, done=done: done.set())  # type: ignore[operator]
            done.wait()
            taken.append(time.perf_counter() - began)
            run.resume()
            time.sleep(0.02)
        run.stop()

    problem.train(5)
    thread = threading.Thread(target=click)
    thread.start()
    try:
        while True:
            problem.step()
    except nbtoolkit.TrainingStopped:
        thread.join()
    return statistics.median(taken), 1 / run.status().steps_per_second


def boundary(times: int = 1_000_000) -> tuple[float, float]:
    """Seconds of an empty turn of a loop, and of one that looks whether orders wait."""
    problem = problems.mlp()
    with nbtoolkit.watch(problem.model, problem.optimizer) as run:
        steps = run.steps
        began = time.perf_counter()
        for _ in range(times):
            pass
        middle = time.perf_counter()
        for _ in range(times):
            if steps.orders:  # type: ignore[union-attr]
                break
        ended = time.perf_counter()
    return (middle - began) / times, (ended - middle) / times


if __name__ == "__main__":
    main()
