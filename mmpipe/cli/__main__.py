"""Runs the command line as a module: `python -m mmpipe.cli`."""

from mmpipe.cli import app

# a worker process imports this file again, under another name
if __name__ == "__main__":
    app()
