"""A result to look at: a film, plots, and a one-page report. Knows no network."""
