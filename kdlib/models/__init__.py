"""The networks: teacher and student encoders, the aggregator, and how they are put together."""
