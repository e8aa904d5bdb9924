//! [`SIGNATURES`]: what functions there are, by name and argument types.
//!
//! Invariant: signatures of one name stand together, the one that PostgreSQL prefers first.

use super::Function;

/// What an argument must be, and what a result is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the types are those of their names")]
pub enum Kind {
    Boolean,
    Smallint,
    Integer,
    Bigint,
    Double,
    Numeric,
    Text,
    Date,
    Timestamptz,
    Interval,
    Jsonb,
    TextArray,
    /// Any type.
    Any,
    /// An array of any type; as a result, the type of the array argument.
    AnyArray,
    /// The element of the [`Kind::AnyArray`] beside it.
    AnyElement,
}

/// One function for one list of argument types.
#[derive(Debug)]
pub struct Signature {
    /// The SQL name.
    pub name: &'static str,
    /// What the arguments are.
    pub arguments: &'static [Kind],
    /// Whether the last argument may be repeated.
    pub variadic: bool,
    /// What the result is.
    pub result: Kind,
    /// What is called.
    pub function: Function,
}

const fn fixed(
    name: &'static str,
    arguments: &'static [Kind],
    result: Kind,
    function: Function,
) -> Signature {
    Signature { name, arguments, variadic: false, result, function }
}

const fn variadic(
    name: &'static str,
    arguments: &'static [Kind],
    result: Kind,
    function: Function,
) -> Signature {
    Signature { name, arguments, variadic: true, result, function }
}

use Kind::{
    Any, AnyArray, AnyElement, Bigint, Boolean, Date, Double, Integer, Interval, Jsonb, Numeric, Smallint,
    Text, TextArray, Timestamptz,
};

/// All functions that are called by name.
pub static SIGNATURES: &[Signature] = &[
    // Numbers.
    fixed("abs", &[Integer], Integer, Function::Abs),
    fixed("abs", &[Smallint], Smallint, Function::Abs),
    fixed("abs", &[Bigint], Bigint, Function::Abs),
    fixed("abs", &[Double], Double, Function::Abs),
    fixed("abs", &[Numeric], Numeric, Function::Abs),
    fixed("ceil", &[Double], Double, Function::Ceil),
    fixed("ceil", &[Numeric], Numeric, Function::Ceil),
    fixed("ceiling", &[Double], Double, Function::Ceil),
    fixed("ceiling", &[Numeric], Numeric, Function::Ceil),
    fixed("floor", &[Double], Double, Function::Floor),
    fixed("floor", &[Numeric], Numeric, Function::Floor),
    fixed("round", &[Double], Double, Function::Round),
    fixed("round", &[Numeric], Numeric, Function::Round),
    fixed("round", &[Numeric, Integer], Numeric, Function::Round),
    fixed("trunc", &[Double], Double, Function::Trunc),
    fixed("trunc", &[Numeric], Numeric, Function::Trunc),
    fixed("trunc", &[Numeric, Integer], Numeric, Function::Trunc),
    fixed("sign", &[Double], Double, Function::Sign),
    fixed("sign", &[Numeric], Numeric, Function::Sign),
    fixed("sqrt", &[Double], Double, Function::Sqrt),
    fixed("sqrt", &[Numeric], Numeric, Function::Sqrt),
    fixed("cbrt", &[Double], Double, Function::Cbrt),
    fixed("power", &[Double, Double], Double, Function::Power),
    fixed("power", &[Numeric, Numeric], Numeric, Function::Power),
    fixed("pow", &[Double, Double], Double, Function::Power),
    fixed("pow", &[Numeric, Numeric], Numeric, Function::Power),
    fixed("exp", &[Double], Double, Function::Exp),
    fixed("exp", &[Numeric], Numeric, Function::Exp),
    fixed("ln", &[Double], Double, Function::Ln),
    fixed("ln", &[Numeric], Numeric, Function::Ln),
    fixed("log", &[Double], Double, Function::Log10),
    fixed("log", &[Numeric], Numeric, Function::Log10),
    fixed("log", &[Numeric, Numeric], Numeric, Function::Log),
    fixed("log10", &[Double], Double, Function::Log10),
    fixed("log10", &[Numeric], Numeric, Function::Log10),
    fixed("mod", &[Integer, Integer], Integer, Function::Modulo),
    fixed("mod", &[Smallint, Smallint], Smallint, Function::Modulo),
    fixed("mod", &[Bigint, Bigint], Bigint, Function::Modulo),
    fixed("mod", &[Numeric, Numeric], Numeric, Function::Modulo),
    fixed("div", &[Numeric, Numeric], Numeric, Function::Div),
    fixed("gcd", &[Integer, Integer], Integer, Function::Gcd),
    fixed("gcd", &[Bigint, Bigint], Bigint, Function::Gcd),
    fixed("lcm", &[Integer, Integer], Integer, Function::Lcm),
    fixed("lcm", &[Bigint, Bigint], Bigint, Function::Lcm),
    fixed("pi", &[], Double, Function::Pi),
    fixed("degrees", &[Double], Double, Function::Degrees),
    fixed("radians", &[Double], Double, Function::Radians),
    fixed("sin", &[Double], Double, Function::Sin),
    fixed("cos", &[Double], Double, Function::Cos),
    fixed("tan", &[Double], Double, Function::Tan),
    fixed("cot", &[Double], Double, Function::Cot),
    fixed("asin", &[Double], Double, Function::Asin),
    fixed("acos", &[Double], Double, Function::Acos),
    fixed("atan", &[Double], Double, Function::Atan),
    fixed("atan2", &[Double, Double], Double, Function::Atan2),
    fixed("width_bucket", &[Double, Double, Double, Integer], Integer, Function::WidthBucket),
    fixed("width_bucket", &[Numeric, Numeric, Numeric, Integer], Integer, Function::WidthBucket),
    // Text.
    fixed("length", &[Text], Integer, Function::Length),
    fixed("char_length", &[Text], Integer, Function::Length),
    fixed("character_length", &[Text], Integer, Function::Length),
    fixed("octet_length", &[Text], Integer, Function::OctetLength),
    fixed("bit_length", &[Text], Integer, Function::BitLength),
    fixed("lower", &[Text], Text, Function::Lower),
    fixed("upper", &[Text], Text, Function::Upper),
    fixed("initcap", &[Text], Text, Function::Initcap),
    fixed("btrim", &[Text], Text, Function::Btrim),
    fixed("btrim", &[Text, Text], Text, Function::Btrim),
    fixed("ltrim", &[Text], Text, Function::Ltrim),
    fixed("ltrim", &[Text, Text], Text, Function::Ltrim),
    fixed("rtrim", &[Text], Text, Function::Rtrim),
    fixed("rtrim", &[Text, Text], Text, Function::Rtrim),
    fixed("substr", &[Text, Integer], Text, Function::Substring),
    fixed("substr", &[Text, Integer, Integer], Text, Function::Substring),
    fixed("substring", &[Text, Text], Text, Function::SubstringMatch),
    fixed("substring", &[Text, Integer], Text, Function::Substring),
    fixed("substring", &[Text, Text, Text], Text, Function::SubstringSimilar),
    fixed("substring", &[Text, Integer, Integer], Text, Function::Substring),
    fixed("left", &[Text, Integer], Text, Function::Left),
    fixed("right", &[Text, Integer], Text, Function::Right),
    fixed("lpad", &[Text, Integer], Text, Function::Lpad),
    fixed("lpad", &[Text, Integer, Text], Text, Function::Lpad),
    fixed("rpad", &[Text, Integer], Text, Function::Rpad),
    fixed("rpad", &[Text, Integer, Text], Text, Function::Rpad),
    fixed("replace", &[Text, Text, Text], Text, Function::Replace),
    fixed("repeat", &[Text, Integer], Text, Function::Repeat),
    fixed("reverse", &[Text], Text, Function::Reverse),
    fixed("strpos", &[Text, Text], Integer, Function::Position),
    fixed("split_part", &[Text, Text, Integer], Text, Function::SplitPart),
    fixed("starts_with", &[Text, Text], Boolean, Function::StartsWith),
    variadic("concat", &[Any], Text, Function::Concat),
    variadic("concat_ws", &[Text, Any], Text, Function::ConcatWs),
    fixed("ascii", &[Text], Integer, Function::Ascii),
    fixed("chr", &[Integer], Text, Function::Chr),
    fixed("translate", &[Text, Text, Text], Text, Function::Translate),
    fixed("overlay", &[Text, Text, Integer], Text, Function::Overlay),
    fixed("overlay", &[Text, Text, Integer, Integer], Text, Function::Overlay),
    fixed("insert_text", &[Text, Bigint, Text], Text, Function::InsertText),
    fixed("delete_text", &[Text, Bigint, Bigint], Text, Function::DeleteText),
    fixed("quote_literal", &[Text], Text, Function::QuoteLiteral),
    fixed("quote_ident", &[Text], Text, Function::QuoteIdent),
    fixed("to_hex", &[Integer], Text, Function::ToHex),
    fixed("to_hex", &[Bigint], Text, Function::ToHexBigint),
    fixed("regexp_replace", &[Text, Text, Text], Text, Function::RegexpReplace),
    fixed("regexp_replace", &[Text, Text, Text, Text], Text, Function::RegexpReplace),
    fixed("string_to_array", &[Text, Text], TextArray, Function::StringToArray),
    fixed("string_to_array", &[Text, Text, Text], TextArray, Function::StringToArray),
    // Dates and times.
    fixed("date_trunc", &[Text, Timestamptz], Timestamptz, Function::DateTrunc),
    fixed("date_trunc", &[Text, Interval], Interval, Function::DateTrunc),
    fixed("date_part", &[Text, Timestamptz], Double, Function::DatePart),
    fixed("date_part", &[Text, Date], Double, Function::DatePart),
    fixed("date_part", &[Text, Interval], Double, Function::DatePart),
    fixed("extract", &[Text, Timestamptz], Numeric, Function::Extract),
    fixed("extract", &[Text, Date], Numeric, Function::Extract),
    fixed("extract", &[Text, Interval], Numeric, Function::Extract),
    fixed("make_date", &[Integer, Integer, Integer], Date, Function::MakeDate),
    fixed(
        "make_timestamptz",
        &[Integer, Integer, Integer, Integer, Integer, Double],
        Timestamptz,
        Function::MakeTimestamptz,
    ),
    fixed("age", &[Timestamptz, Timestamptz], Interval, Function::Age),
    fixed("to_timestamp", &[Double], Timestamptz, Function::ToTimestamp),
    // JSON.
    fixed("jsonb_typeof", &[Jsonb], Text, Function::JsonTypeof),
    fixed("jsonb_array_length", &[Jsonb], Integer, Function::JsonArrayLength),
    variadic("jsonb_extract_path", &[Jsonb, Text], Jsonb, Function::JsonExtractPath),
    variadic("jsonb_extract_path_text", &[Jsonb, Text], Text, Function::JsonExtractPathText),
    fixed("jsonb_strip_nulls", &[Jsonb], Jsonb, Function::JsonStripNulls),
    fixed("to_jsonb", &[Any], Jsonb, Function::ToJsonb),
    fixed("jsonb_build_object", &[], Jsonb, Function::JsonBuildObject),
    variadic("jsonb_build_object", &[Any], Jsonb, Function::JsonBuildObject),
    fixed("jsonb_build_array", &[], Jsonb, Function::JsonBuildArray),
    variadic("jsonb_build_array", &[Any], Jsonb, Function::JsonBuildArray),
    // Arrays.
    fixed("array_length", &[AnyArray, Integer], Integer, Function::ArrayLength),
    fixed("array_upper", &[AnyArray, Integer], Integer, Function::ArrayLength),
    fixed("array_lower", &[AnyArray, Integer], Integer, Function::ArrayLower),
    fixed("array_ndims", &[AnyArray], Integer, Function::ArrayNdims),
    fixed("cardinality", &[AnyArray], Integer, Function::Cardinality),
    fixed("array_position", &[AnyArray, AnyElement], Integer, Function::ArrayPosition),
    fixed("array_append", &[AnyArray, AnyElement], AnyArray, Function::ArrayAppend),
    fixed("array_prepend", &[AnyElement, AnyArray], AnyArray, Function::ArrayPrepend),
    fixed("array_remove", &[AnyArray, AnyElement], AnyArray, Function::ArrayRemove),
    fixed("array_cat", &[AnyArray, AnyArray], AnyArray, Function::ArrayCat),
    fixed("array_to_string", &[AnyArray, Text], Text, Function::ArrayToString),
    fixed("array_to_string", &[AnyArray, Text, Text], Text, Function::ArrayToString),
    // Sets: arrays that are ordered and say nothing twice.
    fixed("add", &[AnyArray, AnyElement], AnyArray, Function::SetAdd),
    fixed("remove", &[AnyArray, AnyElement], AnyArray, Function::ArrayRemove),
    // Anything.
    variadic("num_nulls", &[Any], Integer, Function::NumNulls),
    variadic("num_nonnulls", &[Any], Integer, Function::NumNonnulls),
];
