"""How sure one can be: intervals and tests over speakers and trainings, and the power of a
design."""
