"""A program that keeps a table of assignments fresh, until it is killed: ADDRESS DATABASE [once]."""

from __future__ import annotations

import sqlite3
import sys
import time

from shoal_client import Client, ShoalError


def follow(address: str, table: sqlite3.Connection, *, once: bool) -> None:
    """Takes in what it is told, each answer in one transaction with its token."""
    with Client(address) as client:
        row = table.execute("SELECT token FROM state").fetchone()
        if row is None:
            with table:
                table.execute("DELETE FROM assignments")
        for changes in client.collection("photos").watch_assignments(row and row[0], until_now=once):
            with table:
                for each in changes.assignments:
                    if each.removed:
                        table.execute("DELETE FROM assignments WHERE image = ?", (each.image,))
                    else:
                        table.execute("REPLACE INTO assignments VALUES (?, ?)", (each.image, each.cluster_id))
                if changes.token is not None:
                    table.execute("REPLACE INTO state VALUES (1, ?)", (changes.token,))


def main(address: str, database: str, *once: str) -> None:
    table = sqlite3.connect(database)
    table.execute("CREATE TABLE IF NOT EXISTS assignments (image TEXT PRIMARY KEY, cluster INTEGER)")
    table.execute("CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY, token TEXT)")
    while True:
        try:
            follow(address, table, once=bool(once))
        except ShoalError as error:
            print(error, flush=True)
            if once:
                raise
        if once:
            return
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
