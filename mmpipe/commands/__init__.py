"""What the command line does, one file per command; `mmpipe.cli` only names them."""
