//! Row sources: tables, `let` tables, functions, pipes, literal tables.

use std::rc::Rc;
use std::sync::Arc;

use model::Type;

use super::answers::TABLES_ELSEWHERE;
use super::operators::is_graph;
use super::pattern::pattern_of;
use super::relation::INGESTION_TIME;
use super::scope::{Binding, Cx, Env, Lazy, Relation, SharedTable};
use super::{Binder, External, HIGHEST, WIDEST, diagnostics as code, watchlist_table};
use crate::Value;
use crate::plan::{ExprKind as Bound, Field, Rel, RelOp, TableRef};
use crate::syntax::ast::{self, ExprKind, Name, Operator, Place};

impl Binder<'_> {
    pub(super) fn table(&mut self, expr: &ast::Expr, env: &Env) -> Relation {
        let relation = self.relation(expr, env);
        if is_graph(&relation) {
            self.table_wanted(&expr.place, "a table is wanted here, this is a graph");
            return Relation::unknown();
        }
        relation
    }

    /// A table or a graph.
    pub(super) fn relation(&mut self, expr: &ast::Expr, env: &Env) -> Relation {
        if !self.enter(&expr.place) {
            return Relation::unknown();
        }
        // Staged subexpressions of an outer operator do not belong to inner ones.
        let staged = std::mem::take(&mut self.staged);
        let bound = if self.count(&expr.place) { self.table_inner(expr, env) } else { Relation::unknown() };
        self.staged = staged;
        self.leave();
        bound
    }

    fn table_inner(&mut self, expr: &ast::Expr, env: &Env) -> Relation {
        match &expr.kind {
            ExprKind::Name(name) => self.named_table(name, env),
            ExprKind::Call(call) => self.table_call(call, None, &expr.place, &mut Cx::constant(env)),
            ExprKind::Paren(inner) => self.relation(inner, env),
            ExprKind::Pipe { source, operators } => {
                let mut env = env.clone();
                let input = self.relation(source, &env);
                self.pipe(operators, input, &mut env)
            }
            ExprKind::Source(operator) => self.source_operator(operator, env),
            ExprKind::Materialize(inner) => self.table(inner, env),
            ExprKind::DataTable { columns, values } => self.data_table(columns, values, env),
            ExprKind::ExternalData { columns, locations, options } => self.external_data(columns, locations, options, &expr.place, env),
            ExprKind::Member { object, name } => match pattern_of(object, env) {
                Some((pattern, call)) => self.pattern_table(&pattern, call, Some(name), &expr.place, env),
                None => self.elsewhere(object, name, &expr.place, env),
            },
            ExprKind::MemberCall { object, call } => {
                let name =
                    call.args.first().filter(|_| call.name.text == "table").and_then(|arg| self.text(arg, "the name of the table", env));
                match name {
                    Some(text) => self.elsewhere(object, &Name { text, place: call.args[0].place.clone(), quoted: true }, &expr.place, env),
                    None => self.open_table(&expr.place, "functions of other workspaces and clusters are not here".to_owned()),
                }
            }
            ExprKind::Wildcard(name) => {
                self.report_with(
                    code::TABLE_WANTED,
                    &name.place,
                    "`*` cannot stand here",
                    Some(format!("`union {}` reads several tables", name.text)),
                );
                Relation::unknown()
            }
            ExprKind::Error => Relation::unknown(),
            _ => {
                self.report(code::TABLE_WANTED, &expr.place, "a table is wanted here, this is a value");
                Relation::unknown()
            }
        }
    }

    pub(super) fn pipe(&mut self, operators: &[Operator], mut input: Relation, env: &mut Env) -> Relation {
        if operators.len() > HIGHEST {
            self.report(code::TOO_LARGE, &operators[HIGHEST].place, format!("more than {HIGHEST} operators follow each other"));
            return Relation::unknown();
        }
        for operator in operators {
            if !self.count(&operator.place) {
                return Relation::unknown();
            }
            let width = input.rel.fields.len();
            if self.strict {
                input = self.judged_step(operator, input, env);
            } else {
                input = self.operator_over(operator, input, env);
            }
            // A union may have more columns than a query may compute.
            use ast::OperatorKind as Op;
            let joins =
                matches!(operator.kind, Op::Join { .. } | Op::Lookup { .. } | Op::Union { .. } | Op::Search { .. } | Op::Find { .. });
            if !joins && input.rel.fields.len() > WIDEST.max(width) {
                let message = format!("this gives {} columns, more than {WIDEST}", input.rel.fields.len());
                self.report(code::TOO_LARGE, &operator.place, message);
                return Relation::unknown();
            }
        }
        // With `let`s expanded, a pipe may be longer than its text.
        if let (Some(last), true) = (operators.last(), input.rel.height() > HIGHEST * 2) {
            self.report(code::TOO_LARGE, &last.place, format!("with its `let`s the query comes to more than {} steps", HIGHEST * 2));
            return Relation::unknown();
        }
        input
    }

    /// Binds an operator in a check. The output of an open table is open too, so an unknown name may be one of its columns. Columns named
    /// by an operator are known nevertheless.
    fn judged_step(&mut self, operator: &Operator, input: Relation, env: &mut Env) -> Relation {
        let outer = std::mem::replace(&mut self.around, input.visible().cloned().collect());
        let outer_open = std::mem::replace(&mut self.around_open, input.open);
        let (was_open, was_listed) = (input.open, self.is_listed(&input));
        let mut answer = self.operator_over(operator, input, env);
        (self.around, self.around_open) = (outer, outer_open);
        use ast::OperatorKind as Op;
        let closes =
            matches!(operator.kind, Op::Count | Op::GetSchema | Op::Join { .. } | Op::Lookup { .. } | Op::Union { .. } | Op::Invoke(_));
        if was_open && !closes {
            let adds = matches!(
                operator.kind,
                Op::Extend(_)
                    | Op::Where(_)
                    | Op::Sort { .. }
                    | Op::Take { .. }
                    | Op::Top { .. }
                    | Op::MvExpand { .. }
                    | Op::Parse { .. }
                    | Op::ProjectAway(_)
                    | Op::ProjectRename(_)
                    | Op::ProjectReorder(_)
                    | Op::Serialize(_)
                    | Op::As { .. }
                    | Op::Distinct { .. }
            );
            if !answer.open || (was_listed && adds) {
                let ids: Vec<_> = answer.visible().map(|field| field.id).collect();
                self.listed.extend(ids);
            }
            answer.open = true;
        }
        answer
    }

    /// True if all columns of an open table that are shown to users are known.
    pub(super) fn is_listed(&self, relation: &Relation) -> bool {
        relation.open && relation.visible().next().is_some() && relation.visible().all(|field| self.listed.contains(&field.id))
    }

    fn named_table(&mut self, name: &Name, env: &Env) -> Relation {
        match env.get(&name.text).cloned() {
            Some(Binding::Table(lazy)) => return self.lazy(&lazy),
            Some(Binding::Shared(shared)) => return self.reuse(&shared),
            Some(Binding::Pattern(_)) => {
                let help = Some(format!("`{}(…)` asks it for a table", name.text));
                self.report_with(code::TABLE_WANTED, &name.place, format!("`{}` is a pattern, not a table", name.text), help);
                return Relation::unknown();
            }
            Some(Binding::Function(function)) => {
                return self.table_user_call(&function, &[], None, &name.place, &mut Cx::constant(env));
            }
            Some(Binding::Scalar(value)) => {
                if value.known {
                    self.report(code::TABLE_WANTED, &name.place, format!("`{}` is a value, not a table", name.text));
                }
                return Relation::unknown();
            }
            None => {}
        }
        if let Some(columns) = self.schema.table(&name.text) {
            return self.scan(TableRef { name: name.text.clone(), computed: None }, columns);
        }
        if let Some(function) = self.stored(&name.text) {
            return self.table_user_call(&function, &[], None, &name.place, &mut Cx::constant(env));
        }
        if is_asim(&name.text) {
            return self.asim(&name.text, &name.place);
        }
        self.unknown_table(&name.text, &name.place, env);
        Relation::unknown()
    }

    fn unknown_table(&mut self, name: &str, place: &Place, env: &Env) {
        let mut nearest = code::Nearest::to(name);
        env.names().filter(|(_, binding)| !matches!(binding, Binding::Scalar(_))).for_each(|(name, _)| nearest.try_name(name));
        self.schema.each_table(&mut |name| nearest.try_name(name));
        self.schema.each_unlisted_table(&mut |name| nearest.try_name(name));
        let help = nearest.help();
        self.report_with(code::UNKNOWN_TABLE, place, format!("there is no table `{name}`"), help);
    }

    /// One use of a tabular `let`.
    fn lazy(&mut self, lazy: &Rc<Lazy>) -> Relation {
        lazy.use_of.set();
        let materialized = match &lazy.expr.kind {
            ExprKind::Materialize(inner) => Some(&**inner),
            _ => None,
        };
        match materialized {
            Some(inner) if self.trials == 0 => {
                let shared: Rc<SharedTable> = match lazy.shared.get() {
                    Some(shared) => shared.clone(),
                    None => {
                        let relation = self.table(inner, &lazy.env);
                        let shared = Rc::new(self.share(relation));
                        lazy.shared.get_or_init(|| shared).clone()
                    }
                };
                self.reuse(&shared)
            }
            _ => self.relation(&lazy.expr, &lazy.env),
        }
    }

    pub(super) fn scan(&mut self, table: TableRef, columns: Vec<model::Column>) -> Relation {
        let mut fields = Vec::with_capacity(columns.len() + 1);
        let mut names = Vec::with_capacity(columns.len() + 1);
        for column in columns.into_iter().filter(|column| column.name != INGESTION_TIME) {
            fields.push(self.typed(&column.name, column.ty));
            names.push(column.name);
        }
        if self.with_ingestion && table.computed.is_none() {
            fields.push(self.typed(INGESTION_TIME, Type::Datetime));
            names.push(INGESTION_TIME.to_owned());
        }
        let rel = Rel { op: RelOp::Scan { table, columns: names }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open: false }
    }

    /// A table whose columns are known only at its source.
    fn open_table(&mut self, place: &Place, why: String) -> Relation {
        self.postpone(code::UNKNOWN_TABLE, place, why);
        Relation::unknown()
    }

    /// An ASIM parser that is not installed: only the columns common to all tables are known.
    fn asim(&mut self, name: &str, place: &Place) -> Relation {
        let mut open = self.open_table(place, format!("the parser `{name}` is not here"));
        for (name, ty) in [("TimeGenerated", Type::Datetime), ("Type", Type::String)] {
            let field = self.typed(name, ty);
            open.rel.fields.push(field);
        }
        open
    }

    /// A call that returns a table. `piped` is the input of `invoke`.
    pub(super) fn table_call(&mut self, call: &ast::Call, piped: Option<Relation>, place: &Place, cx: &mut Cx) -> Relation {
        let name = call.name.text.as_str();
        let function = match cx.env.get(name) {
            Some(Binding::Function(function)) => Some(function.clone()),
            Some(Binding::Pattern(pattern)) => {
                let pattern = pattern.clone();
                return self.pattern_table(&pattern, call, None, place, cx.env);
            }
            Some(Binding::Table(_) | Binding::Shared(_)) if call.args.is_empty() && !self.strict => {
                return self.named_table(&call.name, cx.env);
            }
            _ => self.stored(name),
        };
        if let Some(function) = function {
            if !function.tabular {
                self.report(code::TABLE_WANTED, place, format!("`{name}` gives a value, not a table"));
                return Relation::unknown();
            }
            return self.table_user_call(&function, &call.args, piped, place, cx);
        }
        match name {
            "table" if call.args.first().is_some_and(|arg| !self.scalar(arg, &mut Cx::constant(cx.env)).known) => Relation::unknown(),
            "table" => match call.args.first().and_then(|arg| self.text(arg, "the name of the table", cx.env)) {
                Some(text) => self.named_table(&Name { text, place: call.args[0].place.clone(), quoted: true }, &Env::default()),
                None => Relation::unknown(),
            },
            "_GetWatchlist" => self.watchlist(call, place, cx.env),
            "graph" => {
                let help = "`make-graph source --> target` makes a graph of a table".to_owned();
                self.report_with(code::UNSUPPORTED, place, "there are no stored graphs here", Some(help));
                Relation::unknown()
            }
            "materialize" if call.args.len() == 1 => self.table(&call.args[0], cx.env),
            "FileProfile" if piped.is_some() => self.open_table(place, "`FileProfile` asks Microsoft and is not here".to_owned()),
            _ if TABLES_ELSEWHERE.iter().any(|(known, _)| *known == name) => {
                for arg in &call.args {
                    self.scalar(arg, &mut Cx::constant(cx.env));
                }
                let why = TABLES_ELSEWHERE.iter().find(|(known, _)| *known == name).map_or("", |(_, why)| *why);
                self.open_table(place, format!("`{name}`: {why}"))
            }
            _ if is_asim(name) => {
                for arg in &call.args {
                    let value = match &arg.kind {
                        ExprKind::Named { value, .. } => value,
                        _ => arg,
                    };
                    if !self.is_table(value, cx.env) {
                        self.scalar(value, &mut Cx::constant(cx.env));
                    }
                }
                self.asim(name, place)
            }
            _ => {
                let lets = cx.env.names().filter(|(_, binding)| matches!(binding, Binding::Function(_))).map(|(name, _)| name);
                let help = code::did_you_mean(name, lets);
                self.report_with(code::UNKNOWN_FUNCTION, &call.name.place, format!("there is no table function `{name}` here"), help);
                Relation::unknown()
            }
        }
    }

    fn watchlist(&mut self, call: &ast::Call, place: &Place, env: &Env) -> Relation {
        let Some(alias) = call.args.first() else {
            self.report(code::ARGUMENT_COUNT, place, "`_GetWatchlist` wants the alias of a watchlist");
            return Relation::unknown();
        };
        let value = self.scalar(alias, &mut Cx::constant(env));
        let Some(Value::String(alias)) = value.expr.as_const() else {
            return self.open_table(place, "the alias of the watchlist is known only when it runs".to_owned());
        };
        match self.schema.watchlist(alias) {
            Some(columns) => self.scan(TableRef { name: watchlist_table(alias), computed: None }, columns),
            None => {
                let mut open = self.open_table(place, format!("there is no watchlist `{alias}`"));
                for (name, ty) in [("LastUpdatedTimeUTC", Type::Datetime), ("SearchKey", Type::String), ("_DTItemId", Type::String)] {
                    let field = self.typed(name, ty);
                    open.rel.fields.push(field);
                }
                open
            }
        }
    }

    /// `workspace("x").T`, `arg("").resources`: tables of other sources.
    fn elsewhere(&mut self, object: &ast::Expr, name: &Name, place: &Place, env: &Env) -> Relation {
        match root_call(object) {
            Some(root @ ("workspace" | "database" | "cluster" | "app" | "resource" | "arg" | "adx")) => {
                // In a check, the schema of the local table of the same name is used; at run time rows would come from elsewhere.
                let (what, instead) = match root {
                    "database" | "cluster" | "adx" => {
                        ("another cluster or database", "bring its rows into a table here, or drop the prefix")
                    }
                    "workspace" => ("another workspace", "this engine holds one: drop the prefix to read the table of the same name here"),
                    "arg" => ("Azure Resource Graph", "export the resources to a table or a watchlist"),
                    _ => ("an Azure resource", "send its logs here and name their table"),
                };
                self.postpone_with(
                    code::ELSEWHERE,
                    place,
                    format!("`{root}(…)` reads from {what}, and queries here reach this workspace only"),
                    Some(instead.to_owned()),
                );
                match self.schema.table(&name.text).filter(|_| root != "arg") {
                    Some(columns) => self.scan(TableRef { name: name.text.clone(), computed: None }, columns),
                    None => Relation::unknown(),
                }
            }
            _ => {
                self.scalar(object, &mut Cx::constant(env));
                self.report(code::TABLE_WANTED, place, "a table is wanted here, this is a value");
                Relation::unknown()
            }
        }
    }

    /// `externaldata (a:long) [address, …] with (…)`: read if enabled, rejected otherwise.
    fn external_data(
        &mut self,
        columns: &[(Name, Type)],
        locations: &[ast::Expr],
        options: &[(Name, ast::Expr)],
        place: &Place,
        env: &Env,
    ) -> Relation {
        let mut wanted = External {
            columns: columns.iter().map(|(name, ty)| (name.text.clone(), *ty)).collect(),
            locations: Vec::with_capacity(locations.len()),
            format: None,
            ignore_first_record: false,
            mapping: None,
        };
        let mut known = !columns.is_empty();
        for location in locations {
            match self.scalar(location, &mut Cx::constant(env)).expr.as_const() {
                Some(Value::String(text)) => wanted.locations.push(text.clone()),
                _ => known = false,
            }
        }
        for (name, value) in options {
            match name.text.to_ascii_lowercase().as_str() {
                "format" | "dataformat" => wanted.format = self.text(value, "the format", env).map(|text| text.to_ascii_lowercase()),
                "ignorefirstrecord" | "includeheaders" => {
                    let flag = self.scalar(value, &mut Cx::constant(env)).expr.as_const().map(Value::to_text);
                    wanted.ignore_first_record = flag.is_some_and(|flag| ["true", "all"].iter().any(|yes| flag.eq_ignore_ascii_case(yes)));
                }
                "ingestionmapping" => wanted.mapping = self.text(value, "the mapping", env),
                // Names of stored mappings, encodings and similar: unsupported options must not be ignored at run time.
                _ => known = false,
            }
        }
        let read = if known && self.trials == 0 { self.schema.external(&wanted) } else { Ok(None) };
        match read {
            Ok(Some(number)) => {
                let columns = columns.iter().map(|(name, ty)| model::Column::new(name.text.clone(), *ty)).collect();
                self.scan(TableRef { name: "externaldata".to_owned(), computed: Some(number) }, columns)
            }
            Ok(None) => {
                self.postpone_with(
                    code::EXTERNAL_DATA,
                    place,
                    "`externaldata` reads from outside, which is not allowed here",
                    Some("keep the rows as a watchlist or a table, or let the operator allow the place: `bartizan query --external FOLDER`, `external` in the configuration of the service".to_owned()),
                );
                let fields: Vec<Field> = columns.iter().map(|(name, ty)| self.typed(&name.text, *ty)).collect();
                let rel = Rel { op: RelOp::Values { rows: Arc::default() }, fields, order: Vec::new(), serialized: false };
                Relation { rel, open: false }
            }
            Err(message) => {
                self.report(code::EXTERNAL_DATA, place, message);
                Relation::unknown()
            }
        }
    }

    /// `datatable (a:long) [ … ]`: only literals, as required by Kusto.
    fn data_table(&mut self, columns: &[(Name, Type)], values: &[ast::Expr], env: &Env) -> Relation {
        let mut names = super::naming::Names::default();
        for (name, _) in columns {
            if !names.take(&name.text) {
                self.report(code::DUPLICATE_NAME, &name.place, format!("there are two columns `{}`", name.text));
            }
        }
        let fields: Vec<Field> = columns.iter().map(|(name, ty)| self.typed(&name.text, *ty)).collect();
        if let (Some(last), false) = (values.last(), columns.is_empty() || values.len().is_multiple_of(columns.len())) {
            let message = format!("{} values do not fill rows of {} columns", values.len(), columns.len());
            self.report(code::ARGUMENT_COUNT, &last.place, message);
        }
        let mut rows = Vec::with_capacity(values.len() / columns.len().max(1));
        for chunk in values.chunks_exact(columns.len().max(1)) {
            let row = chunk.iter().zip(columns).map(|(value, (_, ty))| self.literal(value, *ty, env)).collect();
            rows.push(row);
        }
        let rel = Rel { op: RelOp::Values { rows: Arc::new(rows) }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open: false }
    }

    /// A cell of a literal table.
    fn literal(&mut self, expr: &ast::Expr, ty: Type, env: &Env) -> Value {
        let null = || if ty == Type::String { Value::String(String::new()) } else { Value::Null(ty) };
        if !is_literal(expr) {
            self.scalar(expr, &mut Cx::constant(env));
            self.report(code::NOT_CONSTANT, &expr.place, "only literals can stand in a `datatable`");
            return null();
        }
        let value = self.scalar(expr, &mut Cx::constant(env));
        if !value.known {
            return null();
        }
        if value.ty() != ty && value.ty() == Type::String {
            // Kusto parses strings as the column type.
            let reader = match ty {
                Type::Dynamic => {
                    return match value.expr.as_const().and_then(Value::as_str) {
                        Some(text) => Value::Dynamic(serde_json::Value::String(text.to_owned()).to_string()),
                        None => null(),
                    };
                }
                Type::Bool => "tobool",
                Type::Int => "toint",
                Type::Long => "tolong",
                Type::Real => "todouble",
                Type::Decimal => "todecimal",
                Type::Datetime => "todatetime",
                Type::Timespan => "totimespan",
                Type::Guid => "toguid",
                Type::String => "tostring",
            };
            let read = self.call_as(reader, vec![value], ty);
            return read.expr.as_const().cloned().unwrap_or_else(null);
        }
        let from = value.ty();
        let read = match (from, ty) {
            (Type::Dynamic, _) | (_, Type::Dynamic) if from != ty => self.call_as("$cast", vec![value], ty),
            _ => self.cast(value, ty),
        };
        match read.expr.kind {
            Bound::Const(value) => value,
            _ => {
                self.report(code::WRONG_TYPE, &expr.place, format!("a {from} cannot stand in a column of type {ty}"));
                null()
            }
        }
    }

    // ---- is it a table?

    /// Like [`Binder::is_table`], if columns are visible too.
    pub(super) fn is_table_in(&mut self, expr: &ast::Expr, cx: &Cx) -> bool {
        match &expr.kind {
            ExprKind::Name(name) if super::scalar::find(cx.fields, &name.text).is_some() => false,
            ExprKind::Paren(inner) => self.is_table_in(inner, cx),
            _ => self.is_table(expr, cx.env),
        }
    }

    pub(super) fn is_table(&mut self, expr: &ast::Expr, env: &Env) -> bool {
        match &expr.kind {
            ExprKind::Name(name) => match env.get(&name.text) {
                Some(Binding::Table(_) | Binding::Shared(_)) => true,
                Some(Binding::Function(function)) => function.tabular,
                Some(Binding::Scalar(_) | Binding::Pattern(_)) => false,
                None => {
                    self.schema.has_table(&name.text)
                        || is_asim(&name.text)
                        || self.stored(&name.text).is_some_and(|function| function.tabular)
                }
            },
            ExprKind::Call(call) => match env.get(&call.name.text) {
                Some(Binding::Function(function)) => function.tabular,
                Some(Binding::Table(_) | Binding::Shared(_)) => call.args.is_empty(),
                Some(Binding::Pattern(_)) => true,
                _ => match call.name.text.as_str() {
                    "table" | "_GetWatchlist" | "materialize" => true,
                    name if TABLES_ELSEWHERE.iter().any(|(known, _)| *known == name) => true,
                    name if crate::functions::find(name).is_some() => false,
                    name => self.stored(name).map_or_else(|| is_asim(name), |function| function.tabular),
                },
            },
            ExprKind::Paren(inner) => self.is_table(inner, env),
            ExprKind::Pipe { .. }
            | ExprKind::Source(_)
            | ExprKind::Materialize(_)
            | ExprKind::DataTable { .. }
            | ExprKind::ExternalData { .. } => true,
            ExprKind::Member { object, .. } if pattern_of(object, env).is_some() => true,
            ExprKind::Member { object, .. } | ExprKind::MemberCall { object, .. } => {
                matches!(root_call(object), Some("workspace" | "database" | "cluster" | "app" | "resource" | "arg" | "adx"))
            }
            _ => false,
        }
    }
}

/// The leftmost function called in `f(…).a.b`.
fn root_call(expr: &ast::Expr) -> Option<&str> {
    let mut expr = expr;
    loop {
        match &expr.kind {
            ExprKind::Call(call) => return Some(&call.name.text),
            ExprKind::Member { object, .. } | ExprKind::MemberCall { object, .. } => expr = object,
            _ => return None,
        }
    }
}

/// Names of the ASIM parsers that Microsoft ships with every workspace (`_Im_Dns`, `imAuthentication`, `vimDnsEmpty`).
fn is_asim(name: &str) -> bool {
    let then_upper = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
    name.starts_with("_Im_") || name.starts_with("_ASim_") || then_upper("im") || then_upper("vim") || then_upper("ASim")
}

/// True for literals, including negative ones.
fn is_literal(expr: &ast::Expr) -> bool {
    match &expr.kind {
        ExprKind::Literal(_) | ExprKind::Dynamic(_) | ExprKind::Error => true,
        ExprKind::Unary { operand, .. } => is_literal(operand),
        _ => false,
    }
}
