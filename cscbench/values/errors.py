"""The one exception that is shown to the person at the command line instead of a traceback."""


class UserError(Exception):
    """A mistake the person can mend: shown as one message, without a traceback."""
