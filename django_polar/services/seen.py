"""Which ids a walk has seen, in eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

_LOW: Final = (1 << 64) - 1
_PARTS: Final = 256
_SHIFT: Final = 64 - 8


class SeenIds:
    """A set of UUIDs that a hundred thousand customers do not make grow past a megabyte.

    Keeps 64 of the 128 bits: among a million ids the chance that any two are confused is below
    one in ten million, and then one row waits for the next sync. Adding is an append; duplicates
    are dropped, and membership can be asked, after ``settle``. All are in one array, which the
    system gets back as a whole; many small ones would leave holes.
    """

    def __init__(self) -> None:
        self._keys = array("Q")
        self._settled = True

    def add(self, ids: Iterable[UUID]) -> None:
        """Remember these ids."""
        self._keys.extend(map(_key, ids))
        self._settled = False

    def load(self, packed: bytes) -> None:
        """Remember what ``pack`` made."""
        self._keys.frombytes(packed)
        self._settled = False

    def merge(self, other: SeenIds) -> None:
        """Remember what the other one does."""
        self._keys.extend(other._keys)
        self._settled = False

    def settle(self) -> None:
        """Sort, and drop duplicates, one part at a time so that memory stays flat."""
        if self._settled:
            return
        keys = self._keys
        size = 0
        for start, end in _part(keys):
            unique = array("Q", sorted(set(keys[start:end])))
            keys[size : size + len(unique)] = unique
            size += len(unique)
        del keys[size:]
        self._settled = True

    def __len__(self) -> int:
        self.settle()
        return len(self._keys)

    def __contains__(self, id_: UUID) -> bool:
        return self.find(id_) is not None

    def find(self, id_: UUID) -> int | None:
        """Where an id is, which stays true until the next one is added."""
        self.settle()
        key = _key(id_)
        position = bisect_left(self._keys, key)
        if position < len(self._keys) and self._keys[position] == key:
            return position
        return None

    def clear(self) -> None:
        """Forget everything, and give the memory back."""
        self._keys = array("Q")
        self._settled = True


def _part(keys: array[int]) -> list[tuple[int, int]]:
    """Put the keys in order of their highest bits, in place. Returns where each part is."""
    counts = [0] * _PARTS
    for key in keys:
        counts[key >> _SHIFT] += 1
    ends = list(accumulate(counts))
    starts = [end - count for end, count in zip(ends, counts, strict=True)]
    free = starts.copy()
    for part, end in enumerate(ends):
        for position in range(free[part], end):
            key = keys[position]
            while (of := key >> _SHIFT) != part:
                # Into its own part, and on with the one that was there.
                keys[free[of]], key = key, keys[free[of]]
                free[of] += 1
            keys[position] = key
    return list(zip(starts, ends, strict=True))


class ListedIds:
    """Which ids a second list has, for a byte each where the first one had them too."""

    def __init__(self, seen: SeenIds) -> None:
        self._seen = seen
        self._marks = bytearray(len(seen))
        self._others: set[UUID] = set()

    def add(self, ids: Iterable[UUID]) -> list[UUID]:
        """Remember these ids. Returns those that were not seen before."""
        new = []
        for id_ in ids:
            if (position := self._seen.find(id_)) is None:
                self._others.add(id_)
                new.append(id_)
            else:
                self._marks[position] = 1
        return new

    def __len__(self) -> int:
        return sum(self._marks) + len(self._others)

    def __contains__(self, id_: UUID) -> bool:
        if (position := self._seen.find(id_)) is None:
            return id_ in self._others
        return bool(self._marks[position])


def pack(ids: Iterable[UUID]) -> array[int]:
    """The ids as they are kept; ``tobytes`` is what ``SeenIds.load`` takes."""
    return array("Q", map(_key, ids))


def missing_from(seen: SeenIds, ids: Iterable[UUID]) -> Iterator[UUID]:
    """Those that were not seen, in the order given."""
    return (id_ for id_ in ids if id_ not in seen)


def _key(id_: UUID) -> int:
    number = id_.int
    return (number >> 64) ^ (number & _LOW)
