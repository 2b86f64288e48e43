"""Where attempts are executed: interchangeable siblings."""
