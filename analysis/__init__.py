"""What the rows mean: statistics, tables, figures and the report.

This package reads Parquet and must never know how a row came about: it imports none of the others.
"""
