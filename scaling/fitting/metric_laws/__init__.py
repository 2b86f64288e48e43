"""Whether a metric follows a law of N and D, and what the law forecasts for the largest runs."""
