"""The errors a user can meet, and the exit code of each.

QuantorError
    ConfigError           2   configuration or usage
    DataError             3   market data
    BrokerError           4   broker unavailable
    RiskHalt              5   a risk halt or the kill switch is latched
    ReconciliationError   6   our book and the broker's differ
    JournalError          7   the journal cannot be trusted
    CredentialsError      8   keys, or the live-money guard

The text says what is wrong, where, the value, and what to do. Anything that is
not a QuantorError is a bug and shows itself whole (exit code 1).
"""


class QuantorError(Exception):
    exit_code = 1


class ConfigError(QuantorError):
    exit_code = 2


class DataError(QuantorError):
    exit_code = 3


class BrokerError(QuantorError):
    exit_code = 4


class RiskHalt(QuantorError):
    exit_code = 5


class ReconciliationError(QuantorError):
    exit_code = 6


class JournalError(QuantorError):
    exit_code = 7


class CredentialsError(QuantorError):
    exit_code = 8
