"""The verbs of the command line, by what they do: run, ask, keep. `cli.py` lists them."""
