"""The suite around :mod:`kdlib`: parameters, recordings, runs, analysis and what people use."""
