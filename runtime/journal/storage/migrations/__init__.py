"""How the journal's tables came to be, version after version, for Alembic.

`HEAD` is the newest version, said here so that a journal that has it is opened without importing Alembic.
"""

HEAD = "0002"
#: Every version there ever was, the oldest first; anything else was written by a newer program.
VERSIONS = ("0001", "0002")
