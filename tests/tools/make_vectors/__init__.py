"""Makes specs/vectors: ``python -m tests.tools.make_vectors [folder]``.

A second implementation: it is written from the prose of specs/ and imports nothing of ``specs``, ``protocols`` or
``nodes``; primitives come from hashlib, hmac and cryptography. What it makes is what the product must speak. Every
secret is SHAKE-256 of a label, so running it twice gives the same bytes.
"""
