//! `render`, `as`, `consume`: operators that do not change the rows.

use std::rc::Rc;

use model::Render;

use crate::Value;
use crate::bind::Binder;
use crate::bind::scope::{Binding, Cx, Env, Relation};
use crate::syntax::ast::{Expr, ExprKind, Name, Property};

impl Binder<'_> {
    pub(super) fn render(&mut self, visualization: &Name, properties: &[Property], input: Relation, env: &Env) -> Relation {
        let properties = properties.iter().map(|property| (property.name.text.clone(), self.rendered(&property.value, env))).collect();
        self.render = Some(Render { visualization: visualization.text.clone(), properties });
        input
    }

    /// A property's value as text. Column names are resolved by the client that draws the chart.
    fn rendered(&mut self, expr: &Expr, env: &Env) -> String {
        match &expr.kind {
            ExprKind::Name(name) => name.text.clone(),
            ExprKind::List(items) => items.iter().map(|item| self.rendered(item, env)).collect::<Vec<_>>().join(","),
            ExprKind::Paren(inner) => self.rendered(inner, env),
            _ => match self.scalar(expr, &mut Cx::constant(env)).expr.as_const() {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Bool(value)) => value.to_string(),
                Some(Value::Long(value)) => value.to_string(),
                Some(Value::Int(value)) => value.to_string(),
                Some(Value::Real(value)) => value.to_string(),
                Some(Value::Datetime(ticks)) => {
                    model::Timestamp::from_ticks(*ticks).map_or_else(String::new, |instant| instant.to_string())
                }
                _ => String::new(),
            },
        }
    }

    /// `as name`: later operators of the same pipe may use it as a table.
    pub(super) fn name_as(&mut self, name: &Name, input: Relation, env: &mut Env) -> Relation {
        let shared = Rc::new(self.share(input));
        self.saw_definition(name, &Binding::Shared(shared.clone()));
        *env = env.with(&name.text, Binding::Shared(shared.clone()));
        self.reuse(&shared)
    }

    pub(super) fn consume(&mut self, input: Relation) -> Relation {
        let empty = crate::bind::scope::Scalar::known(crate::plan::Expr::constant(Value::Bool(false)));
        let mut none = self.filter(input, empty);
        none.rel.fields.iter_mut().for_each(|field| field.name = "".into());
        none
    }
}
