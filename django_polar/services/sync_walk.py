"""One walk over a list: every page into the mirror, and what it proves into the reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .known_pages import PageMemory, TakenPages
    from .pages import FetchedPage, Walk
    from .proof import Reading
    from .seams import Seams
    from .sync_session import Session


def walk_list(
    session: Session,
    walk: Walk,
    reading: Reading,
    take: Callable[[Sequence[FetchedPage]], TakenPages],
    *,
    memory: PageMemory | None,
    is_first: bool,
    seams: Seams | None = None,
) -> None:
    """``take`` reads pages and writes them to the mirror; those that ``memory`` knows are spared
    both. The first walk of a list is the one that a killed sync goes on with.
    """
    for pages in session.reader.pages(walk):
        if is_first and reading.first_total is None:
            reading.started_at, reading.first_total = session.begin_walk(
                reading.started_at, pages[0].total_count
            )
        _take_pages(session, pages, reading, take, memory=memory, seams=seams)
    if memory:
        memory.finish(walk.max_page)


def _take_pages(
    session: Session,
    pages: Sequence[FetchedPage],
    reading: Reading,
    take: Callable[[Sequence[FetchedPage]], TakenPages],
    *,
    memory: PageMemory | None,
    seams: Seams | None,
) -> None:
    """A function of its own, so that nothing of these pages is held while others are waited for."""
    summaries = memory.recall(pages, reading.started_at) if memory else {}
    rest = [page for page in pages if page.number not in summaries]
    if rest:
        taken = take(rest)
        if memory:
            memory.keep(rest, taken)
        summaries |= zip((page.number for page in rest), taken.summaries, strict=True)
    for page in pages:
        summary = summaries[page.number]
        reading.note(summary, page.total_count)
        if seams:
            seams.note(page.number, summary.edges)
    session.note_pages(pages, [summaries[page.number] for page in pages])
