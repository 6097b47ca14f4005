"""What the command line does, one file per command; `cli.py` only names them."""
