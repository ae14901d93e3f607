"""Exhibits that several studies show: coefficients, layers, languages, checks, data quality."""
