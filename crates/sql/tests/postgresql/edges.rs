//! Arguments at the edges of what functions take: the values and the codes of PostgreSQL 15, as recorded
//! from a server.

use super::functions::{answer, check};

#[test]
fn edges_are_those_of_postgresql() {
    check(ANSWERS);
}

/// PostgreSQL has days there; here they would print as nothing that reads back.
#[test]
fn days_before_the_first_year_are_refused() {
    for expression in [
        "'0001-01-01'::date - 1",
        "timestamptz '2024-01-01' - interval '3000 years'",
        "to_timestamp(-100000000000)",
    ] {
        assert_eq!(answer(expression).1, "ERROR 22008", "{expression}");
    }
}

/// Expression, type, text.
#[rustfmt::skip]
const ANSWERS: &[(&str, &str, &str)] = &[
    ("sign('NaN'::double precision)", "double precision", "0"),
    ("sign('-Infinity'::double precision)", "double precision", "-1"),
    ("right('abc', -2147483648)", "text", "abc"),
    ("right('abc', -2147483647)", "text", ""),
    ("left('abc', -2147483648)", "text", ""),
    ("right('abcdef', -2)", "text", "cdef"),
    ("lower('İ')", "text", "i"),
    ("upper('ᾳ')", "text", "ᾼ"),
    ("upper('ᾀ')", "text", "ᾈ"),
    ("upper('ῼ')", "text", "ῼ"),
    ("upper('ß')", "text", "ß"),
    ("lower('ẞ')", "text", "ß"),
    ("'1e-500'::double precision", "", "ERROR 22003"),
    ("'-1e-500'::double precision", "", "ERROR 22003"),
    ("'0e-500'::double precision", "double precision", "0"),
    ("'1e-320'::double precision", "double precision", "1e-320"),
    ("'2e-324'::double precision", "", "ERROR 22003"),
    ("1e-400::double precision", "", "ERROR 22003"),
    ("0.0::double precision", "double precision", "0"),
    ("width_bucket(5, 10, 10, 5)", "", "ERROR 2201G"),
    ("width_bucket(5, 1, 10, 0)", "", "ERROR 2201G"),
    ("width_bucket('NaN'::double precision, 1, 10, 5)", "", "ERROR 2201G"),
    ("width_bucket(0.5, 1.0, 1.0, 3)", "", "ERROR 2201G"),
    ("width_bucket(0.5, 0.0, 1.0, 0)", "", "ERROR 2201G"),
    ("width_bucket(9.99999999999999999999, 0, 10, 10)", "integer", "10"),
    ("width_bucket(0.3, 0.0, 1.0, 10)", "integer", "4"),
    ("width_bucket(0.2, 0.4, 0.1, 3)", "integer", "3"),
    ("width_bucket(0.1, 0.4, 0.1, 3)", "integer", "4"),
    ("width_bucket(0.9, 1.0, 4.0, 3)", "integer", "0"),
    ("width_bucket(5.0, 1.0, 3.0, 2147483647)", "", "ERROR 22003"),
    ("chr(0)", "", "ERROR 54000"),
    ("chr(-1)", "", "ERROR 22023"),
    ("chr(55296)", "", "ERROR 54000"),
    ("chr(1114112)", "", "ERROR 54000"),
    ("chr(128512)", "text", "😀"),
    ("overlay('abc' placing 'x' from 0)", "", "ERROR 22011"),
    ("overlay('abc' placing 'x' from 2 for -1)", "text", "axabc"),
    ("overlay('abc' placing 'x' from 5)", "text", "abcx"),
    ("overlay('abc', 'x', 2147483647, 2147483647)", "", "ERROR 22003"),
    ("power('-Infinity'::double precision, 0.5)", "", "ERROR 2201F"),
    ("power(-8::double precision, 1)", "double precision", "-8"),
    ("power('NaN'::double precision, 0)", "double precision", "1"),
    ("'9999-12-31'::date - 1", "date", "9999-12-30"),
    ("timestamptz '2024-03-31' - interval '1 month 1 day'", "timestamptz", "2024-02-28 00:00:00+00"),
    ("timestamptz '2024-02-29' + interval '1 year'", "timestamptz", "2025-02-28 00:00:00+00"),
    ("interval '1 mon 1 day' * -0.3", "interval", "-9 days -07:12:00"),
    ("interval '10 years' / 3", "interval", "3 years 4 mons"),
];
