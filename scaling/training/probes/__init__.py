"""Probes of trained models, one file each; `sweep.probes` lists them."""
