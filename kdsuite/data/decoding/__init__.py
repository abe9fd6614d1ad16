"""From files to arrays: audio, video, still pictures and face tracks, decoded by ffmpeg."""
