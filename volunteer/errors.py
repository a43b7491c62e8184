"""The errors that more than one package raises, and how each ends the program. Imports nothing."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How the program ends, by the BSD `sysexits.h` numbers where one fits."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_RUNNING = 3
    UNAVAILABLE = 69
    """No network, or no route through the swarm."""
    TRY_LATER = 75
    NO_PERMISSION = 77
    BAD_CONFIGURATION = 78
    ALREADY_RUNNING = 97


ENDED_AS_ASKED = (128 + 2, 128 + 15)
"""Besides OK: of a worker that got SIGINT or SIGTERM."""
NO_USE_TO_RESTART = (ExitCode.USAGE, ExitCode.NO_PERMISSION, ExitCode.BAD_CONFIGURATION)
"""Another try would end the same."""
WAITS_FOR_OTHERS = (ExitCode.UNAVAILABLE, ExitCode.TRY_LATER)
"""What was missing may come by itself, however late: a network after the login, room after somebody else's work."""


class UserError(Exception):
    """Something the volunteer can act on; its text is a whole sentence and is shown as it stands."""

    exit_code = ExitCode.FAILURE


class ConfigurationError(UserError):
    """A setting, an option or a file of the volunteer's cannot be used as it is."""

    exit_code = ExitCode.BAD_CONFIGURATION


class UsageError(ConfigurationError):
    """What was typed cannot be meant: a form that there is not, a name that nothing has, a value that nothing takes."""

    exit_code = ExitCode.USAGE


class TryLater(UserError):
    """It cannot be done just now."""

    exit_code = ExitCode.TRY_LATER


class Unavailable(UserError):
    """The network, the Hub or the swarm does not give what is needed."""

    exit_code = ExitCode.UNAVAILABLE
