//! Building blocks of relations: projections that preserve the order, window nodes, shared tables.

use std::sync::Arc;

use model::Type;

use super::ids::ColumnSet;
use super::judge::Nature;
use super::naming::{Names, Source, name_of};
use super::scope::{Relation, Scalar, SharedTable, Windows};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::plan::{ColumnId, Expr, ExprKind, Field, Rel, RelOp};
use crate::syntax::ast::{self, Name, Place};

/// An output column: name and expression.
pub(super) type Output = (Arc<str>, Scalar);

/// Hidden column with the ingestion time of a row.
pub(super) const INGESTION_TIME: &str = "$IngestionTime";

impl Relation {
    /// A relation with unknown columns, after an error or if only a run can determine them.
    pub fn unknown() -> Self {
        Self {
            rel: Rel { op: RelOp::Values { rows: Arc::default() }, fields: Vec::new(), order: Vec::new(), serialized: true },
            open: true,
        }
    }

    pub fn visible(&self) -> impl Iterator<Item = &Field> {
        self.rel.fields.iter().filter(|field| !field.is_hidden())
    }

    pub fn find(&self, name: &str) -> Option<&Field> {
        self.visible().find(|field| &*field.name == name)
    }

    /// Adds an operator on top; fields and order are unchanged.
    pub fn wrap(self, op: impl FnOnce(Box<Rel>) -> RelOp) -> Self {
        let (fields, order, serialized) = (self.rel.fields.clone(), self.rel.order.clone(), self.rel.serialized);
        Self { rel: Rel { op: op(Box::new(self.rel)), fields, order, serialized }, open: self.open }
    }

    /// Drops the row order.
    pub fn unordered(mut self) -> Self {
        self.rel.order.clear();
        self.rel.serialized = false;
        self
    }
}

impl Binder<'_> {
    pub(super) fn fresh(&mut self) -> ColumnId {
        let id = ColumnId(self.next_column);
        self.next_column += 1;
        id
    }

    /// A new column for `value`; unknown types stay unknown.
    pub(super) fn field(&mut self, name: &str, value: &Scalar) -> Field {
        self.computed(name.into(), value)
    }

    fn computed(&mut self, name: Arc<str>, value: &Scalar) -> Field {
        let field = Field { id: self.fresh(), name, ty: value.ty() };
        if !value.known {
            self.unknown.insert(field.id);
        }
        let nature = self.nature(&value.expr);
        if nature != Nature::Any {
            self.natures.insert(field.id, nature);
        }
        field
    }

    pub(super) fn typed(&mut self, name: &str, ty: Type) -> Field {
        Field { id: self.fresh(), name: name.into(), ty }
    }

    pub(super) fn column(&self, field: &Field) -> Scalar {
        Scalar { expr: Expr::column(field), known: !self.unknown.contains(&field.id) }
    }

    /// Projects `outputs` over `input`, in this order. The first occurrence of a passed-through column keeps its id. Columns needed for the
    /// row order, and the ingestion time, are kept as hidden fields.
    pub(super) fn project(&mut self, input: Relation, outputs: Vec<Output>) -> Relation {
        let Relation { rel: input, open } = input;
        let mut there = ColumnSet::default();
        let mut fields: Vec<Field> = Vec::with_capacity(outputs.len());
        let mut exprs = Vec::with_capacity(outputs.len());
        for (name, value) in outputs {
            let kept = match value.expr.kind {
                ExprKind::Column(id) if !there.contains(&id) => Some(id),
                _ => None,
            };
            let field = match kept {
                Some(id) => Field { id, name, ty: value.ty() },
                None => self.computed(name, &value),
            };
            there.insert(field.id);
            fields.push(field);
            exprs.push(value.expr);
        }
        let mut needed: Vec<ColumnId> = input.order.iter().flat_map(|key| key.expr.columns()).collect();
        needed.extend(self.carried.iter().copied());
        needed.extend(input.fields.iter().filter(|field| &*field.name == INGESTION_TIME).map(|field| field.id));
        for id in needed {
            if !there.insert(id) {
                continue;
            }
            if let Some(field) = input.fields.iter().find(|field| field.id == id) {
                let name: Arc<str> = if &*field.name == INGESTION_TIME { field.name.clone() } else { "".into() };
                fields.push(Field { id, name, ty: field.ty });
                exprs.push(Expr::column(field));
            }
        }
        let (order, serialized) = (input.order.clone(), input.serialized);
        Relation { rel: Rel { op: RelOp::Project { input: Box::new(input), exprs }, fields, order, serialized }, open }
    }

    /// Where the name of the column for `value` comes from. A passed-through column keeps its name, also through a conversion to its own
    /// type.
    pub(super) fn name_source<'n>(&self, written: Option<&'n Name>, expr: &'n ast::Expr, value: &Scalar) -> Source<'n> {
        if let Some(name) = written {
            return Source::Declared(&name.text);
        }
        if let Some(name) = passed_on(expr, value) {
            return Source::Declared(name);
        }
        if self.strict
            && let Some(missing) = if_exists(expr)
            && !self.around.iter().any(|field| *field.name == *missing)
        {
            return Source::Unnamed;
        }
        name_of(expr).map_or(Source::Unnamed, Source::Derived)
    }

    /// Claims a column name; reports an error if it was already declared.
    pub(super) fn take_name(&mut self, names: &mut Names, source: Source, place: &Place) -> String {
        let declared = match source {
            Source::Declared(name) => name,
            _ => "",
        };
        let (name, twice) = names.named(source);
        if twice {
            self.report(code::DUPLICATE_NAME, place, format!("there are two columns `{declared}`"));
        }
        name
    }

    /// All visible columns as outputs for [`Binder::project`].
    pub(super) fn outputs(&self, input: &Relation) -> Vec<Output> {
        input.visible().map(|field| (field.name.clone(), self.column(field))).collect()
    }

    /// Adds window calls found in expressions over `input` below them, as hidden columns.
    pub(super) fn with_windows(&mut self, mut input: Relation, windows: Windows) -> Relation {
        let mut calls = windows.calls;
        let mut level = 0;
        while !calls.is_empty() {
            let (now, later): (Vec<_>, Vec<_>) = calls.into_iter().partition(|call| call.level <= level);
            let mut fields = input.rel.fields.clone();
            fields.extend(now.iter().map(|call| call.field.clone()));
            let exprs = now.into_iter().map(|call| call.expr).collect();
            let (order, serialized) = (input.rel.order.clone(), input.rel.serialized);
            input.rel = Rel { op: RelOp::Window { input: Box::new(input.rel), exprs }, fields, order, serialized };
            calls = later;
            level += 1;
        }
        input
    }

    /// Adds staged subexpressions to `input` as hidden columns.
    pub(super) fn with_staged(&mut self, input: Relation) -> Relation {
        if self.staged.is_empty() {
            return input;
        }
        let mut fields = input.rel.fields.clone();
        let mut exprs: Vec<Expr> = fields.iter().map(Expr::column).collect();
        for (expr, field) in std::mem::take(&mut self.staged) {
            exprs.push(expr);
            fields.push(field);
        }
        let (order, serialized) = (input.rel.order.clone(), input.rel.serialized);
        Relation { rel: Rel { op: RelOp::Project { input: Box::new(input.rel), exprs }, fields, order, serialized }, open: input.open }
    }

    pub(super) fn filter(&mut self, input: Relation, predicate: Scalar) -> Relation {
        input.wrap(|input| RelOp::Filter { input, predicate: predicate.expr })
    }

    /// Creates a relation that can be used several times.
    pub(super) fn share(&mut self, relation: Relation) -> SharedTable {
        self.next_shared += 1;
        SharedTable { id: self.next_shared, rel: Arc::new(relation.rel), open: relation.open }
    }

    /// One use of a shared relation, with its own column ids.
    pub(super) fn reuse(&mut self, shared: &SharedTable) -> Relation {
        let mut renamed = Vec::with_capacity(shared.rel.fields.len());
        for field in &shared.rel.fields {
            let id = self.fresh();
            if self.unknown.contains(&field.id) {
                self.unknown.insert(id);
            }
            if self.listed.contains(&field.id) {
                self.listed.insert(id);
            }
            if let Some(nature) = self.natures.get(&field.id) {
                self.natures.insert(id, *nature);
            }
            renamed.push(Field { id, ..field.clone() });
        }
        let rename = |id: ColumnId| shared.rel.fields.iter().position(|field| field.id == id).map_or(id, |index| renamed[index].id);
        let mut order = shared.rel.order.clone();
        for key in &mut order {
            key.expr.map_columns(&rename);
        }
        let rel = Rel {
            op: RelOp::Shared { id: shared.id, input: shared.rel.clone() },
            fields: renamed,
            order,
            serialized: shared.rel.serialized,
        };
        Relation { rel, open: shared.open }
    }

    /// The null of a type; for a string, the empty text.
    pub(super) fn null(ty: Type) -> Expr {
        Expr::constant(if ty == Type::String { Value::String(String::new()) } else { Value::Null(ty) })
    }

    /// Placeholder for a scalar that could not be bound or whose type is unknown.
    pub(super) fn unknown_scalar() -> Scalar {
        Scalar { expr: Self::null(Type::Dynamic), known: false }
    }
}

/// The column that `column_ifexists("…", …)` looks for.
fn if_exists(expr: &ast::Expr) -> Option<&str> {
    match &expr.kind {
        ast::ExprKind::Paren(inner) => if_exists(inner),
        ast::ExprKind::Call(call) if matches!(call.name.text.as_str(), "column_ifexists" | "columnifexists") => {
            match &call.args.first()?.kind {
                ast::ExprKind::Literal(Value::String(name)) => Some(name),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The name of the column that an expression passes through unchanged.
fn passed_on<'n>(expr: &'n ast::Expr, value: &Scalar) -> Option<&'n str> {
    match &expr.kind {
        ast::ExprKind::Paren(inner) => passed_on(inner, value),
        ast::ExprKind::Name(name) if matches!(value.expr.kind, ExprKind::Column(_)) || !value.known => Some(&name.text),
        ast::ExprKind::Call(call) => {
            let same = match call.name.text.as_str() {
                "tostring" => Type::String,
                "tobool" | "toboolean" => Type::Bool,
                "todatetime" => Type::Datetime,
                "todecimal" => Type::Decimal,
                "todynamic" => Type::Dynamic,
                "toguid" => Type::Guid,
                "toint" => Type::Int,
                "tolong" => Type::Long,
                "toreal" | "todouble" => Type::Real,
                "totimespan" => Type::Timespan,
                _ => return None,
            };
            let [ast::Expr { kind: ast::ExprKind::Name(name), .. }] = &call.args[..] else { return None };
            let of = match &value.expr.kind {
                ExprKind::Call { args, .. } => args.first()?,
                _ => &value.expr,
            };
            (of.ty == same && matches!(of.kind, ExprKind::Column(_))).then_some(&name.text)
        }
        _ => None,
    }
}
