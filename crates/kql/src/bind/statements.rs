//! Statements: `let`, `declare query_parameters`, `set`; the last query is the result.

use std::rc::Rc;

use super::operators::several::last_operator;
use super::scope::{Binding, Cx, Env, Lazy, Relation, Scalar, Use, UserFunction};
use super::{Binder, diagnostics as code};
use crate::plan::{Expr, ExprKind as Bound};
use crate::syntax::ast::{self, ExprKind, Function, LetValue, Name, OperatorKind, ParameterType, Script, StatementKind};

impl Binder<'_> {
    /// Binds a whole text.
    pub(super) fn script(&mut self, script: &Script) -> Relation {
        let (env, last) = self.statements(script, Env::default());
        self.last_operator = last.and_then(last_operator).map(|operator| operator.place.clone());
        match last {
            Some(query) if self.is_table(query, &env) || !is_plainly_scalar(query) || is_unknown_name(query, &env) => {
                if let Some(place) = two_tables(query) {
                    let help = "end the statement with `;` and ask for one of them by its name".to_owned();
                    self.report_with(code::UNSUPPORTED, place, "two tables at once are not supported here yet", Some(help));
                }
                self.table(query, &env)
            }
            Some(query) => {
                self.scalar(query, &mut Cx::constant(&env));
                let help = Some("`print …` shows the value of an expression".to_owned());
                self.report_with(code::TABLE_WANTED, &query.place, "a query must give a table", help);
                Relation::unknown()
            }
            None if self.strict && !script.statements.is_empty() => {
                self.postpone(code::NO_QUERY, &(0..0), "there is no query here");
                Relation::unknown()
            }
            None => {
                let end = script.statements.last().map_or(0..0, |statement| statement.place.clone());
                self.report(code::NO_QUERY, &end, "there is no query here");
                Relation::unknown()
            }
        }
    }

    /// Binds the statements; returns the environment and the last query.
    pub(super) fn statements<'a>(&mut self, script: &'a Script, mut env: Env) -> (Env, Option<&'a ast::Expr>) {
        let mut last = None;
        let mut given = super::naming::Names::default();
        for (number, statement) in script.statements.iter().enumerate() {
            if let StatementKind::Let { name, .. } = &statement.kind
                && !given.take(&name.text)
            {
                self.report(code::DUPLICATE_NAME, &name.place, format!("there is a variable `{}` already", name.text));
            }
            match &statement.kind {
                StatementKind::Let { name, value: LetValue::Expr(value) } => env = self.let_value(name, value, env),
                StatementKind::Let { name, value: LetValue::Function(function) } => env = self.let_function(name, function, env),
                StatementKind::Set { name, value } => {
                    self.set_property(name, value.as_deref(), &mut Cx::constant(&env));
                }
                StatementKind::QueryParameters(parameters) => {
                    for parameter in parameters {
                        env = self.query_parameter(parameter, env);
                    }
                }
                StatementKind::Pattern(pattern) => env = self.declare_pattern(pattern, env),
                StatementKind::Other { what } if self.strict => {
                    self.postpone(code::UNSUPPORTED, &statement.place, format!("`{what}` is not supported here yet"));
                }
                StatementKind::Other { what } => self.unsupported(&statement.place, &format!("`{what}`")),
                StatementKind::Query(query) => {
                    if number + 1 < script.statements.len() {
                        env = self.named_tables(query, env);
                    }
                    last = Some(query);
                }
            }
        }
        (env, last)
    }

    /// `… | graph-to-table nodes as N, edges as E;` defines tables for later statements.
    fn named_tables(&mut self, query: &ast::Expr, env: Env) -> Env {
        let ExprKind::Pipe { source, operators } = &query.kind else { return env };
        let Some(OperatorKind::GraphToTable(tables)) = operators.last().map(|operator| &operator.kind) else { return env };
        let mut inner = env.clone();
        let input = self.relation(source, &inner);
        self.pipe(operators, input, &mut inner);
        let aliases = tables.iter().filter_map(|table| table.alias.as_ref());
        aliases.fold(env, |env, alias| match inner.get(&alias.text) {
            Some(binding) => env.with(&alias.text, binding.clone()),
            None => env,
        })
    }

    fn let_value(&mut self, name: &Name, value: &ast::Expr, env: Env) -> Env {
        // `let f = g;` where `g` is a function defines an alias.
        if let ExprKind::Name(other) = &value.kind
            && let Some(binding @ Binding::Function(_)) = env.get(&other.text)
        {
            let binding = binding.clone();
            return self.define(name, binding, env);
        }
        if self.is_table(value, &env) || !is_plainly_scalar(value) {
            let lazy = Lazy::new(value, &env);
            let before = self.diagnostics.len();
            let found = self.trial(|binder| binder.relation(value, &env));
            self.hold_missing(before, &lazy.use_of);
            self.saw_table(name, &found);
            return self.define(name, Binding::Table(Rc::new(lazy)), env);
        }
        let bound = self.scalar(value, &mut Cx::constant(&env));
        self.define(name, Binding::Scalar(bound), env)
    }

    /// A missing table is an error of the `let` that reads it only if the `let` is never used; otherwise the use reports it, unless
    /// `union isfuzzy=true` tolerates it.
    fn hold_missing(&mut self, before: usize, use_of: &Use) {
        if self.diagnostics[before..].iter().any(|found| found.code == code::UNKNOWN_TABLE) {
            use_of.hold();
            let found = self.diagnostics.split_off(before);
            self.held.push((use_of.clone(), found));
        }
    }

    fn define(&mut self, name: &Name, binding: Binding, env: Env) -> Env {
        self.saw_definition(name, &binding);
        env.with(&name.text, binding)
    }

    fn let_function(&mut self, name: &Name, function: &Function, env: Env) -> Env {
        let is_table = |parameter: &ast::Parameter| matches!(parameter.ty, ParameterType::Table(_));
        let first_scalar = function.parameters.iter().position(|parameter| !is_table(parameter)).unwrap_or(function.parameters.len());
        if let Some(late) = function.parameters[first_scalar..].iter().find(|parameter| is_table(parameter)) {
            self.report(code::BAD_OPTION, &late.name.place, "parameters that are tables stand before the others");
        }
        let tabular = self.body_is_table(function, &env);
        let bound = UserFunction {
            name: name.text.clone(),
            function: function.clone(),
            env: env.clone(),
            tabular,
            stored: false,
            use_of: Use::default(),
        };
        let before = self.diagnostics.len();
        self.trial(|binder| {
            let inner = binder.opaque_parameters(function, &env);
            let (inner, last) = binder.statements(&function.body, inner);
            match last {
                Some(body) if tabular => drop(binder.relation(body, &inner)),
                Some(body) => drop(binder.scalar(body, &mut Cx::constant(&inner))),
                None => {}
            }
        });
        self.hold_missing(before, &bound.use_of);
        self.define(name, Binding::Function(Rc::new(bound)), env)
    }

    fn query_parameter(&mut self, parameter: &ast::Parameter, env: Env) -> Env {
        if let (true, ParameterType::Table(columns)) = (self.strict, &parameter.ty) {
            self.postpone(code::UNSUPPORTED, &parameter.name.place, "a tabular query parameter cannot be given here");
            let mut relation = Relation::unknown();
            relation.rel.fields = columns.iter().flatten().map(|(name, ty)| self.typed(&name.text, *ty)).collect();
            relation.open = false;
            let shared = self.share(relation);
            return env.with(&parameter.name.text, Binding::Shared(Rc::new(shared)));
        }
        let ParameterType::Scalar(ty) = parameter.ty else {
            self.unsupported(&parameter.name.place, "a tabular query parameter");
            return env;
        };
        let value = match &parameter.default {
            Some(default) => {
                let value = self.scalar(default, &mut Cx::constant(&env));
                if self.strict && value.known && !super::judge::promotes(value.ty(), ty) {
                    self.report(code::WRONG_TYPE, &default.place, format!("the parameter is a {ty}, this is a {}", value.ty()));
                }
                self.cast(value, ty)
            }
            None => Scalar::known(Self::null(ty)),
        };
        self.define(&parameter.name, Binding::Scalar(value), env)
    }

    /// Parameters with known names and types but no values.
    fn opaque_parameters(&mut self, function: &Function, env: &Env) -> Env {
        let mut env = env.clone();
        for parameter in &function.parameters {
            let binding = match &parameter.ty {
                ParameterType::Scalar(ty) => {
                    let id = self.fresh();
                    self.parameters.insert(id);
                    let expr = Expr { kind: Bound::Column(id), ty: *ty };
                    self.saw_definition(&parameter.name, &Binding::Scalar(Scalar::known(expr.clone())));
                    Binding::Scalar(Scalar { expr, known: self.strict })
                }
                ParameterType::Table(columns) => {
                    let mut relation = Relation::unknown();
                    // Editors offer the declared columns.
                    if self.strict || self.trace.is_some() {
                        // `(*)` has no columns that the body may rely on.
                        relation.rel.fields = columns.iter().flatten().map(|(name, ty)| self.typed(&name.text, *ty)).collect();
                        relation.open = !self.strict;
                        self.saw_table(&parameter.name, &relation);
                    }
                    let shared = self.share(relation);
                    Binding::Shared(Rc::new(shared))
                }
            };
            env = env.with(&parameter.name.text, binding);
        }
        env
    }

    /// True if the body of a function returns a table.
    pub(super) fn body_is_table(&mut self, function: &Function, env: &Env) -> bool {
        if !self.enter(&function.place) {
            return true;
        }
        let mut env = self.opaque_parameters(function, env);
        let mut last = None;
        for statement in &function.body.statements {
            match &statement.kind {
                StatementKind::Let { name, value: LetValue::Expr(value) } => {
                    let binding = if self.is_table(value, &env) {
                        Binding::Table(Rc::new(Lazy::new(value, &env)))
                    } else {
                        Binding::Scalar(Self::unknown_scalar())
                    };
                    env = env.with(&name.text, binding);
                }
                StatementKind::Let { name, value: LetValue::Function(inner) } => {
                    let tabular = self.body_is_table(inner, &env);
                    let bound = UserFunction {
                        name: name.text.clone(),
                        function: inner.clone(),
                        env: env.clone(),
                        tabular,
                        stored: false,
                        use_of: Use::default(),
                    };
                    env = env.with(&name.text, Binding::Function(Rc::new(bound)));
                }
                StatementKind::Query(query) => last = Some(query),
                _ => {}
            }
        }
        let tabular = last.is_some_and(|query| self.is_table(query, &env) || !is_plainly_scalar(query));
        self.leave();
        tabular
    }
}

/// Finds a final `graph-to-table` of nodes and edges.
fn two_tables(query: &ast::Expr) -> Option<&ast::Place> {
    let ExprKind::Pipe { operators, .. } = &query.kind else { return None };
    let last = operators.last()?;
    matches!(&last.kind, OperatorKind::GraphToTable(tables) if tables.len() > 1).then_some(&last.keyword)
}

/// True for a single unresolved name, which is assumed to be a table.
fn is_unknown_name(query: &ast::Expr, env: &Env) -> bool {
    matches!(&query.kind, ExprKind::Name(name) if env.get(&name.text).is_none())
}

/// True if an expression that is not a table can only be a scalar.
fn is_plainly_scalar(expr: &ast::Expr) -> bool {
    match &expr.kind {
        ExprKind::Paren(inner) => is_plainly_scalar(inner),
        ExprKind::Pipe { .. }
        | ExprKind::Source(_)
        | ExprKind::Materialize(_)
        | ExprKind::DataTable { .. }
        | ExprKind::ExternalData { .. } => false,
        _ => true,
    }
}
