#!/usr/bin/env python3
"""Write a cloned file by Python's own sqlite3, and sync it.

    sync.py FILE TIDE.SO "UPDATE ..."
"""
import json
import sqlite3
import sys

path, extension, statement = sys.argv[1:4]
db = sqlite3.connect(path, isolation_level=None)

# an ordinary write: nothing of tide's is loaded yet
db.execute(statement)
print("pending:", db.execute("SELECT pending FROM tide_status").fetchone()[0])

db.enable_load_extension(True)
db.load_extension(extension)
outcome = json.loads(db.execute("SELECT tide_sync()").fetchone()[0])
print("%(result)s: pulled %(pulled)d, pushed %(pushed)d, pending %(pending)d" % outcome)
sys.exit(outcome["result"] != "done")
