"""What Polar refuses in a request, in the words of its two kinds of 422."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django_polar.testing.builders import JSON

Loc = tuple[str | int, ...]

MAX_NAME = 256
MAX_METADATA_KEYS = 50
MAX_METADATA_KEY = 40
MAX_METADATA_VALUE = 500
UUID_VERSION = 4


def _codes(text: str) -> list[str]:
    return text.split()


COUNTRIES = _codes(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CV CW CX CY CZ DE DJ DK DM DO DZ EC "
    "EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY "
    "HK HM HN HR HT HU ID IE IL IM IN IO IQ IS IT JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB "
    "LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY "
    "MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO "
    "RS RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
_STATES = {
    "US": _codes(
        "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ "
        "NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY DC"
    ),
    "CA": _codes("AB BC MB NB NL NS NT NU ON PE QC SK YT"),
}
_EU = _codes("AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK")
_TAX_ID_FORMATS = {
    "US": "us_ein",
    "GB": "gb_vat",
    "CH": "ch_vat",
    "CA": "ca_bn",
    "AU": "au_abn",
    "IN": "in_gst",
    "NO": "no_vat",
    "BR": "br_cnpj",
}
_TAX_ID = re.compile(r"[A-Z]{0,3}[0-9][0-9A-Z]{4,19}")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_EMAIL_LOCAL = re.compile(r"[^\s@()<>,;:\\\"\[\]]+")
_RESERVED_DOMAINS = ("test", "invalid", "localhost", "local")
#: These have a null MX record: no mail, so no customer.
_MAILLESS_DOMAINS = {"example.com", "example.org", "example.net"}


def error(kind: str, loc: Loc, msg: str, value: Any, ctx: JSON | None = None) -> JSON:
    found: JSON = {"type": kind, "loc": list(loc), "msg": msg, "input": value}
    return found | {"ctx": ctx} if ctx is not None else found


def missing(loc: Loc, value: Any) -> JSON:
    return error("missing", loc, "Field required", value)


def value_error(loc: Loc, msg: str, value: Any) -> JSON:
    return error("value_error", loc, f"Value error, {msg}", value, {"error": {}})


def quoted(values: Collection[str]) -> str:
    texts = [f"'{value}'" for value in values]
    return f"{', '.join(texts[:-1])} or {texts[-1]}" if len(texts) > 1 else texts[0]


def check_enum(value: Any, loc: Loc, allowed: Sequence[str]) -> list[JSON]:
    if value in allowed:
        return []
    expected = quoted(allowed)
    return [error("enum", loc, f"Input should be {expected}", value, {"expected": expected})]


def check_uuid(value: Any, loc: Loc) -> list[JSON]:
    if not isinstance(value, str):
        msg = "UUID input should be a string, bytes or UUID object"
        return [error("uuid_type", loc, msg, value)]
    try:
        version = uuid.UUID(value).version
    except ValueError:
        reason = _uuid_reason(value)
        msg = f"Input should be a valid UUID, {reason}"
        return [error("uuid_parsing", loc, msg, value, {"error": reason})]
    if version != UUID_VERSION:
        return [
            error("uuid_version", loc, "UUID version 4 expected", value, {"expected_version": 4})
        ]
    return []


def _uuid_reason(value: str) -> str:
    for position, character in enumerate(value, 1):
        if character not in "0123456789abcdefABCDEF-":
            return f"invalid character: found `{character}` at {position}"
    length = len(value.replace("-", ""))
    return f"invalid length: expected length 32 for simple format, found {length}"


def check_positive_integer(value: str, loc: Loc) -> list[JSON]:
    try:
        number = int(value)
    except ValueError:
        msg = "Input should be a valid integer, unable to parse string as an integer"
        return [error("int_parsing", loc, msg, value)]
    if number < 1:
        return [error("greater_than", loc, "Input should be greater than 0", value, {"gt": 0})]
    return []


_BOOLEANS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}


def read_boolean(value: str) -> bool | None:
    return _BOOLEANS.get(value.lower())


def check_boolean(value: str, loc: Loc) -> list[JSON]:
    if read_boolean(value) is not None:
        return []
    msg = "Input should be a valid boolean, unable to interpret input"
    return [error("bool_parsing", loc, msg, value)]


def check_string(value: Any, loc: Loc, *, max_length: int | None = None) -> list[JSON]:
    if not isinstance(value, str):
        return [error("string_type", loc, "Input should be a valid string", value)]
    if "\x00" in value:
        return [value_error(loc, "This value contains invalid characters", value)]
    if max_length is not None and len(value) > max_length:
        msg = f"String should have at most {max_length} characters"
        return [error("string_too_long", loc, msg, value, {"max_length": max_length})]
    return []


def check_email(value: Any, loc: Loc, *, unknown_domains: Collection[str] = ()) -> list[JSON]:
    if not isinstance(value, str):
        return check_string(value, loc)
    reason = _syntax_error(value)
    if reason:
        msg = f"value is not a valid email address: {reason}"
        return [error("value_error", loc, msg, value, {"reason": reason})]
    domain = value.rpartition("@")[2].lower()
    if domain in _MAILLESS_DOMAINS:
        reason = f"The domain name {domain} does not accept email."
    elif domain in unknown_domains:
        reason = f"The domain name {domain} does not exist."
    else:
        return []
    msg = f"{value} is not a valid email address: {reason}"
    return [error("value_error", loc, msg, value, {"email": value, "reason": reason})]


def _syntax_error(value: str) -> str | None:
    local, at, domain = value.rpartition("@")
    domain = domain.lower()
    if not at:
        return "An email address must have an @-sign."
    if not local:
        return "There must be something before the @-sign."
    if not _EMAIL_LOCAL.fullmatch(local):
        return "The email address contains invalid characters before the @-sign."
    if "." not in domain:
        return "The part after the @-sign is not valid. It should have a period."
    if domain.rpartition(".")[2] in _RESERVED_DOMAINS:
        return (
            "The part after the @-sign is a special-use or reserved name that cannot be used with"
            " email."
        )
    return None


def normal_email(value: str) -> str:
    """The local part keeps its case, the domain does not."""
    local, _, domain = value.rpartition("@")
    return f"{local}@{domain.lower()}"


def check_metadata(value: Any, loc: Loc) -> list[JSON]:
    if not isinstance(value, dict):
        return [error("dict_type", loc, "Input should be a valid dictionary", value)]
    found: list[JSON] = []
    for key, item in value.items():
        if len(key) > MAX_METADATA_KEY:
            msg = f"String should have at most {MAX_METADATA_KEY} characters"
            ctx: JSON = {"max_length": MAX_METADATA_KEY}
            found.append(error("string_too_long", (*loc, key, "[key]"), msg, key, ctx))
        found += _check_metadata_value(item, (*loc, key))
    if not found and len(value) > MAX_METADATA_KEYS:
        msg = (
            f"Dictionary should have at most {MAX_METADATA_KEYS} items after validation,"
            f" not {len(value)}"
        )
        ctx = {
            "field_type": "Dictionary",
            "max_length": MAX_METADATA_KEYS,
            "actual_length": len(value),
        }
        found.append(error("too_long", loc, msg, value, ctx))
    return found


def _check_metadata_value(value: Any, loc: Loc) -> list[JSON]:
    """A string, an integer, a float or a boolean: one error for each that it is not."""
    if isinstance(value, bool | int | float):
        return []
    if not isinstance(value, str):
        return [
            error(
                "string_type", (*loc, "constrained-str"), "Input should be a valid string", value
            ),
            error("int_type", (*loc, "int"), "Input should be a valid integer", value),
            error("float_type", (*loc, "float"), "Input should be a valid number", value),
            error("bool_type", (*loc, "bool"), "Input should be a valid boolean", value),
        ]
    if 0 < len(value) <= MAX_METADATA_VALUE:
        return []
    if value:
        msg = f"String should have at most {MAX_METADATA_VALUE} characters"
        ctx = {"max_length": MAX_METADATA_VALUE}
        first = error("string_too_long", (*loc, "constrained-str"), msg, value, ctx)
    else:
        msg = "String should have at least 1 character"
        first = error("string_too_short", (*loc, "constrained-str"), msg, value, {"min_length": 1})
    integer = "Input should be a valid integer, unable to parse string as an integer"
    number = "Input should be a valid number, unable to parse string as a number"
    boolean = "Input should be a valid boolean, unable to interpret input"
    return [
        first,
        error("int_parsing", (*loc, "int"), integer, value),
        error("float_parsing", (*loc, "float"), number, value),
        error("bool_parsing", (*loc, "bool"), boolean, value),
    ]


def check_address(value: Any, loc: Loc) -> list[JSON]:
    if not isinstance(value, dict):
        msg = "Input should be a valid dictionary or object to extract fields from"
        return [error("model_attributes_type", loc, msg, value)]
    found: list[JSON] = []
    for key in ("line1", "line2", "postal_code", "city", "state"):
        if value.get(key) is not None:
            found += check_string(value[key], (*loc, key))
    if "country" not in value:
        found.append(missing((*loc, "country"), value))
    else:
        found += check_enum(value["country"], (*loc, "country"), COUNTRIES)
    if found:
        return found
    country, state = value["country"], value.get("state")
    states = _STATES.get(country)
    if states and state and state.removeprefix(f"{country}-") not in states:
        return [value_error(loc, f"Invalid {country} state", value)]
    return []


def normal_address(value: JSON | None) -> JSON | None:
    if value is None:
        return None
    address = {
        key: value.get(key) or None
        for key in ("line1", "line2", "postal_code", "city", "state", "country")
    }
    if address["country"] in _STATES and address["state"]:
        state = address["state"].removeprefix(f"{address['country']}-")
        address["state"] = f"{address['country']}-{state}"
    return address


def check_language(value: Any, loc: Loc) -> list[JSON]:
    found = check_string(value, loc)
    if not found and not _LANGUAGE_TAG.fullmatch(value):
        found = [value_error(loc, "Invalid IETF BCP 47 language tag", value)]
    return found


def read_tax_id(value: str, country: str) -> list[str] | None:
    """The pair that Polar stores, or ``None`` where the number cannot be one."""
    number = re.sub(r"[^0-9A-Z]", "", value.upper())
    if not _TAX_ID.fullmatch(number):
        return None
    if country in _EU:
        return [number, "eu_vat"]
    return [number, _TAX_ID_FORMATS.get(country, f"{country.lower()}_vat")]


def check_url(value: Any, loc: Loc, *, schemes: Sequence[str]) -> list[JSON]:
    if not isinstance(value, str):
        return check_string(value, loc)
    scheme = urlsplit(value).scheme
    if not scheme:
        reason = "relative URL without a base"
        msg = f"Input should be a valid URL, {reason}"
        return [error("url_parsing", loc, msg, value, {"error": reason})]
    if scheme not in schemes:
        expected = quoted(schemes)
        msg = f"URL scheme should be {expected}"
        return [error("url_scheme", loc, msg, value, {"expected_schemes": expected})]
    return []


def check_json(body: bytes) -> tuple[Any, list[JSON]]:
    try:
        return json.loads(body), []
    except ValueError as reason:
        position = getattr(reason, "pos", 0)
        ctx = {"error": getattr(reason, "msg", str(reason))}
        return None, [error("json_invalid", ("body", position), "JSON decode error", {}, ctx)]
