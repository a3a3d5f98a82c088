"""The only exception that the command line shows as a message instead of a traceback."""


class UserError(Exception):
    """A mistake that the user can fix. The command line prints its message, without a traceback."""
