"""The stages joined: sweep file -> corpus -> plan -> ledger -> fit -> answers -> report.

The command line and Python users call these functions. Heavy stages (torch, ray, matplotlib, scipy)
are imported where they begin.
"""
