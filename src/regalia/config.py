"""One configuration file, read once; each room's settings beside the room."""
