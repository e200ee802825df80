"""Which ids a walk has seen, in eight bytes each."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

_BUCKETS: Final = 256
_LOW: Final = (1 << 64) - 1


class SeenIds:
    """A set of UUIDs that a hundred thousand customers do not make grow past a megabyte.

    Keeps 64 of the 128 bits: among a million ids the chance that any two are confused is below
    one in ten million, and then one row waits for the next sync. Adding is an append; duplicates
    are dropped, and membership can be asked, after ``settle``.
    """

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        self._settled = True

    def add(self, ids: Iterable[UUID]) -> None:
        """Remember these ids."""
        self._append(map(_key, ids))

    def load(self, packed: bytes) -> None:
        """Remember what ``pack`` made."""
        keys = array("Q")
        keys.frombytes(packed)
        self._append(keys)

    def merge(self, other: SeenIds) -> None:
        """Remember what the other one does."""
        for bucket in other._buckets:
            self._append(bucket)

    def settle(self) -> None:
        """Drop duplicates, one bucket at a time so that memory stays flat."""
        if not self._settled:
            for number, bucket in enumerate(self._buckets):
                self._buckets[number] = array("Q", sorted(set(bucket)))
            self._settled = True

    def __len__(self) -> int:
        self.settle()
        return sum(map(len, self._buckets))

    def __contains__(self, id_: UUID) -> bool:
        self.settle()
        return self.find(id_) is not None

    def find(self, id_: UUID) -> tuple[int, int] | None:
        """Where an id is, which stays true until the next one is added after ``settle``."""
        key = _key(id_)
        number = key % _BUCKETS
        bucket = self._buckets[number]
        position = bisect_left(bucket, key)
        if position < len(bucket) and bucket[position] == key:
            return number, position
        return None

    def sizes(self) -> list[int]:
        """How many ids each bucket has."""
        self.settle()
        return [len(bucket) for bucket in self._buckets]

    def clear(self) -> None:
        """Forget everything, and give the memory back."""
        self._buckets = [array("Q") for _ in range(_BUCKETS)]
        self._settled = True

    def _append(self, keys: Iterable[int]) -> None:
        self._settled = False
        buckets = self._buckets
        for key in keys:
            buckets[key % _BUCKETS].append(key)


class ListedIds:
    """Which ids a second list has, for a byte each where the first one had them too."""

    def __init__(self, seen: SeenIds) -> None:
        self._seen = seen
        self._marks = [bytearray(size) for size in seen.sizes()]
        self._others: set[UUID] = set()

    def add(self, ids: Iterable[UUID]) -> list[UUID]:
        """Remember these ids. Returns those that were not seen before."""
        new = []
        for id_ in ids:
            if (place := self._seen.find(id_)) is None:
                self._others.add(id_)
                new.append(id_)
            else:
                number, position = place
                self._marks[number][position] = 1
        return new

    def __len__(self) -> int:
        return sum(map(sum, self._marks)) + len(self._others)

    def __contains__(self, id_: UUID) -> bool:
        if (place := self._seen.find(id_)) is None:
            return id_ in self._others
        number, position = place
        return bool(self._marks[number][position])


def pack(ids: Iterable[UUID]) -> array[int]:
    """The ids as they are kept; ``tobytes`` is what ``SeenIds.load`` takes."""
    return array("Q", map(_key, ids))


def missing_from(seen: SeenIds, ids: Iterable[UUID]) -> Iterator[UUID]:
    """Those that were not seen, in the order given."""
    return (id_ for id_ in ids if id_ not in seen)


def _key(id_: UUID) -> int:
    number = id_.int
    return (number >> 64) ^ (number & _LOW)
