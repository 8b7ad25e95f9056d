//! Extracts the typed text of a reply mail, without quoted text, its introduction and signatures.
//!
//! Supported formats and their sources:
//! - `>` before quoted lines: RFC 3676 4.5. `-- ` before a signature: RFC 3676 4.3.
//! - `On …, … wrote:` before a quote (Gmail, Apple Mail, Thunderbird), in the words of each language: Thunderbird's strings
//!   `mailnews.reply_header_authorwrotesingle` and `mailnews.reply_header_ondateauthorwrote`; Gmail wraps the line at 78 characters.
//! - Outlook's block of `From:`, `Sent:`, `To:`, `Subject:` under a line of underscores or `-----Original Message-----`; MS-OXBBODY leaves
//!   its words to the language of the sender.
//! - HTML: `gmail_quote`, `blockquote type="cite"` (Apple Mail, Thunderbird), `moz-cite-prefix`, `divRplyFwdMsg` and `appendonsend`
//!   (Outlook).

use std::sync::LazyLock;

use regex::Regex;

/// The text above the quote; if there is none, the text below it (Thunderbird's default).
pub fn written(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace(['\u{a0}', '\u{202f}'], " ").replace(['\u{feff}', '\u{200b}'], "");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let end = (0..lines.len()).find(|at| ends_here(&lines, *at)).unwrap_or(lines.len());
    let above = lines[..end].join("\n");
    if !above.trim().is_empty() {
        return above.trim().to_owned();
    }
    let below: Vec<&str> = lines[end..]
        .iter()
        .copied()
        .skip_while(|line| !line.trim_start().starts_with('>'))
        .skip_while(|line| line.trim_start().starts_with('>') || line.trim().is_empty())
        .collect();
    let end = (0..below.len()).find(|at| ends_here(&below, *at)).unwrap_or(below.len());
    below[..end].join("\n").trim().to_owned()
}

/// HTML up to the quoted mail. If nothing precedes it, all of it.
pub fn above_quote(html: &str) -> &str {
    let lower = html.to_ascii_lowercase();
    let cut = HTML_QUOTES.iter().filter_map(|mark| lower.find(mark)).min();
    let Some(cut) = cut else { return html };
    // Most markers are inside a tag.
    let start = if html[cut..].starts_with('<') { cut } else { html[..cut].rfind('<').unwrap_or(cut) };
    &html[..start]
}

const HTML_QUOTES: [&str; 9] = [
    "<blockquote",
    "class=\"gmail_quote",
    "class=\"gmail_attr",
    "class=\"moz-cite-prefix",
    "id=\"divrplyfwdmsg",
    "id=\"appendonsend",
    "id=\"mail-editor-reference-message-container",
    "class=\"protonmail_quote",
    "border-top:solid #e1e1e1 1.0pt",
];

fn ends_here(lines: &[&str], at: usize) -> bool {
    let line = lines[at].trim();
    line.starts_with('>')
        || is_signature(lines[at], line)
        || DIVIDER.is_match(line)
        || is_introduction(&lines[at..])
        || is_header_block(&lines[at..])
}

/// An introduction may be wrapped over up to three lines without an empty one, which would mean typed text before it.
fn is_introduction(lines: &[&str]) -> bool {
    let mut joined = String::new();
    for line in lines.iter().take(3).map(|line| line.trim()).take_while(|line| !line.is_empty() && line.len() < 500) {
        if !joined.is_empty() {
            joined.push(' ');
        }
        joined.push_str(line);
        if INTRODUCTION.is_match(&joined) {
            return true;
        }
    }
    false
}

fn is_signature(raw: &str, line: &str) -> bool {
    // Lines are trimmed, and many mail readers send `--` without the space.
    raw == "--" || raw == "\u{2014}" || DEVICE.is_match(line)
}

/// `-----Original Message-----` in any language, or a line of underscores as Outlook writes above its block.
static DIVIDER: LazyLock<Regex> = LazyLock::new(|| compile(r"^(-{3,}\s*[\p{L} '’\-]{3,60}\s*-{3,}|_{20,})$"));

/// `On Mon, Nov 20, 2026 at 9:00 AM Ann <ann@example.org> wrote:` and its translations.
static INTRODUCTION: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)^(",
        r"on\b.{6,300}\bwrote|am\b.{6,300}\bschrieb\b.{0,200}|(le\b.{6,300})a écrit|",
        r"(den\b|på\b)?.{0,20}\d{1,4}.{2,300}\b(skrev|skreiv)\b.{0,200}|",
        r"op\b.{6,300}\bschreef\b.{0,200}|el\b.{6,300}\bescribió|il\b.{6,300}\bha scritto|em\b.{6,300}\bescreveu|",
        r"\d{4}-\d\d-\d\d.{2,200}\b(wrote|schrieb|skrev|a écrit)\b.{0,200}",
        r")\s*:$"
    ))
});

static DEVICE: LazyLock<Regex> = LazyLock::new(|| {
    compile(concat!(
        r"(?i)^(sent from (my |the |outlook|mail|yahoo|proton|samsung).{0,60}|get outlook for .{2,40}|",
        r"sendt fra (min |outlook|mobil).{0,60}|skickat från (min |outlook).{0,60}|",
        r"von (meinem|outlook|mobile).{0,60}gesendet.{0,20}|gesendet (von|mit) .{2,60}|",
        r"envoyé (de|depuis|à partir d).{2,60}|verzonden vanaf .{2,60}|enviado desde .{2,60})$"
    ))
});

/// Labels of Outlook's block: English, Norwegian and Danish, Swedish, German, French, Dutch, Spanish.
static FROM: LazyLock<Regex> = LazyLock::new(|| compile(r"(?i)^\*?(from|fra|från|von|de|van)\s*:\*?\s*\S"));
static NEXT: LazyLock<Regex> = LazyLock::new(|| {
    compile(
        r"(?i)^\*?(sent|date|to|subject|sendt|dato|til|emne|skickat|datum|till|ämne|gesendet|an|betreff|envoyé|à|objet|verzonden|aan|onderwerp|enviado|fecha|para|asunto)\s*:\*?(\s|$)",
    )
});

/// `From:` and, within the next three lines, at least two more labels.
fn is_header_block(lines: &[&str]) -> bool {
    FROM.is_match(lines[0].trim()) && lines[1..].iter().take(4).filter(|line| NEXT.is_match(line.trim())).count() >= 2
}

fn compile(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is ours")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Formats of the named mail readers; the expected text is what the user typed.
    #[test]
    fn what_was_typed_is_found_in_every_form() {
        for (reader, text, typed) in [
            (
                "Gmail",
                "ack\r\n\r\nOn Fri, Nov 20, 2026 at 9:00 AM On call <oncall@example.org> wrote:\r\n\r\n> Incident 12\r\n> more\r\n",
                "ack",
            ),
            (
                "Gmail, wrapped",
                "ack\n\nOn Fri, Nov 20, 2026 at 9:00 AM On call for everything <\noncall+4821-123456789abcdef0123456789abcdef0@example.org> wrote:\n\n> Incident\n",
                "ack",
            ),
            ("Gmail, Norwegian", "ack\n\nfre. 20. nov. 2026 kl. 09:00 skrev On call <oncall@example.org>:\n\n> Incident 12\n", "ack"),
            ("Gmail, German", "ack\n\nAm Fr., 20. Nov. 2026 um 09:00 Uhr schrieb On call <oncall@example.org>:\n\n> Incident\n", "ack"),
            ("Gmail, French", "ack\n\nLe ven. 20 nov. 2026 à 09:00, On call <oncall@example.org> a écrit :\n\n> Incident\n", "ack"),
            ("Apple Mail", "ack\n\n> On 20 Nov 2026, at 09:00, On call <oncall@example.org> wrote:\n> \n> Incident 12\n", "ack"),
            ("iPhone", "Ack\n\nSent from my iPhone\n\n> On 20 Nov 2026, at 09:00, On call <oncall@example.org> wrote:\n> \n> x\n", "Ack"),
            (
                "iPhone, Norwegian",
                "Ack\n\nSendt fra min iPhone\n\n> 20. nov. 2026 kl. 09:00 skrev On call <oncall@example.org>:\n> x\n",
                "Ack",
            ),
            (
                "iPhone, German",
                "Ack\n\nVon meinem iPhone gesendet\n\n> Am 20.11.2026 um 09:00 schrieb On call <oncall@example.org>:\n> x",
                "Ack",
            ),
            ("Thunderbird", "On 20/11/2026 09:00, On call wrote:\n> Incident 12\n> more\n\nack\n\n-- \nAnn Berg\n", "ack"),
            ("Thunderbird, Norwegian", "Den 20.11.2026 09:00, skrev On call:\n> Incident 12\n\ntake\n", "take"),
            ("Thunderbird, German, above", "take\n\nAm 20.11.26 um 09:00 schrieb On call:\n> Incident 12\n", "take"),
            (
                "Outlook",
                "ack\r\n\r\n________________________________\r\nFrom: On call <oncall@example.org>\r\nSent: Friday, November 20, 2026 9:00 AM\r\nTo: Ann\r\nSubject: x\r\n\r\nIncident 12\r\n",
                "ack",
            ),
            (
                "Outlook for Windows",
                "ack\n\n-----Original Message-----\nFrom: On call <oncall@example.org>\nSent: 20 November 2026 09:00\nTo: Ann\nSubject: x\n\nIncident\n",
                "ack",
            ),
            (
                "Outlook, Norwegian",
                "ack\n\nFra: On call <oncall@example.org>\nSendt: fredag 20. november 2026 09:00\nTil: Ann\nEmne: x\n\ny\n",
                "ack",
            ),
            (
                "Outlook, German",
                "ack\n\nVon: On call <oncall@example.org>\nGesendet: Freitag, 20. November 2026 09:00\nAn: Ann\nBetreff: x\n",
                "ack",
            ),
            (
                "Outlook, French",
                "ack\n\nDe : On call <oncall@example.org>\nEnvoyé : vendredi 20 novembre 2026 09:00\nÀ : Ann\nObjet : x\n",
                "ack",
            ),
            ("Outlook mobile", "ack\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n________________________________\nFrom: x\n", "ack"),
            ("a signature", "close fp\nscanner\n-- \nAnn Berg\nSOC", "close fp\nscanner"),
            (
                "Gmail, after words that begin alike",
                "On it\n\nOn Fri, Nov 20, 2026 at 9:00 AM On call <o@example.org> wrote:\n\n> x\n",
                "On it",
            ),
            ("nothing but text", "On it, I wrote: to nobody\nyet", "On it, I wrote: to nobody\nyet"),
            ("nothing", "\n> quoted\n", ""),
        ] {
            assert_eq!(written(text), typed, "{reader}");
        }
    }

    #[test]
    fn html_ends_where_its_quote_begins() {
        for (html, above) in [
            (
                "<div dir=\"ltr\">ack</div><br><div class=\"gmail_quote gmail_quote_container\"><div>On …</div></div>",
                "<div dir=\"ltr\">ack</div><br>",
            ),
            ("<p>ack</p><div id=\"appendonsend\"></div><hr>", "<p>ack</p>"),
            ("ack<br><BLOCKQUOTE type=\"cite\">x</BLOCKQUOTE>", "ack<br>"),
            ("<p>ack</p>", "<p>ack</p>"),
        ] {
            assert_eq!(above_quote(html), above);
        }
    }

    #[test]
    fn long_lines_take_no_long_time() {
        let line = format!("On {}", "wrote ".repeat(200_000));
        assert_eq!(written(&line).len(), line.trim_end().len());
    }
}
