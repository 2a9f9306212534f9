"""The cloud's parts: storage behind ports, requests, uploads, downlinks and relay hops (specs/9-cloudlink.md)."""
