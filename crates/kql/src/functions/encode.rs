//! Encodings: base64, URL escapes, compressed base64, code points. Invalid input gives null or an empty string. Source of truth: the public
//! KQL reference, one page each.

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::Type;

use super::arrays::push_array;
use super::signatures::{all, count, texts, wants};
use super::{Family, Resolved, ScalarFn, Signature, kernel};
use crate::dynamic::{self, Kind, elements};

pub static FAMILY: Family = &[
    &BASE64_ENCODE,
    &BASE64_DECODE,
    &BASE64_DECODE_ARRAY,
    &BASE64_ENCODE_ARRAY,
    &BASE64_ENCODE_GUID,
    &BASE64_DECODE_GUID,
    &URL_ENCODE,
    &URL_ENCODE_COMPONENT,
    &URL_DECODE,
    &GZIP_DECOMPRESS,
    &GZIP_COMPRESS,
    &ZLIB_DECOMPRESS,
    &ZLIB_COMPRESS,
    &MAKE_STRING,
    &CODE_POINTS,
    &IS_ASCII,
    &IS_UTF8,
];

/// Maximum size of a decompressed text in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Padding is required, as in the reference's examples.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text.trim()).ok()
}

/// A text-to-text function: invalid input gives an empty string.
macro_rules! of_text {
    ($name:ident, $call:literal, $aliases:expr, $summary:literal, $examples:expr, $compute:expr) => {
        static $name: ScalarFn = ScalarFn {
            name: $call,
            aliases: $aliases,
            summary: $summary,
            signature: all(&[("string", Type::String)], Type::String),
            examples: $examples,
            prepare: |_| {
                Ok(kernel(|args| {
                    let source = args.texts(0);
                    let compute: fn(&str, &mut String) -> Option<()> = $compute;
                    args.map_texts(|row, out| {
                        if compute(source.get(row), out).is_none() {
                            out.clear();
                        }
                    })
                }))
            },
            ..ScalarFn::DEFAULT
        };
    };
}

of_text!(
    BASE64_ENCODE,
    "base64_encode_tostring",
    &["base64_encodestring"],
    "The text's bytes in base64",
    &[(r#"base64_encode_tostring("Kusto")"#, "S3VzdG8=")],
    |text, out| {
        STANDARD.encode_string(text, out);
        Some(())
    }
);
of_text!(
    BASE64_DECODE,
    "base64_decode_tostring",
    &["base64_decodestring"],
    "The text that base64 stands for; empty where that is no UTF-8",
    &[(r#"base64_decode_tostring("S3VzdG8=")"#, "Kusto"), (r#"base64_decode_tostring("S3VzdG8")"#, "")],
    |text, out| {
        out.push_str(std::str::from_utf8(&decode(text)?).ok()?);
        Some(())
    }
);
of_text!(
    URL_ENCODE,
    "url_encode",
    &[],
    "The text escaped for the query of a URL, a space as `+`",
    &[(r#"url_encode("https://www.bing.com/hello world")"#, "https%3a%2f%2fwww.bing.com%2fhello+world")],
    |text, out| {
        escape(text, "+", out);
        Some(())
    }
);
of_text!(
    URL_ENCODE_COMPONENT,
    "url_encode_component",
    &[],
    "The text escaped for a part of a URL, a space as `%20`",
    &[(r#"url_encode_component("a b/")"#, "a%20b%2f")],
    |text, out| {
        escape(text, "%20", out);
        Some(())
    }
);
of_text!(
    URL_DECODE,
    "url_decode",
    &[],
    "The text without the escapes of URLs",
    &[
        (r#"url_decode("https%3a%2f%2fwww.bing.com%2fhello%20world")"#, "https://www.bing.com/hello world"),
        (r#"url_decode("a+b%zz")"#, "a b%zz")
    ],
    |text, out| {
        unescape(text, out);
        Some(())
    }
);
of_text!(
    GZIP_DECOMPRESS,
    "gzip_decompress_from_base64_string",
    &[],
    "The text that gzip in base64 stands for",
    &[(r#"gzip_decompress_from_base64_string(gzip_compress_to_base64_string("1234567890qwertyuiop"))"#, "1234567890qwertyuiop")],
    |text, out| {
        let bytes = decode(text)?;
        flate2::read::GzDecoder::new(&bytes[..]).take(MOST_BYTES).read_to_string(out).ok().map(|_| ())
    }
);
of_text!(
    ZLIB_DECOMPRESS,
    "zlib_decompress_from_base64_string",
    &[],
    "The text that zlib in base64 stands for",
    &[
        (r#"zlib_decompress_from_base64_string("eJwLSS0uUSguKcrMS1cwNDIGACxqBQ4=")"#, "Test string 123"),
        (r#"zlib_decompress_from_base64_string("x0x0x0")"#, "")
    ],
    |text, out| {
        let bytes = decode(text)?;
        flate2::read::ZlibDecoder::new(&bytes[..]).take(MOST_BYTES).read_to_string(out).ok().map(|_| ())
    }
);
of_text!(
    GZIP_COMPRESS,
    "gzip_compress_to_base64_string",
    &[],
    "The text compressed by gzip, in base64",
    &[(r#"strlen(gzip_compress_to_base64_string("")) > 0"#, "True")],
    |text, out| {
        let mut bytes = Vec::new();
        flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::default()).read_to_end(&mut bytes).ok()?;
        STANDARD.encode_string(bytes, out);
        Some(())
    }
);
of_text!(
    ZLIB_COMPRESS,
    "zlib_compress_to_base64_string",
    &[],
    "The text compressed by zlib, in base64",
    &[(r#"zlib_decompress_from_base64_string(zlib_compress_to_base64_string("abc"))"#, "abc")],
    |text, out| {
        let mut bytes = Vec::new();
        flate2::read::ZlibEncoder::new(text.as_bytes(), flate2::Compression::default()).read_to_end(&mut bytes).ok()?;
        STANDARD.encode_string(bytes, out);
        Some(())
    }
);

fn escape(text: &str, space: &str, out: &mut String) {
    use std::fmt::Write;
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'!' | b'*' | b'(' | b')' => out.push(byte as char),
            b' ' => out.push_str(space),
            byte => {
                let _ = write!(out, "%{byte:02x}");
            }
        }
    }
}

/// Decodes percent escapes and `+`; invalid escapes are kept.
pub(super) fn unescape(text: &str, out: &mut String) {
    if !text.contains(['%', '+']) {
        return out.push_str(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let source = text.as_bytes();
    let mut at = 0;
    while at < source.len() {
        let hex = |offset: usize| source.get(at + offset).and_then(|b| (*b as char).to_digit(16));
        match (source[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', _, _) => bytes.push(b' '),
            (byte, _, _) => bytes.push(byte),
        }
        at += 1;
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
}

static BASE64_DECODE_ARRAY: ScalarFn = ScalarFn {
    name: "base64_decode_toarray",
    summary: "The bytes that base64 stands for, as an array of numbers",
    signature: all(&[("base64_string", Type::String)], Type::Dynamic),
    examples: &[(r#"base64_decode_toarray("S3VzdG8=")"#, "[75,117,115,116,111]"), (r#"base64_decode_toarray("****")"#, "")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| {
                let numbers: Vec<String> = decode(source.get(row))?.iter().map(u8::to_string).collect();
                push_array(out, numbers.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BASE64_ENCODE_ARRAY: ScalarFn = ScalarFn {
    name: "base64_encode_fromarray",
    summary: "An array of bytes in base64",
    signature: all(&[("array", Type::Dynamic)], Type::String),
    examples: &[("base64_encode_fromarray(dynamic([75,117,115,116,111]))", "S3VzdG8=")],
    prepare: |_| {
        Ok(kernel(|args| {
            let array = args.texts(0);
            args.map_texts(|row, out| {
                let byte = |element| match dynamic::kind(element) {
                    Kind::Long(n) => u8::try_from(n).ok(),
                    _ => None,
                };
                let bytes: Option<Vec<u8>> = array.opt(row).and_then(elements).and_then(|elements| elements.map(byte).collect());
                if let Some(bytes) = bytes {
                    STANDARD.encode_string(bytes, out);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BASE64_ENCODE_GUID: ScalarFn = ScalarFn {
    name: "base64_encode_fromguid",
    summary: "A guid's bytes in base64, in the order Windows keeps them",
    signature: all(&[("guid", Type::Guid)], Type::String),
    examples: &[(r#"base64_encode_fromguid(toguid("ae3133f2-6e22-49ae-b06a-16e6a9b212eb"))"#, "8jMxriJurkmwahbmqbIS6w==")],
    prepare: |_| {
        Ok(kernel(|args| {
            let guid = args.texts(0);
            args.map_texts(|row, out| {
                if let Ok(guid) = uuid::Uuid::try_parse(guid.get(row)) {
                    STANDARD.encode_string(guid.to_bytes_le(), out);
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static BASE64_DECODE_GUID: ScalarFn = ScalarFn {
    name: "base64_decode_toguid",
    summary: "The guid whose bytes base64 stands for",
    signature: all(&[("base64_string", Type::String)], Type::Guid),
    examples: &[(r#"base64_decode_toguid("8jMxriJurkmwahbmqbIS6w==")"#, "ae3133f2-6e22-49ae-b06a-16e6a9b212eb")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| {
                let bytes: [u8; 16] = decode(source.get(row))?.try_into().ok()?;
                out.push_str(&uuid::Uuid::from_bytes_le(bytes).hyphenated().to_string());
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static MAKE_STRING: ScalarFn = ScalarFn {
    name: "unicode_codepoints_to_string",
    aliases: &["make_string"],
    summary: "The text of code points, given one by one or in arrays",
    signature: Signature::Custom(|args| {
        count(args, 1, None)?;
        if let Some(index) = args.iter().position(|arg| !matches!(arg.ty, Type::Int | Type::Long | Type::Dynamic)) {
            return Err(wants(index, "long or dynamic"));
        }
        let wanted = args.iter().map(|arg| if arg.ty == Type::Dynamic { Type::Dynamic } else { Type::Long });
        Ok(Resolved { args: wanted.collect(), returns: Type::String })
    }),
    examples: &[
        ("unicode_codepoints_to_string(75, 117, 115, 116, 111)", "Kusto"),
        ("unicode_codepoints_to_string(dynamic([75, 117]), 115)", "Kus"),
    ],
    prepare: |prepare| {
        let types = prepare.types.to_vec();
        Ok(kernel(move |args| {
            let letter = |n: i64| u32::try_from(n).ok().and_then(char::from_u32);
            args.map_texts(|row, out| {
                for (index, ty) in types.iter().enumerate() {
                    if *ty == Type::Long {
                        out.extend(args.longs(index).get(row).and_then(letter));
                        continue;
                    }
                    for element in args.texts(index).opt(row).and_then(elements).into_iter().flatten() {
                        if let Kind::Long(n) = dynamic::kind(element) {
                            out.extend(letter(n));
                        }
                    }
                }
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static CODE_POINTS: ScalarFn = ScalarFn {
    name: "unicode_codepoints_from_string",
    aliases: &["to_utf8"],
    summary: "The code points of a text, as an array of numbers",
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::Dynamic)),
    examples: &[(r#"unicode_codepoints_from_string("Kusto")"#, "[75,117,115,116,111]")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_json(|row, out| {
                let numbers: Vec<String> = source.get(row).chars().map(|c| u32::from(c).to_string()).collect();
                push_array(out, numbers.iter().map(String::as_str));
                Some(())
            })
        }))
    },
    ..ScalarFn::DEFAULT
};

static IS_ASCII: ScalarFn = ScalarFn {
    name: "isascii",
    summary: "True where the text has only ASCII characters",
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::Bool)),
    examples: &[(r#"isascii("some string")"#, "True"), (r#"isascii("é")"#, "False")],
    prepare: |_| {
        Ok(kernel(|args| {
            let source = args.texts(0);
            args.map_bools(|row| Some(source.get(row).is_ascii()))
        }))
    },
    ..ScalarFn::DEFAULT
};

static IS_UTF8: ScalarFn = ScalarFn {
    name: "isutf8",
    summary: "True where the text is valid UTF-8, which it always is here",
    signature: Signature::Custom(|args| texts(args, 1, Some(1), Type::Bool)),
    examples: &[(r#"isutf8("some string")"#, "True")],
    prepare: |_| Ok(kernel(|args| args.map_bools(|_| Some(true)))),
    ..ScalarFn::DEFAULT
};
