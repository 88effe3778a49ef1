"""Who answers a sweep's questions: this process, some of its own, or a cluster. A worker that dies is replaced."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from labkit.commands._output import BadInput
from labkit.commands._sweep_tasks import FAILED, Task, answer

if TYPE_CHECKING:
    from distributed import Client

PATIENCE_S = 30


@contextmanager
def crew(*, workers: int, scheduler: str | None) -> Iterator[Client | None]:
    """A client of the cluster at `scheduler`, else of so many processes on this machine; None for no processes.

    Raises BadInput when nobody answers at that address.
    """
    if not scheduler and not workers:
        yield None
        return
    from distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout=PATIENCE_S)
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"--scheduler {scheduler}: no dask scheduler answers there ({error}).") from error
        with client:
            yield client
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what happens to a question stands in its row
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def answers(tasks: Sequence[Task], client: Client | None, *, retries: int) -> Iterator[dict]:
    """The answers, as they come. What breaks is asked `retries` times again; then its row says how it broke."""
    if client is None:
        yield from (_patient(task, retries) for task in tasks)
        return
    from distributed import as_completed

    futures = {client.submit(answer, task, key=f"{task.probe}-{task.key}", retries=retries): task for task in tasks}
    for future in as_completed(futures):
        error = future.exception()
        yield futures[future].row(FAILED, why=_said(error)) if error else future.result()
        future.release()


def _patient(task: Task, retries: int) -> dict:
    for _ in range(retries):
        with suppress(Exception):
            return answer(task)
    try:
        return answer(task)
    except Exception as error:  # whatever an instrument breaks by belongs into its row
        return task.row(FAILED, why=_said(error))


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
