"""Which links of a topology are up: from the book of what its nodes have said."""

from collections.abc import Mapping
from typing import Final

from nodes.looking.book import LinkStatus, StatusBook
from nodes.stations.notes import Note
from nodes.topology.links import TopologyLink, links_of
from nodes.topology.tables import Topology
from nodes.wakeup import Wakeup
from protocols.crypto.fingerprint import fingerprint_text

_HTTPS: Final = "https"


class Board:
    """Takes the notes of a topology's nodes."""

    def __init__(self, topology: Topology, ids: Mapping[str, bytes]) -> None:
        self.book: Final = StatusBook()
        """All that the nodes have said."""
        self.news: Final = Wakeup()
        """Set with each note, for the one who waits for something."""
        self.links: Final = links_of(topology)
        """Those that must be up."""
        self._topology = topology
        self._names = {fingerprint_text(key_id): name for name, key_id in ids.items()}
        self._prints = {name: text for text, name in self._names.items()}

    def begin(self, name: str, pid: int = 0) -> None:
        """A node begins, for the first time or again."""
        role = self._topology.nodes[name].role.name.lower()
        self.book.enter(name, role, pid, (self._prints[name],))

    def end(self, name: str, why: str) -> None:
        """A node has ended, and said goodbye or not."""
        self.book.ended(name, why)
        self.news.set()

    def take(self, note: Note) -> None:
        """Take a note of a node."""
        self.book.take(note)
        self.news.set()

    def name_of(self, fingerprint: str) -> str:
        """Return which node a fingerprint is of; itself if it is of none."""
        return self._names.get(fingerprint, fingerprint)

    def is_up(self, link: TopologyLink) -> bool:
        """Whether both ends say so; of HTTPS, whose other end keeps no links, the one that makes it."""
        return all(end is not None and end.up for end in self.ends(link))

    def ends(self, link: TopologyLink) -> list[LinkStatus | None]:
        """Return both ends of a link as far as they were ever up, the maker's first; of HTTPS there is one."""
        if link.carrier == _HTTPS:
            return [self._end(link.maker, link.name, "")]
        maker, answerer = self._prints[link.maker], self._prints[link.answerer]
        return [self._end(link.maker, link.name, answerer), self._end(link.answerer, link.name, maker)]

    def _end(self, node: str, link: str, peer: str) -> LinkStatus | None:
        try:
            found = self.book.status(node).links
        except KeyError:
            return None
        return next((each for each in found if each.name == link and peer in {"", each.peer}), None)
