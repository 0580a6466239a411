"""What can go wrong between this machine and a phone, each with the way out."""


class PhoneError(Exception):
    """Something about a phone, said in one line."""


class AdbServerError(PhoneError):
    """There is no adb program, or its server does not start or answer."""


class NoPhoneError(PhoneError):
    """No phone is connected, or none of that serial number."""


class SeveralPhonesError(PhoneError):
    """Several phones are connected and none was chosen."""


class UnauthorizedError(PhoneError):
    """The phone has not allowed this computer to debug it."""


class OfflineError(PhoneError):
    """adb knows the phone and it does not answer."""


class PhoneLostError(PhoneError):
    """The connection broke while something was under way.

    Attributes:
        output: What a command had printed until then.
    """

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


class PhoneTimeoutError(PhoneError):
    """A command or a transfer took longer than it may.

    Attributes:
        output: What a command had printed until then.
    """

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


class TransferError(PhoneError):
    """A file could not be written to or read from the phone."""


class NoSpaceError(TransferError):
    """The phone's storage is full."""


class CommandError(PhoneError):
    """A command on the phone ended with an exit code that is not 0."""


class BinaryError(PhoneError):
    """There is no benchmark_model that this phone can run."""


class LockedError(PhoneError):
    """The phone is locked by a run.

    Attributes:
        own: Whether by this one, over a connection that broke and is not cleared away yet.
    """

    def __init__(self, message: str, own: bool = False):
        super().__init__(message)
        self.own = own


class NotReadyError(PhoneError):
    """The phone stayed too hot, or its battery too low, for as long as was to be waited."""
