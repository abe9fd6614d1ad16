"""The small corpora that the suite makes itself: drawn faces and synthesised voices, in the files of the real ones.

:mod:`.face` draws, :mod:`.voice` speaks; :mod:`.ravdess`, :mod:`.voxceleb1` and :mod:`.iemocap` put both into the trees of
their corpora by way of :mod:`.writing`.
"""
