//! Text search operators: `=~`, `has`, `contains`, `startswith` … with their `!` and `_cs` variants. Source of truth: the public KQL
//! reference, `datatypes-string-operators`; terms are defined in [`super::terms`].

use arrow::array::AsArray;
use model::Type;

use super::sieve::Sieve;
use super::terms::{Needle, Rule};
use super::{Arg, Column, Family, Kernel, Prepare, PrepareError, Resolved, ScalarFn, Signature, SignatureError, kernel};
use crate::Value;

macro_rules! text_operators {
    ($($name:ident $sign:literal $rule:ident $cased:literal $negated:literal $summary:literal $example:expr;)*) => {
        pub static FAMILY: Family = &[$(&$name),*];
        $(static $name: ScalarFn = ScalarFn {
            name: $sign,
            summary: $summary,
            signature: Signature::Custom(two_texts),
            examples: &[$example],
            prepare: |prepare| compile(prepare, Rule::$rule, $cased, $negated),
            ..ScalarFn::DEFAULT
        };)*
    };
}

text_operators! {
    EQUAL_FOLDED "=~" Equal false false "True where both are the same, whatever their case" (r#""Abc" =~ "aBC""#, "True");
    NOT_EQUAL_FOLDED "!~" Equal false true "True where both differ, whatever their case" (r#""Abc" !~ "aBC""#, "False");
    HAS "has" Has false false "True where the text has this term" (r#""North America" has "america""#, "True");
    NOT_HAS "!has" Has false true "True where the text has no such term" (r#""North America" !has "amer""#, "True");
    HAS_CS "has_cs" Has true false "As `has`, with case" (r#""North America" has_cs "america""#, "False");
    NOT_HAS_CS "!has_cs" Has true true "As `!has`, with case" (r#""North America" !has_cs "america""#, "True");
    HAS_PREFIX "hasprefix" HasPrefix false false "True where a term begins with this" (r#""North America" hasprefix "ame""#, "True");
    NOT_HAS_PREFIX "!hasprefix" HasPrefix false true "True where no term begins with this" (r#""North America" !hasprefix "mer""#, "True");
    HAS_PREFIX_CS "hasprefix_cs" HasPrefix true false "As `hasprefix`, with case" (r#""North America" hasprefix_cs "Ame""#, "True");
    NOT_HAS_PREFIX_CS "!hasprefix_cs" HasPrefix true true "As `!hasprefix`, with case" (r#""North America" !hasprefix_cs "CA""#, "True");
    HAS_SUFFIX "hassuffix" HasSuffix false false "True where a term ends with this" (r#""North America" hassuffix "ICA""#, "True");
    NOT_HAS_SUFFIX "!hassuffix" HasSuffix false true "True where no term ends with this" (r#""North America" !hassuffix "americ""#, "True");
    HAS_SUFFIX_CS "hassuffix_cs" HasSuffix true false "As `hassuffix`, with case" (r#""North America" hassuffix_cs "ica""#, "True");
    NOT_HAS_SUFFIX_CS "!hassuffix_cs" HasSuffix true true "As `!hassuffix`, with case" (r#""North America" !hassuffix_cs "icA""#, "True");
    CONTAINS "contains" Contains false false "True where this is somewhere in the text" (r#""FabriKam" contains "BRik""#, "True");
    NOT_CONTAINS "!contains" Contains false true "True where this is nowhere in the text" (r#""Fabrikam" !contains "xyz""#, "True");
    CONTAINS_CS "contains_cs" Contains true false "As `contains`, with case" (r#""FabriKam" contains_cs "Kam""#, "True");
    NOT_CONTAINS_CS "!contains_cs" Contains true true "As `!contains`, with case" (r#""Fabrikam" !contains_cs "Kam""#, "True");
    STARTS_WITH "startswith" StartsWith false false "True where the text begins with this" (r#""Fabrikam" startswith "fab""#, "True");
    NOT_STARTS_WITH "!startswith" StartsWith false true "True where the text does not begin with this" (r#""Fabrikam" !startswith "kam""#, "True");
    STARTS_WITH_CS "startswith_cs" StartsWith true false "As `startswith`, with case" (r#""Fabrikam" startswith_cs "Fab""#, "True");
    NOT_STARTS_WITH_CS "!startswith_cs" StartsWith true true "As `!startswith`, with case" (r#""Fabrikam" !startswith_cs "fab""#, "True");
    ENDS_WITH "endswith" EndsWith false false "True where the text ends with this" (r#""Fabrikam" endswith "Kam""#, "True");
    NOT_ENDS_WITH "!endswith" EndsWith false true "True where the text does not end with this" (r#""Fabrikam" !endswith "brik""#, "True");
    ENDS_WITH_CS "endswith_cs" EndsWith true false "As `endswith`, with case" (r#""Fabrikam" endswith_cs "kam""#, "True");
    NOT_ENDS_WITH_CS "!endswith_cs" EndsWith true true "As `!endswith`, with case" (r#""Fabrikam" !endswith_cs "Kam""#, "True");
}

/// Two strings, or dynamic values converted to strings.
pub(super) fn two_texts(args: &[Arg]) -> Result<Resolved, SignatureError> {
    if args.len() != 2 {
        return Err(SignatureError::Count { least: 2, most: Some(2) });
    }
    match args.iter().position(|arg| !matches!(arg.ty, Type::String | Type::Dynamic)) {
        Some(index) => Err(SignatureError::Type { index, wants: "string".into() }),
        None => Ok(Resolved { args: vec![Type::String; 2], returns: Type::Bool }),
    }
}

fn compile(prepare: &Prepare, rule: Rule, cased: bool, negated: bool) -> Result<Box<dyn Kernel>, PrepareError> {
    Ok(match prepare.constants.get(1).and_then(Option::as_ref).and_then(Value::as_str) {
        Some(text) => {
            let needle = Needle::new(text, rule, cased);
            let anywhere = matches!(rule, Rule::Contains | Rule::Has | Rule::HasPrefix | Rule::HasSuffix);
            let sieve = Sieve::new(&[text], cased).filter(|_| anywhere && !negated);
            kernel(move |args| {
                if let (Some(sieve), Column::Array(array)) = (&sieve, &args.arrays[0]) {
                    return sieve.rows(array.as_string_view(), |hay| needle.matches(hay));
                }
                let hay = args.texts(0);
                args.map_bools(|row| Some(needle.matches(hay.get(row)) != negated))
            })
        }
        None => kernel(move |args| {
            let (hay, needle) = (args.texts(0), args.texts(1));
            args.map_bools(|row| Some(Needle::new(needle.get(row), rule, cased).matches(hay.get(row)) != negated))
        }),
    })
}
