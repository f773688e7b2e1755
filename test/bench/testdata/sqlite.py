"""SQLite's json functions as a yardstick for queries.

Reads from standard input one line of JSON after another: the documents, each as
[id, text]; null; then commands {"sql", "args", "times"}, each answered by one
line: {"ns": [...], "cpu": ns, "rows": n}. The database is in memory, its
documents are text, and one path has an expression index.
"""
import json, sqlite3, sys, time

lines = iter(sys.stdin.buffer)
db = sqlite3.connect(":memory:", isolation_level=None)
db.execute("CREATE TABLE twins (id TEXT PRIMARY KEY, doc TEXT)")
db.execute("BEGIN")


def documents():
    for line in lines:
        document = json.loads(line)
        if document is None:
            return
        yield document


db.executemany("INSERT INTO twins VALUES (?, ?)", documents())
db.execute("COMMIT")
db.execute("CREATE INDEX customer ON twins (json_extract(doc, '$.tags.customer'), id)")
print(json.dumps({"version": sqlite3.sqlite_version}), flush=True)
for line in lines:
    command = json.loads(line)
    ns, rows, cpu = [], 0, time.process_time_ns()
    for n in range(command["times"]):
        args = command["args"][n % len(command["args"])]
        begin = time.perf_counter_ns()
        rows += len(db.execute(command["sql"], args).fetchall())
        ns.append(time.perf_counter_ns() - begin)
    print(json.dumps({"ns": ns, "cpu": time.process_time_ns() - cpu, "rows": rows}), flush=True)
