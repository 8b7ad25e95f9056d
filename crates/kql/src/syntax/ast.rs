//! The syntax tree. Names and literals are as written; nothing is resolved. Every node has its source location.

use std::ops::Range;

use model::Type;

use crate::Value;

/// Byte offsets into the text, half-open.
pub type Place = Range<usize>;

/// A whole text: statements separated by `;`.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub statements: Vec<Statement>,
}

#[derive(Clone, Debug)]
pub struct Statement {
    pub kind: StatementKind,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum StatementKind {
    Let {
        name: Name,
        value: LetValue,
    },
    /// `set name = value` or `set name`.
    Set {
        name: Name,
        value: Option<Box<Expr>>,
    },
    /// `declare query_parameters(a:long = 1, …)`.
    QueryParameters(Vec<Parameter>),
    /// `declare pattern name = (a:string)[path:string] { ("x").["y"] = { query }; … }`, or without the part from `=` on.
    Pattern(Pattern),
    /// `alias database …`, `restrict access to …`: kept as text.
    Other {
        what: &'static str,
    },
    /// A query or a scalar expression; the last one is the result.
    Query(Expr),
}

#[derive(Clone, Debug)]
pub struct Pattern {
    pub name: Name,
    pub parameters: Vec<Parameter>,
    pub path: Option<Parameter>,
    pub cases: Vec<PatternCase>,
}

/// `("x").["y"] = { let …; query }`
#[derive(Clone, Debug)]
pub struct PatternCase {
    pub args: Vec<Expr>,
    pub path: Option<Name>,
    pub body: Script,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum LetValue {
    /// A scalar or a tabular expression, not distinguished before names are resolved.
    Expr(Expr),
    Function(Function),
}

/// `[view] (a:long, T:(*), b:string = "x") { let …; body }`
#[derive(Clone, Debug)]
pub struct Function {
    pub view: bool,
    pub parameters: Vec<Parameter>,
    pub body: Script,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: Name,
    pub ty: ParameterType,
    pub default: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum ParameterType {
    Scalar(Type),
    /// `T:(a:long, b:string)`; `None` is `T:(*)`.
    Table(Option<Vec<(Name, Type)>>),
}

/// An identifier, without the quotes of `['…']`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub text: String,
    pub place: Place,
    /// Written as `['…']` or `["…"]`.
    pub quoted: bool,
}

#[derive(Clone, Debug)]
pub struct Expr {
    pub kind: ExprKind,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A literal with its type: `1`, `1.5`, `true`, `"x"`, `1h`, `datetime(…)`, `guid(…)`, `long(null)`, `decimal(…)`.
    Literal(Value),
    /// `dynamic(…)`: JSON text with Kusto's own literals (`datetime(…)`, `1d`) already turned into JSON.
    Dynamic(String),
    /// A column, a variable, a table, …
    Name(Name),
    /// `*`, alone or as an argument.
    Star,
    /// A name with `*` in it, for `union`, `search in`, `project-away`.
    Wildcard(Name),
    /// Also `typeof(…)`, whose arguments are names of types, `*`, and `name:type` as [`ExprKind::Named`]; and `entity_group […]`.
    Call(Call),
    /// `a.b`
    Member { object: Box<Expr>, name: Name },
    /// `a.f(b)`, as in `database("x").table("y")`.
    MemberCall { object: Box<Expr>, call: Call },
    /// `a[b]`
    Index { object: Box<Expr>, index: Box<Expr> },
    /// `-a`, `+a`
    Unary { op: &'static str, operand: Box<Expr> },
    /// Arithmetic, comparison, string operators, `and`, `or`: the operator as written in lower case (`=~`, `!has_cs`, `matches regex`, `<>`);
    /// `:` in `search`. A chain of `and` or of `or` is a balanced tree, so that long ones do not nest deeply.
    Binary { op: &'static str, left: Box<Expr>, right: Box<Expr>, op_place: Place },
    /// `a in (…)`, `!in`, `in~`, `!in~`, `has_any`, `has_all`. A single tabular element is a subquery.
    In { op: &'static str, left: Box<Expr>, list: Vec<Expr> },
    /// `a between (b .. c)`, `!between`
    Between { negated: bool, operand: Box<Expr>, low: Box<Expr>, high: Box<Expr> },
    /// `name = expr` in an argument list, projection or aggregate list; several names for `(a, b) = expr`.
    Named { names: Vec<Name>, value: Box<Expr> },
    /// `(expr)`: a scalar or a whole query.
    Paren(Box<Expr>),
    /// `T | op | op`. Without operators the source is used directly.
    Pipe { source: Box<Expr>, operators: Vec<Operator> },
    /// A source operator without a pipe in front: `union A, B`, `print …`, `range …`, `search …`, `find …`, `datatable …`, `externaldata …`.
    Source(Box<Operator>),
    /// `toscalar(query)`
    ToScalar(Box<Expr>),
    /// `materialize(query)`
    Materialize(Box<Expr>),
    /// `datatable (a:long) [ … ]`
    DataTable { columns: Vec<(Name, Type)>, values: Vec<Expr> },
    /// `externaldata (a:long) [ "url" ] with (format="csv")`
    ExternalData { columns: Vec<(Name, Type)>, locations: Vec<Expr>, options: Vec<(Name, Expr)> },
    /// `[a, b]` as in `row_window_session`-style lists or legacy arrays.
    List(Vec<Expr>),
    /// Text that could not be parsed; a diagnostic gives the reason.
    Error,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub name: Name,
    pub args: Vec<Expr>,
}

/// One `| operator` of a pipe.
#[derive(Clone, Debug)]
pub struct Operator {
    pub kind: OperatorKind,
    pub place: Place,
    /// Location of the keyword, for messages.
    pub keyword: Place,
}

/// `hint.strategy=shuffle`, `kind=inner`, `isfuzzy=true`, `withsource=T`, … in front of an operator's body.
#[derive(Clone, Debug)]
pub struct Property {
    pub name: Name,
    pub value: Expr,
}

#[derive(Clone, Debug)]
pub enum OperatorKind {
    Where(Expr),
    Extend(Vec<Expr>),
    Project(Vec<Expr>),
    /// Names, possibly wildcards.
    ProjectAway(Vec<Expr>),
    ProjectKeep(Vec<Expr>),
    /// `new = old`
    ProjectRename(Vec<Expr>),
    /// Names, possibly wildcards, with `asc`/`desc` for wildcards.
    ProjectReorder(Vec<SortKey>),
    ProjectByNames(Vec<Expr>),
    Summarize {
        properties: Vec<Property>,
        aggregates: Vec<Expr>,
        by: Vec<Expr>,
        has_by: bool,
    },
    Distinct {
        properties: Vec<Property>,
        columns: Vec<Expr>,
    },
    Count,
    Take {
        properties: Vec<Property>,
        count: Box<Expr>,
    },
    Sort {
        properties: Vec<Property>,
        keys: Vec<SortKey>,
    },
    Top {
        count: Box<Expr>,
        keys: Vec<SortKey>,
    },
    TopHitters {
        count: Box<Expr>,
        of: Box<Expr>,
        by: Option<Box<Expr>>,
    },
    TopNested(Vec<TopNestedLevel>),
    Join {
        properties: Vec<Property>,
        right: Box<Expr>,
        on: JoinOn,
    },
    Lookup {
        properties: Vec<Property>,
        right: Box<Expr>,
        on: JoinOn,
    },
    /// Tables after the keyword; in a pipe the input comes first.
    Union {
        properties: Vec<Property>,
        tables: Vec<Expr>,
    },
    MvExpand {
        properties: Vec<Property>,
        items: Vec<MvItem>,
        limit: Option<Box<Expr>>,
    },
    MvApply {
        properties: Vec<Property>,
        items: Vec<MvItem>,
        limit: Option<Box<Expr>>,
        id: Option<Name>,
        body: Box<SubPipe>,
    },
    Parse {
        where_: bool,
        properties: Vec<Property>,
        expr: Box<Expr>,
        pattern: Vec<ParsePart>,
    },
    ParseKv {
        expr: Box<Expr>,
        columns: Vec<(Name, Type)>,
        options: Vec<Property>,
    },
    MakeSeries {
        properties: Vec<Property>,
        aggregates: Vec<MakeSeriesAggregate>,
        on: Box<Expr>,
        from: Option<Box<Expr>>,
        to: Option<Box<Expr>>,
        step: Option<Box<Expr>>,
        in_range: bool,
        by: Vec<Expr>,
    },
    Serialize(Vec<Expr>),
    Sample {
        count: Box<Expr>,
    },
    SampleDistinct {
        count: Box<Expr>,
        of: Box<Expr>,
    },
    Reduce {
        by: Box<Expr>,
        options: Vec<Property>,
    },
    Render {
        visualization: Name,
        properties: Vec<Property>,
    },
    Evaluate {
        properties: Vec<Property>,
        call: Call,
        schema: Option<Vec<(Name, Type)>>,
        schema_star: bool,
    },
    Invoke(Call),
    As {
        properties: Vec<Property>,
        name: Name,
    },
    Partition {
        properties: Vec<Property>,
        by: Box<Expr>,
        body: Box<PartitionBody>,
    },
    Scan {
        properties: Vec<Property>,
        declare: Vec<Parameter>,
        order: Vec<SortKey>,
        partition: Vec<Expr>,
        steps: Vec<ScanStep>,
    },
    Fork(Vec<(Option<Name>, SubPipe)>),
    Facet {
        by: Vec<Expr>,
        with: Option<Box<SubPipe>>,
    },
    GetSchema,
    Consume,
    Search {
        properties: Vec<Property>,
        tables: Vec<Expr>,
        predicate: Box<Expr>,
    },
    Find {
        properties: Vec<Property>,
        tables: Vec<Expr>,
        predicate: Option<Box<Expr>>,
        project: Option<Vec<Expr>>,
        project_smart: bool,
        project_away: Vec<Expr>,
    },
    Print(Vec<Expr>),
    Range {
        name: Name,
        from: Box<Expr>,
        to: Box<Expr>,
        step: Box<Expr>,
    },
    /// `with_node_id` is among the properties.
    MakeGraph {
        source: Name,
        target: Name,
        properties: Vec<Property>,
        nodes: Vec<(Expr, Name)>,
        partitioned_by: Option<(Name, SubPipe)>,
    },
    GraphMatch {
        properties: Vec<Property>,
        patterns: Vec<Vec<GraphElement>>,
        condition: Option<Box<Expr>>,
        project: Vec<Expr>,
        shortest: bool,
    },
    GraphToTable(Vec<GraphTable>),
    GraphMarkComponents(Vec<Property>),
    GraphWhereNodes(Expr),
    GraphWhereEdges(Expr),
    AssertSchema(Vec<(Name, Type)>),
    MacroExpand,
    /// An unknown operator, with the text after it.
    Unknown(Name),
}

/// `expr asc nulls last`
#[derive(Clone, Debug)]
pub struct SortKey {
    pub expr: Expr,
    /// As written; the default differs by operator.
    pub ascending: Option<bool>,
    pub nulls_first: Option<bool>,
    /// `granny-asc`, `granny-desc` in `project-reorder`.
    pub natural: bool,
}

/// One level of `top-nested`: `[n] of [name =] expr [with others = "x"] by [name =] aggregate [asc|desc]`
#[derive(Clone, Debug)]
pub struct TopNestedLevel {
    pub count: Option<Expr>,
    pub of: Expr,
    pub others: Option<Expr>,
    pub by: Expr,
    pub ascending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub enum JoinOn {
    /// `on Key, $left.a == $right.b`
    Conditions(Vec<Expr>),
    /// No `on`.
    Nothing,
}

/// `[name =] expr [to typeof(type)]`, or `with_itemindex` as a property.
#[derive(Clone, Debug)]
pub struct MvItem {
    pub name: Option<Name>,
    pub expr: Expr,
    pub to: Option<Type>,
}

/// `(op | op | …)` applied to an implicit input.
#[derive(Clone, Debug)]
pub struct SubPipe {
    pub operators: Vec<Operator>,
    pub place: Place,
}

#[derive(Clone, Debug)]
pub enum ParsePart {
    /// `*`
    Star {
        place: Place,
    },
    Text {
        text: String,
        place: Place,
    },
    Column {
        name: Name,
        ty: Option<Type>,
        place: Place,
    },
}

/// `[name =] aggregate [default = expr]`
#[derive(Clone, Debug)]
pub struct MakeSeriesAggregate {
    pub expr: Expr,
    pub default: Option<Expr>,
}

#[derive(Clone, Debug)]
pub enum PartitionBody {
    /// `(op | op)`
    Pipe(SubPipe),
    /// `{ query }`
    Query(Expr),
}

/// `step name [optional] [output=all|last|none]: condition [=> a = expr, …]`
#[derive(Clone, Debug)]
pub struct ScanStep {
    pub name: Name,
    pub optional: bool,
    pub output: Option<Name>,
    pub condition: Expr,
    pub assignments: Vec<(Name, Expr)>,
}

#[derive(Clone, Debug)]
pub enum GraphElement {
    Node(Option<Name>),
    /// `-[e]->`, `<-[e]-`, `-[e]-`, `-[e*1..3]->`
    Edge {
        name: Option<Name>,
        direction: GraphDirection,
        range: Option<(Expr, Expr)>,
    },
}

/// `nodes as N with_node_id=id` of `graph-to-table`.
#[derive(Clone, Debug)]
pub struct GraphTable {
    /// `nodes` or `edges`.
    pub what: Name,
    pub alias: Option<Name>,
    pub properties: Vec<Property>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphDirection {
    Forward,
    Backward,
    Any,
}
