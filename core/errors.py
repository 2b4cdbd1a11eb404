"""Errors a user can cause."""


class UserError(Exception):
    """Something the user gave is wrong: one line that says what came and what to do.

    The command line prints it without a traceback and exits with code 2. Everything else that is raised is a bug
    and keeps its traceback.
    """
