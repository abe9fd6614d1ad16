"""What the runs of a suite show: statistics, tables, figures, the paper and the report."""
