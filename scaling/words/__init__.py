"""What the page and the terminal say alike: statuses, checks, recipes, forecasts, commands."""
