"""Wording shared by page and terminal: statuses, checks, recipes, forecasts."""
