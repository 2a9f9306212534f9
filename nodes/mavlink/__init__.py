"""Live MAVLink at both ends of a link: ports to autopilots and ground stations (specs/11-mavlink.md)."""
