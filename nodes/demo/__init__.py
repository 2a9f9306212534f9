"""``aerolink demo``: a drone and a remote controller pair, make a link and stream a flight, on this machine.

::

    options      what was asked for; a child process reads it from its stdin
    drone_end    the drone: flight, telemetry, video, answers, the recorded flight as one object
    rc_end       the remote controller: pairing, sticks, commands; it checks what arrives
    inside       both ends in this process
    processes    each end in a process of its own (``child``)
    report       what the notes add up to: the summary, and whether all is well
    view         what a person sees meanwhile
"""
