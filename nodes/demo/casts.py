"""Who plays in a demo."""

from typing import Final

from nodes.demo.chain_ends import ChainEnd, CloudChainEnd, DroneChainEnd, MobileChainEnd, RcChainEnd

CHAIN: Final[dict[str, type[ChainEnd]]] = {
    end.name: end for end in (DroneChainEnd, RcChainEnd, MobileChainEnd, CloudChainEnd)
}
"""Name -> node, in the order of the way that a flight takes."""
