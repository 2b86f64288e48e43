"""The stages joined: sweep file -> corpus -> plan -> ledger -> fit -> answers -> report.

What the command line and Python users call. Heavy stages (torch, ray, matplotlib, scipy) are
imported where they begin.
"""
