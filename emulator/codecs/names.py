"""What numbers are called: for people reading frames. Nothing decides by these names.

Class, attribute and method names are those of DLMS UA 1000-1; data-access and action results are the enumerations
beside their frames.
"""

from enum import IntEnum, IntFlag
from typing import Final

from emulator.codecs.glo import DEDICATED, PLAIN
from emulator.codecs.initiate import Conformance

CLASSES: Final[dict[int, str]] = {
    1: "Data",
    3: "Register",
    4: "Extended register",
    5: "Demand register",
    6: "Register activation",
    7: "Profile generic",
    8: "Clock",
    9: "Script table",
    10: "Schedule",
    11: "Special days table",
    15: "Association LN",
    17: "SAP assignment",
    18: "Image transfer",
    19: "IEC local port setup",
    20: "Activity calendar",
    21: "Register monitor",
    22: "Single action schedule",
    23: "IEC HDLC setup",
    26: "Utility tables",
    27: "Modem configuration",
    28: "Auto answer",
    29: "Auto connect",
    30: "Data protection",
    40: "Push setup",
    41: "TCP-UDP setup",
    42: "IPv4 setup",
    43: "MAC address setup",
    44: "PPP setup",
    45: "GPRS modem setup",
    47: "GSM diagnostic",
    48: "IPv6 setup",
    62: "Compact data",
    64: "Security setup",
    65: "Parameter monitor",
    68: "Arbitrator",
    70: "Disconnect control",
    71: "Limiter",
    72: "M-Bus client",
    101: "ZigBee SAS startup",
    102: "ZigBee SAS join",
    103: "ZigBee SAS APS fragmentation",
    104: "ZigBee network control",
    105: "ZigBee tunnel setup",
    111: "Account",
    112: "Credit",
    113: "Charge",
    115: "Token gateway",
}

ATTRIBUTES: Final[dict[int, tuple[str, ...]]] = {
    1: ("value",),
    3: ("value", "scaler_unit"),
    4: ("value", "scaler_unit", "status", "capture_time"),
    5: (
        "current_average_value",
        "last_average_value",
        "scaler_unit",
        "status",
        "capture_time",
        "start_time_current",
        "period",
        "number_of_periods",
    ),
    6: ("register_assignment", "mask_list", "active_mask"),
    7: (
        "buffer",
        "capture_objects",
        "capture_period",
        "sort_method",
        "sort_object",
        "entries_in_use",
        "profile_entries",
    ),
    8: (
        "time",
        "time_zone",
        "status",
        "daylight_savings_begin",
        "daylight_savings_end",
        "daylight_savings_deviation",
        "daylight_savings_enabled",
        "clock_base",
    ),
    9: ("scripts",),
    10: ("entries",),
    11: ("entries",),
    15: (
        "object_list",
        "associated_partners_id",
        "application_context_name",
        "xDLMS_context_info",
        "authentication_mechanism_name",
        "secret",
        "association_status",
        "security_setup_reference",
    ),
    17: ("SAP_assignment_list",),
    18: (
        "image_block_size",
        "image_transferred_blocks_status",
        "image_first_not_transferred_block_number",
        "image_transfer_enabled",
        "image_transfer_status",
        "image_to_activate_info",
    ),
    20: (
        "calendar_name_active",
        "season_profile_active",
        "week_profile_table_active",
        "day_profile_table_active",
        "calendar_name_passive",
        "season_profile_passive",
        "week_profile_table_passive",
        "day_profile_table_passive",
        "activate_passive_calendar_time",
    ),
    22: ("executed_script", "type", "execution_time"),
    40: (
        "push_object_list",
        "send_destination_and_method",
        "communication_window",
        "randomisation_start_interval",
        "number_of_retries",
        "repetition_delay",
    ),
    64: ("security_policy", "security_suite", "client_system_title", "server_system_title", "certificates"),
    70: ("output_state", "control_state", "control_mode"),
}
"""Attributes by class, from attribute 2 on; attribute 1 is always logical_name."""

METHODS: Final[dict[int, tuple[str, ...]]] = {
    3: ("reset",),
    4: ("reset",),
    5: ("reset", "next_period"),
    6: ("add_register", "add_mask", "delete_mask"),
    7: ("reset", "capture"),
    8: (
        "adjust_to_quarter",
        "adjust_to_measuring_period",
        "adjust_to_minute",
        "adjust_to_preset_time",
        "preset_adjusting_time",
        "shift_time",
    ),
    9: ("execute",),
    10: ("enable/disable", "insert", "delete"),
    11: ("insert", "delete"),
    15: ("reply_to_HLS_authentication", "change_HLS_secret", "add_object", "remove_object"),
    17: ("connect_logical_device",),
    18: ("image_transfer_initiate", "image_block_transfer", "image_verify", "image_activate"),
    20: ("activate_passive_calendar",),
    40: ("push",),
    64: ("security_activate", "key_transfer", "key_agreement", "generate_key_pair"),
    70: ("remote_disconnect", "remote_reconnect"),
}
"""Methods by class, from method 1 on."""

PLAIN_APDUS: Final[dict[int, str]] = {
    0x01: "initiate-request",
    0x05: "read-request",
    0x06: "write-request",
    0x08: "initiate-response",
    0x0C: "read-response",
    0x0D: "write-response",
    0x0E: "confirmed-service-error",
    0x16: "unconfirmed-write-request",
    0x18: "information-report-request",
    0xC0: "get-request",
    0xC1: "set-request",
    0xC2: "event-notification-request",
    0xC3: "action-request",
    0xC4: "get-response",
    0xC5: "set-response",
    0xC7: "action-response",
}

PROTOCOLS: Final[dict[int, str]] = {
    1: "ICMP",
    4: "IPv4",
    6: "TCP",
    17: "UDP",
    50: "ESP",
    59: "no next header",
    137: "MPLS",
}

HDLC_CONTROLS: Final[dict[int, str]] = {
    0x93: "SNRM",
    0x73: "UA",
    0x53: "DISC",
    0x1F: "DM",
    0x97: "FRMR",
    0x13: "UI, final",
    0x03: "UI",
}

HDLC_PARAMETERS: Final[dict[int, str]] = {
    5: "longest information field, transmit",
    6: "longest information field, receive",
    7: "window, transmit",
    8: "window, receive",
}


_ABBREVIATIONS: Final = frozenset(["LN", "SN", "LLS", "HLS", "MD5", "SHA1", "GMAC", "SHA256", "ECDSA", "PDU"])


def words(member: IntEnum | IntFlag) -> str:
    """OBJECT_UNDEFINED -> "object undefined", HLS_GMAC -> "HLS GMAC"."""
    parts = (member.name or "").split("_")
    return " ".join(part if part in _ABBREVIATIONS else part.lower() for part in parts)


def enumerated(kind: type[IntEnum], number: int) -> str:
    """The name of a number in an enumeration, or "" when it has none."""
    try:
        return words(kind(number))
    except ValueError:
        return ""


def obis(logical_name: bytes) -> str:
    """A-B:C.D.E*F. Takes 6 bytes."""
    a, b, c, d, e, f = logical_name
    return f"{a}-{b}:{c}.{d}.{e}*{f}"


def attribute(class_id: int, number: int) -> str:
    if number == 1:
        return "logical_name"
    known = ATTRIBUTES.get(class_id, ())
    return known[number - 2] if 2 <= number < len(known) + 2 else ""


def method(class_id: int, number: int) -> str:
    known = METHODS.get(class_id, ())
    return known[number - 1] if 1 <= number <= len(known) else ""


def ciphered(tag: int) -> str:
    """The name of a glo- or ded- tag."""
    plain = PLAIN_APDUS.get(PLAIN.get(tag, -1), "")
    return f"{'ded' if tag in DEDICATED else 'glo'}-{plain}" if plain else ""


def conformance(bits: int) -> str:
    return ", ".join(words(flag) for flag in sorted(Conformance, reverse=True) if bits & flag)


def security_control(byte: int) -> str:
    """Suite and protections of a security control byte (DLMS UA 1000-2 9.2.7.2.4.1)."""
    parts = [f"suite {byte & 0x0F}"]
    for bit, name in ((0x10, "authenticated"), (0x20, "encrypted"), (0x40, "broadcast key"), (0x80, "compressed")):
        if byte & bit:
            parts.append(name)
    return ", ".join(parts) if byte & 0x30 else f"{', '.join(parts)}, no protection"


def invoke(byte: int) -> str:
    """An invoke-id-and-priority byte."""
    confirmed = "confirmed" if byte & 0x40 else "unconfirmed"
    return f"id {byte & 0x0F}, {confirmed}, {'high' if byte & 0x80 else 'normal'} priority"


def hdlc_control(byte: int) -> str:
    """The kind of an HDLC frame, with its sequence numbers (IEC 62056-46 6.4.3)."""
    if byte & 1 == 0:
        return f"I, send {byte >> 1 & 7}, receive {byte >> 5}{', final' if byte & 0x10 else ''}"
    if byte & 0x0F in (0x01, 0x05):
        return f"{'RR' if byte & 0x0F == 1 else 'RNR'}, receive {byte >> 5}"
    return HDLC_CONTROLS.get(byte, "")


def date_time(value: bytes) -> str:
    """A COSEM date-time of 12 bytes as text, parts not specified as stars; "" when it cannot be one."""
    year, month, day, weekday = int.from_bytes(value[:2], "big"), value[2], value[3], value[4]
    hour, minute, second, hundredths = value[5:9]
    deviation = int.from_bytes(value[9:11], "big", signed=True)
    plausible = (
        (year == 0xFFFF or 1970 <= year < 2200)
        and (1 <= month <= 12 or month >= 0xFD)
        and (1 <= day <= 31 or day >= 0xFD)
        and (1 <= weekday <= 7 or weekday == 0xFF)
        and (hour < 24 or hour == 0xFF)
        and (minute < 60 or minute == 0xFF)
        and (second < 60 or second == 0xFF)
        and (hundredths < 100 or hundredths == 0xFF)
        and (-720 <= deviation <= 840 or deviation == -0x8000)
    )
    if not plausible:
        return ""

    def part(number: int, width: int, unspecified: int = 0xFF) -> str:
        return "*" * width if number >= unspecified else f"{number:0{width}d}"

    text = (
        f"{part(year, 4, 0xFFFF)}-{part(month, 2, 0xFD)}-{part(day, 2, 0xFD)} "
        f"{part(hour, 2)}:{part(minute, 2)}:{part(second, 2)}"
    )
    if hundredths not in (0, 0xFF):
        text += f".{hundredths:02d}"
    if deviation != -0x8000:
        # The deviation is what must be added to local time to get UTC: BST is -60 (DLMS UA 1000-1 4.1.6.1).
        hours, minutes = divmod(abs(deviation), 60)
        text += f" UTC{'-' if deviation > 0 else '+'}{hours:02d}:{minutes:02d}" if deviation else " UTC"
    if value[11] not in (0, 0xFF):
        text += f", clock status {value[11]:02X}"
    return text
