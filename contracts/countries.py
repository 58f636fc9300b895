"""Countries: the assigned ISO 3166-1 alpha-2 codes, and the countries whose addresses have no postal code.

Sources: the ISO 3166 Maintenance Agency's list, and the address formats of Google's libaddressinput.
"""

from typing import Final

_ASSIGNED: Final = """
AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
"""
_WITHOUT_POSTAL_CODES: Final = """
AE AG AO AQ AW BF BI BJ BO BQ BS BV BW BZ CD CF CG CI CK CM CW DJ DM ER FJ GA GD GH GM GQ GY HK JM KI KM KN KP LC LY
ML MO MR MS MW NR NU PA PS QA RW SB SC SL SR SS ST SX SY TD TF TG TK TL TO TT TV UG VU WS YE ZW
"""
_IN_EU: Final = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
_USUAL_MISTAKES: Final = {"UK": "GB", "EL": "GR"}

COUNTRY_CODES: Final = frozenset(_ASSIGNED.split())
"""Every assigned code. Reserved ones (`UK`, `EU`) and user-assigned ones (`XX`, `ZZ`) are not assigned."""
WITHOUT_POSTAL_CODES: Final = frozenset(_WITHOUT_POSTAL_CODES.split())
EU_COUNTRIES: Final = frozenset(_IN_EU.split())
"""The member states of the European Union."""


def parse_country(code: str) -> str:
    """Returns the code in capitals; raises `ValueError` when it is not assigned."""
    country = code.upper()
    if country not in COUNTRY_CODES:
        hint = _USUAL_MISTAKES.get(country)
        message = f"Send {hint} instead." if hint else "Send an assigned ISO 3166 country code, such as GB or US."
        raise ValueError(message)
    return country


def has_postal_codes(country: str) -> bool:
    """Returns whether the addresses of a country have a postal code."""
    return country not in WITHOUT_POSTAL_CODES
