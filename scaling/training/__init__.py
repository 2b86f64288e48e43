"""One run: models, parametrisation, schedule, evaluation. The only stage that uses torch."""
