"""Values of the options of Docker's log drivers. Docker looks at them only when it makes or starts a container."""

import re

from configuration.types import PORT_NUMBER

_SIZE = r"[0-9]{1,12}(\.[0-9]{1,6})?([kKmMgGtT](i?[bB])?|[bB])?"
_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"),
    *(f"local{number}" for number in range(8)),
)
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
"""What Go's strconv.ParseBool takes, as Docker does."""

_VALUES = {
    "max-size": (_SIZE, "not a size", "Write one such as 10m."),
    "max-file": ("[1-9][0-9]{0,3}", "not a number of files", "Write one from 1 on, such as 5."),
    "compress": ("|".join([*_TRUE, *_FALSE]), "neither true nor false", 'Write "true" or "false".'),
    "mode": ("blocking|non-blocking", "not a mode", "Write blocking or non-blocking."),
    "max-buffer-size": (_SIZE, "not a size", "Write one such as 4m."),
    "syslog-address": (
        rf"(udp|tcp|tcp\+tls)://([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(:{PORT_NUMBER})?|unix(gram)?:///\S+",
        "not the address of a syslog server",
        "Write one such as udp://10.0.0.9:514, tcp://… or tcp+tls://….",
    ),
    "syslog-facility": (
        "|".join([*_FACILITIES, "[0-9]|1[0-9]|2[0-3]"]),
        "not a facility of syslog",
        "Write one such as daemon or local0.",
    ),
    "syslog-format": (
        "rfc3164|rfc5424|rfc5424micro",
        "not a format of syslog",
        "Write rfc3164, rfc5424 or rfc5424micro.",
    ),
}


def mistake_in(option: str, value: str) -> tuple[str, str] | None:
    """What is wrong with the value of an option, and what to write instead; None for one that Docker takes."""
    if option not in _VALUES:
        return None
    pattern, wrong, remedy = _VALUES[option]
    return None if re.fullmatch(pattern, value) else (wrong, remedy)


def misfit(driver: str, options: dict[str, str]) -> tuple[str, str, str] | None:
    """The option that does not fit the others, what is wrong with it, and what to write instead; None if all fit."""
    if "max-buffer-size" in options and options.get("mode") != "non-blocking":
        return "max-buffer-size", "only the mode non-blocking has a buffer", "Set mode to non-blocking, too."
    # Docker's own default.
    compress = options.get("compress", "true" if driver == "local" else "false")
    if options.get("max-file") == "1" and compress in _TRUE:
        return (
            "max-file",
            "only older files are compressed, and one file has none",
            'Set compress to "false", too.',
        )
    return None
