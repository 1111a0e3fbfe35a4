"""Write the next migration from the difference between the tables page and a migrated database.

Usage: python tools/new_migration.py NAME "What changes" (then read and correct what it wrote).
"""

import sys
import tempfile
from pathlib import Path

from alembic import command

from airfreight.store import migrate
from airfreight.store.database import Database


def main(revision: str, message: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'scratch.db'}")
        migrate.upgrade(database)
        with database.write() as connection:
            command.revision(migrate.config(connection), message, rev_id=revision, autogenerate=True)
        database.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
