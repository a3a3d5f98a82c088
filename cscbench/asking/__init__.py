"""From a play to replies on disk: plays, the engine that drives them, and the run folder that stores the replies."""
