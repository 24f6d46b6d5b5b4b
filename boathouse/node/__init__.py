"""The programs that run inside a node. They import nothing of ours but each other, by their file names: each set is
copied into one flat folder and started there (daemon: Python 3.8 or later of our daemon image; REPL: the customer
image's own Python). `protocol` is the one module that the control plane (relay) imports too.
"""

#: What the daemon's image needs, side by side; entry: `python3 -S -E daemon.py`.
DAEMON_FILES = (
    "daemon.py",
    "callbacks.py",
    "channel.py",
    "faults.py",
    "files.py",
    "launcher_link.py",
    "logs.py",
    "loop.py",
    "processes.py",
    "protocol.py",
    "stats.py",
    "tunnel.py",
)

#: What a release carries for the customer's container, side by side; entry: `python -u repl.py`.
REPL_FILES = (
    "repl.py",
    "repl_cell.py",
    "repl_dbutils.py",
    "repl_fs.py",
    "repl_magic.py",
    "repl_notebook.py",
    "repl_display.py",
    "repl_output.py",
    "repl_spark.py",
)
