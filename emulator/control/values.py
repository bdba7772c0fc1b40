"""COSEM values as JSON and back.

A datum goes out twice: *plain*, as somebody would write it down (numbers, texts, lists; octets as hex), and *tagged*,
which keeps its type and can be written back: an object of one key, the type's name with dashes.

    {"long-unsigned": 30}  {"octet-string": "0a0b"}  {"bit-string": "0101"}  {"structure": [{"unsigned": 1}, null]}

null is null-data. Compact arrays are read only.
"""

from typing import Any, Final

from emulator.codecs.axdr import DATA, Data, Tag
from emulator.codecs.datum import CompactArray
from emulator.control.errors import WrongFieldError
from emulator.errors import FrameError

_NAMES: Final = {tag.value: tag.name.lower().replace("_", "-") for tag in Tag}
_TAGS: Final = {name: tag for tag, name in _NAMES.items()}
_LISTS: Final = frozenset((Tag.ARRAY, Tag.STRUCTURE))
_OCTETS: Final = frozenset((Tag.OCTET_STRING, Tag.DATE_TIME, Tag.DATE, Tag.TIME))
_TEXTS: Final = frozenset((Tag.VISIBLE_STRING, Tag.UTF8_STRING, Tag.BIT_STRING))
_FLOATS: Final = frozenset((Tag.FLOAT32, Tag.FLOAT64))
_DEEP: Final = 32


def plain(data: Data | None) -> Any:
    """A datum as plain JSON: octets as hex, arrays and structures as lists."""
    if data is None:
        return None
    value = data.value
    if isinstance(value, CompactArray):
        return [plain(item) for item in value.items]
    if data.tag in _LISTS:
        return [plain(item) for item in value]
    return simple(value)


def simple(value: Any) -> Any:
    """A value of the journal as plain JSON: bytes as hex, tuples as lists."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, tuple | list):
        return [simple(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    return value


def tagged(data: Data | None) -> Any:
    """A datum with its types, fit for `datum`."""
    if data is None or data.tag == Tag.NULL:
        return None
    name, value = _NAMES[data.tag], data.value
    if isinstance(value, CompactArray):
        return {name: [tagged(item) for item in value.items]}
    if data.tag in _LISTS:
        return {name: [tagged(item) for item in value]}
    return {name: simple(value)}


def datum(value: Any, where: str = "value") -> Data:
    """The datum of tagged JSON. Raises WrongFieldError saying where and what is wanted."""
    found = _datum(value, where, _DEEP)
    try:
        DATA.build(found)
    except FrameError as error:
        raise WrongFieldError(error.reason, where, "give a value in the range of its type") from None
    return found


def _datum(value: Any, where: str, left: int) -> Data:
    if value is None:
        return Data(Tag.NULL.value, None)
    if not left:
        raise WrongFieldError("it is nested too deep", where, f"nest {_DEEP} levels at most")
    if not isinstance(value, dict) or len(value) != 1:
        raise WrongFieldError(
            "this is no tagged value", where, 'give an object of one key, such as {"long-unsigned": 30}, or null'
        )
    ((name, inner),) = value.items()
    tag = _TAGS.get(name, Tag.COMPACT_ARRAY)
    if tag == Tag.COMPACT_ARRAY:
        names = ", ".join(each for each in _TAGS if each != "compact-array")
        raise WrongFieldError(f"there is no type {str(name)[:40]!r} to write", where, f"one of {names}")
    if tag in _LISTS:
        if not isinstance(inner, list):
            raise WrongFieldError("its value is no list", f"{where}.{name}", "give a list of tagged values")
        items = (_datum(item, f"{where}.{name}[{at}]", left - 1) for at, item in enumerate(inner))
        return Data(tag, tuple(items))
    return Data(tag, _leaf(tag, inner, f"{where}.{name}"))


def _leaf(tag: int, value: Any, where: str) -> Any:
    if tag in (Tag.NULL, Tag.DONT_CARE):
        return None
    if tag in _OCTETS:
        try:
            return bytes.fromhex(value)
        except (TypeError, ValueError):
            raise WrongFieldError("this is not hex", where, "give octets as hex digits, two each") from None
    wanted: tuple[type, str]
    if tag in _TEXTS:
        wanted = (str, "a text")
    elif tag == Tag.BOOLEAN:
        wanted = (bool, "true or false")
    elif tag in _FLOATS:
        wanted = (float, "a number")
        value = float(value) if type(value) is int else value
    else:
        wanted = (int, "a whole number")
    if type(value) is not wanted[0]:
        raise WrongFieldError(f"this is not {wanted[1]}", where, f"give {wanted[1]}")
    return value
