"""``aerolink demo``: four nodes on this machine, set up from nothing, and a flight that goes through all of them.

::

    options      what was asked for; a child process reads it from its stdin
    chain_ends   drone, remote controller, mobile and cloud: each a station (``nodes.stations``) with a part to play
    casts        who plays
    mailbox      what people would carry from one to the other
    inside       all of them in this process
    processes    each in a process of its own (``child``)
    chain_report what the notes add up to: the summary, and whether all is well
    view         what a person sees meanwhile: ``chain_panel`` or plain lines, then ``summary``
    drone_end    ``--two``: the drone, which hands its flight to the remote controller as one object
    rc_end       ``--two``: the remote controller: pairing, sticks, commands; it checks what arrives
    report       ``--two``: what these add up to; ``panel`` shows it
"""
