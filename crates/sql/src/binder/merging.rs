//! What a definition says of merging: groups of columns, what decides between writes, which rows stay away.
//!
//! Invariant: the columns of a group have one policy, and it chooses one of the writes, so that their values are always those of
//! one write. A column that merges, or that is part of a row's name, has none.

use deltaic_query::{coercion::Context, expression::Expr};
use deltaic_types::{ConflictPolicy, DataType, Merges, TableSchema};
use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{
    BindContext, Binder, folded,
    scope::{Scope, ScopeColumn},
};
use crate::{
    clauses::{Group, Policy, PolicyKind},
    error::SqlError,
    parser::Parsed,
};

impl Binder<'_> {
    /// Adds what the statement says of merging to a table whose columns and key are known. `defined` are the places of the columns
    /// that it defines, with where their names stand.
    pub(super) fn add_merging(
        &self,
        table: &mut TableSchema,
        defined: &[(usize, Span)],
    ) -> Result<(), SqlError> {
        let clauses = &self.parsed.clauses;
        table.remove_wins |= clauses.remove_wins;
        for group in &clauses.groups {
            let group = self.written_together(table, group)?;
            table.groups.push(group);
        }
        let mut said = vec![false; table.columns.len()];
        for policy in &clauses.policies {
            let Some((place, _)) = defined.iter().find(|(_, span)| span.start == policy.column) else {
                let reason = "CONFLICT stands behind a column's type, and says it of that column".to_owned();
                return Err(SqlError::InvalidTableDefinition { reason, position: self.at(policy.span) });
            };
            let declared = self.policy(table, *place, policy)?;
            let together = table.group_of(*place).map_or_else(|| vec![*place], <[usize]>::to_vec);
            for place in together {
                let column = &mut table.columns[place];
                if said[place] && column.conflict != declared {
                    let name = &column.name;
                    let reason =
                        format!("column \"{name}\" has two policies: the columns of a group have one");
                    return Err(SqlError::InvalidTableDefinition { reason, position: self.at(policy.span) });
                }
                said[place] = true;
                column.conflict = declared.clone();
            }
        }
        Ok(())
    }

    fn written_together(&self, table: &TableSchema, group: &Group) -> Result<Vec<usize>, SqlError> {
        let mut places = Vec::new();
        for ident in &group.columns {
            let position = self.at(ident.span);
            let place = self.table_column(table, ident)?;
            if places.contains(&place) {
                return Err(SqlError::DuplicateColumn { name: folded(ident), position });
            }
            let column = &table.columns[place];
            if column.merges != Merges::LastWriter {
                let what = format!("type {} in a GROUP", column.type_name());
                return Err(self.refuse(&what, Some("It merges by itself: leave it out."), ident.span));
            }
            let wrong = if table.primary_key.contains(&place) {
                "of the primary key in a GROUP: it names the row, and is never written again"
            } else if table.group_of(place).is_some() {
                "in two groups: put all that is written together into one"
            } else {
                places.push(place);
                continue;
            };
            let reason = format!("column \"{}\" {wrong}", column.name);
            return Err(SqlError::InvalidTableDefinition { reason, position });
        }
        if places.len() < 2 {
            let reason = "a GROUP has two columns or more: one is always written whole".to_owned();
            return Err(SqlError::InvalidTableDefinition { reason, position: self.at(group.span) });
        }
        places.sort_unstable();
        Ok(places)
    }

    fn policy(&self, table: &TableSchema, place: usize, policy: &Policy) -> Result<ConflictPolicy, SqlError> {
        let column = &table.columns[place];
        if column.merges != Merges::LastWriter {
            let what = format!("CONFLICT at type {}", column.type_name());
            return Err(self.refuse(&what, Some("It merges: nothing is left to decide."), policy.span));
        }
        let invalid =
            |reason: String| Err(SqlError::InvalidTableDefinition { reason, position: self.at(policy.span) });
        if table.primary_key.contains(&place) {
            return invalid(format!(
                "CONFLICT at column \"{}\" of the primary key: it names the row, and is never written again",
                column.name
            ));
        }
        let group = table.group_of(place);
        Ok(match &policy.kind {
            PolicyKind::LastWriter => ConflictPolicy::LastWriter,
            PolicyKind::Manual => ConflictPolicy::Manual,
            PolicyKind::Priority(ident) => {
                let by = self.table_column(table, ident)?;
                let other = &table.columns[by];
                if !group.is_some_and(|group| group.contains(&by)) {
                    return invalid(format!(
                        "column \"{}\" decides about \"{}\" only if both are written together: declare GROUP \
                         ({}, {})",
                        other.name, column.name, column.name, other.name
                    ));
                }
                if !other.data_type.is_key() {
                    let what = format!("PRIORITY by type {}", other.data_type);
                    return Err(self.refuse(&what, Some("Its values have no order."), ident.span));
                }
                ConflictPolicy::Priority { by }
            }
            PolicyKind::Custom(expr) => {
                if group.is_some() {
                    return invalid(format!(
                        "CONFLICT CUSTOM at column \"{}\" of a group: it would make values of no write",
                        column.name
                    ));
                }
                let context = BindContext { catalog: self.catalog, now: None };
                custom_expr(expr, self.parsed, context, &column.data_type)?;
                ConflictPolicy::Custom { expression: expr.to_string() }
            }
        })
    }
}

/// An expression over two values of a column, `ours` before `theirs`, of the column's type.
pub(super) fn custom_expr(
    ast: &ast::Expr,
    parsed: &Parsed,
    context: BindContext<'_>,
    data_type: &DataType,
) -> Result<Expr, SqlError> {
    const CLAUSE: &str = "CONFLICT CUSTOM";
    let columns = ["ours", "theirs"].into_iter().enumerate().map(|(place, name)| ScopeColumn {
        relation: String::new(),
        name: name.to_owned(),
        data_type: data_type.clone(),
        place,
        bare: true,
        not_null: false,
    });
    let scope = Scope { columns: columns.collect(), width: 2, ..Scope::default() };
    let mut binder = Binder::new(parsed, context);
    let operand = binder.without_subqueries(CLAUSE, |binder| {
        binder.without_aggregates(CLAUSE, |binder| binder.expr(ast, &scope))
    })?;
    binder.refuse_parameters(CLAUSE)?;
    let span = ast.span();
    let expr = binder.coerce(operand, data_type, Context::Implicit, CLAUSE, span)?;
    if expr.reads_time() {
        let what = "the time in CONFLICT CUSTOM: servers would decide differently";
        return Err(binder.refuse(what, Some("Keep a time in a column."), span));
    }
    Ok(expr)
}
