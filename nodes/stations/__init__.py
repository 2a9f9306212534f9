"""Roles at work: nodes that keep their links, pass on what belongs to others, and start again where they were.

A *role* (``nodes.Drone`` and the others) gives links; a *station* is what a whole device does with them. Programs that
embed a role write their own; ``aerolink node`` and the demo run these.
"""
