"""The contract between training and inference: results, their commit protocol, tables of runs."""
