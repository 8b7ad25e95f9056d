//! Splits the examples of the language's tables into templates: calls and pipeline stages with placeholders for columns.

use kql::bind::bind;
use kql::bind::forms::FORMS;
use kql::check::TableSchemas;
use kql::plan::Plan;
use kql::syntax::ast::{Expr, ExprKind, OperatorKind, StatementKind};
use kql::syntax::lexer::{TokenKind, lex};
use kql::syntax::parse;
use kql::syntax::parser::tabular_operators;
use kql::{Type, aggregates, functions, ops, windows};
use model::Timestamp;

/// Text with placeholders.
#[derive(Clone, Debug)]
pub struct Template {
    pub pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
pub enum Piece {
    Text(String),
    /// A column of this type; `literal` is an example value, empty if unknown.
    Hole {
        ty: Type,
        literal: String,
        /// Equal numbers denote the same column.
        same: usize,
    },
}

/// Value of `now()` for generated queries.
pub const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// The plan of a query without stored tables; `None` if it is invalid.
pub fn bound(text: &str) -> Option<Plan> {
    let bound = bind(&parse(text), &TableSchemas::default(), NOW);
    if bound.diagnostics.is_empty() { bound.plan } else { None }
}

/// The result columns of `text`.
pub fn columns(text: &str) -> Option<Vec<(String, Type)>> {
    let plan = bound(text)?;
    Some(plan.root.fields.iter().filter(|field| !field.is_hidden()).map(|field| (field.name.to_string(), field.ty)).collect())
}

impl Template {
    pub fn holes(&self) -> impl Iterator<Item = (Type, &str, usize)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole { ty, literal, same } => Some((*ty, literal.as_str(), *same)),
            Piece::Text(_) => None,
        })
    }

    /// The text with column `names[same]` in each placeholder.
    pub fn fill(&self, names: &dyn Fn(usize) -> String) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Hole { same, .. } => names(*same),
        };
        self.pieces.iter().map(piece).collect()
    }

    /// Removes the parts at `holes`, which are in ascending order, from `text`.
    fn cut(text: &str, holes: &[Hole]) -> Self {
        let mut pieces = Vec::new();
        let mut at = 0;
        for hole in holes {
            pieces.push(Piece::Text(text[at..hole.start].to_owned()));
            pieces.push(Piece::Hole { ty: hole.ty, literal: hole.literal.clone(), same: hole.same });
            at = hole.end;
        }
        pieces.push(Piece::Text(text[at..].to_owned()));
        Self { pieces }
    }
}

#[derive(Clone)]
struct Hole {
    start: usize,
    end: usize,
    ty: Type,
    literal: String,
    same: usize,
}

/// Calls of every scalar function, from its examples: literals become columns if the binder accepts them.
pub fn calls() -> Vec<(&'static str, Template)> {
    let mut found = Vec::new();
    for function in functions::all().filter(|function| function.deterministic || !is_random(function.name)) {
        for (example, _) in function.examples {
            found.push((function.name, call(example)));
        }
    }
    found
}

/// Whether the function is non-deterministic.
pub fn is_random(name: &str) -> bool {
    matches!(name, "rand" | "new_guid")
}

fn call(example: &str) -> Template {
    let prefix = "print ";
    let text = format!("{prefix}{example}");
    let mut holes = Vec::new();
    let script = parse(&text).script;
    if let Some(StatementKind::Query(query)) = script.statements.first().map(|statement| &statement.kind) {
        literals(query, &mut holes);
    }
    holes.sort_by_key(|(place, _)| place.start);
    holes.retain(|(place, _)| place.start >= prefix.len());
    let mut kept: Vec<Hole> = Vec::new();
    for (number, (place, ty)) in holes.into_iter().enumerate() {
        let (start, end) = (place.start - prefix.len(), place.end - prefix.len());
        let mut more = kept.clone();
        more.push(Hole { start, end, ty, literal: example[start..end].to_owned(), same: number });
        let columns: Vec<String> = more.iter().map(|hole| format!("c{}: {}", hole.same, hole.ty.name())).collect();
        let template = Template::cut(example, &more);
        let trial = format!("datatable({})[] | extend x = {}", columns.join(", "), template.fill(&|same| format!("c{same}")));
        if bound(&trial).is_some() {
            kept = more;
        }
    }
    Template::cut(example, &kept)
}

/// Literals of a scalar expression that a column could replace.
fn literals(expr: &Expr, into: &mut Vec<(std::ops::Range<usize>, Type)>) {
    match &expr.kind {
        ExprKind::Literal(value) => into.push((expr.place.clone(), value.ty())),
        ExprKind::Dynamic(_) => into.push((expr.place.clone(), Type::Dynamic)),
        ExprKind::Call(call) => call.args.iter().for_each(|arg| literals(arg, into)),
        ExprKind::Member { object, .. } => literals(object, into),
        ExprKind::Index { object, index } => {
            literals(object, into);
            literals(index, into);
        }
        ExprKind::Unary { operand, .. } => literals(operand, into),
        ExprKind::Binary { left, right, .. } => {
            literals(left, into);
            literals(right, into);
        }
        ExprKind::In { left, list, .. } => {
            literals(left, into);
            list.iter().for_each(|part| literals(part, into));
        }
        ExprKind::Between { operand, low, high, .. } => [operand, low, high].into_iter().for_each(|part| literals(part, into)),
        ExprKind::Named { value, .. } => literals(value, into),
        ExprKind::Paren(inner) => literals(inner, into),
        ExprKind::Source(operator) => {
            if let OperatorKind::Print(items) = &operator.kind {
                items.iter().for_each(|item| literals(item, into));
            }
        }
        _ => {}
    }
}

/// All example queries in the language's tables, except those of scalar functions.
pub fn examples() -> Vec<&'static str> {
    let operators = tabular_operators().flat_map(|operator| operator.examples);
    let aggregates = aggregates::all().flat_map(|function| function.examples);
    let windows = windows::all().flat_map(|function| function.examples);
    let plugins = ops::plugins::PLUGINS.iter().flat_map(|plugin| plugin.examples);
    let forms = FORMS.iter().flat_map(|form| form.examples);
    operators.chain(aggregates).chain(windows).chain(plugins).chain(forms).map(|(query, _)| *query).collect()
}

/// The pipeline stages of a query, with placeholders for the columns they read.
pub fn stages(query: &str) -> Vec<Template> {
    let mut found = Vec::new();
    let pipes = pipes(query);
    for (number, pipe) in pipes.iter().enumerate() {
        let Some(known) = columns(&query[..*pipe]) else { continue };
        let end = pipes.get(number + 1).copied().unwrap_or(query.len());
        let stage = &query[pipe + 1..end];
        let holes = names(stage, &known);
        found.push(Template::cut(stage, &holes));
    }
    found
}

/// Positions of top-level `|` in the last statement.
fn pipes(query: &str) -> Vec<usize> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    for token in lex(query).0 {
        match token.kind {
            TokenKind::Sign("(" | "[" | "{") => depth += 1,
            TokenKind::Sign(")" | "]" | "}") => depth = depth.saturating_sub(1),
            TokenKind::Sign("|") if depth == 0 => found.push(token.start),
            TokenKind::Sign(";") if depth == 0 => found.clear(),
            _ => {}
        }
    }
    found
}

/// Positions of column names in a stage.
fn names(stage: &str, known: &[(String, Type)]) -> Vec<Hole> {
    let tokens = lex(stage).0;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != TokenKind::Word {
            continue;
        }
        // A member of a bag, the name of a property, or the name of a new column.
        let before = at.checked_sub(1).map(|before| tokens[before].kind);
        let after = tokens.get(at + 1).map(|after| after.kind);
        if before == Some(TokenKind::Sign(".")) || matches!(after, Some(TokenKind::Sign("=" | "(" | ":"))) {
            continue;
        }
        let word = &stage[token.start..token.end];
        if let Some(same) = known.iter().position(|(name, _)| name == word) {
            found.push(Hole { start: token.start, end: token.end, ty: known[same].1, literal: String::new(), same });
        }
    }
    found
}

/// A literal table of a query: columns, and positions and texts of the values.
pub struct Literal {
    pub columns: Vec<(String, Type)>,
    /// The range between the brackets.
    pub values: std::ops::Range<usize>,
    pub cells: Vec<String>,
}

/// All `datatable`s of a query, in order.
pub fn literal_tables(query: &str) -> Vec<Literal> {
    let tokens = lex(query).0;
    let text = |at: usize| tokens.get(at).map_or("", |token| &query[token.start..token.end]);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.kind != TokenKind::Word || text(at) != "datatable" {
            continue;
        }
        let mut columns = Vec::new();
        let mut next = at + 2;
        while text(next) != ")" && next + 2 < tokens.len() {
            if let Some(ty) = Type::parse(text(next + 2)) {
                columns.push((text(next).trim_matches(['[', ']', '\'', '"']).to_owned(), ty));
            }
            next += 3;
            if text(next) == "," {
                next += 1;
            }
        }
        let open = next + 1;
        if text(open) != "[" {
            continue;
        }
        let (mut depth, mut cells, mut from) = (1, Vec::new(), tokens[open].end);
        let mut close = open + 1;
        while close < tokens.len() {
            match text(close) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth -= 1,
                _ => {}
            }
            if depth == 0 || depth == 1 && text(close) == "," {
                let cell = query[from..tokens[close].start].trim();
                if !cell.is_empty() {
                    cells.push(cell.to_owned());
                }
                from = tokens[close].end;
            }
            if depth == 0 {
                break;
            }
            close += 1;
        }
        if let Some(close) = tokens.get(close) {
            found.push(Literal { columns, values: tokens[open].end..close.start, cells });
        }
    }
    found
}
