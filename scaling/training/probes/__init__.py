"""Probes of trained models, one file each; `sweep.probes` says which there are."""
